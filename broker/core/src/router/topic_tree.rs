//! A trie of topic filters, one level per node, that frees what is empty.
//!
//! Invariant: every node but the root has a subscriber, a shared group or a child. Matching visits only nodes whose
//! path matches a prefix of the topic, so its cost follows the levels of the topic and the wildcards on its way, not
//! the number of filters.

use std::collections::{HashMap, hash_map::Entry};

use foldhash::fast::RandomState;
use selvedge_codec::QoS;
use smallvec::SmallVec;

use crate::{handle::audit::agree, id::SessionKey};

/// What a subscription asks for (MQTT 5, 3.8.3.1), without retain handling, which matters only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionOptions {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// 0 is none; the standard allows 1 to 268,435,455.
    pub(crate) identifier: u32,
}

/// One session that matched, with the options of each of its matching subscriptions (MQTT 5, 3.3.4: delivered once,
/// at the highest QoS, with all identifiers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionTarget {
    pub(crate) session: SessionKey,
    pub(crate) options: SmallVec<[SubscriptionOptions; 1]>,
}

impl SessionTarget {
    /// Another subscription of the session matches. One without an identifier adds nothing to an equal one; of those with one, each is
    /// told (MQTT 5, 3.3.4). Only the first few are compared, of which there are no more kinds in practice.
    fn merge(&mut self, options: SubscriptionOptions) {
        const COMPARED: usize = 8;
        let adds_nothing = options.identifier == 0 && self.options.iter().take(COMPARED).any(|known| *known == options);
        if !adds_nothing {
            self.options.push(options);
        }
    }
}

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Session(SessionTarget),
    /// One member of the group at this place of the tree; stays valid until the tree changes.
    Shared {
        node: u32,
        group: u32,
    },
}

impl Target {
    /// How many subscriptions it stands for.
    pub(crate) fn size(&self) -> usize {
        match self {
            Target::Session(target) => target.options.len(),
            Target::Shared { .. } => 1,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionKey,
    pub(crate) options: SubscriptionOptions,
}

impl Subscriber {
    fn target(&self) -> Target {
        Target::Session(SessionTarget { session: self.session, options: SmallVec::from_buf([self.options]) })
    }
}

/// The members of `$share/{name}/{filter}` (MQTT 5, 4.8.2) and whose turn it is.
#[derive(Debug)]
pub(crate) struct SharedGroup {
    name: Box<str>,
    pub(crate) members: Vec<Subscriber>,
    pub(crate) next: usize,
}

#[derive(Debug, Default)]
struct Node {
    parent: u32,
    level: Box<str>,
    children: HashMap<Box<str>, u32, RandomState>,
    /// Child for the level `+`.
    single: Option<u32>,
    /// Child for the level `#`.
    multi: Option<u32>,
    subscribers: Vec<Subscriber>,
    groups: Vec<SharedGroup>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
            && self.groups.is_empty()
            && self.children.is_empty()
            && self.single.is_none()
            && self.multi.is_none()
    }
}

const ROOT: u32 = 0;

/// See the module.
#[derive(Debug)]
pub(crate) struct TopicTree {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

impl Default for TopicTree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new() }
    }
}

impl TopicTree {
    /// Adds or replaces the subscription of `session` to `filter` (without `$share` prefix). True if it is new.
    pub(crate) fn subscribe(
        &mut self,
        filter: &str,
        group: Option<&str>,
        session: SessionKey,
        options: SubscriptionOptions,
    ) -> bool {
        let mut at = ROOT;
        for level in filter.split('/') {
            at = self.child_or_new(at, level);
        }
        let node = &mut self.nodes[at as usize];
        let subscribers = match group {
            None => &mut node.subscribers,
            Some(name) => {
                let index = node.groups.iter().position(|group| &*group.name == name).unwrap_or_else(|| {
                    node.groups.push(SharedGroup { name: name.into(), members: Vec::new(), next: 0 });
                    node.groups.len() - 1
                });
                &mut node.groups[index].members
            }
        };
        let entry = Subscriber { session, options };
        match subscribers.iter_mut().find(|subscriber| subscriber.session == session) {
            Some(existing) => {
                *existing = entry;
                false
            }
            None => {
                subscribers.push(entry);
                true
            }
        }
    }

    /// Removes the subscription of `session` to `filter`, and every node that it leaves empty. True if there was one.
    pub(crate) fn unsubscribe(&mut self, filter: &str, group: Option<&str>, session: SessionKey) -> bool {
        let mut at = ROOT;
        for level in filter.split('/') {
            match self.child(at, level) {
                Some(child) => at = child,
                None => return false,
            }
        }
        let node = &mut self.nodes[at as usize];
        let removed = match group {
            None => remove_subscriber(&mut node.subscribers, session),
            Some(name) => match node.groups.iter().position(|group| &*group.name == name) {
                None => false,
                Some(index) => {
                    let removed = remove_subscriber(&mut node.groups[index].members, session);
                    if node.groups[index].members.is_empty() {
                        node.groups.swap_remove(index);
                    }
                    removed
                }
            },
        };
        self.free_empty_upwards(at);
        removed
    }

    /// The options of the subscription of `session` to `filter`.
    pub(crate) fn options(
        &self,
        filter: &str,
        group: Option<&str>,
        session: SessionKey,
    ) -> Option<SubscriptionOptions> {
        let at = filter.split('/').try_fold(ROOT, |at, level| self.child(at, level))?;
        let node = &self.nodes[at as usize];
        let subscribers = match group {
            None => &node.subscribers,
            Some(name) => &node.groups.iter().find(|group| &*group.name == name)?.members,
        };
        subscribers.iter().find(|subscriber| subscriber.session == session).map(|subscriber| subscriber.options)
    }

    /// Appends everyone whose filter matches `topic`; a session at most once. Gives the number of nodes that were looked at.
    pub(crate) fn matches(&self, topic: &str, targets: &mut Vec<Target>) -> usize {
        let first = targets.len();
        // `#` and `+` at the first level do not match topics beginning with `$` [MQTT-4.7.2-1].
        let wildcards_at_root = !topic.starts_with('$');
        let mut places = Places::default();
        let mut visited = 0;
        // Each pending entry is a node and the rest of the topic below it (`None`: the topic ends at the node).
        let mut pending: SmallVec<[(u32, Option<&str>); 16]> = SmallVec::new();
        pending.push((ROOT, Some(topic)));
        while let Some((at, rest)) = pending.pop() {
            visited += 1;
            let node = &self.nodes[at as usize];
            let wildcards = at != ROOT || wildcards_at_root;
            if wildcards && let Some(multi) = node.multi {
                self.collect(multi, targets, first, &mut places);
            }
            let Some(rest) = rest else {
                self.collect(at, targets, first, &mut places);
                continue;
            };
            let (level, below) = match rest.split_once('/') {
                Some((level, below)) => (level, Some(below)),
                None => (rest, None),
            };
            if wildcards && let Some(single) = node.single {
                pending.push((single, below));
            }
            if !node.children.is_empty()
                && let Some(&child) = node.children.get(level)
            {
                pending.push((child, below));
            }
        }
        visited
    }

    /// The group behind a [`Target::Shared`].
    pub(crate) fn group_mut(&mut self, node: u32, group: u32) -> Option<&mut SharedGroup> {
        self.nodes.get_mut(node as usize)?.groups.get_mut(group as usize)
    }

    /// What its nodes take in memory, without the entries of the subscribers.
    pub(crate) fn bytes(&self) -> usize {
        // The name of the level, and the place among the children of its parent.
        const LEVEL_BYTES: usize = 160;
        self.nodes.capacity() * size_of::<Node>() + self.node_count() * LEVEL_BYTES
    }

    /// Nodes in use, the root included.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Counts the subscriptions anew; an error says where the tree is not as the module promises.
    pub(crate) fn count_anew(&self) -> Result<usize, String> {
        let (mut subscriptions, mut reached) = (0, 0);
        let mut pending = vec![ROOT];
        while let Some(at) = pending.pop() {
            let node = self.nodes.get(at as usize).ok_or("a node of the topic tree is not there")?;
            reached += 1;
            agree("an empty node of the topic tree", at != ROOT && node.is_empty(), false)?;
            let groups = node.groups.iter().map(|group| group.members.len());
            agree("an empty shared group", groups.clone().any(|members| members == 0), false)?;
            subscriptions += node.subscribers.len() + groups.sum::<usize>();
            let first = pending.len();
            pending.extend(node.children.values().copied().chain(node.single).chain(node.multi));
            let strayed = pending
                .iter()
                .skip(first)
                .any(|child| self.nodes.get(*child as usize).is_none_or(|child| child.parent != at));
            agree("a node of the topic tree with another parent", strayed, false)?;
        }
        agree("nodes of the topic tree", self.nodes.len() - self.free.len(), reached)?;
        Ok(subscriptions)
    }

    fn collect(&self, at: u32, targets: &mut Vec<Target>, first: usize, places: &mut Places) {
        let node = &self.nodes[at as usize];
        // A node has a session at most once, so while there is one node only nothing has to be brought together.
        if targets.len() > first && !node.subscribers.is_empty() {
            places.learn(targets, first);
            for subscriber in &node.subscribers {
                places.add(subscriber, targets);
            }
        } else {
            targets.extend(node.subscribers.iter().map(Subscriber::target));
        }
        targets.extend((0..node.groups.len()).map(|group| Target::Shared { node: at, group: group as u32 }));
    }

    fn child(&self, at: u32, level: &str) -> Option<u32> {
        let node = &self.nodes[at as usize];
        match level {
            "+" => node.single,
            "#" => node.multi,
            _ => node.children.get(level).copied(),
        }
    }

    fn child_or_new(&mut self, at: u32, level: &str) -> u32 {
        if let Some(child) = self.child(at, level) {
            return child;
        }
        let node = Node { parent: at, level: level.into(), ..Node::default() };
        let child = match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = node;
                index
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        let parent = &mut self.nodes[at as usize];
        match level {
            "+" => parent.single = Some(child),
            "#" => parent.multi = Some(child),
            _ => {
                parent.children.insert(level.into(), child);
            }
        }
        child
    }

    fn free_empty_upwards(&mut self, mut at: u32) {
        while at != ROOT && self.nodes[at as usize].is_empty() {
            let node = std::mem::take(&mut self.nodes[at as usize]);
            self.free.push(at);
            let parent = &mut self.nodes[node.parent as usize];
            match &*node.level {
                "+" => parent.single = None,
                "#" => parent.multi = None,
                level => {
                    parent.children.remove(level);
                    if parent.children.is_empty() {
                        parent.children = HashMap::default();
                    }
                }
            }
            at = node.parent;
        }
        if self.nodes.len() == self.free.len() + 1 && self.nodes.capacity() > 1024 {
            self.nodes.truncate(1);
            self.nodes.shrink_to(16);
            self.free = Vec::new();
        }
    }
}

fn remove_subscriber(subscribers: &mut Vec<Subscriber>, session: SessionKey) -> bool {
    let Some(index) = subscribers.iter().position(|subscriber| subscriber.session == session) else {
        return false;
    };
    subscribers.swap_remove(index);
    if subscribers.capacity() > 16 && subscribers.len() * 4 < subscribers.capacity() {
        subscribers.shrink_to(subscribers.len() * 2);
    }
    true
}

/// Where in a list of targets the sessions stand.
#[derive(Debug, Default)]
struct Places {
    by_session: HashMap<SessionKey, usize, RandomState>,
    /// Targets before this place are known.
    known: usize,
}

impl Places {
    /// Those that were added by others.
    fn learn(&mut self, targets: &[Target], first: usize) {
        let from = self.known.max(first);
        for (place, target) in targets.iter().enumerate().skip(from) {
            if let Target::Session(target) = target {
                self.by_session.insert(target.session, place);
            }
        }
        self.known = targets.len();
    }

    fn add(&mut self, subscriber: &Subscriber, targets: &mut Vec<Target>) {
        match self.by_session.entry(subscriber.session) {
            Entry::Occupied(place) => {
                if let Some(Target::Session(target)) = targets.get_mut(*place.get()) {
                    target.merge(subscriber.options);
                }
            }
            Entry::Vacant(place) => {
                place.insert(targets.len());
                targets.push(subscriber.target());
            }
        }
        self.known = targets.len();
    }
}

#[cfg(test)]
#[path = "topic_tree_tests.rs"]
mod tests;
