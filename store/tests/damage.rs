//! Damage to a data directory from outside: what is lost is said, what the journal or the state still has is made good,
//! and nothing is misread.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

use selvedge_store::{Batch, Config, Entry, LocalDisk, OpenError, Space, Store, Urgency};

fn config() -> Config {
    Config { segment_bytes: 4_096, slack_bytes: 16 * 1024, ballast_bytes: 0, ..Config::default() }
}

fn open(dir: &Path) -> (Store, Vec<Vec<u8>>) {
    let mut replay = Vec::new();
    let store =
        Store::open_with(dir, config(), Arc::new(LocalDisk), &mut |replayed| replay.push(replayed.records.to_vec()));
    (store.unwrap(), replay)
}

fn records(number: u32) -> Vec<u8> {
    format!("record {number} ").into_bytes().repeat(40)
}

/// Entries with records and a put each, in several segments.
fn fill(dir: &Path, numbers: std::ops::Range<u32>) {
    let (store, _) = open(dir);
    for number in numbers {
        let mut batch = Batch::new();
        batch.put(Space::Node, &number.to_be_bytes(), &[number as u8; 100]).unwrap();
        let (sender, done) = channel();
        let on_durable = Box::new(move |result| sender.send(result).unwrap());
        let state = vec![selvedge_store::Commit { batch, on_durable }];
        let entry = Entry { records: records(number), state, urgency: Urgency::Now, ..Entry::default() };
        store.append(entry, 1, |_| {});
        done.recv().unwrap().unwrap();
    }
}

fn check_state(store: &Store, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let value = store.get(Space::Node, &number.to_be_bytes());
        assert_eq!(value, Ok(Some(vec![number as u8; 100])), "{number}");
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "journal")).collect();
    paths.sort();
    paths
}

fn set_aside(dir: &Path) -> usize {
    let entries = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|kind| kind == "damaged")).count()
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_torn_tail_is_cut_off_and_is_no_damage() {
    for torn in [1, 30, 41, 200] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 0..10);
        let last = segments(dir.path()).pop().unwrap();
        let whole = fs::metadata(&last).unwrap().len();
        change(&last, |bytes| bytes.extend(bytes[40..240].to_vec().iter().take(torn)));
        let (store, replay) = open(dir.path());
        assert_eq!(replay.len(), 10);
        let dropped = store.report().journal.dropped.clone().expect("it is reported");
        assert!(!dropped.damage && dropped.set_aside.is_empty(), "{dropped:?}");
        assert_eq!((dropped.offset, dropped.bytes), (whole, torn as u64));
        assert_eq!(store.metrics().recovery_bytes_dropped, torn as u64);
        assert_eq!(fs::metadata(&last).unwrap().len(), whole);
        drop(store);
        assert!(open(dir.path()).0.report().journal.dropped.is_none());
    }
}

#[test]
fn damage_in_the_middle_sets_aside_what_is_behind_it_and_the_state_survives_in_the_journal_too() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..40);
    let paths = segments(dir.path());
    assert!(paths.len() >= 4);
    change(&paths[1], |bytes| bytes[900] ^= 1);
    let (store, replay) = open(dir.path());
    assert!(
        replay.len() > 5 && replay.len() < 20 && replay == (0..replay.len() as u32).map(records).collect::<Vec<_>>()
    );
    let dropped = store.report().journal.dropped.clone().expect("it is reported");
    assert!(dropped.damage && dropped.batches_behind > 20, "{dropped:?}");
    assert_eq!(dropped.set_aside.len(), paths.len() - 1);
    assert_eq!(set_aside(dir.path()), paths.len() - 1);
    check_state(&store, 0..40);
    assert!(store.report().copied && !store.report().state_rebuilt);
    drop(store);
    // What the state had is in the journal again.
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let (store, again) = open(dir.path());
    assert!(store.report().state_rebuilt && again == replay);
    check_state(&store, 0..40);
    drop(store);
    fill(dir.path(), 40..60);
    let (store, replay) = open(dir.path());
    assert_eq!(replay.last(), Some(&records(59)));
    check_state(&store, 0..60);
}

#[test]
fn a_segment_that_is_missing_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..40);
    let paths = segments(dir.path());
    fs::remove_file(&paths[2]).unwrap();
    let (store, replay) = open(dir.path());
    let dropped = store.report().journal.dropped.clone().expect("it is reported");
    assert!(dropped.damage && dropped.cause.contains("does not follow"), "{dropped:?}");
    assert_eq!(dropped.set_aside.len(), paths.len() - 3);
    assert_eq!(segments(dir.path())[..2], paths[..2]);
    assert!(replay == (0..replay.len() as u32).map(records).collect::<Vec<_>>());
    check_state(&store, 0..40);
}

#[test]
fn a_damaged_header_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..40);
    for path in segments(dir.path()) {
        change(&path, |bytes| bytes[3] ^= 0xff);
    }
    let (store, replay) = open(dir.path());
    assert_eq!(replay.len(), 40);
    assert_eq!(store.report().journal.headers_damaged.len(), segments(dir.path()).len());
    assert!(store.report().journal.dropped.is_none() && !store.report().state_rebuilt);
    check_state(&store, 0..40);
}

#[test]
fn a_state_that_is_older_than_the_journal_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (state, old) = (dir.path().join("state"), dir.path().join("old"));
    fill(dir.path(), 0..3);
    fs::rename(&state, &old).unwrap();
    let store = Store::open(dir.path(), config()).unwrap();
    store.adopt(&mut std::iter::empty());
    // Deletes what the old state still has, then so much that the segments with the deletes are cleaned.
    let mut batch = Batch::new();
    (0..3_u32).for_each(|number| batch.delete(Space::Node, &number.to_be_bytes()).unwrap());
    store.commit_blocking(batch).unwrap();
    for round in 0..200_u32 {
        let mut batch = Batch::new();
        batch.put(Space::Twin, b"same", &round.to_be_bytes().repeat(100)).unwrap();
        store.commit_blocking(batch).unwrap();
    }
    store.image_complete(store.append(Entry { records: b"image".to_vec(), ..Entry::default() }, 1, |_| {}));
    let started = std::time::Instant::now();
    while store.usage().journal_bytes > 30_000 {
        assert!(started.elapsed().as_secs() < 20, "{:?}", store.usage());
        std::thread::yield_now();
    }
    drop(store);
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&old, &state).unwrap();
    let store = Store::open(dir.path(), config()).unwrap();
    let quarantine = store.report().quarantine.clone().expect("it was set aside");
    assert_eq!(quarantine.cause, "it is older than the journal");
    assert_eq!(store.get(Space::Node, &0_u32.to_be_bytes()), Ok(None));
    assert_eq!(store.get(Space::Twin, b"same"), Ok(Some(199_u32.to_be_bytes().repeat(100))));
    assert_eq!(store.metrics().keys, [1, 0, 0, 0]);
}

#[test]
fn a_journal_that_is_gone_is_filled_from_the_state() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..20);
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    let (store, replay) = open(dir.path());
    assert!(store.report().copied && replay.is_empty());
    check_state(&store, 0..20);
    drop(store);
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    check_state(&open(dir.path()).0, 0..20);
}

#[test]
fn a_copy_of_the_state_that_was_cut_off_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..20);
    // As if the power went when nothing of the state was in the journal yet.
    for path in segments(dir.path()) {
        fs::remove_file(path).unwrap();
    }
    fs::write(dir.path().join("journal.incomplete"), b"").unwrap();
    let (store, _) = open(dir.path());
    assert!(store.report().copied);
    drop(store);
    assert!(!dir.path().join("journal.incomplete").exists());
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    check_state(&open(dir.path()).0, 0..20);
}

#[test]
fn what_a_newer_program_wrote_is_refused_in_words_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..20);
    let path = segments(dir.path()).remove(1);
    let whole = fs::read(&path).unwrap();
    let write_with_checksum = |change: &dyn Fn(&mut Vec<u8>), covered: std::ops::Range<usize>, at: usize| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        let crc = crc32fast::hash(&bytes[covered]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, bytes).unwrap();
    };
    write_with_checksum(&|bytes| bytes[8] = 9, 0..36, 36);
    let error = Store::open(dir.path(), config()).unwrap_err();
    assert!(matches!(error, OpenError::JournalNewer { found: 9, .. }), "{error}");
    assert!(error.to_string().contains("run the newer program"), "{error}");

    // A section of an unknown kind under a right checksum.
    let segment = u64::from_str_radix(path.file_stem().unwrap().to_str().unwrap(), 16).unwrap();
    let body_len = u32::from_le_bytes(whole[40..44].try_into().unwrap()) as usize;
    let mut bytes = whole.clone();
    bytes[80] = 77;
    let mut covered = segment.to_le_bytes().to_vec();
    covered.extend_from_slice(&bytes[40..44]);
    covered.extend_from_slice(&bytes[48..80 + body_len]);
    bytes[44..48].copy_from_slice(&crc32fast::hash(&covered).to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let error = Store::open(dir.path(), config()).unwrap_err();
    assert!(matches!(error, OpenError::JournalUnknown { offset: 40, tag: 77, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(dir.path()).1.len(), 20);
}

#[test]
fn a_segment_that_is_found_damaged_while_it_is_in_use_is_cleaned_at_once_and_only_what_was_hit_is_lost() {
    const MESSAGES: u64 = 60;
    let message = |number: u64| format!("message {number} ").repeat(20).into_bytes();
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.adopt(&mut std::iter::empty());
    for number in 1..=MESSAGES {
        let mut batch = Batch::new();
        batch.put(Space::Node, &(number as u32).to_be_bytes(), &[number as u8; 100]).unwrap();
        let records = message(number);
        let entry = Entry {
            messages: std::iter::once(0..records.len() as u32).collect(),
            records,
            first_message: number,
            holds: vec![(number, 1)],
            ..Entry::default()
        };
        store.append(entry, 1, |result| result.unwrap());
        store.commit_blocking(batch).unwrap();
    }
    let (sender, wanted) = channel();
    store.on_image_wanted(Box::new(move || sender.send(()).unwrap()));
    let damaged = segments(dir.path()).remove(1);
    let bytes = fs::read(&damaged).unwrap();
    let text = b" 12 message 12";
    let at = bytes.windows(text.len()).position(|window| window == text);
    let (number, at) = match at {
        Some(at) => (12, at),
        None => (9, bytes.windows(10).position(|window| window == b"message 9 ").expect("one of both")),
    };
    change(&damaged, |bytes| bytes[at + 1] ^= 1);
    assert_eq!(store.load_blocking(number).unwrap(), None);
    assert_eq!(store.metrics().messages_damaged, 1);
    // It is cleaned as soon as the owner's records before it are superseded.
    wanted.recv().unwrap();
    let image = Entry { records: b"image".to_vec(), urgency: Urgency::Now, ..Entry::default() };
    store.image_complete(store.append(image, 1, |_| {}));
    let started = std::time::Instant::now();
    while damaged.exists() {
        assert!(started.elapsed().as_secs() < 20, "{:?}", store.usage());
        std::thread::yield_now();
    }
    assert_eq!(set_aside(dir.path()), 1);
    let check = |store: &Store| {
        for other in 1..=MESSAGES {
            assert_eq!(store.load_blocking(other).unwrap(), (other != number).then(|| message(other)), "{other}");
            let value = store.get(Space::Node, &(other as u32).to_be_bytes());
            assert_eq!(value, Ok(Some(vec![other as u8; 100])));
        }
    };
    check(&store);
    drop(store);
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let (store, _) = open(dir.path());
    assert!(store.report().journal.dropped.is_none());
    store.adopt(&mut (1..=MESSAGES).map(|number| (number, 1)));
    check(&store);
}
