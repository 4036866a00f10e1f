use std::sync::mpsc::channel;

use parking_lot::Mutex;
use selvedge_store::Store;
use selvedge_twin_core::clock::BUILD_FLOOR_MS;
use selvedge_twin_core::policy::{Member, Pattern, Rule};
use selvedge_twin_core::sync::Output;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::message::Operation;
use crate::twin::Section;
use crate::{Config, Reply, Sums};

const NOW_MS: u64 = BUILD_FLOOR_MS + 1_000_000;

fn keys(node: u64) -> Ed25519 {
    Ed25519::from_secret(&[node as u8; 32])
}

fn signer() -> Ed25519 {
    keys(200)
}

/// A policy in which all members write everything but `reported` of `dev-<n>`, which only node n writes.
fn policy(chain: &Chain, members: &[u64]) -> Vec<u8> {
    let member = |node: &u64| (NodeId(*node), Member { key: keys(*node).public(), first_incarnation: 0 });
    let rule = |section, things: &str, writers: Vec<NodeId>| Rule {
        section,
        things: Pattern::parse(things).unwrap(),
        writers,
    };
    let mut rules = vec![rule(Section::Desired, "*", vec![]), rule(Section::Reported, "pump*", vec![])];
    rules.extend(members.iter().map(|node| rule(Section::Reported, &format!("dev-{node}"), vec![NodeId(*node)])));
    let policy = Policy {
        version: chain.version().0 + 1,
        previous: chain.last_hash(),
        next_signer: signer().public(),
        members: members.iter().map(member).collect(),
        cutoffs: BTreeMap::new(),
        rules,
    };
    let bytes = policy.to_bytes(chain.group());
    [&bytes[..], &signer().sign(&bytes)].concat()
}

fn first_policy(members: &[u64]) -> Vec<u8> {
    policy(&Chain::new(signer().public()), members)
}

struct Node {
    id: u64,
    directory: Arc<TempDir>,
    store: Store,
    twins: Twins,
    sent: Arc<Mutex<Vec<Output>>>,
    published: Vec<Publication>,
}

impl Node {
    fn new(id: u64) -> Self {
        Self::open(id, Arc::new(tempfile::tempdir().unwrap()), sync::Config::default())
    }

    fn open(id: u64, directory: Arc<TempDir>, config: sync::Config) -> Self {
        let store = Store::open(directory.path(), selvedge_store::Config::default()).unwrap();
        let twins = Twins::open(store.clone(), NodeId(id), Config::default()).unwrap();
        let sent: Arc<Mutex<Vec<Output>>> = Arc::default();
        let sender = Arc::clone(&sent);
        let group = Group {
            signer: signer().public(),
            keys: Box::new(keys(id)),
            sender: Arc::new(move |outputs| sender.lock().extend(outputs)),
            steady_ms: Box::new(|| 1),
            config,
        };
        twins.join_group(group).unwrap();
        Self { id, directory, store, twins, sent, published: Vec::new() }
    }

    fn restarted(self) -> Self {
        let Self { id, directory, store, twins, .. } = self;
        drop((store, twins));
        Self::open(id, directory, sync::Config::default())
    }

    fn at(&self, steady_ms: u64) -> Now {
        Now { steady_ms, wall_ms: NOW_MS + steady_ms }
    }

    /// What comes of `act` is durable when this returns.
    fn durably(
        &mut self,
        act: impl FnOnce(&Twins, Box<dyn FnOnce(Batch, Vec<Publication>, Ending) + '_>) -> Result<(), ExchangeError>,
    ) -> Result<(), ExchangeError> {
        let (done, wait) = channel();
        let (store, published) = (self.store.clone(), &mut self.published);
        act(
            &self.twins,
            Box::new(move |batch, publications, ending| {
                published.extend(publications);
                store.commit_now(
                    batch,
                    Box::new(move |result: Result<(), selvedge_store::CommitError>| {
                        ending.end(result.is_ok());
                        done.send(()).unwrap();
                    }),
                );
            }),
        )?;
        // Nothing to wait for if there was nothing to do.
        let _ = wait.recv();
        Ok(())
    }

    fn input(&mut self, input: Input<'_>, steady_ms: u64) -> Result<(), ExchangeError> {
        let now = self.at(steady_ms);
        self.durably(|twins, submit| twins.exchange(input, now, submit))
    }

    fn adopt(&mut self, signed: &[u8]) -> Result<(), ExchangeError> {
        let now = self.at(1);
        self.durably(|twins, submit| twins.adopt_policy(signed, now, submit))
    }

    fn request(&self, thing: &str, operation: Operation, request: &Value) -> Vec<Reply> {
        let (done, wait) = channel();
        let payload = if request.is_null() { Vec::new() } else { request.to_string().into_bytes() };
        self.twins.handle(thing, operation, &payload, NOW_MS, move |replies| done.send(replies).unwrap());
        wait.recv().unwrap()
    }

    fn update(&self, thing: &str, state: Value) {
        let replies = self.request(thing, Operation::Update, &json!({ "state": state }));
        assert_eq!(replies[0].suffix, "update/accepted", "{}", String::from_utf8_lossy(&replies[0].payload));
    }

    fn shows(&self, thing: &str) -> Option<Value> {
        let view = self.twins.get(thing).unwrap()?;
        Some(json!({ "desired": view.desired, "reported": view.reported }))
    }

    fn counters(&self) -> Counters {
        self.twins.group_status().unwrap().counters
    }

    /// What is kept of sums is what is there.
    fn assert_sums(&self) {
        let shelf = self.twins.inner.shelf.lock();
        let counted = state::digests(&self.twins.inner, &shelf).unwrap();
        assert_eq!(shelf.digests.as_ref(), Some(&counted));
        for entry in storage::headers_from(&self.store, None, &self.twins.inner.damage) {
            let (thing, _) = entry.unwrap();
            let twin = self.twins.inner.look(&shelf.cache, &thing).unwrap();
            let Sums { digest, removals, newest } = Sums::of(&thing, &twin);
            assert_eq!((twin.sums.digest, twin.sums.removals), (digest, removals), "sums of {thing}");
            assert!(twin.sums.newest.includes(&newest));
        }
    }
}

/// Carries messages between the nodes until nothing is said any more.
fn carry(nodes: &mut [Node], steady_ms: u64) {
    loop {
        let mut messages = Vec::new();
        for (from, node) in nodes.iter().enumerate() {
            messages.extend(node.sent.lock().drain(..).map(|output| (from, output)));
        }
        if messages.is_empty() {
            return;
        }
        for (from, output) in messages {
            for (to, node) in nodes.iter_mut().enumerate().filter(|(to, _)| *to != from) {
                let _ = to;
                match &output {
                    Output::Broadcast(bytes) => node.input(Input::Received(bytes), steady_ms).unwrap(),
                    Output::Send(id, bytes) if *id == NodeId(node.id) => {
                        node.input(Input::Received(bytes), steady_ms).unwrap();
                    }
                    Output::Send(..) => {}
                }
            }
        }
    }
}

fn group_of(ids: &[u64]) -> Vec<Node> {
    let mut nodes: Vec<Node> = ids.iter().map(|id| Node::new(*id)).collect();
    for node in &mut nodes {
        node.adopt(&first_policy(ids)).unwrap();
    }
    nodes
}

fn connect(nodes: &mut [Node], steady_ms: u64) {
    for node in nodes.iter_mut() {
        node.input(Input::Connected, steady_ms).unwrap();
    }
    carry(nodes, steady_ms);
}

#[test]
fn what_one_node_writes_the_other_shows_and_tells_of() {
    let mut nodes = group_of(&[1, 2]);
    connect(&mut nodes, 1);
    nodes[0].update("pump", json!({"desired": {"speed": 3}, "reported": {"a": {"b": [1, 2]}}}));
    carry(&mut nodes, 2);
    let history = nodes[1].twins.history("pump").unwrap().unwrap();
    assert_eq!(history.changes(0, 10).last().unwrap().cause, crate::history::Cause::Exchange);
    let expected = json!({"desired": {"speed": 3}, "reported": {"a": {"b": [1, 2]}}});
    assert_eq!(nodes[1].shows("pump"), Some(expected));
    let suffixes: Vec<_> = nodes[1].published[0].replies.iter().map(|reply| reply.suffix).collect();
    assert_eq!(suffixes, ["update/delta", "update/documents"]);
    nodes[1].update("pump", json!({"reported": {"a": null}}));
    carry(&mut nodes, 3);
    assert_eq!(nodes[0].shows("pump"), Some(json!({"desired": {"speed": 3}, "reported": {}})));
    nodes[0].request("pump", Operation::Delete, &Value::Null);
    carry(&mut nodes, 4);
    assert_eq!(nodes[1].shows("pump"), None);
    assert_eq!(nodes[1].published.last().unwrap().replies[0].suffix, "delete/accepted");
    nodes.iter().for_each(Node::assert_sums);
}

#[test]
fn what_was_written_apart_comes_together_and_survives_a_restart() {
    let mut nodes = group_of(&[1, 2]);
    for round in 0..40 {
        nodes[round % 2].update(&format!("pump-{}", round % 7), json!({"desired": {format!("f{round}"): round}}));
        nodes[round % 2]
            .update("pump-0", json!({"desired": {format!("f{}", round / 2): null}, "reported": {"n": round}}));
    }
    connect(&mut nodes, 1);
    let mut nodes: Vec<Node> = nodes.into_iter().map(Node::restarted).collect();
    for thing in 0..7 {
        let shown = nodes[0].shows(&format!("pump-{thing}"));
        assert!(shown.is_some() && shown == nodes[1].shows(&format!("pump-{thing}")), "pump-{thing}: {shown:?}");
    }
    nodes.iter().for_each(Node::assert_sums);
    // Nothing is fetched again.
    connect(&mut nodes, 40_000);
    assert_eq!(nodes.iter().map(|node| node.counters().joined).sum::<u64>(), 0);
    let status = nodes[0].twins.group_status().unwrap();
    assert_eq!(status.known, nodes[1].twins.group_status().unwrap().known);
    assert_eq!((status.fetching, status.policy.unwrap().version), (None, 1));
}

#[test]
fn a_long_transfer_goes_on_where_it_was_after_a_restart() {
    let config = sync::Config { page_bytes: 400, window_pages: 1, ..sync::Config::default() };
    let open = |id| Node::open(id, Arc::new(tempfile::tempdir().unwrap()), config);
    let mut nodes = vec![open(1), open(2)];
    nodes.iter_mut().for_each(|node| node.adopt(&first_policy(&[1, 2])).unwrap());
    for index in 0..50 {
        nodes[0].update(&format!("pump-{index:02}"), json!({"desired": {"a": index}}));
    }
    for node in &mut nodes {
        node.input(Input::Connected, 1).unwrap();
    }
    // The first some pages only.
    for _ in 0..12 {
        for (from, to) in [(0, 1), (1, 0)] {
            let outputs = std::mem::take(&mut *nodes[from].sent.lock());
            for output in outputs {
                let (Output::Broadcast(bytes) | Output::Send(_, bytes)) = output;
                nodes[to].input(Input::Received(&bytes), 2).unwrap();
            }
        }
    }
    let fetched = |node: &Node| node.twins.list("", None, 100).unwrap().len();
    let before = fetched(&nodes[1]);
    assert!((5..45).contains(&before), "{before} twins came before the restart");
    let second = nodes.pop().unwrap().restarted();
    assert!(second.twins.group_status().unwrap().fetching.is_some());
    nodes[0].sent.lock().clear();
    nodes.push(second);
    nodes[1].input(Input::Connected, 3).unwrap();
    nodes[0].input(Input::Connected, 3).unwrap();
    carry(&mut nodes, 4);
    assert_eq!(fetched(&nodes[1]), 50);
    let joined = nodes[1].counters().joined;
    assert!(joined as usize <= 50 - before + 8, "{joined} events came after {before} twins were there");
}

#[test]
fn the_policy_says_who_writes_what_here_and_elsewhere() {
    let mut nodes = group_of(&[1, 2]);
    connect(&mut nodes, 1);
    nodes[0].update("dev-1", json!({"reported": {"t": 1}}));
    let replies = nodes[0].request("dev-2", Operation::Update, &json!({"state": {"reported": {"t": 1}}}));
    let reply: Value = serde_json::from_slice(&replies[0].payload).unwrap();
    assert_eq!((replies[0].suffix, &reply["code"]), ("update/rejected", &json!(403)));
    let message = reply["message"].as_str().unwrap();
    assert!(message.contains("reported") && message.contains("dev-2"), "{message}");
    let mut transaction = nodes[0].twins.begin(NOW_MS);
    assert!(transaction.patch("dev-2", Section::Reported, b"{\"t\":1}", None).is_err());
    assert!(transaction.patch("dev-2", Section::Desired, b"{\"t\":1}", None).is_ok());
}

#[test]
fn the_first_policy_must_name_the_node_and_the_group_does_not_change() {
    let mut node = Node::new(1);
    node.update("pump", json!({"desired": {"a": 1}}));
    assert!(matches!(node.adopt(&first_policy(&[2, 3])), Err(ExchangeError::NotMember(NodeId(1)))));
    assert_eq!(node.shows("pump"), Some(json!({"desired": {"a": 1}, "reported": {}})));
    node.adopt(&first_policy(&[1, 2])).unwrap();
    assert!(matches!(node.adopt(&first_policy(&[1, 2])), Err(ExchangeError::Policy(PolicyRefusal::Order { .. }))));
    let Node { directory, store, twins, .. } = node;
    drop((store, twins));
    let store = Store::open(directory.path(), selvedge_store::Config::default()).unwrap();
    let twins = Twins::open(store, NodeId(1), Config::default()).unwrap();
    let group = Group {
        signer: keys(9).public(),
        keys: Box::new(keys(1)),
        sender: Arc::new(|_| {}),
        steady_ms: Box::new(|| 1),
        config: sync::Config::default(),
    };
    assert!(matches!(twins.join_group(group), Err(JoinError::OtherGroup { .. })));
}

#[test]
fn what_was_there_before_the_group_is_shared_with_it() {
    let mut nodes = vec![Node::new(1), Node::new(2)];
    nodes[0].update("pump", json!({"desired": {"old": true}}));
    for node in &mut nodes {
        node.adopt(&first_policy(&[1, 2])).unwrap();
    }
    connect(&mut nodes, 1);
    assert_eq!(nodes[1].shows("pump"), Some(json!({"desired": {"old": true}, "reported": {}})));
}

#[test]
fn a_node_without_a_policy_gets_it_from_who_names_it() {
    let mut nodes = vec![Node::new(1), Node::new(2)];
    nodes[0].adopt(&first_policy(&[1, 2])).unwrap();
    nodes[0].update("pump", json!({"desired": {"a": 1}}));
    nodes[1].input(Input::Connected, 1).unwrap();
    nodes[0].input(Input::Connected, 1).unwrap();
    carry(&mut nodes, 1);
    assert_eq!(nodes[1].shows("pump").unwrap()["desired"], json!({"a": 1}));
    let second = nodes.pop().unwrap().restarted();
    assert_eq!(second.twins.group_status().unwrap().policy.unwrap().version, 1);
}

#[test]
fn forged_cut_and_foreign_messages_leave_everything_as_it_was() {
    let mut nodes = group_of(&[1, 2]);
    let mut stranger = Node::new(3);
    stranger.adopt(&first_policy(&[1, 2, 3])).unwrap();
    connect(&mut nodes, 1);
    nodes[0].update("pump", json!({"desired": {"a": 1}}));
    let outputs = std::mem::take(&mut *nodes[0].sent.lock());
    let [Output::Broadcast(delta)] = &outputs[..] else { panic!("{outputs:?}") };
    stranger.input(Input::Connected, 1).unwrap();
    stranger.update("pump", json!({"desired": {"a": "bad"}}));
    let foreign: Vec<Output> = stranger.sent.lock().drain(..).collect();
    let mut hostile: Vec<Vec<u8>> = (0..delta.len()).map(|length| delta[..length].to_vec()).collect();
    hostile.extend((0..delta.len()).map(|at| {
        let mut changed = delta.clone();
        changed[at] ^= 0x40;
        changed
    }));
    hostile.extend(foreign.into_iter().map(|output| match output {
        Output::Broadcast(bytes) | Output::Send(_, bytes) => bytes,
    }));
    hostile.push(vec![0; sync::MESSAGE_BYTES_MAX + 1]);
    let count = hostile.len() as u64;
    for bytes in hostile {
        nodes[1].input(Input::Received(&bytes), 2).unwrap();
    }
    assert_eq!((nodes[1].shows("pump"), nodes[1].counters().joined), (None, 0));
    let Counters { malformed, oversize, other_group, foreign, signature, .. } = nodes[1].counters();
    // One names a later policy, which is asked for.
    assert_eq!(malformed + oversize + other_group + foreign + signature, count - 1);
    assert!(malformed > 0 && oversize == 1 && other_group > 0 && foreign > 0 && signature > 0);
    nodes[1].input(Input::Received(delta), 3).unwrap();
    assert!(nodes[1].shows("pump").is_some());
}

#[test]
fn an_event_of_the_far_future_is_held_over_a_restart() {
    let mut nodes = group_of(&[1, 2]);
    connect(&mut nodes, 1);
    let (done, wait) = channel();
    let payload = json!({"state": {"desired": {"a": 1}}}).to_string();
    let year_ms = 365 * 24 * 3_600_000;
    nodes[0].twins.handle("pump", Operation::Update, payload.as_bytes(), NOW_MS + year_ms, move |replies| {
        done.send(replies).unwrap();
    });
    wait.recv().unwrap();
    carry(&mut nodes, 2);
    assert_eq!((nodes[1].shows("pump"), nodes[1].twins.group_status().unwrap().held), (None, 1));
    let mut second = nodes.pop().unwrap().restarted();
    assert_eq!(second.twins.group_status().unwrap().held, 1);
    second.input(Input::Tick, year_ms).unwrap();
    assert_eq!(second.shows("pump").unwrap()["desired"], json!({"a": 1}));
    let second = second.restarted();
    assert_eq!(second.twins.group_status().unwrap().held, 0);
}

#[test]
fn removals_are_forgotten_when_all_have_seen_them_and_do_not_come_back() {
    let mut nodes = group_of(&[1, 2]);
    connect(&mut nodes, 1);
    nodes[0].update("pump", json!({"desired": {"a": 1, "b": 2}}));
    nodes[0].update("pump", json!({"desired": {"a": null}}));
    carry(&mut nodes, 2);
    let tombstones = |node: &Node| {
        let shelf = node.twins.inner.shelf.lock();
        node.twins.inner.look(&shelf.cache, "pump").unwrap().sums.removals
    };
    assert_eq!(nodes.iter().map(tombstones).collect::<Vec<_>>(), [1, 1]);
    let before = nodes[1].published.len();
    for steady_ms in [100_000, 200_000, 300_000] {
        for node in &mut nodes {
            node.input(Input::Tick, steady_ms).unwrap();
        }
        carry(&mut nodes, steady_ms);
    }
    assert_eq!(nodes.iter().map(tombstones).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(nodes[1].published.len(), before, "to forget a removal is no change");
    let mut nodes: Vec<Node> = nodes.into_iter().map(Node::restarted).collect();
    connect(&mut nodes, 400_000);
    assert_eq!(nodes[1].shows("pump").unwrap()["desired"], json!({"b": 2}));
    nodes.iter().for_each(Node::assert_sums);
}
