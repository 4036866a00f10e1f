//! From a topic name to the sessions that want it, and the retained messages from a filter.

mod match_cache;
pub(crate) mod retained;
pub(crate) mod topic_tree;

pub(crate) use match_cache::MatchCache;
pub(crate) use retained::Retained;
pub(crate) use topic_tree::{SubscriptionOptions, Target, TopicTree};

/// Subscriptions and the cache of what they match; the cache is emptied whenever the tree changes.
#[derive(Debug, Default)]
pub(crate) struct Router {
    pub(crate) tree: TopicTree,
    pub(crate) cache: MatchCache,
    pub(crate) retained: Retained,
}
