//! Questions about twins: `reported.temp > 50 and desired.site = "a"`. Pure: text in, a condition on a [`Twin`] out.
//!
//! ```text
//! condition  = conjunction { "or" conjunction }
//! conjunction = factor { "and" factor }
//! factor     = "not" factor | "(" condition ")" | "exists" path | path operator literal
//! path       = ("desired" | "reported" | "delta") { "." member } | "version" | "thing" | "updated"
//! operator   = "=" | "!=" | "<" | "<=" | ">" | ">="
//! literal    = JSON number, string, true, false or null
//! ```
//!
//! A member that is no plain word is written as a JSON string: `reported."room 1".temp`. Values of different kinds are unequal and in no
//! order; a path that is not there is in no relation to anything (not even `!=`), so ask for it with `not exists`.
//! Invariant: neither parsing nor judging takes more than its bounds say, whatever the text is.

mod token;

use std::cell::OnceCell;
use std::cmp::Ordering;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::delta::delta;
use crate::twin::Twin;
use token::{Token, Tokens};

/// Longest question, bytes.
pub const QUERY_BYTES_MAX: usize = 2048;
/// Parentheses and `not` within each other.
const DEPTH_MAX: usize = 32;

/// Why a text is no question.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message} at byte {at}")]
pub struct QueryError {
    /// Where, in bytes from the beginning.
    pub at: usize,
    /// What was expected.
    pub message: String,
}

/// A twin of which something is asked. What is asked for is made out of its cells once, and nothing else is.
#[derive(Debug)]
pub struct Subject<'a> {
    thing: &'a str,
    twin: &'a Twin,
    desired: OnceCell<Map<String, Value>>,
    reported: OnceCell<Map<String, Value>>,
    delta: OnceCell<Map<String, Value>>,
}

impl<'a> Subject<'a> {
    /// The twin of `thing`.
    #[must_use]
    pub fn new(thing: &'a str, twin: &'a Twin) -> Self {
        let (desired, reported, delta) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { thing, twin, desired, reported, delta }
    }

    fn desired(&self) -> &Map<String, Value> {
        self.desired.get_or_init(|| self.twin.desired.to_json())
    }

    fn reported(&self) -> &Map<String, Value> {
        self.reported.get_or_init(|| self.twin.reported.to_json())
    }

    fn delta(&self) -> &Map<String, Value> {
        self.delta.get_or_init(|| delta(self.desired(), self.reported()))
    }
}

/// A condition on twins.
#[derive(Debug, Clone, PartialEq)]
pub struct Query(Condition);

#[derive(Debug, Clone, PartialEq)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Exists(Place),
    Compare(Place, Relation, Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Where a value is looked for.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    Desired(Vec<String>),
    Reported(Vec<String>),
    Delta(Vec<String>),
    Version,
    Thing,
    Updated,
}

impl Query {
    /// Reads a question.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > QUERY_BYTES_MAX {
            let message = format!("the question has {} bytes, at most {QUERY_BYTES_MAX} are allowed", text.len());
            return Err(QueryError { at: 0, message });
        }
        let mut parser = Parser { tokens: Tokens::of(text)? };
        let condition = parser.condition(0)?;
        match parser.tokens.peek() {
            None => Ok(Self(condition)),
            Some(_) => Err(parser.tokens.expected("the end, and or or")),
        }
    }

    /// Whether it holds for a twin.
    #[must_use]
    pub fn holds(&self, twin: &Subject<'_>) -> bool {
        self.0.holds(twin)
    }
}

impl Condition {
    fn holds(&self, twin: &Subject<'_>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(twin)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(twin)),
            Self::Not(condition) => !condition.holds(twin),
            Self::Exists(place) => place.with(twin, |_| true),
            Self::Compare(place, relation, literal) => place.with(twin, |value| relation.holds(value, literal)),
        }
    }
}

impl Place {
    /// What `judge` says of the value; no if there is none.
    fn with(&self, twin: &Subject<'_>, judge: impl FnOnce(&Value) -> bool) -> bool {
        let (members, path) = match self {
            Self::Desired(path) => (twin.desired(), path),
            Self::Reported(path) => (twin.reported(), path),
            Self::Delta(path) => (twin.delta(), path),
            Self::Version => return judge(&Value::from(twin.twin.version)),
            Self::Updated => return judge(&Value::from(twin.twin.updated.time.ms())),
            Self::Thing => return judge(&Value::from(twin.thing)),
        };
        let Some((first, rest)) = path.split_first() else {
            // The section itself: there if it has members.
            return !members.is_empty() && judge(&Value::Null);
        };
        let found = rest.iter().try_fold(members.get(first), |found, name| match found {
            Some(Value::Object(members)) => Some(members.get(name)),
            _ => None,
        });
        found.flatten().is_some_and(judge)
    }
}

impl Relation {
    fn holds(self, value: &Value, literal: &Value) -> bool {
        let order = match (value, literal) {
            (Value::Number(value), Value::Number(literal)) => compare_numbers(value, literal),
            (Value::String(value), Value::String(literal)) => Some(value.cmp(literal)),
            (value, literal) if value == literal => Some(Ordering::Equal),
            _ => None,
        };
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::Unequal => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
            Self::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// Whole numbers exactly, all others as floating point.
fn compare_numbers(value: &serde_json::Number, literal: &serde_json::Number) -> Option<Ordering> {
    match (value.as_i128(), literal.as_i128()) {
        (Some(value), Some(literal)) => Some(value.cmp(&literal)),
        _ => value.as_f64()?.partial_cmp(&literal.as_f64()?),
    }
}

struct Parser<'a> {
    tokens: Tokens<'a>,
}

impl Parser<'_> {
    fn condition(&mut self, depth: usize) -> Result<Condition, QueryError> {
        let mut conditions = vec![self.conjunction(depth)?];
        while self.tokens.take_word("or") {
            conditions.push(self.conjunction(depth)?);
        }
        Ok(only(conditions, Condition::Any))
    }

    fn conjunction(&mut self, depth: usize) -> Result<Condition, QueryError> {
        let mut conditions = vec![self.factor(depth)?];
        while self.tokens.take_word("and") {
            conditions.push(self.factor(depth)?);
        }
        Ok(only(conditions, Condition::All))
    }

    fn factor(&mut self, depth: usize) -> Result<Condition, QueryError> {
        if depth >= DEPTH_MAX {
            return Err(self.tokens.expected("fewer than 32 parentheses and nots within each other"));
        }
        if self.tokens.take_word("not") {
            return Ok(Condition::Not(Box::new(self.factor(depth + 1)?)));
        }
        if self.tokens.take(&Token::Open) {
            let condition = self.condition(depth + 1)?;
            return if self.tokens.take(&Token::Close) {
                Ok(condition)
            } else {
                Err(self.tokens.expected("a closing parenthesis"))
            };
        }
        if self.tokens.take_word("exists") {
            return Ok(Condition::Exists(self.place()?));
        }
        let place = self.place()?;
        let relation = self.relation()?;
        Ok(Condition::Compare(place, relation, self.literal()?))
    }

    fn place(&mut self) -> Result<Place, QueryError> {
        const EXPECTED: &str = "desired, reported, delta, version, thing or updated";
        let name = match self.tokens.peek() {
            Some(Token::Word(name)) => name.clone(),
            _ => return Err(self.tokens.expected(EXPECTED)),
        };
        let place: fn(Vec<String>) -> Place = match &*name {
            "desired" => Place::Desired,
            "reported" => Place::Reported,
            "delta" => Place::Delta,
            "version" => |_| Place::Version,
            "thing" => |_| Place::Thing,
            "updated" => |_| Place::Updated,
            _ => return Err(self.tokens.expected(EXPECTED)),
        };
        self.tokens.next();
        let mut path = Vec::new();
        while matches!(place(Vec::new()), Place::Desired(_) | Place::Reported(_) | Place::Delta(_))
            && self.tokens.take(&Token::Dot)
        {
            match self.tokens.next() {
                Some(Token::Word(name)) => path.push(name),
                Some(Token::Literal(Value::String(name))) => path.push(name),
                _ => return Err(self.tokens.expected_before("a member: a word, or a text in quotes")),
            }
        }
        Ok(place(path))
    }

    fn relation(&mut self) -> Result<Relation, QueryError> {
        match self.tokens.next() {
            Some(Token::Relation(relation)) => Ok(relation),
            _ => Err(self.tokens.expected_before("=, !=, <, <=, > or >=")),
        }
    }

    fn literal(&mut self) -> Result<Value, QueryError> {
        match self.tokens.next() {
            Some(Token::Literal(value)) => Ok(value),
            _ => Err(self.tokens.expected_before("a JSON number, a text in double quotes, true, false or null")),
        }
    }
}

fn only(mut conditions: Vec<Condition>, together: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.pop() {
        Some(condition) if conditions.is_empty() => condition,
        Some(last) => {
            conditions.push(last);
            together(conditions)
        }
        None => together(conditions),
    }
}

#[cfg(test)]
mod tests;
