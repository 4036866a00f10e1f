//! The targets of topics seen lately, so that a device that publishes to one topic walks the tree once.
//!
//! Invariant: an entry is what [`TopicTree::matches`](super::TopicTree::matches) gives now; every change of the tree
//! empties the cache. Bounded by topics and by targets, emptied when a bound is met.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::topic_tree::{Target, TopicTree};

const TOPICS_MAX: usize = 4096;
const TARGETS_MAX: usize = 65_536;
/// Longer topics are looked up each time, so that hostile ones do not fill the memory.
const TOPIC_BYTES_MAX: usize = 256;
/// What a topic takes beside its name, and what a target takes, bytes.
const ENTRY_BYTES: usize = 96;
const TARGET_BYTES: usize = size_of::<Target>();

#[derive(Debug, Default)]
pub(crate) struct MatchCache {
    entries: HashMap<Box<str>, u32, RandomState>,
    lists: Vec<Box<[Target]>>,
    targets: usize,
    /// What the topics take.
    topic_bytes: usize,
    /// Nodes of the tree that were looked at, ever.
    pub(crate) visited: usize,
    /// Lent out for the length of a routing when a topic is not cached.
    scratch: Vec<Target>,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

/// Targets taken from the cache for one routing; must be given back by [`MatchCache::put_back`].
#[derive(Debug)]
pub(crate) enum Matched {
    Cached { list: u32, targets: Box<[Target]> },
    Walked(Vec<Target>),
}

impl std::ops::Deref for Matched {
    type Target = [Target];

    fn deref(&self) -> &[Target] {
        match self {
            Matched::Cached { targets, .. } => targets,
            Matched::Walked(targets) => targets,
        }
    }
}

impl MatchCache {
    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.topic_bytes + self.targets * TARGET_BYTES
    }

    /// Call whenever the tree changed.
    pub(crate) fn invalidate(&mut self) {
        if !self.entries.is_empty() {
            self.entries.clear();
            self.lists.clear();
            self.targets = 0;
            self.topic_bytes = 0;
        }
    }

    /// Who gets `topic`. The tree must not change before the answer is put back.
    pub(crate) fn take(&mut self, tree: &TopicTree, topic: &str) -> Matched {
        if let Some(&list) = self.entries.get(topic) {
            self.hits += 1;
            return Matched::Cached { list, targets: std::mem::take(&mut self.lists[list as usize]) };
        }
        self.misses += 1;
        let mut targets = std::mem::take(&mut self.scratch);
        self.visited += tree.matches(topic, &mut targets);
        Matched::Walked(targets)
    }

    /// Returns what [`Self::take`] lent. True if the cache takes more or less memory now.
    pub(crate) fn put_back(&mut self, topic: &str, matched: Matched) -> bool {
        match matched {
            Matched::Cached { list, targets } => {
                if let Some(entry) = self.lists.get_mut(list as usize) {
                    *entry = targets;
                }
                false
            }
            Matched::Walked(mut targets) => {
                // A session that matches by many filters counts with each.
                let size: usize = targets.iter().map(Target::size).sum();
                if topic.len() <= TOPIC_BYTES_MAX && size <= TARGETS_MAX / 8 {
                    if self.entries.len() >= TOPICS_MAX || self.targets + size > TARGETS_MAX {
                        self.invalidate();
                    }
                    self.targets += size;
                    self.topic_bytes += topic.len() + ENTRY_BYTES;
                    self.entries.insert(topic.into(), self.lists.len() as u32);
                    self.lists.push(targets.as_slice().into());
                }
                targets.clear();
                self.scratch = targets;
                true
            }
        }
    }
}
