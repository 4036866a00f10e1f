//! The words of a question.

use serde_json::Value;

use super::{QueryError, Relation};

/// One word, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// Of letters, digits, `_` and `-`, beginning with a letter or `_`.
    Word(String),
    /// A JSON value that is neither object nor array.
    Literal(Value),
    /// Between two values.
    Relation(Relation),
    /// `.`
    Dot,
    /// `(`
    Open,
    /// `)`
    Close,
}

/// All words of a text.
pub struct Tokens<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    at: usize,
}

impl<'a> Tokens<'a> {
    /// Splits a text.
    pub fn of(text: &'a str) -> Result<Self, QueryError> {
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let spaces = rest.len() - rest.trim_start().len();
            if spaces > 0 {
                at += spaces;
                continue;
            }
            let (token, bytes) = first(rest).ok_or_else(|| QueryError {
                at,
                message: format!("{:?} has no meaning here", rest.chars().next().unwrap_or_default()),
            })?;
            tokens.push((at, token));
            at += bytes;
        }
        Ok(Self { text, tokens, at: 0 })
    }

    /// The next word, which stays.
    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    /// The next word.
    pub fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    /// Takes the next word if it is `token`.
    pub fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Takes the next word if it is this one, in any case.
    pub fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    /// The next word is not what it should be.
    pub fn expected(&self, what: &str) -> QueryError {
        let at = self.tokens.get(self.at).map_or(self.text.len(), |(at, _)| *at);
        QueryError { at, message: format!("expected {what}") }
    }

    /// The word that was taken last is not what it should be.
    pub fn expected_before(&mut self, what: &str) -> QueryError {
        self.at = self.at.saturating_sub(1);
        self.expected(what)
    }
}

/// The first word of a text that does not begin with a space, and its length in bytes.
fn first(text: &str) -> Option<(Token, usize)> {
    for (symbol, token) in [
        ("<=", Token::Relation(Relation::AtMost)),
        (">=", Token::Relation(Relation::AtLeast)),
        ("!=", Token::Relation(Relation::Unequal)),
        ("==", Token::Relation(Relation::Equal)),
        ("=", Token::Relation(Relation::Equal)),
        ("<", Token::Relation(Relation::Less)),
        (">", Token::Relation(Relation::Greater)),
        (".", Token::Dot),
        ("(", Token::Open),
        (")", Token::Close),
    ] {
        if text.starts_with(symbol) {
            return Some((token, symbol.len()));
        }
    }
    if text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        let bytes = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(text.len());
        let word = text.get(..bytes)?;
        let token = match word {
            "true" | "false" => Token::Literal(Value::Bool(word == "true")),
            "null" => Token::Literal(Value::Null),
            _ => Token::Word(word.to_owned()),
        };
        return Some((token, bytes));
    }
    let bytes = if text.starts_with('"') {
        // Strings end where their quote does; the parser finds it.
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        values.next()?.ok()?;
        values.byte_offset()
    } else {
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'))).unwrap_or(text.len())
    };
    Some((Token::Literal(serde_json::from_str(text.get(..bytes)?).ok()?), bytes))
}
