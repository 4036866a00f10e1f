//! The rules file, `[[rule]]` after `[[rule]]`, and its mistakes.

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::{ApiRights, Rules, Who};
use crate::{
    filter::{Filter, FilterProblem},
    pattern::Pattern,
    place::{self, Place},
};

/// Largest rules file, in bytes.
pub const RULES_BYTES_MAX: usize = 1024 * 1024;

/// Most rules in a file.
pub const RULES_MAX: usize = 1_000;

/// Most entries in one list of a rule.
pub const RULE_LIST_MAX: usize = 1_000;

/// Longest pattern of users or clients, in bytes.
const PATTERN_BYTES_MAX: usize = 256;

/// Why a rules file is not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RulesError {
    /// Zero bytes, or nothing but white space: more likely a failed write than a wish.
    #[error("the file is empty; a comment line makes it valid, and then nothing is allowed")]
    Empty,
    /// More than [`RULES_BYTES_MAX`].
    #[error("the file has {0} bytes, and {RULES_BYTES_MAX} are the most")]
    TooLarge(usize),
    /// More than [`RULES_MAX`].
    #[error("the file has {0} rules, and {RULES_MAX} are the most")]
    TooMany(usize),
    /// Not TOML, or a key that rules do not have.
    #[error("line {line}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A value that makes no rule.
    #[error("{at}: {problem}")]
    Rule {
        /// Where.
        at: Place,
        /// Why.
        problem: RuleProblem,
    },
}

/// Why a value makes no rule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RuleProblem {
    /// A filter is none.
    #[error("{filter:?}: {problem}")]
    Filter {
        /// As written.
        filter: String,
        /// Why.
        problem: FilterProblem,
    },
    /// `who` is none of its words.
    #[error("{0:?} is none of \"users\", \"anonymous\", \"everyone\"")]
    Who(String),
    /// `who` says that there is no user, `users` names some.
    #[error("users cannot be named together with who = {0:?}")]
    WhoAndUsers(String),
    /// An empty list of users or clients.
    #[error("the list is empty, so that the rule is for nobody; leave the key out to mean all")]
    Nobody,
    /// More than [`RULE_LIST_MAX`].
    #[error("the list has {0} entries, and {RULE_LIST_MAX} are the most")]
    LongList(usize),
    /// A pattern that is empty or too long.
    #[error("{0:?} is no pattern: 1 to {PATTERN_BYTES_MAX} bytes are allowed")]
    Pattern(String),
    /// A right that there is not.
    #[error("{0:?} is none of \"read\", \"write\"")]
    Api(String),
    /// It neither allows nor denies.
    #[error("the rule has none of publish, subscribe, retain, will, deny_publish, deny_subscribe, api")]
    SaysNothing,
}

/// What one rule or token allows and denies. `retain` and `will` follow from the others where they are `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    pub publish: Vec<Filter>,
    pub subscribe: Vec<Filter>,
    pub retain: Option<Vec<Filter>>,
    pub will: Option<Vec<Filter>>,
    pub deny_publish: Vec<Filter>,
    pub deny_subscribe: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    #[serde(default)]
    rule: Vec<Spanned<RuleEntry>>,
}

type List = Spanned<Vec<Spanned<String>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    /// For people; it appears in no decision.
    #[serde(default, rename = "name")]
    _name: Option<String>,
    who: Option<Spanned<String>>,
    users: Option<List>,
    clients: Option<List>,
    publish: Option<List>,
    subscribe: Option<List>,
    retain: Option<List>,
    will: Option<List>,
    deny_publish: Option<List>,
    deny_subscribe: Option<List>,
    api: Option<List>,
}

/// Reads one rule; knows where it is in the file.
struct Reader<'a> {
    text: &'a str,
    /// Index of the rule, from 0.
    rule: usize,
}

pub(super) fn parse(text: &str) -> Result<Rules, RulesError> {
    if text.trim().is_empty() {
        return Err(RulesError::Empty);
    }
    if text.len() > RULES_BYTES_MAX {
        return Err(RulesError::TooLarge(text.len()));
    }
    let file: RulesFile = toml::from_str(text).map_err(|error| {
        let (line, message) = place::syntax(text, &error);
        RulesError::Syntax { line, message }
    })?;
    if file.rule.len() > RULES_MAX {
        return Err(RulesError::TooMany(file.rule.len()));
    }
    let mut rules = Rules::default();
    for (rule, entry) in file.rule.into_iter().enumerate() {
        Reader { text, rule }.read(entry, &mut rules)?;
    }
    Ok(rules)
}

impl Reader<'_> {
    fn read(&self, entry: Spanned<RuleEntry>, rules: &mut Rules) -> Result<(), RulesError> {
        let offset = entry.span().start;
        let entry = entry.into_inner();
        let lists = [
            &entry.publish,
            &entry.subscribe,
            &entry.retain,
            &entry.will,
            &entry.deny_publish,
            &entry.deny_subscribe,
            &entry.api,
        ];
        if lists.iter().all(|list| list.is_none()) {
            return Err(self.error(offset, None, RuleProblem::SaysNothing));
        }
        let who = self.who(entry.who.as_ref(), entry.users.as_ref())?;
        let clients =
            entry.clients.as_ref().map(|list| self.patterns("clients", list)).transpose()?.unwrap_or_default();
        let api = entry.api.as_ref().map(|list| self.api(list)).transpose()?.unwrap_or_default();
        let grants = Grants {
            publish: self.filters("publish", entry.publish.as_ref())?.unwrap_or_default(),
            subscribe: self.filters("subscribe", entry.subscribe.as_ref())?.unwrap_or_default(),
            retain: self.filters("retain", entry.retain.as_ref())?,
            will: self.filters("will", entry.will.as_ref())?,
            deny_publish: self.filters("deny_publish", entry.deny_publish.as_ref())?.unwrap_or_default(),
            deny_subscribe: self.filters("deny_subscribe", entry.deny_subscribe.as_ref())?.unwrap_or_default(),
        };
        rules.add(who, clients, api, grants);
        Ok(())
    }

    fn who(&self, who: Option<&Spanned<String>>, users: Option<&List>) -> Result<Who, RulesError> {
        let word = who.map(|who| (who.span().start, who.get_ref().as_str()));
        let by_word = match word {
            None => Who::Users,
            Some((_, "users")) => Who::Users,
            Some((_, "anonymous")) => Who::Anonymous,
            Some((_, "everyone")) => Who::Everyone,
            Some((offset, word)) => return Err(self.error(offset, Some("who"), RuleProblem::Who(word.to_owned()))),
        };
        let Some(users) = users else { return Ok(by_word) };
        match (word, by_word) {
            (_, Who::Users) | (None, _) => Ok(Who::Named(self.patterns("users", users)?)),
            (Some((offset, word)), _) => {
                Err(self.error(offset, Some("who"), RuleProblem::WhoAndUsers(word.to_owned())))
            }
        }
    }

    fn patterns(&self, key: &str, list: &List) -> Result<Box<[Pattern]>, RulesError> {
        self.check_length(key, list)?;
        if list.get_ref().is_empty() {
            return Err(self.error(list.span().start, Some(key), RuleProblem::Nobody));
        }
        let pattern = |text: &Spanned<String>| {
            let length = text.get_ref().len();
            if length == 0 || length > PATTERN_BYTES_MAX {
                let problem = RuleProblem::Pattern(text.get_ref().clone());
                return Err(self.error(text.span().start, Some(key), problem));
            }
            Ok(Pattern::new(text.get_ref()))
        };
        list.get_ref().iter().map(pattern).collect()
    }

    fn filters(&self, key: &str, list: Option<&List>) -> Result<Option<Vec<Filter>>, RulesError> {
        let Some(list) = list else { return Ok(None) };
        self.check_length(key, list)?;
        let filter = |text: &Spanned<String>| {
            Filter::parse(text.get_ref()).map_err(|problem| {
                let problem = RuleProblem::Filter { filter: text.get_ref().clone(), problem };
                self.error(text.span().start, Some(key), problem)
            })
        };
        list.get_ref().iter().map(filter).collect::<Result<Vec<_>, _>>().map(Some)
    }

    fn api(&self, list: &List) -> Result<ApiRights, RulesError> {
        let mut rights = ApiRights::default();
        for right in list.get_ref() {
            match right.get_ref().as_str() {
                "read" => rights.read = true,
                "write" => rights.write = true,
                other => {
                    let problem = RuleProblem::Api(other.to_owned());
                    return Err(self.error(right.span().start, Some("api"), problem));
                }
            }
        }
        Ok(rights)
    }

    fn check_length(&self, key: &str, list: &List) -> Result<(), RulesError> {
        let length = list.get_ref().len();
        if length > RULE_LIST_MAX {
            return Err(self.error(list.span().start, Some(key), RuleProblem::LongList(length)));
        }
        Ok(())
    }

    fn error(&self, offset: usize, key: Option<&str>, problem: RuleProblem) -> RulesError {
        let rule = self.rule + 1;
        let key = key.map_or_else(|| format!("rule {rule}"), |key| format!("rule {rule}, {key}"));
        RulesError::Rule { at: Place::new(self.text, offset, key), problem }
    }
}
