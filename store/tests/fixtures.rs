//! Data directories that earlier programs wrote still open, with everything in them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use selvedge_store::{Batch, Config, LocalDisk, Space, Store};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn fixture(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name), dir.path());
    dir
}

/// What the program that wrote the directory put into it.
fn check_state(store: &Store) {
    for number in 0..60_u32 {
        let deleted = (number + 1) % 3 == 0 && number < 59;
        let expected = (!deleted).then(|| format!("value {number}").into_bytes());
        assert_eq!(store.get(Space::KeyValue, format!("key-{number}").as_bytes()), Ok(expected), "{number}");
        let long = (number % 10 == 0).then(|| vec![number as u8; 9_000]);
        assert_eq!(store.get(Space::Function, format!("long-{number}").as_bytes()), Ok(long), "{number}");
    }
    for twin in 0..7_u32 {
        let last = (0..60_u32).rfind(|number| number % 7 == twin).unwrap();
        assert_eq!(store.get(Space::Twin, format!("twin-{twin}").as_bytes()), Ok(Some(last.to_be_bytes().to_vec())));
    }
    assert_eq!(store.get(Space::Node, b"last"), Ok(Some(59_u32.to_be_bytes().to_vec())));
    assert_eq!(store.metrics().keys, [7, 41, 6, 1]);
}

#[test]
fn a_directory_of_version_1_is_taken_over_into_the_journal() {
    let dir = fixture("version-1");
    let store = Store::open(dir.path(), Config::default()).unwrap();
    assert!(store.report().copied && store.report().quarantine.is_none());
    check_state(&store);
    drop(store);
    assert_eq!(fs::read_to_string(dir.path().join("format")).unwrap(), "selvedge-store 2\n");
    let store = Store::open(dir.path(), Config::default()).unwrap();
    assert!(!store.report().copied);
    let mut batch = Batch::new();
    batch.put(Space::Node, b"new", b"").unwrap();
    store.commit_blocking(batch).unwrap();
    drop(store);
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let store = Store::open(dir.path(), Config::default()).unwrap();
    assert_eq!(store.get(Space::Node, b"new"), Ok(Some(Vec::new())));
    assert_eq!(store.metrics().keys, [7, 41, 6, 2]);
}

#[test]
fn a_directory_of_version_2_opens_with_its_records_messages_and_state() {
    let dir = fixture("version-2");
    let mut replay = Vec::new();
    let config = Config { ballast_bytes: 0, ..Config::default() };
    let store = Store::open_with(dir.path(), config, Arc::new(LocalDisk), &mut |replayed| {
        replay.push((replayed.wall_ms, String::from_utf8(replayed.records.to_vec()).unwrap()));
    });
    let store = store.unwrap();
    let report = store.report();
    assert!(!report.copied && !report.state_rebuilt && report.quarantine.is_none(), "{report:?}");
    assert!(report.journal.dropped.is_none() && report.journal.headers_damaged.is_empty());
    let after = (0..4).map(|number| (1_800_000_000_001, format!("after {number}")));
    let expected: Vec<_> = std::iter::once((1_800_000_000_000, "image".to_owned())).chain(after).collect();
    assert_eq!(replay, expected);
    assert_eq!((store.next_message(), store.last_wall_ms()), (121, 1_800_000_000_001));
    let held = || (0..60_u64).filter(|number| number % 4 == 0).map(|number| number * 2 + 1);
    store.adopt(&mut held().map(|number| (number, 1)));
    for number in 1..=120 {
        let expected = held().any(|held| held == number).then(|| format!("message {number}").repeat(5).into_bytes());
        assert_eq!(store.load_blocking(number).unwrap(), expected, "{number}");
    }
    check_state(&store);
}
