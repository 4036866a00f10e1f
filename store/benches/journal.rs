//! Prints what the journal costs: an append on its caller, durable entries a second with group commit, loading,
//! reading everything back, checking and making the state again. Figures of one machine: compare runs, not numbers.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use selvedge_store::{Batch, Config, Entry, LocalDisk, Space, Store, Urgency};

const ENTRIES: u64 = 200_000;
/// Of those, appended while nothing else runs.
const ALONE: u64 = 50_000;
const MESSAGE_BYTES: usize = 300;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = Config { ballast_bytes: 0, gather_ms: 0, ..Config::default() };
    append(dir.path(), &config);
    recover(dir.path(), &config);
    state(&config);
    single(&config);
    during_cleaning(&config);
}

fn entry(number: u64, urgency: Urgency) -> Entry {
    let mut records = Vec::with_capacity(MESSAGE_BYTES + 24);
    records.extend_from_slice(&number.to_le_bytes());
    records.resize(MESSAGE_BYTES + 8, number as u8);
    Entry {
        messages: std::iter::once(8..records.len() as u32).collect(),
        records,
        first_message: number,
        holds: vec![(number, 1)],
        urgency,
        ..Entry::default()
    }
}

fn append(dir: &Path, config: &Config) {
    let store = Store::open(dir, config.clone()).expect("it opens");
    store.adopt(&mut std::iter::empty());
    append_alone(&store);
    let (sender, done) = channel();
    let mut inside = Duration::ZERO;
    let started = Instant::now();
    for number in ALONE + 1..=ENTRIES {
        let entry = entry(number, Urgency::Now);
        let sender = sender.clone();
        let before = Instant::now();
        store.append(entry, 1, move |result| {
            if number.is_multiple_of(1_000) {
                let _ = sender.send(result);
            }
        });
        inside += before.elapsed();
        if number.is_multiple_of(1_000) && number > ALONE + 20_000 {
            // Twenty thousand on their way at most, as a broker's receive maxima would see to.
            done.recv().expect("an answer").expect("it is durable");
        }
    }
    while done.recv_timeout(Duration::from_millis(200)).is_ok() {}
    store.commit_blocking(Batch::new()).expect("it is durable");
    let elapsed = started.elapsed();
    let metrics = store.metrics();
    let count = ENTRIES - ALONE;
    println!("append, busy     {:>8} ns an entry on the caller", inside.as_nanos() / u128::from(count));
    println!("durable          {:>8.0} entries/s, {} fsyncs", count as f64 / elapsed.as_secs_f64(), metrics.fsyncs);
    println!(
        "written          {:>8.2} bytes for one of the records",
        metrics.journal_bytes_written as f64 / (ENTRIES * 308) as f64
    );

    let started = Instant::now();
    let (sender, loaded) = channel();
    for first in (1..=ENTRIES).step_by(100) {
        let sender = sender.clone();
        store.load((first..first + 100).collect(), move |found| {
            let _ = sender.send(found.iter().filter(|found| found.is_some()).count());
        });
    }
    drop(sender);
    let found: usize = loaded.iter().take((ENTRIES / 100) as usize).sum();
    println!(
        "load             {:>8.0} messages/s in turn, {found} found",
        ENTRIES as f64 / started.elapsed().as_secs_f64()
    );
}

/// Appends while the writer thread is held up, so that only the caller's part is seen.
fn append_alone(store: &Store) {
    let (release, held) = channel::<()>();
    let (inside, is_inside) = channel();
    store.commit(Batch::new(), move |_| {
        let _ = inside.send(());
        let _ = held.recv();
    });
    is_inside.recv().expect("the writer thread is held up");
    let entries: Vec<Entry> = (1..=ALONE).map(|number| entry(number, Urgency::Now)).collect();
    let started = Instant::now();
    for entry in entries {
        store.append(entry, 1, |_| {});
    }
    println!("append, alone    {:>8} ns an entry on the caller", started.elapsed().as_nanos() / u128::from(ALONE));
    drop(release);
    store.commit_blocking(Batch::new()).expect("it is durable");
}

fn recover(dir: &Path, config: &Config) {
    let resident = resident_bytes();
    let started = Instant::now();
    let mut bytes = 0;
    let store =
        Store::open_with(dir, config.clone(), Arc::new(LocalDisk), &mut |replayed| bytes += replayed.records.len());
    let store = store.expect("it opens");
    let elapsed = started.elapsed();
    let journal = store.report().journal.bytes as f64;
    println!(
        "recovery         {:>8.0} MB/s ({:.0} MB in {elapsed:?}), {bytes} bytes of records",
        journal / 1e6 / elapsed.as_secs_f64(),
        journal / 1e6
    );
    let grown = resident_bytes().saturating_sub(resident);
    println!("resident         {:>8} bytes a message more, with sled and buffers", grown / ENTRIES);
    let started = Instant::now();
    store.adopt(&mut (1..=ENTRIES).map(|number| (number, 1)));
    println!("adopt            {:>8} ns a message", started.elapsed().as_nanos() / u128::from(ENTRIES));
}

fn state(config: &Config) {
    const KEYS: u32 = 50_000;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), config.clone()).expect("it opens");
    let started = Instant::now();
    for key in 0..KEYS {
        let mut batch = Batch::new();
        batch.put(Space::Twin, &key.to_be_bytes(), &[key as u8; 200]).expect("it fits");
        store.commit(batch, |result| result.expect("it is durable"));
    }
    store.commit_blocking(Batch::new()).expect("it is durable");
    println!("state            {:>8.0} puts/s", f64::from(KEYS) / started.elapsed().as_secs_f64());
    drop(store);
    let started = Instant::now();
    drop(Store::open(dir.path(), config.clone()).expect("it opens"));
    println!(
        "open             {:>8.1} ms with {KEYS} keys, all of them checked",
        started.elapsed().as_secs_f64() * 1e3
    );
    std::fs::remove_dir_all(dir.path().join("state")).expect("it is there");
    let started = Instant::now();
    let store = Store::open(dir.path(), config.clone()).expect("it opens");
    assert!(store.report().state_rebuilt);
    println!("rebuild          {:>8.1} ms with {KEYS} keys", started.elapsed().as_secs_f64() * 1e3);
}

fn single(config: &Config) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), config.clone()).expect("it opens");
    let mut times: Vec<Duration> = (1..=2_000).map(|number| one(&store, number)).collect();
    times.sort_unstable();
    println!(
        "one at a time    {:>8} µs median, {} µs in 99 of 100",
        times[1_000].as_micros(),
        times[1_980].as_micros()
    );
}

/// How long urgent entries take while the journal is cleaned at full speed.
fn during_cleaning(config: &Config) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), config.clone()).expect("it opens");
    store.adopt(&mut std::iter::empty());
    for number in 1..=ENTRIES {
        store.append(entry(number, Urgency::Lazy), 1, |_| {});
    }
    store.commit_blocking(Batch::new()).expect("it is durable");
    store.compact();
    let image = Entry { records: b"image".to_vec(), urgency: Urgency::Now, ..Entry::default() };
    store.image_complete(store.append(image, 1, |_| {}));
    let mut times = Vec::new();
    let mut number = ENTRIES;
    let started = Instant::now();
    while store.is_compacting() {
        number += 1;
        times.push(one(&store, number));
    }
    let rate = store.metrics().message_bytes_moved as f64 / 1e6 / started.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_micros();
    println!("while cleaning   {:>8} µs median, {} µs in 99 of 100, {} µs at most", at(50), at(99), at(100));
    println!("cleaning         {rate:>8.0} MB/s of messages moved");
}

fn one(store: &Store, number: u64) -> Duration {
    let (sender, done) = channel();
    let started = Instant::now();
    store.append(entry(number, Urgency::Now), 1, move |result| {
        let _ = sender.send(result);
    });
    done.recv().expect("an answer").expect("it is durable");
    started.elapsed()
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
