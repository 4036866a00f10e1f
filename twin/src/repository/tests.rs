use std::fs::File;
use std::io;
use std::path::Path as FilePath;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use selvedge_store::{Disk, DiskFile, LocalDisk, Space};
use serde_json::{Value, json};

use super::*;
use crate::clock::BUILD_FLOOR_MS;

const NOW: u64 = BUILD_FLOOR_MS + 1_000_000;

/// A disk whose fsyncs fail and whose space is used up when told to.
#[derive(Default)]
struct BadDisk {
    fsync_fails: Arc<AtomicBool>,
    full: AtomicBool,
}

/// A file of a [`BadDisk`].
struct BadFile {
    file: Arc<dyn DiskFile>,
    fsync_fails: Arc<AtomicBool>,
}

impl BadDisk {
    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(BadFile { file, fsync_fails: self.fsync_fails.clone() })
    }
}

impl Disk for BadDisk {
    fn create(&self, path: &FilePath) -> io::Result<Arc<dyn DiskFile>> {
        LocalDisk.create(path).map(|file| self.wrap(file))
    }

    fn open(&self, path: &FilePath) -> io::Result<Arc<dyn DiskFile>> {
        LocalDisk.open(path).map(|file| self.wrap(file))
    }

    fn create_directory(&self, path: &FilePath) -> io::Result<()> {
        LocalDisk.create_directory(path)
    }

    fn list(&self, path: &FilePath) -> io::Result<Vec<String>> {
        LocalDisk.list(path)
    }

    fn remove(&self, path: &FilePath) -> io::Result<()> {
        LocalDisk.remove(path)
    }

    fn rename(&self, from: &FilePath, to: &FilePath) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn sync_directory(&self, path: &FilePath) -> io::Result<()> {
        LocalDisk.sync_directory(path)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        LocalDisk.sync_file(file)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        LocalDisk.allocate(file, bytes)
    }

    fn free_bytes(&self, path: &FilePath) -> io::Result<u64> {
        if self.full.load(Ordering::Relaxed) { Ok(1) } else { LocalDisk.free_bytes(path) }
    }
}

impl DiskFile for BadFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.fsync_fails.load(Ordering::Relaxed) { Err(io::ErrorKind::Other.into()) } else { self.file.sync() }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}

fn open_with(dir: &FilePath, config: Config) -> Twins {
    let store = Store::open(dir, selvedge_store::Config::default()).unwrap();
    Twins::open(store, NodeId(1), config).unwrap()
}

fn open(dir: &FilePath) -> Twins {
    open_with(dir, Config::default())
}

/// Sends a request and waits for its replies.
fn ask(twins: &Twins, thing: &str, operation: Operation, payload: &str) -> Vec<(&'static str, Value)> {
    let (sender, replies) = channel();
    twins.handle(thing, operation, payload.as_bytes(), NOW, move |replies| sender.send(replies).unwrap());
    let parse = |reply: Reply| (reply.suffix, serde_json::from_slice(&reply.payload).unwrap());
    replies.recv().unwrap().into_iter().map(parse).collect()
}

fn report(twins: &Twins, thing: &str, members: Value) -> Vec<(&'static str, Value)> {
    ask(twins, thing, Operation::Update, &json!({"state": {"reported": members}}).to_string())
}

fn code(replies: &[(&'static str, Value)]) -> u64 {
    assert!(replies[0].0.ends_with("/rejected"), "{replies:?}");
    replies[0].1["code"].as_u64().unwrap()
}

fn reported(twins: &Twins, thing: &str) -> Option<Value> {
    twins.get(thing).unwrap().map(|view| Value::Object(view.reported))
}

/// Holds the store's thread in a callback until the sender is used or dropped.
fn hold(twins: &Twins) -> Sender<()> {
    let (release, held) = channel::<()>();
    let (entered_sender, entered) = channel();
    twins.inner.store.commit(Batch::new(), move |_| {
        entered_sender.send(()).unwrap();
        let _ = held.recv();
    });
    entered.recv().unwrap();
    release
}

#[test]
fn an_accepted_update_is_there_after_a_restart_with_version_and_stamps() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    assert_eq!(report(&twins, "pump", json!({"a": {"b": 1}, "c": [1, null]}))[0].0, "update/accepted");
    report(&twins, "pump", json!({"a": {"b": null}}));
    let before = twins.get("pump").unwrap().unwrap();
    assert_eq!(Value::Object(before.reported.clone()), json!({"a": {}, "c": [1, null]}));
    drop(twins);
    let twins = open(dir.path());
    assert_eq!(twins.get("pump").unwrap(), Some(before));
    assert_eq!(twins.metrics().twins, 1);
    assert_eq!(ask(&twins, "pump", Operation::Get, "")[0].1["version"], 2);
}

#[test]
fn replies_come_after_the_fsync_and_in_the_order_of_the_requests() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    report(&twins, "other", json!({}));
    let release = hold(&twins);
    let (sender, replies) = channel();
    let send = |thing: &str, operation, payload: &str| {
        let sender = sender.clone();
        twins.handle(thing, operation, payload.as_bytes(), NOW, move |replies| sender.send(replies[0].suffix).unwrap());
    };
    send("pump", Operation::Update, r#"{"state": {"reported": {"a": 1}}}"#);
    send("pump", Operation::Get, "");
    send("pump", Operation::Update, r#"{"state": {"reported": {"a": 2}}, "version": 9}"#);
    send("pump", Operation::Delete, "");
    send("pump", Operation::Get, "");
    // Nothing of pump is durable yet, so nothing is said of it; what does not hang on it is answered at once.
    assert!(replies.try_recv().is_err());
    send("other", Operation::Get, "");
    assert_eq!(replies.try_recv(), Ok("get/accepted"));
    release.send(()).unwrap();
    let order: Vec<_> = replies.iter().take(5).collect();
    assert_eq!(order, ["update/accepted", "get/accepted", "update/rejected", "delete/accepted", "get/rejected"]);
    send("pump", Operation::Get, "");
    assert_eq!(replies.recv(), Ok("get/rejected"));
}

#[test]
fn each_mistake_has_its_code_and_keeps_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let twins =
        open_with(dir.path(), Config { twins_max: 2, section_bytes_max: 100, fields_max: 5, ..Config::default() });
    report(&twins, "a", json!({"x": 1}));
    assert_eq!(code(&ask(&twins, "a", Operation::Update, "nonsense")), 400);
    assert_eq!(code(&ask(&twins, "a/b", Operation::Get, "")), 400);
    assert_eq!(code(&ask(&twins, "", Operation::Get, "")), 400);
    assert_eq!(code(&ask(&twins, "never", Operation::Get, "")), 404);
    assert_eq!(code(&ask(&twins, "never", Operation::Delete, "")), 404);
    assert_eq!(code(&report(&twins, "a", json!({"x": "y".repeat(100)}))), 413);
    assert_eq!(code(&report(&twins, "a", json!({"p": 1, "q": 1, "r": 1, "s": 1, "t": 1}))), 422);
    report(&twins, "b", json!({}));
    assert_eq!(code(&report(&twins, "c", json!({}))), 422);
    let conflict = r#"{"state": {"desired": {"x": 1}}, "version": 7, "clientToken": "tok"}"#;
    let replies = ask(&twins, "a", Operation::Update, conflict);
    assert_eq!((code(&replies), &replies[0].1["clientToken"]), (409, &json!("tok")));
    assert_eq!(twins.metrics().rejected, 9);
    assert_eq!(twins.metrics().accepted, 2);
    ask(&twins, "b", Operation::Delete, "");
    assert_eq!(report(&twins, "c", json!({}))[0].0, "update/accepted", "a deletion makes room");
}

#[test]
fn a_deleted_twin_is_gone_and_its_version_goes_on_also_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    report(&twins, "pump", json!({"a": 1}));
    assert_eq!(ask(&twins, "pump", Operation::Delete, "")[0].1["version"], 2);
    assert_eq!(twins.get("pump").unwrap(), None);
    assert_eq!(twins.list("", None, 10).unwrap(), []);
    assert_eq!((twins.metrics().twins, twins.metrics().deleted), (0, 1));
    drop(twins);
    let twins = open(dir.path());
    assert_eq!((twins.metrics().twins, twins.metrics().deleted), (0, 1));
    assert_eq!(code(&ask(&twins, "pump", Operation::Get, "")), 404);
    assert_eq!(report(&twins, "pump", json!({"b": 2}))[0].1["version"], 3);
    assert_eq!(reported(&twins, "pump"), Some(json!({"b": 2})));
    assert_eq!((twins.metrics().twins, twins.metrics().deleted), (1, 0));
}

#[test]
fn the_longest_deleted_twins_are_forgotten_and_leave_nothing_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open_with(dir.path(), Config { deleted_twins_max: 2, ..Config::default() });
    for thing in ["first", "second", "third", "fourth"] {
        report(&twins, thing, json!({"a": 1, "b": {"c": 2}}));
        ask(&twins, thing, Operation::Delete, "");
    }
    assert_eq!(twins.metrics().deleted, 2);
    // For each of two: header, bucket of tombstones, deletion, history; and the node's state.
    assert_eq!(twins.inner.store.metrics().keys[Space::Twin.index()], 2 * 4 + 1);
    assert_eq!(report(&twins, "first", json!({}))[0].1["version"], 1);
    assert_eq!(report(&twins, "fourth", json!({}))[0].1["version"], 3);
}

#[test]
fn things_are_listed_by_prefix_in_pages_with_those_that_are_not_durable_yet() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    for thing in ["pump-1", "pump-2", "valve", "pump-3"] {
        report(&twins, thing, json!({}));
    }
    let names = |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        twins.list(prefix, after, limit).unwrap().into_iter().map(|summary| summary.thing).collect()
    };
    assert_eq!(names("", None, 10), ["pump-1", "pump-2", "pump-3", "valve"]);
    assert_eq!(names("pump-", None, 2), ["pump-1", "pump-2"]);
    assert_eq!(names("pump-", Some("pump-2"), 2), ["pump-3"]);
    let release = hold(&twins);
    twins.handle("pump-0", Operation::Update, br#"{"state": {"desired": {}}}"#, NOW, |_| {});
    twins.handle("pump-1", Operation::Delete, b"", NOW, |_| {});
    assert_eq!(names("pump-", None, 2), ["pump-0", "pump-2"]);
    assert_eq!(names("pump-", Some("pump-0"), 9), ["pump-2", "pump-3"]);
    release.send(()).unwrap();
}

#[test]
fn a_twin_that_was_dropped_from_memory_is_read_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open_with(dir.path(), Config { cache_bytes_max: 0, ..Config::default() });
    for round in 0..3 {
        for thing in ["a", "b", "c"] {
            report(&twins, thing, json!({"round": round, thing: {"n": round}}));
        }
    }
    for thing in ["a", "b", "c"] {
        assert_eq!(reported(&twins, thing), Some(json!({"round": 2, thing: {"n": 2}})));
        assert_eq!(twins.get(thing).unwrap().unwrap().version, 3);
    }
}

#[test]
fn a_large_twin_that_shrinks_again_is_read_back_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    let many: serde_json::Map<String, Value> = (0..600).map(|n| (format!("field-{n}"), json!(n))).collect();
    let few: serde_json::Map<String, Value> = (3..600).map(|n| (format!("field-{n}"), Value::Null)).collect();
    report(&twins, "large", Value::Object(many.clone()));
    report(&twins, "large", json!({"field-7": "changed"}));
    drop(twins);
    let twins = open(dir.path());
    let mut expected = many;
    expected.insert("field-7".to_owned(), json!("changed"));
    assert_eq!(reported(&twins, "large"), Some(Value::Object(expected)));
    report(&twins, "large", Value::Object(few));
    drop(twins);
    let twins = open(dir.path());
    assert_eq!(reported(&twins, "large"), Some(json!({"field-0": 0, "field-1": 1, "field-2": 2})));
}

#[test]
fn stamps_go_on_after_a_restart_without_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let stamp = |twins: &Twins| twins.inner.shelf.lock().clock.last();
    let twins = open(dir.path());
    report(&twins, "a", json!({"x": 1}));
    let last = stamp(&twins);
    assert_eq!(last.ms(), NOW);
    drop(twins);
    let twins = open(dir.path());
    assert_eq!((stamp(&twins), twins.clock_trust(0)), (last, Trust::NotTrusted));
    twins.handle("a", Operation::Update, br#"{"state": {"reported": {"x": 2}}}"#, 0, |_| {});
    assert!(stamp(&twins) > last);
    assert_eq!(reported(&twins, "a"), Some(json!({"x": 2})));
}

#[test]
fn damaged_records_cost_what_is_in_them_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    report(&twins, "a", json!({"x": 1}));
    ask(&twins, "a", Operation::Update, r#"{"state": {"desired": {"x": 2}}}"#);
    report(&twins, "b", json!({"y": 1}));
    let store = twins.inner.store.clone();
    drop(twins);
    let mut damage = Batch::new();
    damage.put(Space::Twin, b"s", b"\x09").unwrap();
    damage.put(Space::Twin, b"ha", b"rubbish").unwrap();
    damage.put(Space::Twin, b"ca\0r\0", b"\x01rubbish").unwrap();
    store.commit_blocking(damage).unwrap();
    let twins = Twins::open(store, NodeId(1), Config::default()).unwrap();
    let view = twins.get("a").unwrap().expect("what is left of it");
    assert_eq!((Value::Object(view.desired), Value::Object(view.reported)), (json!({"x": 2}), json!({})));
    assert!(view.version > 2, "no version is used twice");
    assert_eq!(twins.metrics().damaged, 3);
    assert!(twins.inner.shelf.lock().clock.last().ms() >= NOW, "b's header tells the time");
    assert_eq!(report(&twins, "a", json!({"x": 3}))[0].0, "update/accepted");
    assert_eq!(twins.list("", None, 9).unwrap().len(), 2);
}

#[test]
fn a_failing_disk_turns_updates_into_500_and_the_requests_that_hang_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(BadDisk::default());
    let store = Store::open_on(dir.path(), selvedge_store::Config::default(), disk.clone()).unwrap();
    let twins = Twins::open(store, NodeId(1), Config::default()).unwrap();
    report(&twins, "a", json!({"x": 1}));
    disk.fsync_fails.store(true, Ordering::Relaxed);
    let release = hold(&twins);
    let (sender, replies) = channel();
    for payload in [r#"{"state": {"reported": {"x": 2}}, "clientToken": "t"}"#, r#"{"state": {"reported": {"x": 3}}}"#]
    {
        let sender = sender.clone();
        twins.handle("a", Operation::Update, payload.as_bytes(), NOW, move |replies| sender.send(replies).unwrap());
    }
    let get = sender.clone();
    twins.handle("a", Operation::Get, b"", NOW, move |replies| get.send(replies).unwrap());
    release.send(()).unwrap();
    let suffixes: Vec<_> = replies.iter().take(3).map(|replies| (replies.len(), replies[0].suffix)).collect();
    assert_eq!(suffixes, [(1, "update/rejected"), (1, "update/rejected"), (1, "get/rejected")]);
    assert_eq!(code(&report(&twins, "a", json!({"x": 4}))), 500);
}

#[test]
fn a_full_disk_refuses_updates_and_lets_reads_and_deletions_pass() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(BadDisk::default());
    let store = Store::open_on(dir.path(), selvedge_store::Config::default(), disk.clone()).unwrap();
    let twins = Twins::open(store, NodeId(1), Config::default()).unwrap();
    disk.full.store(true, Ordering::Relaxed);
    report(&twins, "a", json!({"x": 1}));
    let replies = report(&twins, "a", json!({"x": 2}));
    assert_eq!((code(&replies), replies[0].1["message"].as_str()), (500, Some("the disk is full (1 bytes are free)")));
    assert_eq!(ask(&twins, "a", Operation::Get, "")[0].0, "get/accepted");
    assert_eq!(ask(&twins, "a", Operation::Delete, "")[0].0, "delete/accepted");
    disk.full.store(false, Ordering::Relaxed);
    assert_eq!(report(&twins, "a", json!({"x": 3}))[0].0, "update/accepted");
}

#[test]
fn updates_from_many_threads_are_serial_for_each_twin() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let twins = twins.clone();
            thread::spawn(move || {
                for index in 0..25 {
                    let replies = report(&twins, "shared", json!({format!("t{thread}"): index}));
                    assert_eq!(replies[0].0, "update/accepted");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(reported(&twins, "shared"), Some(json!({"t0": 24, "t1": 24, "t2": 24, "t3": 24})));
    assert_eq!(twins.get("shared").unwrap().unwrap().version, 100);
    drop(twins);
    assert_eq!(open(dir.path()).get("shared").unwrap().unwrap().version, 100);
}

#[test]
fn a_callback_may_send_the_next_request() {
    let dir = tempfile::tempdir().unwrap();
    let store_config = selvedge_store::Config { queue_bytes_max: 100, ..Default::default() };
    let twins = Twins::open(Store::open(dir.path(), store_config).unwrap(), NodeId(1), Config::default()).unwrap();
    let (sender, replies) = channel();
    let again = twins.clone();
    twins.handle("a", Operation::Update, br#"{"state": {"desired": {"x": 1}}}"#, NOW, move |_| {
        for _ in 0..5 {
            let sender = sender.clone();
            let payload = br#"{"state": {"reported": {"x": 1}}}"#;
            again.handle("a", Operation::Update, payload, NOW, move |replies| sender.send(replies).unwrap());
        }
    });
    assert_eq!(replies.iter().take(5).filter(|replies| replies[0].suffix == "update/accepted").count(), 5);
    assert_eq!(twins.get("a").unwrap().unwrap().delta.len(), 0);
    assert_eq!(twins.get("a").unwrap().unwrap().metadata.desired.len(), 1);
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), selvedge_store::Config::default()).unwrap();
    let config = Config { section_bytes_max: 64 * 1024, ..Config::default() };
    assert!(matches!(Twins::open(store, NodeId(1), config), Err(OpenError::Config(_))));
}

#[test]
fn a_question_goes_through_all_twins_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    for index in 0..600 {
        report(&twins, &format!("t{index:03}"), json!({"n": index % 100}));
    }
    report(&twins, "t", json!({"n": 7}));
    report(&twins, "t-", json!({"n": 7}));
    ask(&twins, "t007", Operation::Delete, "");
    let query = Query::parse("reported.n = 7").unwrap();
    let names = |found: &Found| found.twins.iter().map(|twin| twin.thing.clone()).collect::<Vec<_>>();
    let found = twins.ask(&query, None, 100, 1_000, |_| true).unwrap();
    assert_eq!(names(&found), ["t", "t-", "t107", "t207", "t307", "t407", "t507"]);
    assert_eq!((found.next, found.looked_at), (None, 602));
    let found = twins.ask(&query, None, 3, 1_000, |thing| thing != "t-").unwrap();
    assert_eq!((names(&found), found.next.as_deref()), (vec!["t".into(), "t107".into(), "t207".into()], Some("t207")));
    // What is not durable yet is found as well.
    let release = hold(&twins);
    twins.handle("t300-", Operation::Update, br#"{"state": {"reported": {"n": 7}}}"#, NOW, |_| {});
    let found = twins.ask(&query, Some("t207"), 100, 150, |_| true).unwrap();
    assert_eq!((names(&found), found.next.as_deref()), (vec!["t300-".to_owned(), "t307".to_owned()], Some("t356")));
    drop(release);
}
