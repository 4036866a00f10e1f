//! Retained messages (MQTT 5, 3.3.1.3), found by topic filter.
//!
//! A trie over topic names: a filter visits only what can match. Bounded by count and bytes; an expired message is
//! never handed out, and is removed when its time comes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};

use crate::{handle::audit::agree, message::Message, time::Moment};

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Node>,
    message: Option<Arc<Message>>,
}

/// A retained message was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetainedFull;

/// What one level of a topic takes in memory, bytes: a node and its share of its parent's table. Measured: 10,000 topics of
/// 128 levels took 733 MB.
const NODE_BYTES: usize = 576;

#[derive(Debug, Default)]
pub(crate) struct Retained {
    root: Node,
    count: usize,
    bytes: usize,
    nodes: usize,
    expiring: BinaryHeap<Reverse<(Moment, Box<str>)>>,
}

impl Retained {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the messages and of the levels of their topics.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.level_bytes()
    }

    /// Bytes of the levels of the topics.
    pub(crate) fn level_bytes(&self) -> usize {
        self.nodes * NODE_BYTES
    }

    /// Bytes that the node would hold more with a message of so many bytes as the retained one of `topic`.
    pub(crate) fn growth(&self, topic: &str, message_bytes: usize) -> usize {
        let replaced = self.get(topic).map_or(0, |old| old.cost_bytes());
        (message_bytes + self.missing_nodes(topic) * NODE_BYTES).saturating_sub(replaced)
    }

    /// Keeps `message` as the retained one of its topic, within the limits (a replaced one does not count).
    pub(crate) fn set(
        &mut self,
        message: Arc<Message>,
        messages_max: usize,
        bytes_max: usize,
    ) -> Result<(), RetainedFull> {
        let replaced = self.get(message.topic()).map_or((0, 0), |old| (1, old.cost_bytes()));
        let bytes = self.bytes - replaced.1 + message.cost_bytes();
        let nodes = self.nodes + self.missing_nodes(message.topic());
        if self.count - replaced.0 + 1 > messages_max || bytes + nodes * NODE_BYTES > bytes_max {
            return Err(RetainedFull);
        }
        if let Some(at) = message.expires_at() {
            self.expiring.push(Reverse((at, message.topic().into())));
        }
        self.nodes = nodes;
        let mut node = &mut self.root;
        for level in message.topic().split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        self.count = self.count - replaced.0 + 1;
        self.bytes = bytes;
        node.message = Some(message);
        self.compact_expiring();
        Ok(())
    }

    /// The retained message of exactly this topic.
    pub(crate) fn get(&self, topic: &str) -> Option<&Arc<Message>> {
        let mut node = &self.root;
        for level in topic.split('/') {
            node = node.children.get(level)?;
        }
        node.message.as_ref()
    }

    /// Forgets the retained message of `topic` [MQTT-3.3.1-6], and the nodes that are empty then.
    pub(crate) fn remove(&mut self, topic: &str) -> Option<Arc<Message>> {
        let removed = remove_below(&mut self.root, topic, &mut self.nodes)?;
        self.count -= 1;
        self.bytes -= removed.cost_bytes();
        Some(removed)
    }

    /// Calls `found` with every live message whose topic matches `filter` (without `$share`). Each node that is looked at takes
    /// one from `budget`; when that is used up, the rest is left out and the answer is false.
    pub(crate) fn each_match(
        &self,
        filter: &str,
        now: Moment,
        budget: &mut usize,
        found: &mut dyn FnMut(&Arc<Message>),
    ) -> bool {
        visit(&self.root, Some(filter), true, budget, &mut |message| {
            if !message.is_expired(now) {
                found(message);
            }
        })
    }

    /// Counts anew; an error says what was miscounted.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let (mut count, mut bytes, mut nodes) = (0, 0, 0);
        let mut pending = vec![&self.root];
        while let Some(node) = pending.pop() {
            nodes += node.children.len();
            for child in node.children.values() {
                agree("a level of retained topics that leads nowhere", is_empty(child), false)?;
                pending.push(child);
            }
            count += usize::from(node.message.is_some());
            bytes += node.message.as_ref().map_or(0, |message| message.cost_bytes());
        }
        agree("retained messages", self.count, count)?;
        agree("levels of retained topics", self.nodes, nodes)?;
        agree("bytes of retained messages", self.bytes, bytes)
    }

    /// Levels of `topic` that have no node yet.
    fn missing_nodes(&self, topic: &str) -> usize {
        let mut node = &self.root;
        let mut levels = topic.split('/');
        while let Some(level) = levels.next() {
            match node.children.get(level) {
                Some(child) => node = child,
                None => return 1 + levels.count(),
            }
        }
        0
    }

    /// When the next one expires.
    pub(crate) fn next_expiry(&self) -> Option<Moment> {
        self.expiring.peek().map(|Reverse((at, _))| *at)
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<&Arc<Message>> {
        let mut all = Vec::with_capacity(self.count);
        let mut pending = vec![&self.root];
        while let Some(node) = pending.pop() {
            all.extend(&node.message);
            pending.extend(node.children.values());
        }
        all
    }

    /// Removes what has expired, looking at `most` entries; gives what was removed.
    pub(crate) fn expire(&mut self, now: Moment, most: usize) -> Vec<Arc<Message>> {
        let mut removed = Vec::new();
        for _ in 0..most {
            if self.next_expiry().is_none_or(|at| at > now) {
                break;
            }
            let Some(Reverse((_, topic))) = self.expiring.pop() else { break };
            // A message set later on the same topic has an entry of its own.
            if self.get(&topic).is_some_and(|message| message.is_expired(now)) {
                removed.extend(self.remove(&topic));
            }
        }
        self.compact_expiring();
        removed
    }

    /// Replaced messages leave entries behind: rebuilds before they outnumber what is there.
    fn compact_expiring(&mut self) {
        if self.expiring.len() > 2 * self.count + 64 {
            let mut live = BinaryHeap::with_capacity(self.count);
            let mut unbounded = usize::MAX;
            visit(&self.root, Some("#"), false, &mut unbounded, &mut |message| {
                if let Some(at) = message.expires_at() {
                    live.push(Reverse((at, message.topic().into())));
                }
            });
            self.expiring = live;
        }
    }
}

fn remove_below(node: &mut Node, topic: &str, nodes: &mut usize) -> Option<Arc<Message>> {
    let (level, below) = match topic.split_once('/') {
        Some((level, below)) => (level, Some(below)),
        None => (topic, None),
    };
    let child = node.children.get_mut(level)?;
    let removed = match below {
        Some(below) => remove_below(child, below, nodes)?,
        None => child.message.take()?,
    };
    if is_empty(child) {
        node.children.remove(level);
        *nodes -= 1;
    }
    Some(removed)
}

fn is_empty(node: &Node) -> bool {
    node.message.is_none() && node.children.is_empty()
}

/// `filter` is what is left to match below `node`; `None` means that `node` itself is matched. False when `budget` ran out.
fn visit(
    node: &Node,
    filter: Option<&str>,
    at_root: bool,
    budget: &mut usize,
    found: &mut dyn FnMut(&Arc<Message>),
) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    let Some(filter) = filter else {
        if let Some(message) = &node.message {
            found(message);
        }
        return true;
    };
    let (level, below) = match filter.split_once('/') {
        Some((level, below)) => (level, Some(below)),
        None => (filter, None),
    };
    // Wildcards at the first level do not match names that begin with `$` [MQTT-4.7.2-1].
    let visible = |name: &str| !at_root || !name.starts_with('$');
    let below = match level {
        "#" => {
            if let Some(message) = &node.message {
                found(message);
            }
            Some("#")
        }
        "+" => below,
        _ => return node.children.get(level).is_none_or(|child| visit(child, below, false, budget, found)),
    };
    let mut children = node.children.iter().filter(|(name, _)| visible(name));
    children.all(|(_, child)| visit(child, below, false, budget, found))
}

#[cfg(test)]
mod tests {
    use selvedge_codec::QoS;

    use super::*;

    fn message(topic: &str) -> Arc<Message> {
        Arc::new(Message::new(topic, vec![1], QoS::AtMostOnce, true))
    }

    fn found(retained: &Retained, filter: &str) -> Vec<String> {
        let mut topics = Vec::new();
        let whole = retained.each_match(filter, Moment::default(), &mut 1000, &mut |message| {
            topics.push(message.topic().to_owned());
        });
        assert!(whole);
        topics
    }

    #[test]
    fn filters_find_what_matches_and_nothing_else() {
        let topics = ["a", "a/b", "a/b/c", "a!", "b", "/a", "$SYS/x", "a/"];
        let mut retained = Retained::default();
        for topic in topics {
            retained.set(message(topic), 100, 10_000).unwrap();
        }
        for filter in ["#", "a/#", "+", "a/+", "+/+", "a/b", "a/b/c", "/+", "+/#", "$SYS/#", "$SYS/+", "c"] {
            let mut expected: Vec<&str> =
                topics.iter().copied().filter(|topic| selvedge_codec::topic::matches(filter, topic)).collect();
            expected.sort_unstable();
            let mut actual = found(&retained, filter);
            actual.sort_unstable();
            assert_eq!(actual, expected, "{filter}");
        }
    }

    #[test]
    fn limits_hold_on_both_sides_and_replacing_is_free() {
        let mut retained = Retained::default();
        let cost = message("a").cost_bytes() + NODE_BYTES;
        assert_eq!(retained.set(message("a"), 2, 2 * cost), Ok(()));
        assert_eq!(retained.set(message("b"), 2, 2 * cost), Ok(()));
        assert_eq!(retained.set(message("b"), 2, 2 * cost), Ok(()));
        assert_eq!(retained.set(message("c"), 2, 100 * cost), Err(RetainedFull));
        assert_eq!(retained.set(message("c"), 100, 2 * cost), Err(RetainedFull));
        assert!(retained.remove("a").is_some() && retained.remove("a").is_none() && retained.remove("b").is_some());
        assert_eq!((retained.count(), retained.bytes(), retained.root.children.len()), (0, 0, 0));
    }

    #[test]
    fn levels_count_against_the_bytes_and_a_search_ends_with_its_budget() {
        let mut retained = Retained::default();
        let deep = message("a/a/a/a");
        let cost = deep.cost_bytes();
        assert_eq!(retained.set(deep.clone(), 9, cost + 4 * NODE_BYTES - 1), Err(RetainedFull));
        assert_eq!(retained.set(deep, 9, cost + 4 * NODE_BYTES), Ok(()));
        let mut visited = 0;
        assert!(!retained.each_match("#", Moment::default(), &mut 4, &mut |_| visited += 1));
        assert_eq!(visited, 0);
        assert!(retained.each_match("#", Moment::default(), &mut 5, &mut |_| visited += 1));
        assert_eq!(visited, 1);
    }

    #[test]
    fn replacing_an_expiring_message_again_and_again_leaves_little_behind() {
        let mut retained = Retained::default();
        for round in 0..10_000 {
            let dying = Message::new("a", vec![1], QoS::AtMostOnce, true).with_expiry(Some(Moment::from_millis(round)));
            retained.set(Arc::new(dying), 10, 10_000).unwrap();
        }
        assert!(retained.expiring.len() <= 67, "{}", retained.expiring.len());
    }

    #[test]
    fn an_expired_message_is_not_found_although_nobody_has_taken_it_out_yet() {
        let mut retained = Retained::default();
        let dying = Message::new("a", vec![1], QoS::AtMostOnce, true).with_expiry(Some(Moment::from_millis(10)));
        retained.set(Arc::new(dying), 10, 10_000).unwrap();
        let count = |now| {
            let mut count = 0;
            retained.each_match("a", Moment::from_millis(now), &mut 1000, &mut |_| count += 1);
            count
        };
        assert_eq!((count(9), count(10)), (1, 0));
    }

    #[test]
    fn an_expired_message_is_gone_but_not_its_successor() {
        let mut retained = Retained::default();
        let dying = Message::new("a", vec![1], QoS::AtMostOnce, true).with_expiry(Some(Moment::from_millis(10)));
        retained.set(Arc::new(dying), 10, 10_000).unwrap();
        assert_eq!(retained.expire(Moment::from_millis(9), 100), []);
        retained.set(message("a"), 10, 10_000).unwrap();
        assert_eq!(retained.expire(Moment::from_millis(10), 100), []);
        assert_eq!(retained.count(), 1);
        let dying = Message::new("b", vec![1], QoS::AtMostOnce, true).with_expiry(Some(Moment::from_millis(20)));
        retained.set(Arc::new(dying), 10, 10_000).unwrap();
        assert_eq!(retained.expire(Moment::from_millis(20), 100).len(), 1);
        assert!(retained.get("b").is_none());
    }
}
