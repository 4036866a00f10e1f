//! What users and clients may do: the rules file, and the decision.
//!
//! A rule says whom it is for and lists topic filters. Deny wins over allow; what nothing allows is refused. Rules that are
//! for single users are found by name and all others by the first level of the topic, so that the cost of a check grows with
//! the rules that could match, not with all there are.

use std::{collections::HashMap, fmt};

use crate::{
    filter::{Filter, Side, Subject},
    pattern::Pattern,
};

mod file;
mod lists;

pub(crate) use file::Grants;
pub use file::{RULE_LIST_MAX, RULES_BYTES_MAX, RULES_MAX, RuleProblem, RulesError};
use lists::Lists;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// To publish.
    Publish {
        /// With the RETAIN flag.
        retain: bool,
    },
    /// To leave a will.
    Will {
        /// With the RETAIN flag.
        retain: bool,
    },
    /// To subscribe; the topic is a filter.
    Subscribe,
}

/// What can be allowed of the HTTP interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiRight {
    /// To look at things.
    Read,
    /// To change things.
    Write,
}

/// Rights to the HTTP interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApiRights {
    pub read: bool,
    pub write: bool,
}

/// The rules of a node, compiled.
#[derive(Clone, Default)]
pub struct Rules {
    /// For each rule, whom it is for.
    audiences: Vec<Audience>,
    /// Filters of the rules that are for patterns of users.
    shared: Lists,
    /// Filters of the rules that are for users by name.
    own: Vec<OwnRule>,
    /// Places in `own`, by user.
    by_user: HashMap<Box<str>, Vec<u32>, foldhash::fast::RandomState>,
    /// Some rule says what may be retained; without one it is all that may be published or left as a will.
    limits_retain: bool,
    count: usize,
}

/// A rule for users by name.
#[derive(Clone)]
struct OwnRule {
    audience: u32,
    lists: Lists,
}

/// Whom a rule is for.
#[derive(Clone, Debug)]
pub(crate) struct Audience {
    pub who: Who,
    /// Empty: all clients.
    pub clients: Box<[Pattern]>,
    pub api: ApiRights,
}

/// Which users a rule is for.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    Everyone,
    Anonymous,
    /// All who have logged in.
    Users,
    /// Users that match one of these.
    Named(Box<[Pattern]>),
    /// Users found in the index; nothing is left to compare.
    Indexed,
}

/// The rules that the first user of a node brings: users may do what every client of a node without users may.
pub fn starting_rules() -> &'static str {
    include_str!("rules/starting.toml")
}

impl Rules {
    /// Rules of the text of a rules file.
    ///
    /// # Errors
    /// The first mistake, with its line and key.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        file::parse(text)
    }

    /// One rule for everyone.
    pub(crate) fn for_everyone(grants: Grants) -> Self {
        let mut rules = Self::default();
        rules.add(Who::Everyone, Box::default(), ApiRights::default(), grants);
        rules
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no rule, so that nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the rules allow it.
    pub fn may(&self, subject: Subject<'_>, operation: Operation, topic: &str) -> bool {
        !self.denies(subject, operation, topic) && self.allows(subject, operation, topic)
    }

    /// Whether a rule denies it.
    pub fn denies(&self, subject: Subject<'_>, operation: Operation, topic: &str) -> bool {
        match operation {
            Operation::Subscribe => self.any(subject, |lists, admits| {
                lists.deny_subscribe.any_overlapping(topic, admits, |filter| filter.overlaps(subject, topic))
            }),
            Operation::Publish { .. } | Operation::Will { .. } => self.any(subject, |lists, admits| {
                lists.deny_publish.any(topic, admits, |filter| filter.matches(subject, Side::Deny, topic))
            }),
        }
    }

    /// Whether a rule allows it, whatever others deny.
    pub fn allows(&self, subject: Subject<'_>, operation: Operation, topic: &str) -> bool {
        let matches = |filter: &Filter| filter.matches(subject, Side::Allow, topic);
        match operation {
            Operation::Subscribe => self.any(subject, |lists, admits| {
                lists.subscribe.any(topic, admits, |filter| filter.covers(subject, topic))
            }),
            Operation::Publish { retain } => {
                self.any(subject, |lists, admits| lists.publish.any(topic, admits, matches))
                    && (!retain || self.allows_retain(subject, topic))
            }
            Operation::Will { retain } => {
                self.any(subject, |lists, admits| lists.will.any(topic, admits, matches))
                    && (!retain || self.allows_retain(subject, topic))
            }
        }
    }

    /// Whether what may be published or left as a will may also be retained.
    fn allows_retain(&self, subject: Subject<'_>, topic: &str) -> bool {
        let matches = |filter: &Filter| filter.matches(subject, Side::Allow, topic);
        !self.limits_retain || self.any(subject, |lists, admits| lists.retain.any(topic, admits, matches))
    }

    /// Rights to the HTTP interface; rules that are for some clients only give none, for there is no client identifier there.
    pub(crate) fn api_rights(&self, user: Option<&str>) -> ApiRights {
        let general = self.audiences.iter().filter(|audience| audience.clients.is_empty() && audience.who.admits(user));
        let own = user.and_then(|user| self.by_user.get(user)).into_iter().flatten();
        let own = own.filter_map(|&index| self.own.get(index as usize)).filter_map(|rule| self.audience(rule.audience));
        let own = own.filter(|audience| audience.clients.is_empty());
        general.chain(own).fold(ApiRights::default(), |sum, audience| ApiRights {
            read: sum.read || audience.api.read,
            write: sum.write || audience.api.write,
        })
    }

    /// Whether `found` is true of some lists that can hold a rule for this subject; it gets a test of the rule of an entry.
    fn any(&self, subject: Subject<'_>, found: impl Fn(&Lists, &dyn Fn(u32) -> bool) -> bool) -> bool {
        let admits = |rule: u32| self.audience(rule).is_some_and(|audience| audience.admits(subject));
        if found(&self.shared, &admits) {
            return true;
        }
        if self.by_user.is_empty() {
            return false;
        }
        let Some(rules) = subject.user.and_then(|user| self.by_user.get(user)) else { return false };
        rules.iter().filter_map(|&index| self.own.get(index as usize)).any(|rule| {
            self.audience(rule.audience).is_some_and(|audience| audience.admits_client(subject.client_id))
                && found(&rule.lists, &|_| true)
        })
    }

    fn audience(&self, rule: u32) -> Option<&Audience> {
        self.audiences.get(rule as usize)
    }

    /// Adds a rule. Rules for users by name go into the index.
    fn add(&mut self, who: Who, clients: Box<[Pattern]>, api: ApiRights, grants: Grants) {
        let rule = u32::try_from(self.audiences.len()).unwrap_or(u32::MAX);
        self.count += 1;
        self.limits_retain |= grants.retain.is_some();
        let exact = match &who {
            Who::Named(patterns) => patterns.iter().map(Pattern::exact).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let Some(names) = exact else {
            self.shared.add(rule, grants);
            self.audiences.push(Audience { who, clients, api });
            return;
        };
        let index = u32::try_from(self.own.len()).unwrap_or(u32::MAX);
        for name in names {
            let rules = self.by_user.entry(name.into()).or_default();
            if rules.last() != Some(&index) {
                rules.push(index);
            }
        }
        let mut lists = Lists::default();
        lists.add(rule, grants);
        self.own.push(OwnRule { audience: rule, lists });
        self.audiences.push(Audience { who: Who::Indexed, clients, api });
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rules").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Audience {
    fn admits(&self, subject: Subject<'_>) -> bool {
        self.who.admits(subject.user) && self.admits_client(subject.client_id)
    }

    fn admits_client(&self, client_id: &str) -> bool {
        self.clients.is_empty() || self.clients.iter().any(|pattern| pattern.matches(client_id))
    }
}

impl Who {
    fn admits(&self, user: Option<&str>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Anonymous => user.is_none(),
            Self::Users => user.is_some(),
            Self::Named(patterns) => user.is_some_and(|user| patterns.iter().any(|pattern| pattern.matches(user))),
            Self::Indexed => false,
        }
    }
}

#[cfg(test)]
mod tests;
