//! Retained messages (MQTT 5, 3.3.1.3), found by topic filter.
//!
//! A trie over topic names: a filter visits only what can match. Bounded by count and bytes; an expired message is
//! never handed out, and is removed when its time comes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Bound,
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{handle::audit::agree, message::Message, time::Moment};

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Node>,
    message: Option<Arc<Message>>,
    /// The input of the core that brought the message.
    input: u64,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<'f> {
    /// Without `$share`.
    pub(crate) filter: &'f str,
    /// What has expired by then is not found.
    pub(crate) now: Moment,
    /// Neither is what came with this input or a later one.
    pub(crate) before: u64,
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

    /// Keeps `message`, which came with `input`, as the retained one of its topic, within the limits (a replaced one does not count).
    pub(crate) fn set(
        &mut self,
        message: Arc<Message>,
        input: u64,
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
        node.input = input;
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

    /// Calls `found` with every message that is looked for, in the order of the levels of their topics, those at `from` and after it.
    /// Each node that is looked at takes one from `allowance`; when that is used up, gives where to go on, whatever is kept then.
    pub(crate) fn each_match(
        &self,
        search: Search<'_>,
        from: Option<&str>,
        allowance: &mut usize,
        found: &mut dyn FnMut(&Arc<Message>),
    ) -> Option<Box<str>> {
        let mut matching = |node: &Node| {
            let message = node.message.as_ref().filter(|_| node.input < search.before);
            if let Some(message) = message.filter(|message| !message.is_expired(search.now)) {
                found(message);
            }
        };
        let mut walk = Walk { allowance, path: SmallVec::new(), found: &mut matching };
        let whole = walk.visit(&self.root, Some(search.filter), from);
        (!whole).then(|| walk.path.join("/").into())
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
            for message in self.all() {
                if let Some(at) = message.expires_at() {
                    live.push(Reverse((at, message.topic().into())));
                }
            }
            self.expiring = live;
        }
    }
}

fn remove_below(node: &mut Node, topic: &str, nodes: &mut usize) -> Option<Arc<Message>> {
    let (level, below) = split(topic);
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

/// A search on its way through the tree.
struct Walk<'n, 'a> {
    /// Nodes that may still be looked at.
    allowance: &'a mut usize,
    /// Levels down to the node that is being looked at; to the one that was not when the allowance was used up.
    path: SmallVec<[&'n str; 16]>,
    found: &'a mut dyn FnMut(&Node),
}

impl<'n> Walk<'n, '_> {
    /// `filter` is what is left to match below `node`; `None` means that `node` itself is matched. `from` is what is left of the topic
    /// to begin at, without which the search begins at `node` itself. False when the allowance is used up.
    fn visit(&mut self, node: &'n Node, filter: Option<&str>, from: Option<&str>) -> bool {
        let begins_here = from.is_none();
        if begins_here {
            if *self.allowance == 0 {
                return false;
            }
            *self.allowance -= 1;
        }
        let Some(filter) = filter else {
            if begins_here {
                (self.found)(node);
            }
            return true;
        };
        let (level, below) = split(filter);
        let below = match level {
            "#" => {
                if begins_here {
                    (self.found)(node);
                }
                Some("#")
            }
            "+" => below,
            _ => {
                let from = from.and_then(|from| below_level(from, level));
                return node.children.get_key_value(level).is_none_or(|child| self.descend(child, below, from));
            }
        };
        // Wildcards at the first level do not match names that begin with `$` [MQTT-4.7.2-1].
        let at_root = self.path.is_empty();
        let visible = |name: &str| !at_root || !name.starts_with('$');
        let first = from.map_or(Bound::Unbounded, |from| Bound::Included(split(from).0));
        let mut children = node.children.range::<str, _>((first, Bound::Unbounded)).filter(|(name, _)| visible(name));
        children.all(|child| self.descend(child, below, from.and_then(|from| below_level(from, child.0))))
    }

    fn descend(&mut self, child: (&'n Box<str>, &'n Node), below: Option<&str>, from: Option<&str>) -> bool {
        self.path.push(child.0);
        let whole = self.visit(child.1, below, from);
        if whole {
            self.path.pop();
        }
        whole
    }
}

/// The first level, and what is below it.
fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(level, below)| (level, Some(below)))
}

/// What `path` has below its first level, if that is `level`.
fn below_level<'p>(path: &'p str, level: &str) -> Option<&'p str> {
    let (first, below) = split(path);
    below.filter(|_| first == level)
}

#[cfg(test)]
mod tests {
    use selvedge_codec::QoS;

    use super::*;

    fn message(topic: &str) -> Arc<Message> {
        Arc::new(Message::new(topic, vec![1], QoS::AtMostOnce, true))
    }

    fn search(filter: &str) -> Search<'_> {
        Search { filter, now: Moment::default(), before: u64::MAX }
    }

    fn found(retained: &Retained, filter: &str) -> Vec<String> {
        let mut topics = Vec::new();
        let rest = retained.each_match(search(filter), None, &mut 1000, &mut |message| {
            topics.push(message.topic().to_owned());
        });
        assert_eq!(rest, None);
        topics
    }

    /// As `found`, a few nodes at a time; `between` changes what is kept after each step.
    fn found_in_steps(
        retained: &mut Retained,
        filter: &str,
        step: usize,
        mut between: impl FnMut(&mut Retained),
    ) -> Vec<String> {
        let (mut topics, mut from) = (Vec::new(), None::<Box<str>>);
        loop {
            let mut allowance = step;
            from = retained.each_match(search(filter), from.as_deref(), &mut allowance, &mut |message| {
                topics.push(message.topic().to_owned());
            });
            if from.is_none() {
                return topics;
            }
            assert_eq!(allowance, 0, "it stops for no other reason");
            between(retained);
        }
    }

    #[test]
    fn filters_find_what_matches_and_nothing_else() {
        let topics = ["a", "a/b", "a/b/c", "a!", "b", "/a", "$SYS/x", "a/"];
        let mut retained = Retained::default();
        for topic in topics {
            retained.set(message(topic), 0, 100, 10_000).unwrap();
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
    fn a_search_in_steps_finds_the_same_in_the_same_order() {
        let topics = ["a", "a/b", "a/b/c", "a!", "b", "/a", "$SYS/x", "a/", "", "//", "a//b", "b/+x/c"];
        let mut retained = Retained::default();
        for topic in topics.iter().filter(|topic| !topic.is_empty()) {
            retained.set(message(topic), 0, 100, 100_000).unwrap();
        }
        for filter in ["#", "a/#", "+", "a/+", "+/+", "a/b", "+/b/#", "/+", "+/#", "$SYS/#", "+/+/c", "c"] {
            let expected = found(&retained, filter);
            for step in 1..6 {
                let actual = found_in_steps(&mut retained, filter, step, |_| {});
                assert_eq!(actual, expected, "{filter}, {step} nodes at a time");
            }
        }
    }

    #[test]
    fn a_search_goes_on_where_it_was_whatever_is_gone_meanwhile() {
        let mut retained = Retained::default();
        for number in 0..100 {
            retained.set(message(&format!("t/{number:02}/x")), 0, 1000, 1_000_000).unwrap();
        }
        let mut gone = 0;
        let topics = found_in_steps(&mut retained, "t/#", 7, |retained| {
            // The next ones, and some that were found already.
            for number in [gone, gone + 3, gone + 4] {
                retained.remove(&format!("t/{number:02}/x"));
            }
            retained.set(message(&format!("t/{gone:02}/y")), 0, 1000, 1_000_000).unwrap();
            gone += 3;
        });
        assert!(topics.is_sorted(), "{topics:?}");
        assert!(topics.windows(2).all(|two| two[0] != two[1]));
        let left: Vec<String> = found(&retained, "t/#").into_iter().filter(|topic| topic.ends_with('x')).collect();
        assert!(left.iter().all(|topic| topics.contains(topic)), "what stayed is found: {left:?} of {topics:?}");
    }

    #[test]
    fn what_came_with_an_input_or_after_it_is_not_found() {
        let mut retained = Retained::default();
        retained.set(message("a"), 4, 10, 10_000).unwrap();
        retained.set(message("b"), 5, 10, 10_000).unwrap();
        let mut topics = Vec::new();
        let search = Search { before: 5, ..search("#") };
        retained.each_match(search, None, &mut 1000, &mut |message| topics.push(message.topic().to_owned()));
        assert_eq!(topics, ["a"]);
    }

    #[test]
    fn limits_hold_on_both_sides_and_replacing_is_free() {
        let mut retained = Retained::default();
        let cost = message("a").cost_bytes() + NODE_BYTES;
        assert_eq!(retained.set(message("a"), 0, 2, 2 * cost), Ok(()));
        assert_eq!(retained.set(message("b"), 0, 2, 2 * cost), Ok(()));
        assert_eq!(retained.set(message("b"), 0, 2, 2 * cost), Ok(()));
        assert_eq!(retained.set(message("c"), 0, 2, 100 * cost), Err(RetainedFull));
        assert_eq!(retained.set(message("c"), 0, 100, 2 * cost), Err(RetainedFull));
        assert!(retained.remove("a").is_some() && retained.remove("a").is_none() && retained.remove("b").is_some());
        assert_eq!((retained.count(), retained.bytes(), retained.root.children.len()), (0, 0, 0));
    }

    #[test]
    fn levels_count_against_the_bytes_and_a_search_ends_with_its_budget() {
        let mut retained = Retained::default();
        let deep = message("a/a/a/a");
        let cost = deep.cost_bytes();
        assert_eq!(retained.set(deep.clone(), 0, 9, cost + 4 * NODE_BYTES - 1), Err(RetainedFull));
        assert_eq!(retained.set(deep, 0, 9, cost + 4 * NODE_BYTES), Ok(()));
        let mut visited = 0;
        let rest = retained.each_match(search("#"), None, &mut 4, &mut |_| visited += 1);
        assert_eq!((rest.as_deref(), visited), (Some("a/a/a/a"), 0));
        let rest = retained.each_match(search("#"), None, &mut 5, &mut |_| visited += 1);
        assert_eq!((rest, visited), (None, 1));
    }

    #[test]
    fn replacing_an_expiring_message_again_and_again_leaves_little_behind() {
        let mut retained = Retained::default();
        for round in 0..10_000 {
            let dying = Message::new("a", vec![1], QoS::AtMostOnce, true).with_expiry(Some(Moment::from_millis(round)));
            retained.set(Arc::new(dying), 0, 10, 10_000).unwrap();
        }
        assert!(retained.expiring.len() <= 67, "{}", retained.expiring.len());
    }

    #[test]
    fn an_expired_message_is_not_found_although_nobody_has_taken_it_out_yet() {
        let mut retained = Retained::default();
        let dying = Message::new("a", vec![1], QoS::AtMostOnce, true).with_expiry(Some(Moment::from_millis(10)));
        retained.set(Arc::new(dying), 0, 10, 10_000).unwrap();
        let count = |now| {
            let mut count = 0;
            let search = Search { now: Moment::from_millis(now), ..search("a") };
            retained.each_match(search, None, &mut 1000, &mut |_| count += 1);
            count
        };
        assert_eq!((count(9), count(10)), (1, 0));
    }

    #[test]
    fn an_expired_message_is_gone_but_not_its_successor() {
        let mut retained = Retained::default();
        let dying = Message::new("a", vec![1], QoS::AtMostOnce, true).with_expiry(Some(Moment::from_millis(10)));
        retained.set(Arc::new(dying), 0, 10, 10_000).unwrap();
        assert_eq!(retained.expire(Moment::from_millis(9), 100), []);
        retained.set(message("a"), 0, 10, 10_000).unwrap();
        assert_eq!(retained.expire(Moment::from_millis(10), 100), []);
        assert_eq!(retained.count(), 1);
        let dying = Message::new("b", vec![1], QoS::AtMostOnce, true).with_expiry(Some(Moment::from_millis(20)));
        retained.set(Arc::new(dying), 0, 10, 10_000).unwrap();
        assert_eq!(retained.expire(Moment::from_millis(20), 100).len(), 1);
        assert!(retained.get("b").is_none());
    }
}
