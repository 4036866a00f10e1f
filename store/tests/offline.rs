//! Checking, exporting, importing and compacting a store that no node has open.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selvedge_store::{
    Batch, CompactError, Config, Entry, ExportError, ImportError, JournalOwner, LocalDisk, OpenError, Replayed, Space,
    Store, Urgency, check, compact, export, import,
};

const MESSAGES: u64 = 200;

fn config() -> Config {
    Config { segment_bytes: 8 * 1024, slack_bytes: 1 << 30, ballast_bytes: 0, ..Config::default() }
}

fn message(number: u64) -> Vec<u8> {
    format!("message {number} ").repeat(12).into_bytes()
}

/// Messages of which every tenth is held, records, and state with deletes.
fn fill(dir: &Path) {
    let store = Store::open(dir, config()).unwrap();
    for number in 1..=MESSAGES {
        let mut records = vec![1];
        records.extend_from_slice(&message(number));
        let entry = Entry {
            messages: std::iter::once(1..records.len() as u32).collect(),
            records,
            first_message: number,
            holds: vec![(number, 1)],
            ..Entry::default()
        };
        store.append(entry, 1_000 + number, |result| result.unwrap());
        let mut batch = Batch::new();
        batch.put(Space::KeyValue, &number.to_be_bytes(), &[number as u8; 50]).unwrap();
        if number % 2 == 0 {
            batch.delete(Space::KeyValue, &(number - 1).to_be_bytes()).unwrap();
        }
        store.commit(batch, |result| result.unwrap());
    }
    let holds = (1..=MESSAGES).filter(|number| !held(*number)).map(|number| (number, -1)).collect();
    let entry = Entry { records: b"\x02released".to_vec(), holds, urgency: Urgency::Now, ..Entry::default() };
    store.append(entry, 2_000, |result| result.unwrap());
}

fn held(number: u64) -> bool {
    number.is_multiple_of(10)
}

fn check_state(store: &Store) {
    for number in 1..=MESSAGES {
        let expected = number.is_multiple_of(2).then(|| vec![number as u8; 50]);
        assert_eq!(store.get(Space::KeyValue, &number.to_be_bytes()), Ok(expected), "{number}");
    }
}

/// Knows what [`fill`] did.
#[derive(Default)]
struct Owner {
    replayed: Vec<(u64, Vec<u8>)>,
    is_lost: bool,
}

impl JournalOwner for Owner {
    fn replay(&mut self, replayed: Replayed<'_>) {
        self.replayed.push((replayed.wall_ms, replayed.records.to_vec()));
    }

    fn holds(&mut self) -> Result<Vec<(u64, u32)>, String> {
        if self.is_lost {
            return Err("written by a newer program".to_owned());
        }
        Ok((1..=MESSAGES).filter(|number| held(*number)).map(|number| (number, 1)).collect())
    }

    fn image(&mut self) -> Vec<Vec<u8>> {
        vec![b"image begins".to_vec(), b"image ends".to_vec()]
    }
}

fn open(dir: &Path) -> (Store, Owner) {
    let mut owner = Owner::default();
    let store = Store::open_with(dir, config(), Arc::new(LocalDisk), &mut |replayed| owner.replay(replayed)).unwrap();
    (store, owner)
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_sound_store_is_found_sound_and_nothing_in_its_journal_changes() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let before = files(dir.path());
    let mut last = 0;
    let report = check(dir.path(), &config(), &mut |progress| {
        assert!(progress.done >= last && progress.done <= progress.total);
        last = progress.done;
    });
    let report = report.unwrap();
    assert!(report.is_sound() && report.format == Some(2), "{report:?}");
    assert_eq!((report.messages, report.batches_with_records, report.operations), (200, 201, 300));
    assert_eq!(report.keys, [0, 100, 0, 0]);
    assert!(report.journal.segments > 5 && report.set_aside.is_empty());
    assert_eq!(files(dir.path()), before);
}

#[test]
fn damage_is_found_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let path = files(dir.path()).into_keys().nth(2).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[2_000] ^= 4;
    fs::write(&path, bytes).unwrap();
    let before = files(dir.path());
    let report = check(dir.path(), &config(), &mut |_| {}).unwrap();
    let dropped = report.journal.dropped.clone().expect("it is found");
    assert!(dropped.damage && dropped.set_aside.is_empty() && !report.is_sound(), "{dropped:?}");
    assert_eq!(report.state_problem.as_deref(), Some("it is ahead of the journal"));
    assert_eq!(files(dir.path()), before);
    fs::write(dir.path().join("state").join("conf"), b"garbage").unwrap();
    assert!(check(dir.path(), &config(), &mut |_| {}).unwrap().state_problem.is_some());
    drop(open(dir.path()));
    assert!(!check(dir.path(), &config(), &mut |_| {}).unwrap().set_aside.is_empty());
}

#[test]
fn a_store_that_is_open_is_not_checked() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(dir.path(), config()).unwrap();
    assert!(matches!(check(dir.path(), &config(), &mut |_| {}), Err(OpenError::Locked { .. })));
}

#[test]
fn what_is_exported_is_there_after_an_import_with_or_without_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (from, file) = (dir.path().join("from"), dir.path().join("file"));
    fill(&from);
    let (store, whole) = open(&from);
    drop(store);
    for with_owner in [false, true] {
        let to = dir.path().join(format!("to {with_owner}"));
        let mut owner = Owner::default();
        let known: Option<&mut dyn JournalOwner> = if with_owner { Some(&mut owner) } else { None };
        let mut done = Vec::new();
        let exported = export(&from, &config(), &file, known, &mut |progress| done.push(progress)).unwrap();
        assert!(done.last().is_some_and(|last| last.done == last.total));
        assert_eq!((exported.keys, exported.messages), (100, if with_owner { 20 } else { 200 }));
        let imported = import(&file, &to, &config(), &mut |progress| assert!(progress.done <= progress.total));
        assert_eq!(imported.unwrap(), exported);
        let (store, again) = open(&to);
        check_state(&store);
        if with_owner {
            let records: Vec<_> = again.replayed.iter().map(|(_, records)| &records[..]).collect();
            assert_eq!(records, [&b"image begins"[..], b"image ends"]);
        } else {
            assert_eq!(again.replayed, whole.replayed);
        }
        store.adopt(&mut owner.holds().unwrap().into_iter());
        for number in 1..=MESSAGES {
            assert_eq!(store.load_blocking(number).unwrap(), held(number).then(|| message(number)), "{number}");
        }
        assert_eq!(store.next_message(), MESSAGES + 1);
        drop(store);
        assert!(check(&to, &config(), &mut |_| {}).unwrap().is_sound());
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn messages_that_were_moved_are_exported_too() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, file) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("file"));
    fill(&from);
    compact(&from, &config(), Some(&mut Owner::default()), &mut |_| {}).unwrap();
    let exported = export(&from, &config(), &file, None, &mut |_| {}).unwrap();
    assert_eq!((exported.messages, exported.keys, exported.batches), (20, 100, 2));
    import(&file, &to, &config(), &mut |_| {}).unwrap();
    let (store, _) = open(&to);
    check_state(&store);
    assert_eq!(store.load_blocking(50).unwrap(), Some(message(50)));
}

#[test]
fn a_damaged_newer_or_foreign_file_is_refused_in_words_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, file) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("file"));
    fill(&from);
    export(&from, &config(), &file, None, &mut |_| {}).unwrap();
    let whole = fs::read(&file).unwrap();
    let refuse = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let error = import(&file, &to, &config(), &mut |_| {}).unwrap_err();
        assert!(!to.exists() && !dir.path().join("to.importing").exists());
        error
    };
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    assert!(matches!(refuse(&damaged), ImportError::Damaged { .. }));
    assert!(matches!(refuse(&whole[..whole.len() - 5]), ImportError::CutOff { .. }));
    assert!(matches!(refuse(b"something else, long enough"), ImportError::Foreign { .. }));
    let mut newer = whole.clone();
    newer[8] = 9;
    let error = refuse(&newer);
    assert!(matches!(error, ImportError::Newer { found: 9, .. }) && error.to_string().contains("newer program"));
    // Left behind by an import that was cut off.
    fs::create_dir_all(dir.path().join("to.importing").join("state")).unwrap();
    fs::write(&file, &whole).unwrap();
    import(&file, &to, &config(), &mut |_| {}).unwrap();
    check_state(&open(&to).0);
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (from, file) = (dir.path().join("from"), dir.path().join("file"));
    fill(&from);
    fs::write(&file, b"something").unwrap();
    let exported = export(&from, &config(), &file, None, &mut |_| {});
    assert!(matches!(exported, Err(ExportError::Exists { .. })));
    assert_eq!(fs::read(&file).unwrap(), b"something");
    fs::remove_file(&file).unwrap();
    export(&from, &config(), &file, None, &mut |_| {}).unwrap();
    assert!(matches!(import(&file, &from, &config(), &mut |_| {}), Err(ImportError::NotEmpty { .. })));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    import(&file, &empty, &config(), &mut |_| {}).unwrap();
    check_state(&open(&empty).0);
}

#[test]
fn compacting_leaves_what_the_owner_holds_and_without_it_the_records() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let report = compact(dir.path(), &config(), None, &mut |_| {}).unwrap();
    assert_eq!(report.bytes_before, report.bytes_after, "its records are in the first segment");
    let mut steps = 0;
    let mut owner = Owner::default();
    let report = compact(dir.path(), &config(), Some(&mut owner), &mut |progress| {
        assert!(progress.done <= progress.total);
        steps += 1;
    });
    let report = report.unwrap();
    assert_eq!(owner.replayed.len(), 201);
    assert!(report.bytes_after < report.bytes_before / 4 && steps > 0, "{report:?}");
    let (store, owner) = open(dir.path());
    assert_eq!(owner.replayed.len(), 2);
    check_state(&store);
    for number in (1..=MESSAGES).filter(|number| held(*number)) {
        assert_eq!(store.load_blocking(number).unwrap(), Some(message(number)), "{number}");
    }
}

#[test]
fn an_owner_that_does_not_understand_its_records_loses_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let before = files(dir.path());
    let mut owner = Owner { is_lost: true, ..Owner::default() };
    let path = dir.path().join("exported");
    let exported = export(dir.path(), &config(), &path, Some(&mut owner), &mut |_| {});
    assert!(matches!(&exported, Err(ExportError::Owner { cause }) if cause.contains("newer")), "{exported:?}");
    assert!(!path.exists());
    let compacted = compact(dir.path(), &config(), Some(&mut owner), &mut |_| {});
    assert!(matches!(&compacted, Err(CompactError::Owner { cause }) if cause.contains("newer")), "{compacted:?}");
    for (path, bytes) in before {
        assert!(std::fs::read(&path).unwrap().starts_with(&bytes), "{} was touched", path.display());
    }
}

#[test]
fn a_directory_of_state_alone_is_compacted_without_an_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), config()).unwrap();
    for round in 0..300_u32 {
        let mut batch = Batch::new();
        batch.put(Space::Twin, b"same", &round.to_be_bytes().repeat(50)).unwrap();
        store.commit_blocking(batch).unwrap();
    }
    drop(store);
    let report = compact(dir.path(), &config(), None, &mut |_| {}).unwrap();
    assert!(report.bytes_before > 60_000 && report.bytes_after < 1_000, "{report:?}");
    let store = Store::open(dir.path(), config()).unwrap();
    assert_eq!(store.get(Space::Twin, b"same"), Ok(Some(299_u32.to_be_bytes().repeat(50))));
}
