//! The whole node in this process, on ports of its own, without WebAssembly: what a function does is played by calling its host.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, channel};

use selvedge_broker::Attachment;
use selvedge_codec::{Packet, ProtocolVersion, QoS, ReasonCode, decode};
use selvedge_core::Message;
use selvedge_functions::{
    CommitDone, CommitFailure, Effects, Host, InvocationMessage, KvChange, KvRead, KvWrite, TwinPatch, TwinRead,
    TwinSection,
};
use serde_json::{Value, json};

use super::*;
use crate::arguments::{Cli, Command};
use crate::client::connect_options;
use crate::client::link::Link;
use crate::config::Listen;
use crate::config::net::Counting;

/// Longer than anything takes on a slow machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

struct Observer {
    messages: Receiver<(String, Value)>,
    _attachment: Attachment,
}

impl Observer {
    fn new(node: &RunningNode, filter: &str) -> Self {
        Self::of(node, &[filter])
    }

    fn of(node: &RunningNode, filters: &[&str]) -> Self {
        let (sender, messages) = channel();
        let sink = move |deliveries: Vec<selvedge_core::Delivery>| {
            for delivery in deliveries {
                let payload = delivery.message.payload();
                let value = serde_json::from_slice(payload).unwrap_or_else(|_| String::from_utf8_lossy(payload).into());
                let _ = sender.send((delivery.message.topic().to_owned(), value));
            }
        };
        let subscriptions = filters.iter().map(|filter| ((*filter).to_owned(), QoS::AtMostOnce)).collect();
        let attachment = node.broker.handle.attach("$node/observer", 10, subscriptions, Box::new(sink));
        Self { messages, _attachment: attachment }
    }

    fn next(&self) -> (String, Value) {
        self.messages.recv_timeout(PATIENCE).unwrap()
    }
}

fn config(directory: &Path) -> Config {
    let mut config = Config { data: directory.display().to_string(), ..Config::default() };
    for listen in [&mut config.mqtt.listen, &mut config.websocket.listen, &mut config.http.listen] {
        *listen = Listen::loopback(0);
    }
    config.net.counters = Counting::Off;
    config
}

fn node() -> (tempfile::TempDir, RunningNode, Arc<FunctionHost>) {
    let directory = tempfile::tempdir().unwrap();
    let node = start(&config(&directory.path().join("data")), None).unwrap();
    let host = FunctionHost::new(node.store.clone(), Arc::clone(&node.twins));
    host.connect(Arc::clone(&node.lines));
    (directory, node, host)
}

fn publish(node: &RunningNode, topic: &str, payload: &str) {
    let message = Message::new(topic, payload.to_owned(), QoS::AtLeastOnce, false);
    node.broker.handle.publish(vec![message]).unwrap();
}

fn commit(host: &FunctionHost, effects: Effects) -> Result<(), CommitFailure> {
    submit(host, effects).1.recv_timeout(PATIENCE).unwrap()
}

/// Gives where it is told that the commit is ordered, and how it ended.
fn submit(host: &FunctionHost, effects: Effects) -> (Receiver<()>, Receiver<Result<(), CommitFailure>>) {
    let ((order, ordered), (end, ended)) = (channel(), channel());
    let done = CommitDone {
        ordered: Box::new(move || {
            // Not everybody waits for it.
            let _ = order.send(());
        }),
        ended: Box::new(move |result| end.send(result).unwrap()),
    };
    host.commit(effects, done);
    (ordered, ended)
}

fn set(key: &str, expected: Option<u64>, revision: u64) -> KvWrite {
    let change = KvChange::Set { value: b"v".to_vec(), revision, ttl_s: None };
    KvWrite { key: key.to_owned(), expected, change }
}

fn message(topic: &str) -> InvocationMessage {
    InvocationMessage { topic: topic.to_owned(), payload: b"1".to_vec(), ..InvocationMessage::default() }
}

#[test]
fn a_twin_request_over_mqtt_is_answered_and_survives_a_restart() {
    let (directory, node, host) = node();
    let observer = Observer::new(&node, "$twin/+/update/+");
    publish(&node, "$twin/pump/update", "{\"state\": {\"desired\": {\"interval\": 5}}}");
    let (topic, accepted) = observer.next();
    assert_eq!((topic.as_str(), &accepted["version"]), ("$twin/pump/update/accepted", &json!(1)));
    assert_eq!(observer.next().0, "$twin/pump/update/delta");
    assert_eq!(observer.next().0, "$twin/pump/update/documents");
    publish(&node, "$twin/pump/update", "no json");
    assert_eq!(observer.next().1["code"], 400);
    drop((observer, host));
    node.stop();

    let again = start(&config(&directory.path().join("data")), None).unwrap();
    let view = again.twins.twins().get("pump").unwrap().unwrap();
    assert_eq!((view.version, &view.desired["interval"]), (1, &json!(5)));
    again.stop();
}

#[test]
fn a_change_over_the_socket_is_told_over_mqtt_and_to_watchers() {
    let (_directory, node, host) = node();
    let observer = Observer::new(&node, "$twin/+/update/documents");
    let mut watcher = node.twins.watch("pump").unwrap();
    let (sender, answer) = channel();
    let payload = b"{\"state\": {\"reported\": {\"on\": true}}}";
    node.twins.request("pump", selvedge_twin::Operation::Update, payload, move |result| sender.send(result).unwrap());
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().unwrap()["version"], 1);
    assert_eq!(observer.next().1["current"]["state"]["reported"]["on"], true);
    let event = watcher.blocking_recv().unwrap();
    assert_eq!((&event["event"], &event["current"]["version"]), (&json!("update"), &json!(1)));
    drop(host);
    node.stop();
}

#[test]
fn an_invocations_effects_are_committed_together_and_then_published() {
    let (_directory, node, host) = node();
    let observer = Observer::of(&node, &["#", "$twin/+/update/documents"]);
    let patch = TwinPatch {
        device: "pump".to_owned(),
        section: TwinSection::Reported,
        merge: "{\"t\": 1}".to_owned(),
        expected: None,
    };
    let effects = Effects {
        function: "f".to_owned(),
        depth: 1,
        kv_writes: vec![set("k", None, 7)],
        twin_patches: vec![patch],
        publish: vec![message("out/a"), message("out/b")],
        ..Effects::default()
    };
    commit(&host, effects).unwrap();
    assert_eq!(host.kv_get("f", "k").unwrap().unwrap().revision, 7);
    assert_eq!(host.twin_get("pump", TwinSection::Reported, "/t").unwrap().unwrap().json, "1");
    assert_eq!(host.twin_get("pump", TwinSection::Reported, "/x").unwrap(), None);
    let topics: Vec<String> = (0..3).map(|_| observer.next().0).collect();
    assert_eq!(topics, ["out/a", "out/b", "$twin/pump/update/documents"]);
    drop((observer, host));
    node.stop();
}

#[test]
fn commits_that_rest_on_each_other_need_not_wait_for_the_disk_and_become_durable_in_order() {
    const COUNT: u64 = 200;
    let (directory, node, host) = node();
    let observer = Observer::new(&node, "out/#");
    let count = |host: &FunctionHost| host.kv_get("f", "n").unwrap().map(|entry| entry.revision);
    let mut ends = Vec::new();
    for number in 1..=COUNT {
        let before = count(&host);
        assert_eq!(before.unwrap_or(0), number - 1, "what was committed before is seen");
        let patch = TwinPatch {
            device: "pump".to_owned(),
            section: TwinSection::Reported,
            merge: format!("{{\"n\": {number}}}"),
            expected: Some(number - 1),
        };
        let effects = Effects {
            function: "f".to_owned(),
            kv_writes: vec![set("n", before, number)],
            twin_patches: vec![patch],
            publish: vec![message(&format!("out/{number}"))],
            ..Effects::default()
        };
        let (ordered, ended) = submit(&host, effects);
        assert!(ordered.try_recv().is_ok(), "{number} is ordered when the call returns");
        ends.push(ended);
    }
    ends.iter().for_each(|ended| ended.recv_timeout(PATIENCE).unwrap().unwrap());
    (1..=COUNT).for_each(|number| assert_eq!(observer.next().0, format!("out/{number}")));
    drop((observer, host));
    node.stop();

    let again = start(&config(&directory.path().join("data")), None).unwrap();
    let host = FunctionHost::new(again.store.clone(), Arc::clone(&again.twins));
    assert_eq!(count(&host), Some(COUNT));
    let view = again.twins.twins().get("pump").unwrap().unwrap();
    assert_eq!((view.version, &view.reported["n"]), (COUNT, &json!(COUNT)));
    drop(host);
    again.stop();
}

#[test]
fn large_changes_are_not_rested_on_before_they_are_durable() {
    let (_directory, node, host) = node();
    let large = |number: u64| {
        let change = KvChange::Set { value: vec![b'x'; 40_000], revision: number, ttl_s: None };
        let write = KvWrite { key: format!("{number}"), expected: None, change };
        Effects { function: "f".to_owned(), kv_writes: vec![write], ..Effects::default() }
    };
    // Whether the first one has arrived by then is up to the disk: what counts is what is under way together.
    let mut was_held = false;
    for number in 0..100 {
        let (ordered, ended) = submit(&host, large(number));
        if ordered.try_recv().is_err() {
            was_held = true;
            ended.recv_timeout(PATIENCE).unwrap().unwrap();
        }
    }
    assert!(was_held, "a hundred large changes were under way at once");
    drop(host);
    node.stop();
}

#[test]
fn effects_that_come_after_the_end_of_the_broker_are_not_kept() {
    let (_directory, node, host) = node();
    let store = node.store.clone();
    node.stop();
    let (_, ended) =
        submit(&host, Effects { function: "f".to_owned(), kv_writes: vec![set("k", None, 1)], ..Effects::default() });
    assert!(ended.recv_timeout(PATIENCE).is_err(), "dropped, so that the runtime has the input come again");
    assert_eq!(host.kv_get("f", "k").unwrap(), None);
    drop(store);
}

#[test]
fn a_commit_that_conflicts_leaves_nothing_behind() {
    let (_directory, node, host) = node();
    let observer = Observer::new(&node, "#");
    let function = "f".to_owned();
    let stale = KvRead { key: "other".to_owned(), revision: Some(3) };
    let effects = Effects {
        function: function.clone(),
        kv_reads: vec![stale],
        kv_writes: vec![set("k", None, 1)],
        publish: vec![message("never")],
        ..Effects::default()
    };
    assert!(matches!(commit(&host, effects), Err(CommitFailure::Conflict(_))));
    let wrong = Effects { function: function.clone(), kv_writes: vec![set("k", Some(1), 2)], ..Effects::default() };
    assert!(matches!(commit(&host, wrong), Err(CommitFailure::Conflict(_))));
    let twin_read = TwinRead { device: "pump".to_owned(), section: TwinSection::Desired, revision: Some(4) };
    let wrong = Effects { function: function.clone(), twin_reads: vec![twin_read], ..Effects::default() };
    assert!(matches!(commit(&host, wrong), Err(CommitFailure::Conflict(_))));
    assert_eq!(host.kv_get("f", "k").unwrap(), None);
    // What comes first is what is published afterwards.
    commit(&host, Effects { function, publish: vec![message("after")], ..Effects::default() }).unwrap();
    assert_eq!(observer.next().0, "after");
    drop((observer, host));
    node.stop();
}

#[test]
fn a_commit_that_cannot_be_carried_out_is_refused() {
    let (_directory, node, host) = node();
    let patch = TwinPatch {
        device: "not a name".to_owned(),
        section: TwinSection::Reported,
        merge: "{}".to_owned(),
        expected: None,
    };
    let effects = Effects { function: "f".to_owned(), twin_patches: vec![patch], ..Effects::default() };
    assert!(matches!(commit(&host, effects), Err(CommitFailure::Refused(_))));
    let mut wrong = message("t");
    wrong.properties.content_type = Some("a\0b".to_owned());
    let effects = Effects { function: "f".to_owned(), publish: vec![wrong], ..Effects::default() };
    assert!(matches!(commit(&host, effects), Err(CommitFailure::Refused(_))));
    drop(host);
    node.stop();
}

#[test]
fn the_data_directory_and_the_socket_are_the_owners_alone() {
    let (directory, node, host) = node();
    let data = directory.path().join("data");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join(control_socket::FILE_NAME)), 0o600);
    assert_eq!(mode(&data.join("store")) & 0o077, 0);
    drop(host);
    node.stop();
    assert!(!data.join(control_socket::FILE_NAME).exists());
}

#[test]
fn two_nodes_cannot_have_one_directory() {
    let (directory, node, host) = node();
    let error = start(&config(&directory.path().join("data")), None).err().unwrap();
    assert!(format!("{error:#}").contains("in use"), "{error:#}");
    drop(host);
    node.stop();
}

#[test]
fn a_client_is_told_when_the_node_stops() {
    let (_directory, node, host) = node();
    let port = node.addresses.mqtt.unwrap().port();
    let words = format!("selvedge sub -t a -p {port}");
    let parsed = Cli::from_arguments(words.split(' ').map(Into::into)).unwrap();
    let Command::Sub(arguments) = parsed.command else { panic!("not sub") };
    let (options, _) = connect_options::from_arguments(&arguments.connection, "sub", 1).unwrap();
    let (mut link, _) = Link::open(&options).unwrap();
    drop(host);
    node.stop();
    let frame = loop {
        match link.take_frame().unwrap() {
            Some(frame) => break frame,
            None => link.fill().unwrap(),
        }
    };
    let Ok(Packet::Disconnect(disconnect)) = decode(ProtocolVersion::V5, &frame) else { panic!("no DISCONNECT") };
    assert_eq!(disconnect.reason, ReasonCode::ServerShuttingDown);
}

#[test]
fn a_removal_waits_for_the_deployment_before_it() {
    let (_directory, node, host) = node();
    let deploying = Arc::new(parking_lot::Mutex::new(()));
    let api = NodeApi {
        store: node.store.clone(),
        broker: node.broker.handle.clone(),
        twins: Arc::clone(&node.twins),
        functions: FunctionApi {
            runtime: Arc::clone(&node.runtime),
            lines: Arc::clone(&node.lines),
            deploying: Arc::clone(&deploying),
        },
        stopping: Arc::default(),
        started: Instant::now(),
        logins: HttpLogins::new(Arc::clone(node.reloader.gate())),
        reloader: Arc::clone(&node.reloader),
        clock: Arc::clone(&node.clock),
        updates: Arc::clone(&node.updates),
        net: Arc::clone(&node.net),
        exchange: Arc::clone(&node.exchange),
        about: Value::Null,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let under_way = deploying.lock();
    let removal = crate::http::Node::remove(&api, "f");
    // The test has one, the API another, the removal the third.
    assert_eq!(Arc::strong_count(&deploying), 3);
    let mut removal = runtime.spawn(removal);
    runtime.block_on(async {
        tokio::select! {
            biased;
            ended = &mut removal => panic!("removed in the middle of a deployment: {ended:?}"),
            () = async { for _ in 0..100_000 { tokio::task::yield_now().await } } => {}
        }
    });
    drop(under_way);
    assert_eq!(runtime.block_on(removal).unwrap().unwrap_err().status, 404);
    drop((api, host));
    node.stop();
}
