//! The journal from its owner's side: what is appended comes back in order and whole, messages can be loaded as long as
//! someone holds them, and what nobody needs any more leaves the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use selvedge_store::{Batch, Commit, CommitError, Config, Entry, LocalDisk, Space, Store, Urgency};

const MESSAGE_BYTES: usize = 300;

/// Small segments and little slack, so that a test fills and cleans many.
fn small() -> Config {
    Config { segment_bytes: 16 * 1024, slack_bytes: 64 * 1024, ballast_bytes: 0, ..Config::default() }
}

/// What was replayed: sequence number, wall clock, records, numbers of the messages.
type Replay = Vec<(u64, u64, Vec<u8>, Vec<u64>)>;

fn open(dir: &Path, config: Config) -> (Store, Replay) {
    let mut replay = Vec::new();
    let store = Store::open_with(dir, config, Arc::new(LocalDisk), &mut |replayed| {
        let numbers = (0..replayed.messages.len() as u64).map(|index| replayed.first_message + index).collect();
        replay.push((replayed.sequence, replayed.wall_ms, replayed.records.to_vec(), numbers));
    });
    (store.unwrap(), replay)
}

fn message(number: u64) -> Vec<u8> {
    (0..MESSAGE_BYTES).map(|index| (number as usize + index) as u8).collect()
}

/// One message with its number in front, held by `holders`.
fn entry(number: u64, holders: i32) -> Entry {
    let mut records = number.to_le_bytes().to_vec();
    let start = records.len() as u32;
    records.extend_from_slice(&message(number));
    Entry {
        messages: std::iter::once(start..records.len() as u32).collect(),
        first_message: number,
        records,
        holds: vec![(number, holders)],
        urgency: Urgency::Now,
        ..Entry::default()
    }
}

fn append_blocking(store: &Store, entry: Entry, wall_ms: u64) -> u64 {
    let (sender, done) = channel();
    let sequence = store.append(entry, wall_ms, move |result| sender.send(result).unwrap());
    done.recv().unwrap().unwrap();
    sequence
}

fn release(store: &Store, numbers: impl Iterator<Item = u64>) {
    let holds: Vec<_> = numbers.map(|number| (number, -1)).collect();
    append_blocking(
        store,
        Entry { records: b"released".to_vec(), holds, urgency: Urgency::Now, ..Entry::default() },
        1,
    );
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_is_appended_is_replayed_in_order_with_its_numbers_clock_and_messages() {
    let dir = tempfile::tempdir().unwrap();
    let (store, replay) = open(dir.path(), small());
    assert!(replay.is_empty() && store.report().created);
    assert_eq!((store.next_message(), store.last_wall_ms()), (1, 0));
    let mut expected = Vec::new();
    for number in 1..=200 {
        let entry = entry(number, 1);
        expected.push((number, 1_000 + number, entry.records.clone(), vec![number]));
        assert_eq!(store.append(entry, 1_000 + number, |result| result.unwrap()), number);
        assert_eq!(store.load_blocking(number).unwrap(), Some(message(number)), "it is there at once");
    }
    drop(store);
    let (store, replay) = open(dir.path(), small());
    assert_eq!(replay, expected);
    assert_eq!((store.next_message(), store.last_wall_ms()), (201, 1_200));
    assert_eq!(store.report().journal.batches, 200);
    assert!(store.report().journal.segments > 3 && store.report().journal.dropped.is_none());
    assert_eq!(append_blocking(&store, entry(300, 1), 7), 201, "numbers go on");
    let (sender, loaded) = channel();
    store.load(vec![300, 1, 150, 250], move |messages| sender.send(messages).unwrap());
    assert_eq!(loaded.recv().unwrap(), [Some(message(300)), Some(message(1)), Some(message(150)), None]);
}

#[test]
fn one_entry_carries_records_several_messages_and_state_and_its_callbacks_come_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), small());
    let (sender, done) = channel();
    let mut batch = Batch::new();
    batch.put(Space::KeyValue, b"k", b"v").unwrap();
    let (reader, state_sender) = (store.clone(), sender.clone());
    let on_durable = Box::new(move |result: Result<(), CommitError>| {
        result.unwrap();
        state_sender.send(("state", reader.get(Space::KeyValue, b"k").unwrap())).unwrap();
    });
    let entry = Entry {
        records: b"head;first;second;tail".to_vec(),
        messages: vec![5..10, 11..17],
        first_message: 40,
        holds: vec![(41, 2), (40, 1), (40, -1)],
        state: vec![Commit { batch, on_durable }],
        urgency: Urgency::Lazy,
    };
    let reader = store.clone();
    store.append(entry, 5, move |result| {
        result.unwrap();
        sender.send(("owner", reader.get(Space::KeyValue, b"k").unwrap())).unwrap();
    });
    store.commit_blocking(Batch::new()).unwrap();
    let order: Vec<_> = done.try_iter().collect();
    assert_eq!(order, [("owner", None), ("state", Some(b"v".to_vec()))]);
    assert_eq!(store.load_blocking(40).unwrap(), None, "nobody held it after the entry");
    assert_eq!(store.load_blocking(41).unwrap(), Some(b"second".to_vec()));
    drop(store);
    let (store, replay) = open(dir.path(), small());
    assert_eq!(replay, [(1, 5, b"head;first;second;tail".to_vec(), vec![40, 41])]);
    store.adopt(&mut [(41, 1)].into_iter());
    assert_eq!([40, 41].map(|number| store.load_blocking(number).unwrap()), [None, Some(b"second".to_vec())]);
}

#[test]
fn a_lazy_entry_is_durable_by_itself_after_its_time_and_with_an_urgent_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), Config { lazy_sync_ms: 30, ..small() });
    let started = Instant::now();
    append_blocking(&store, Entry { records: b"lazy".to_vec(), ..Entry::default() }, 1);
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert_eq!((store.metrics().lazy_syncs, store.metrics().fsyncs), (1, 1));
    let (sender, done) = channel();
    let lazy_sender = sender.clone();
    let lazy = Entry { records: b"lazy".to_vec(), ..Entry::default() };
    store.append(lazy, 1, move |_| lazy_sender.send("lazy").unwrap());
    let urgent = Entry { records: b"urgent".to_vec(), urgency: Urgency::Now, ..Entry::default() };
    store.append(urgent, 1, move |_| sender.send("urgent").unwrap());
    assert_eq!(done.iter().take(2).collect::<Vec<_>>(), ["lazy", "urgent"]);
}

#[test]
fn an_entry_that_breaks_a_rule_is_refused_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), small());
    append_blocking(&store, entry(10, 1), 1);
    let outside = Entry { messages: std::iter::once(0..400).collect(), ..entry(11, 1) };
    let overlapping = Entry { messages: vec![0..10, 9..12], ..entry(11, 1) };
    for wrong in [entry(10, 1), entry(1, 1), outside, overlapping] {
        let (sender, done) = channel();
        assert_eq!(store.append(wrong, 2, move |result| sender.send(result).unwrap()), 1);
        assert!(matches!(done.recv().unwrap(), Err(CommitError::Invalid { .. })));
    }
    assert_eq!((store.next_message(), store.last_wall_ms()), (11, 1));
    drop(store);
    assert_eq!(open(dir.path(), small()).1.len(), 1);
}

#[test]
fn the_journal_shrinks_to_its_floor_when_everything_is_dead_and_stragglers_are_moved() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), small());
    store.adopt(&mut std::iter::empty());
    let (sender, wanted) = channel();
    store.on_image_wanted(Box::new(move || sender.send(()).unwrap()));
    for number in 1..=3_000 {
        store.append(entry(number, 1), 1, |result| result.unwrap());
    }
    // One in a hundred stays.
    release(&store, (1..=3_000).filter(|number| number % 100 != 0));
    assert!(store.usage().journal_bytes > 900_000);
    wanted.recv().unwrap();
    let image = Entry { records: b"image".to_vec(), urgency: Urgency::Now, ..Entry::default() };
    let began = append_blocking(&store, image, 2);
    store.image_complete(began);
    let floor = |store: &Store| {
        let usage = store.usage();
        usage.journal_bytes <= 2 * usage.journal_live_bytes + small().slack_bytes
    };
    wait_until("the journal shrinks by itself", || floor(&store));
    assert!(wanted.try_recv().is_err(), "asked once");
    assert!(store.metrics().messages_moved >= 20, "{:?}", store.metrics());
    let kept: Vec<u64> = (1..=30).map(|index| index * 100).collect();
    for number in &kept {
        assert_eq!(store.load_blocking(*number).unwrap(), Some(message(*number)), "{number}");
    }
    assert_eq!(store.metrics().messages_live, 30);
    drop(store);
    let (store, replay) = open(dir.path(), small());
    assert!(replay.iter().any(|(_, _, records, _)| records == b"image"));
    store.adopt(&mut kept.iter().map(|number| (*number, 1)));
    for number in &kept {
        assert_eq!(store.load_blocking(*number).unwrap(), Some(message(*number)), "{number}");
    }
    assert_eq!((store.next_message(), store.metrics().messages_live), (3_001, 30));
}

#[test]
fn segments_of_state_alone_are_cleaned_without_an_owner_and_every_key_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    for round in 0..30_u32 {
        for key in 0..50_u32 {
            let mut batch = Batch::new();
            // Half of the keys are written once and never again, a few are deleted again.
            if key >= 25 || round == 0 {
                batch.put(Space::Twin, &key.to_be_bytes(), &[round as u8; 200]).unwrap();
            }
            batch.put(Space::Node, b"now", &round.to_be_bytes()).unwrap();
            if key >= 45 {
                batch.delete(Space::Twin, &key.to_be_bytes()).unwrap();
            }
            store.commit(batch, |result| result.unwrap());
        }
    }
    store.commit_blocking(Batch::new()).unwrap();
    wait_until("the journal is cleaned", || {
        let usage = store.usage();
        usage.journal_bytes <= 2 * usage.journal_live_bytes + small().slack_bytes
    });
    assert!(store.metrics().segments_cleaned > 0);
    drop(store);
    // The journal alone has all of it.
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    assert!(store.report().state_rebuilt);
    for key in 0..50_u32 {
        let expected = (key < 45).then(|| vec![if key < 25 { 0 } else { 29 }; 200]);
        assert_eq!(store.get(Space::Twin, &key.to_be_bytes()), Ok(expected), "{key}");
    }
    assert_eq!(store.metrics().keys, [45, 0, 0, 1]);
}

#[test]
fn compacting_leaves_what_is_wanted_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { slack_bytes: 1 << 30, ..small() };
    let (store, _) = open(dir.path(), config.clone());
    store.adopt(&mut std::iter::empty());
    for number in 1..=500 {
        append_blocking(&store, entry(number, 1), 1);
    }
    release(&store, (1..=500).filter(|number| number % 50 != 0));
    let mut batch = Batch::new();
    batch.put(Space::Node, b"kept", b"value").unwrap();
    store.commit_blocking(batch).unwrap();
    let handle = store.clone();
    store.on_image_wanted(Box::new(move || {
        let image = Entry { records: b"image".to_vec(), urgency: Urgency::Now, ..Entry::default() };
        handle.image_complete(handle.append(image, 2, |_| {}));
    }));
    assert!(store.usage().journal_bytes > 150_000);
    store.compact();
    wait_until("it is compacted", || !store.is_compacting());
    assert!(store.usage().journal_bytes < 5_000, "{:?}", store.usage());
    let check = |store: &Store| {
        for number in 1..=500 {
            let expected = (number % 50 == 0).then(|| message(number));
            assert_eq!(store.load_blocking(number).unwrap(), expected, "{number}");
        }
        assert_eq!(store.get(Space::Node, b"kept"), Ok(Some(b"value".to_vec())));
    };
    check(&store);
    // The callback that writes images holds a handle.
    store.on_image_wanted(Box::new(|| {}));
    drop(store);
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let (store, replay) = open(dir.path(), config);
    assert_eq!(replay.iter().map(|(_, _, records, _)| &records[..]).collect::<Vec<_>>(), [b"image"]);
    store.adopt(&mut (1..=10).map(|index| (index * 50, 1)));
    check(&store);
    assert_eq!(store.next_message(), 501);
}

#[test]
fn a_message_larger_than_a_segment_is_kept_loaded_and_moved_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), small());
    store.adopt(&mut std::iter::empty());
    let large: Vec<u8> = (0..5_000_000_u32).map(|index| (index % 251) as u8).collect();
    append_blocking(&store, entry(1, 1), 1);
    let records = [b"head", &large[..], b"tail"].concat();
    let messages = std::iter::once(4..4 + large.len() as u32).collect();
    let holds = vec![(2, 1)];
    let entry_2 = Entry { records, messages, first_message: 2, holds, urgency: Urgency::Now, ..Entry::default() };
    let (sender, done) = channel();
    store.append(entry_2, 1, move |result| sender.send(result).unwrap());
    assert!(store.load_blocking(2).unwrap() == Some(large.clone()), "before it is written");
    done.recv().unwrap().unwrap();
    append_blocking(&store, entry(3, 1), 1);
    assert!(store.load_blocking(2).unwrap() == Some(large.clone()), "from the disk");
    release(&store, [1].into_iter());
    store.compact();
    let image = Entry { records: b"image".to_vec(), urgency: Urgency::Now, ..Entry::default() };
    store.image_complete(append_blocking(&store, image, 2));
    wait_until("it is compacted", || !store.is_compacting());
    assert_eq!(store.metrics().messages_moved, 2);
    assert!(store.load_blocking(2).unwrap() == Some(large.clone()), "after it was moved");
    drop(store);
    let (store, replay) = open(dir.path(), small());
    assert_eq!(replay.len(), 1);
    store.adopt(&mut [(2, 1), (3, 1)].into_iter());
    assert!(store.load_blocking(2).unwrap() == Some(large), "after a restart");
    assert_eq!([1, 3].map(|number| store.load_blocking(number).unwrap()), [None, Some(message(3))]);
}
