use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::batch::{KEY_BYTES_MAX, VALUE_BYTES_MAX, tree_key};
use crate::disk::tests::FaultyDisk;
use crate::record::CHUNK_BYTES;

fn open(dir: &Path) -> Store {
    Store::open(dir, Config::default()).unwrap()
}

fn batch(puts: &[(Space, &[u8], &[u8])]) -> Batch {
    let mut batch = Batch::new();
    for (space, key, value) in puts {
        batch.put(*space, key, value).unwrap();
    }
    batch
}

fn put(store: &Store, key: &[u8], value: &[u8]) {
    store.commit_blocking(batch(&[(Space::KeyValue, key, value)])).unwrap();
}

/// Overwrites what sled has.
fn raw_put(store: &Store, key: &[u8], bytes: &[u8]) {
    store.shared().state.with(|engine| engine.raw_put(&tree_key(Space::KeyValue, key), bytes));
}

fn delete(store: &Store, key: &[u8]) {
    let mut batch = Batch::new();
    batch.delete(Space::KeyValue, key).unwrap();
    store.commit_blocking(batch).unwrap();
}

fn all(store: &Store, space: Space) -> Vec<(Vec<u8>, Vec<u8>)> {
    store.scan(space, b"", None, usize::MAX).map(Result::unwrap).collect()
}

/// Holds the writer thread in a callback until the sender is used or dropped. Returns once it is held.
fn hold(store: &Store) -> Sender<()> {
    let (release, held) = channel::<()>();
    let (entered_sender, entered) = channel();
    store.commit(Batch::new(), move |_| {
        entered_sender.send(()).unwrap();
        let _ = held.recv();
    });
    entered.recv().unwrap();
    release
}

#[test]
fn what_was_committed_is_there_after_a_reopen_also_without_anyone_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(store.report().created);
    store.commit(batch(&[(Space::Twin, b"a", b"1")]), |_| {});
    store.commit(batch(&[(Space::Node, b"b", b"")]), |_| {});
    drop(store);
    let store = open(dir.path());
    assert!(!store.report().created);
    assert_eq!(store.get(Space::Twin, b"a"), Ok(Some(b"1".to_vec())));
    assert_eq!(store.get(Space::Node, b"b"), Ok(Some(Vec::new())));
    assert_eq!(store.get(Space::KeyValue, b"a"), Ok(None));
}

#[test]
fn commits_that_queue_up_share_one_fsync_and_their_callbacks_run_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let release = hold(&store);
    let before = store.metrics();
    let (sender, done) = channel();
    for index in 0..100_u32 {
        let sender = sender.clone();
        store.commit(batch(&[(Space::KeyValue, b"same", &index.to_be_bytes())]), move |result| {
            sender.send((index, result)).unwrap();
        });
    }
    release.send(()).unwrap();
    let order: Vec<_> = done.iter().take(100).collect();
    assert_eq!(order, (0..100).map(|index| (index, Ok(()))).collect::<Vec<_>>());
    let after = store.metrics();
    assert_eq!((after.fsyncs - before.fsyncs, after.commits - before.commits), (1, 100));
    assert_eq!(store.get(Space::KeyValue, b"same"), Ok(Some(99_u32.to_be_bytes().to_vec())));
}

#[test]
fn commits_from_many_threads_need_fewer_fsyncs_than_there_are_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let release = hold(&store);
    let threads: Vec<_> = (0..8_u8)
        .map(|thread| {
            let store = store.clone();
            thread::spawn(move || (0..20_u8).for_each(|index| put(&store, &[thread, index], b"v")))
        })
        .collect();
    while store.backlog().bytes == 0 {
        thread::yield_now();
    }
    release.send(()).unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let metrics = store.metrics();
    assert_eq!((metrics.commits, metrics.keys[Space::KeyValue.index()]), (161, 160));
    assert!(metrics.fsyncs <= metrics.groups && metrics.groups <= 161, "{metrics:?}");
}

#[test]
fn a_barrier_comes_after_what_was_committed_before_and_costs_no_fsync() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, b"k", b"v");
    let fsyncs = store.metrics().fsyncs;
    store.commit_blocking(Batch::new()).unwrap();
    assert_eq!(store.metrics().fsyncs, fsyncs);
}

#[test]
fn values_of_every_size_class_come_back_and_leave_no_chunks_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let raw_len = || store.shared().state.with(|engine| engine.raw_len()).unwrap();
    let empty = raw_len();
    for length in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, VALUE_BYTES_MAX] {
        let value: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let key = [3; KEY_BYTES_MAX];
        put(&store, &key, &value);
        assert_eq!(store.get(Space::KeyValue, &key), Ok(Some(value)), "{length}");
    }
    put(&store, &[3; KEY_BYTES_MAX], b"short");
    // The key and the tally.
    assert_eq!(raw_len(), empty + 2);
    put(&store, b"long", &[1; VALUE_BYTES_MAX]);
    delete(&store, b"long");
    delete(&store, &[3; KEY_BYTES_MAX]);
    delete(&store, b"never there");
    assert_eq!(raw_len(), empty + 1);
    assert_eq!(store.metrics().keys, [0; 4]);
}

#[test]
fn nothing_ends_up_in_files_that_no_fsync_covers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // The worst for sled's pages: the longest keys without a common prefix, the largest inline and chunked values.
    for round in 0..3_u8 {
        for index in 0..300_u32 {
            let mut key = [0; KEY_BYTES_MAX];
            key.iter_mut()
                .enumerate()
                .for_each(|(at, byte)| *byte = (index.wrapping_mul(2_654_435_761) >> (at % 25)) as u8);
            let length = if index % 40 == 0 { VALUE_BYTES_MAX } else { CHUNK_BYTES };
            store.commit(batch(&[(Space::KeyValue, &key, &vec![round; length])]), |result| result.unwrap());
        }
    }
    store.commit_blocking(Batch::new()).unwrap();
    let blobs = fs::read_dir(dir.path().join("state").join("blobs")).unwrap().count();
    assert_eq!(blobs, 0);
}

#[test]
fn a_corrupt_value_is_reported_and_counted_and_its_neighbours_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for key in [b"a", b"b", b"c"] {
        put(&store, key, b"value");
    }
    raw_put(&store, b"b", b"\x01\x00rubbish");
    let corrupt = || ReadError::Corrupt { space: Space::KeyValue, key: b"b".to_vec() };
    assert_eq!(store.get(Space::KeyValue, b"b"), Err(corrupt()));
    let found: Vec<_> = store.scan(Space::KeyValue, b"", None, 10).collect();
    let value = |key: &[u8]| Ok((key.to_vec(), b"value".to_vec()));
    assert_eq!(found, [value(b"a"), Err(corrupt()), value(b"c")]);
    assert_eq!(store.metrics().reads_corrupt, 2);
    assert_eq!(corrupt().to_string(), "the value of key b in KeyValue is corrupt");
    put(&store, b"b", b"mended");
    assert_eq!(store.get(Space::KeyValue, b"b"), Ok(Some(b"mended".to_vec())));
}

#[test]
fn a_corrupt_value_is_made_good_from_the_journal_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, b"a", b"value");
    raw_put(&store, b"a", b"\x01\x00rubbish");
    assert!(store.get(Space::KeyValue, b"a").is_err());
    put(&store, b"b", b"gives the writer thread something to do");
    store.commit_blocking(Batch::new()).unwrap();
    drop(store);
    let store = open(dir.path());
    assert!(store.report().state_rebuilt);
    assert_eq!(store.report().quarantine.as_ref().unwrap().cause, "a value in it was corrupt");
    assert_eq!(store.get(Space::KeyValue, b"a"), Ok(Some(b"value".to_vec())));
    drop(store);
    let store = open(dir.path());
    assert!(!store.report().state_rebuilt && store.report().quarantine.is_none());
}

#[test]
fn a_long_value_whose_chunk_is_damaged_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, b"long", &[5; 3 * CHUNK_BYTES]);
    let head = store.shared().state.with(|engine| engine.raw(&tree_key(Space::KeyValue, b"long"))).flatten().unwrap();
    put(&store, b"long", &[6; 3 * CHUNK_BYTES]);
    // The old head names chunks that are gone.
    raw_put(&store, b"long", &head);
    assert!(matches!(store.get(Space::KeyValue, b"long"), Err(ReadError::Corrupt { .. })));
}

#[test]
fn scans_keep_to_their_space_prefix_start_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for key in ["a", "b", "ba", "bb", "bc", "c"] {
        put(&store, key.as_bytes(), key.as_bytes());
    }
    put(&store, &[0xff, 0xff], b"last");
    store.commit_blocking(batch(&[(Space::Twin, b"bz", b""), (Space::Function, b"b", b"")])).unwrap();
    let keys = |prefix: &[u8], after: Option<&[u8]>, limit| -> Vec<String> {
        let scan = store.scan(Space::KeyValue, prefix, after, limit);
        scan.map(|entry| String::from_utf8_lossy(&entry.unwrap().0).into_owned()).collect()
    };
    assert_eq!(keys(b"b", None, 10), ["b", "ba", "bb", "bc"]);
    assert_eq!(keys(b"b", None, 2), ["b", "ba"]);
    assert_eq!(keys(b"b", Some(b"ba"), 10), ["bb", "bc"]);
    assert_eq!(keys(b"b", Some(b"a"), 1), ["b"]);
    assert_eq!(keys(b"b", Some(b"c"), 10), Vec::<String>::new());
    assert_eq!(keys(b"x", None, 10), Vec::<String>::new());
    assert_eq!(keys(b"", None, 0), Vec::<String>::new());
    assert_eq!(keys(b"", Some(b"c"), 10).len(), 1);
    assert_eq!(store.scan(Space::KeyValue, &[0xff], None, 10).count(), 1);
}

#[test]
fn after_a_failed_fsync_every_commit_is_refused_with_the_first_cause() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let store = Store::open_on(dir.path(), Config::default(), disk.clone()).unwrap();
    put(&store, b"good", b"1");
    disk.fail("sync");
    let lost = store.commit_blocking(batch(&[(Space::KeyValue, b"bad", b"2")])).unwrap_err();
    let CommitError::Poisoned { cause } = &lost else { panic!("{lost}") };
    assert!(cause.starts_with("fsync of the journal: "), "{cause}");
    disk.fail("nothing");
    assert_eq!(store.commit_blocking(batch(&[(Space::KeyValue, b"later", b"3")])), Err(lost.clone()));
    assert_eq!(store.commit_blocking(Batch::new()), Err(lost.clone()));
    assert_eq!(store.health(), Health::Poisoned { cause: cause.clone() });
    assert_eq!(store.get(Space::KeyValue, b"good"), Ok(Some(b"1".to_vec())));
    assert_eq!(store.get(Space::KeyValue, b"later"), Ok(None));
    assert_eq!(store.metrics().commits_failed, 3);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.health(), Health::Good);
    assert_eq!(store.get(Space::KeyValue, b"good"), Ok(Some(b"1".to_vec())));
}

#[test]
fn little_free_space_is_said_below_the_limit_and_until_there_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let config = Config { free_bytes_min: 1000, ..Config::default() };
    let store = Store::open_on(dir.path(), config, disk.clone()).unwrap();
    disk.free_bytes.store(1000, Ordering::Relaxed);
    put(&store, b"a", b"");
    assert_eq!(store.health(), Health::Good);
    disk.free_bytes.store(999, Ordering::Relaxed);
    put(&store, b"b", b"");
    assert_eq!(store.health(), Health::DiskFull { free_bytes: 999 });
    put(&store, b"c", b"what is under way still becomes durable");
    disk.free_bytes.store(5000, Ordering::Relaxed);
    assert_eq!(store.health(), Health::Good);
}

#[test]
fn a_panicking_callback_hurts_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(batch(&[(Space::KeyValue, b"a", b"1")]), |_| panic!("a callback's own fault"));
    put(&store, b"b", b"2");
    assert_eq!(all(&store, Space::KeyValue).len(), 2);
}

#[test]
fn a_full_queue_blocks_a_commit_until_the_writer_takes_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { queue_bytes_max: 10_000, ..Config::default() };
    let store = Store::open(dir.path(), config).unwrap();
    let release = hold(&store);
    store.commit(batch(&[(Space::KeyValue, b"first", &[1; 9_000])]), |_| {});
    let blocked = {
        let store = store.clone();
        thread::spawn(move || store.commit(batch(&[(Space::KeyValue, b"second", &[2; 9_000])]), |_| {}))
    };
    while store.backlog().blocked == 0 {
        thread::yield_now();
    }
    assert!(store.backlog().bytes <= 10_000);
    store.commit_now(batch(&[(Space::KeyValue, b"urgent", &[3; 9_000])]), |_| {});
    assert!(store.backlog().bytes > 10_000, "commit_now passes the bound");
    release.send(()).unwrap();
    blocked.join().unwrap();
    store.wait_for_room(9_000);
    store.commit_blocking(Batch::new()).unwrap();
    assert_eq!(all(&store, Space::KeyValue).len(), 3);
    assert!(store.metrics().waits >= 1);
}

#[test]
fn a_batch_larger_than_the_whole_queue_passes_when_it_is_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { queue_bytes_max: 100, ..Config::default() };
    let store = Store::open(dir.path(), config).unwrap();
    put(&store, b"large", &[0; 50_000]);
    assert_eq!(store.metrics().waits, 0);
}

#[test]
fn callbacks_may_commit_but_not_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { queue_bytes_max: 100, ..Config::default() };
    let store = Store::open(dir.path(), config).unwrap();
    let (sender, done): (_, Receiver<_>) = channel();
    let inner = store.clone();
    store.commit(Batch::new(), move |_| {
        let refused = inner.commit_blocking(batch(&[(Space::KeyValue, b"no", b"")]));
        for index in 0..5_u8 {
            let sender = sender.clone();
            let refused = refused.clone();
            let next = batch(&[(Space::KeyValue, &[index], &[0; 90])]);
            inner.commit(next, move |_| sender.send(refused).unwrap());
        }
    });
    assert_eq!(done.iter().take(5).collect::<Vec<_>>(), vec![Err(CommitError::OnWriterThread); 5]);
    assert_eq!(store.get(Space::KeyValue, b"no"), Ok(None));
}

#[test]
fn the_last_handle_may_go_in_a_callback() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let last = store.clone();
    let (go, wait) = channel::<()>();
    store.commit(batch(&[(Space::KeyValue, b"k", b"v")]), move |_| {
        let _ = wait.recv();
        drop(last);
    });
    drop(store);
    go.send(()).unwrap();
    let reopened = (0..2_000).find_map(|_| {
        Store::open(dir.path(), Config::default()).inspect_err(|_| thread::sleep(Duration::from_millis(5))).ok()
    });
    assert_eq!(reopened.expect("released").get(Space::KeyValue, b"k"), Ok(Some(b"v".to_vec())));
}

#[test]
fn the_number_of_keys_is_kept_over_reopening_and_damage_to_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store
        .commit_blocking(batch(&[(Space::Twin, b"a", b""), (Space::Twin, b"b", b""), (Space::Node, b"a", b"")]))
        .unwrap();
    put(&store, b"long", &[9; VALUE_BYTES_MAX]);
    let keys = store.metrics().keys;
    assert_eq!(keys, [2, 1, 0, 1]);
    drop(store);
    let database = sled::Config::new().path(dir.path().join("state")).open().unwrap();
    database.insert([0], b"damaged").unwrap();
    database.flush().unwrap();
    drop(database);
    let store = open(dir.path());
    assert_eq!(store.metrics().keys, keys);
    put(&store, b"other", &[8; VALUE_BYTES_MAX]);
    assert_eq!(store.get(Space::KeyValue, b"long"), Ok(Some(vec![9; VALUE_BYTES_MAX])));
}

/// Index of the space, last byte of the key, and byte and length of a value to put or `None` to delete.
type ModelOperation = (usize, u8, Option<(u8, usize)>);

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<ModelOperation>),
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![6 => 0..50_usize, 1 => 4000..9000_usize];
    let operation = (0..4_usize, 0..12_u8, proptest::option::weighted(0.7, (any::<u8>(), length)));
    prop_oneof![
        12 => proptest::collection::vec(operation, 0..6).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_store_is_a_map_that_survives_reopening(steps in proptest::collection::vec(any_step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let mut model: BTreeMap<(usize, Vec<u8>), Vec<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Reopen => {
                    drop(store);
                    store = open(dir.path());
                }
                Step::Commit(operations) => {
                    let mut batch = Batch::new();
                    for (space, key, value) in operations {
                        let key = vec![b'k', key];
                        match value {
                            Some((byte, length)) => {
                                batch.put(Space::ALL[space], &key, &vec![byte; length]).unwrap();
                                model.insert((space, key), vec![byte; length]);
                            }
                            None => {
                                batch.delete(Space::ALL[space], &key).unwrap();
                                model.remove(&(space, key));
                            }
                        }
                    }
                    store.commit(batch, |result| result.unwrap());
                }
            }
        }
        store.commit_blocking(Batch::new()).unwrap();
        for (index, space) in Space::ALL.into_iter().enumerate() {
            let expected: Vec<_> = model.iter().filter(|((space, _), _)| *space == index)
                .map(|((_, key), value)| (key.clone(), value.clone())).collect();
            prop_assert_eq!(store.metrics().keys[index], expected.len() as u64);
            prop_assert_eq!(all(&store, space), expected);
        }
    }
}
