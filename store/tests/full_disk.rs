//! A disk that is really full: nothing that waits is failed, nothing that was acknowledged is lost, reads go on, and
//! everything is made good when there is room. Runs on a small file system in memory, in a mount namespace of its own.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use selvedge_store::{Batch, Config, Entry, Health, LocalDisk, Space, Store, Urgency};

const CHILD_DIR: &str = "SELVEDGE_STORE_FULL_DIR";
const DISK_BYTES: usize = 24 << 20;

#[test]
fn what_waits_on_a_full_disk_is_done_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size={DISK_BYTES} tmpfs {}", dir.path().display());
    let possible = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        // Not `println!`, which nobody sees of a test that passes.
        let _ =
            writeln!(io::stdout(), "SKIPPED full disk of the store: no file system can be mounted in a namespace here");
        return;
    }
    let test = std::env::current_exe().unwrap();
    let run = format!("{mount} && exec {} --exact in_the_small_file_system --nocapture", test.display());
    let output = Command::new("unshare").args(["-rm", "sh", "-c", &run]).env(CHILD_DIR, dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("nothing was lost"), "{text}");
}

/// Not a test of its own: what runs in the namespace.
#[test]
fn in_the_small_file_system() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let root = Path::new(&dir);
    let store_dir = root.join("store");
    // With nothing kept free sled itself meets the full disk.
    for free_bytes_min in [2 << 20, 0] {
        for filled in ["state", "entries"] {
            fill_and_free(root, &store_dir, filled, free_bytes_min);
        }
    }
    println!("nothing was lost");
}

fn config(free_bytes_min: u64) -> Config {
    Config {
        segment_bytes: 256 * 1024,
        slack_bytes: 1024 * 1024,
        checkpoint_bytes: 256 * 1024,
        free_bytes_min,
        ..Config::default()
    }
}

fn fill_and_free(root: &Path, dir: &Path, kind: &str, free_bytes_min: u64) {
    let mut replayed = 0;
    let store = Store::open_with(dir, config(free_bytes_min), Arc::new(LocalDisk), &mut |_| replayed += 1).unwrap();
    let before = replayed;
    let filler = root.join("filler");
    let free = usize::try_from(store.usage().free_bytes).unwrap();
    fs::write(&filler, vec![1; free - (2 << 20)]).unwrap();

    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut appended = 0;
    let is_stuck =
        |store: &Store, appended| store.backlog().bytes > 100_000 && appended > 400 && !dir.join("ballast").exists();
    while store.health() == Health::Good || !is_stuck(&store, appended) {
        let acknowledged = acknowledged.clone();
        let on_durable = move |result: Result<(), selvedge_store::CommitError>| {
            result.expect("nothing is failed because the disk is full");
            acknowledged.fetch_add(1, Ordering::Relaxed);
        };
        if kind == "state" {
            store.commit_now(put(appended), on_durable);
        } else {
            let records = vec![appended as u8; 8_000];
            store.append(Entry { records, urgency: Urgency::Now, ..Entry::default() }, 1, on_durable);
        }
        appended += 1;
        std::thread::sleep(Duration::from_micros(300));
        assert!(appended < 20_000, "the disk is never full");
    }
    assert!(matches!(store.health(), Health::DiskFull { .. }), "{:?}", store.health());
    std::thread::sleep(Duration::from_millis(300));
    let readable = acknowledged.load(Ordering::Relaxed);
    if kind == "state" && free_bytes_min > 0 {
        (0..readable).for_each(|number| check(&store, number));
    }

    fs::remove_file(&filler).unwrap();
    let started = Instant::now();
    while acknowledged.load(Ordering::Relaxed) < appended || store.health() != Health::Good {
        assert!(started.elapsed() < Duration::from_secs(20), "{} of {appended}", acknowledged.load(Ordering::Relaxed));
        std::thread::sleep(Duration::from_millis(10));
    }
    let check_all = |store: &Store| {
        if kind == "state" {
            (0..appended).for_each(|number| check(store, number));
        }
    };
    check_all(&store);
    drop(store);
    let mut replayed = 0;
    let store = Store::open_with(dir, config(free_bytes_min), Arc::new(LocalDisk), &mut |_| replayed += 1).unwrap();
    assert_eq!(store.report().quarantine, None);
    assert!(store.report().journal.dropped.is_none());
    check_all(&store);
    if kind == "entries" {
        assert_eq!(replayed, before + appended);
    }
    assert!(dir.join("ballast").exists(), "the ballast is back");
}

/// Half of the keys are written again and again.
fn put(number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::KeyValue, &number.to_be_bytes(), &[number as u8; 900]).unwrap();
    batch.put(Space::Twin, &(number % 50).to_be_bytes(), &[number as u8; 3_000]).unwrap();
    batch
}

fn check(store: &Store, number: u64) {
    let value = store.get(Space::KeyValue, &number.to_be_bytes()).unwrap();
    assert!(value == Some(vec![number as u8; 900]), "{number}");
}
