//! The filters of rules, sorted so that a check looks only at those that could match.

use std::collections::HashMap;

use super::file::Grants;
use crate::filter::Filter;

/// Filters by what they are for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    pub publish: FilterList,
    pub retain: FilterList,
    pub will: FilterList,
    pub subscribe: FilterList,
    pub deny_publish: FilterList,
    pub deny_subscribe: FilterList,
}

/// Filters, by their first level where it is the same for everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterList {
    by_first_level: HashMap<Box<str>, Vec<Entry>, foldhash::fast::RandomState>,
    others: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    filter: Filter,
    rule: u32,
}

impl Lists {
    /// Adds the filters of a rule; what it does not say about retained messages and wills follows from what it says about
    /// publishing.
    pub fn add(&mut self, rule: u32, grants: Grants) {
        let Grants { publish, subscribe, retain, will, deny_publish, deny_subscribe } = grants;
        let will = will.unwrap_or_else(|| publish.clone());
        let retain = retain.unwrap_or_else(|| {
            let own_of_will = will.iter().filter(|filter| !publish.contains(filter));
            publish.iter().chain(own_of_will).cloned().collect()
        });
        self.publish.add(rule, publish);
        self.retain.add(rule, retain);
        self.will.add(rule, will);
        self.subscribe.add(rule, subscribe);
        self.deny_publish.add(rule, deny_publish);
        self.deny_subscribe.add(rule, deny_subscribe);
    }
}

impl FilterList {
    fn add(&mut self, rule: u32, filters: Vec<Filter>) {
        for filter in filters {
            let entries = match filter.first_literal() {
                Some(level) => self.by_first_level.entry(level.into()).or_default(),
                None => &mut self.others,
            };
            entries.push(Entry { filter, rule });
        }
    }

    /// Whether `found` is true of a filter of an admitted rule. Asks of those that begin like `topic` or with a wildcard or
    /// name, which is all that can match or cover it.
    pub fn any(&self, topic: &str, admits: &dyn Fn(u32) -> bool, found: impl Fn(&Filter) -> bool) -> bool {
        let matches = |entry: &Entry| found(&entry.filter) && admits(entry.rule);
        if !self.by_first_level.is_empty() {
            let first = topic.split('/').next().unwrap_or_default();
            if self.by_first_level.get(first).is_some_and(|entries| entries.iter().any(matches)) {
                return true;
            }
        }
        self.others.iter().any(matches)
    }

    /// As [`FilterList::any`], for a `filter` that can overlap with others than those that begin like it.
    pub fn any_overlapping(&self, filter: &str, admits: &dyn Fn(u32) -> bool, found: impl Fn(&Filter) -> bool) -> bool {
        if !filter.starts_with(['+', '#']) {
            return self.any(filter, admits, found);
        }
        let mut all = self.by_first_level.values().flatten().chain(&self.others);
        all.any(|entry| found(&entry.filter) && admits(entry.rule))
    }
}
