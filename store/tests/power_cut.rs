//! The database after a cut of the power: sled writes without fsync most of the time, so that its files may be any mixture of
//! what was durable and what was written since, names too. Whatever is found, the store says what was acknowledged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_store::{Batch, Config, Disk, DiskFile, LocalDisk, Space, Store};

const PAGE: usize = 4096;
const ROUNDS_VARIABLE: &str = "SELVEDGE_STORE_POWER_CUTS";
const ROUNDS: u64 = 30;

/// Content of sled's files by name.
type Files = BTreeMap<String, Vec<u8>>;

/// Remembers sled's files as they were at each fsync of the database.
struct WatchedDisk {
    state: PathBuf,
    durable: Mutex<Files>,
    syncs: AtomicU64,
}

impl Disk for WatchedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        LocalDisk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        LocalDisk.open(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        LocalDisk.create_directory(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        LocalDisk.list(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_directory(path)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        *self.durable.lock() = files(&self.state);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        LocalDisk.sync_file(file)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        LocalDisk.allocate(file, bytes)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        LocalDisk.free_bytes(path)
    }
}

/// Files that sled removes meanwhile are left out.
fn files(dir: &Path) -> Files {
    let Ok(entries) = fs::read_dir(dir) else { return Files::new() };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file());
    paths.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), fs::read(&path).ok()?))).collect()
}

fn config() -> Config {
    Config {
        segment_bytes: 64 * 1024,
        slack_bytes: 256 * 1024,
        checkpoint_bytes: 64 * 1024,
        ballast_bytes: 0,
        ..Config::default()
    }
}

#[test]
fn any_mixture_of_old_and_new_pages_of_the_database_costs_nothing_that_was_acknowledged() {
    let rounds = std::env::var(ROUNDS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut random = Random(0x5eed_0bad_cafe_0003);
    let (mut rebuilt, mut syncs) = (0, 0);
    for round in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        let before = dir.path().join("before");
        let state = before.join("state");
        let disk = Arc::new(WatchedDisk { state, durable: Mutex::default(), syncs: AtomicU64::new(0) });
        let store = Store::open_on(&before, config(), disk.clone()).unwrap();
        let mut model = BTreeMap::new();
        for _ in 0..random.next() % 1_500 {
            store.commit(change(&mut random, &mut model), |result| result.unwrap());
            if random.next().is_multiple_of(50) {
                thread::sleep(Duration::from_micros(random.next() % 3_000));
            }
        }
        let held = hold(&store);
        // The power goes now: the journal is durable, sled's files are what chance makes of them.
        let (durable, written) = (disk.durable.lock().clone(), files(&disk.state));
        let after = dir.path().join("after");
        fs::create_dir_all(after.join("journal")).unwrap();
        fs::create_dir_all(after.join("state")).unwrap();
        fs::copy(before.join("format"), after.join("format")).unwrap();
        for (name, content) in files(&before.join("journal")) {
            fs::write(after.join("journal").join(name), content).unwrap();
        }
        for (name, content) in mixture(&durable, &written, &mut random) {
            fs::write(after.join("state").join(name), content).unwrap();
        }
        syncs += disk.syncs.load(Ordering::Relaxed);
        drop(held);
        drop(store);

        let store = Store::open(&after, config()).unwrap();
        rebuilt += u64::from(store.report().state_rebuilt);
        assert!(store.report().journal.dropped.is_none(), "round {round}");
        let found: BTreeMap<_, _> = store.scan(Space::Twin, b"", None, usize::MAX).map(Result::unwrap).collect();
        assert!(found == model, "round {round}: {} keys of {}", found.len(), model.len());
        assert_eq!(store.metrics().keys[Space::Twin.index()], model.len() as u64);
    }
    println!("{rounds} cuts, {rebuilt} rebuilds, {syncs} fsyncs of the database");
    assert!(syncs > rounds);
}

/// Holds the writer thread, so that the journal can be copied, until the sender is dropped. A checkpoint may run on.
fn hold(store: &Store) -> Sender<()> {
    let (release, held) = channel::<()>();
    let (entered, is_held) = channel();
    store.commit(Batch::new(), move |_| {
        entered.send(()).unwrap();
        let _ = held.recv();
    });
    is_held.recv().unwrap();
    release
}

/// Some keys over and over, some once; values short, long, and gone.
fn change(random: &mut Random, model: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..1 + random.next() % 3 {
        let range = if random.next().is_multiple_of(3) { 5_000 } else { 20 };
        let key = ((random.next() % range) as u32).to_be_bytes().to_vec();
        if random.next().is_multiple_of(5) {
            batch.delete(Space::Twin, &key).unwrap();
            model.remove(&key);
        } else {
            let length = [10, 300, 3_000, 9_000][(random.next() % 4) as usize];
            let value = vec![random.next() as u8; length];
            batch.put(Space::Twin, &key, &value).unwrap();
            model.insert(key, value);
        }
    }
    batch
}

fn mixture(durable: &Files, written: &Files, random: &mut Random) -> Files {
    let keep = [0, 20, 50, 80, 100][(random.next() % 5) as usize];
    let mut chance = || random.next() % 100 < keep;
    let mut mixed = Files::new();
    for name in durable.keys().chain(written.keys()) {
        let (old, new) = (durable.get(name), written.get(name));
        // A name that is only in one of both may be there or not.
        let there = match (old, new) {
            (Some(_), Some(_)) => true,
            (None, Some(_)) => chance(),
            _ => !chance(),
        };
        if !there || mixed.contains_key(name) {
            continue;
        }
        let empty = Vec::new();
        let (old, new) = (old.unwrap_or(&empty), new.unwrap_or(&empty));
        let mut content = old.clone();
        content.resize(if chance() { new.len() } else { old.len().max(1) }, 0);
        for start in (0..content.len()).step_by(PAGE) {
            let end = (start + PAGE).min(content.len()).min(new.len());
            if start < end && chance() {
                content[start..end].copy_from_slice(&new[start..end]);
            }
        }
        mixed.insert(name.clone(), content);
    }
    mixed
}

/// xorshift: any sequence will do, and a fixed one can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
