//! Memory of an open store with 0 and 10,000 twins of 20 fields, and the rate of durable updates. Prints figures and
//! asserts nothing. Each phase runs in a process of its own, so that memory of one does not show in the next.
//!
//! `cargo bench -p selvedge-twin --bench twins`; `SELVEDGE_BENCH_SECONDS` sets how long each rate is measured (5),
//! `SELVEDGE_BENCH_DISK` the directory whose disk is used (the current one).

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use selvedge_store::Store;
use selvedge_twin::{NodeId, Operation, Twins};

const TWINS: usize = 10_000;
const FIELDS: usize = 20;
const PHASE: &str = "SELVEDGE_TWIN_BENCH_PHASE";
const DIR: &str = "SELVEDGE_TWIN_BENCH_DIR";

fn main() {
    let dir = std::env::var_os(DIR);
    match (std::env::var(PHASE).ok().as_deref(), dir) {
        (Some(phase), Some(dir)) => run(phase, Path::new(&dir)),
        _ => run_all(),
    }
}

fn run_all() {
    let dir = tempfile::tempdir_in(std::env::var_os("SELVEDGE_BENCH_DISK").unwrap_or_else(|| ".".into()))
        .expect("a directory");
    for phase in ["empty", "fill", "idle", "read", "update"] {
        let status = Command::new(std::env::current_exe().expect("this program"))
            .env(PHASE, phase)
            .env(DIR, dir.path())
            .status()
            .expect("a process");
        assert!(status.success(), "phase {phase} failed");
    }
}

fn run(phase: &str, dir: &Path) {
    let bare = memory();
    let started = Instant::now();
    let store = Store::open(dir, selvedge_store::Config::default()).expect("the store opens");
    let twins = Twins::open(store.clone(), NodeId(1), selvedge_twin::Config::default()).expect("twins open");
    let open_ms = started.elapsed().as_secs_f64() * 1e3;
    match phase {
        "fill" => fill(&twins),
        "read" => read(&twins),
        "update" => {
            let time = Duration::from_secs(seconds());
            [1, 64, 512].into_iter().for_each(|window| update(&twins, &store, window, time));
        }
        _ => {}
    }
    let open = memory();
    println!(
        "{phase:>7}: {} twins, open {open_ms:.1} ms, PSS {} KiB before, {} KiB now; of it anonymous {} and {} KiB; peak RSS {} KiB; disk {} KiB",
        twins.metrics().twins,
        bare.pss,
        open.pss,
        bare.anonymous,
        open.anonymous,
        open.peak_rss,
        disk_kib(dir),
    );
}

fn fill(twins: &Twins) {
    let fields: Vec<String> = (0..FIELDS).map(|field| format!("\"field-{field}\":{}", field * 7)).collect();
    let payload = format!("{{\"state\":{{\"reported\":{{{}}}}}}}", fields.join(","));
    let started = Instant::now();
    let (sender, receiver) = mpsc::channel();
    for index in 0..TWINS {
        let sender = sender.clone();
        let done = move |replies: Vec<selvedge_twin::Reply>| {
            assert_eq!(replies[0].suffix, "update/accepted");
            sender.send(()).expect("someone listens");
        };
        twins.handle(&format!("thing-{index:05}"), Operation::Update, payload.as_bytes(), wall_ms(), done);
    }
    (0..TWINS).for_each(|_| receiver.recv().expect("a reply"));
    println!("   fill: {:.0} new twins a second", TWINS as f64 / started.elapsed().as_secs_f64());
}

fn read(twins: &Twins) {
    let started = Instant::now();
    for index in 0..TWINS {
        assert!(twins.get(&format!("thing-{index:05}")).expect("readable").is_some());
    }
    println!("   read: {:.1} us a twin from disk", started.elapsed().as_secs_f64() * 1e6 / TWINS as f64);
}

/// One field of changing twins, with `window` updates underway.
fn update(twins: &Twins, store: &Store, window: usize, time: Duration) {
    let before = store.metrics();
    let started = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let mut latencies = Vec::new();
    let mut sent = 0_usize;
    while latencies.len() < sent || started.elapsed() < time {
        while sent - latencies.len() < window && started.elapsed() < time {
            let sender = sender.clone();
            let at = Instant::now();
            let payload = format!("{{\"state\":{{\"reported\":{{\"field-3\":{sent}}}}}}}");
            let done = move |replies: Vec<selvedge_twin::Reply>| {
                assert_eq!(replies[0].suffix, "update/accepted");
                sender.send(at.elapsed()).expect("someone listens");
            };
            let thing = format!("thing-{:05}", sent * 7919 % TWINS);
            twins.handle(&thing, Operation::Update, payload.as_bytes(), wall_ms(), done);
            sent += 1;
        }
        if latencies.len() < sent {
            latencies.push(receiver.recv().expect("a reply"));
        }
    }
    let elapsed = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let after = store.metrics();
    let fsyncs = after.fsyncs - before.fsyncs;
    println!(
        " update: window {window}: {:.0} a second, p50 {:.2} ms, p99 {:.2} ms, {fsyncs} fsyncs of {:.0} us ({:.1} updates each), PSS then {} KiB",
        sent as f64 / elapsed,
        at(0.5),
        at(0.99),
        (after.fsync_us - before.fsync_us) as f64 / fsyncs as f64,
        sent as f64 / fsyncs as f64,
        memory().pss,
    );
}

/// How long each rate is measured.
fn seconds() -> u64 {
    std::env::var("SELVEDGE_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

struct Memory {
    pss: u64,
    anonymous: u64,
    peak_rss: u64,
}

fn memory() -> Memory {
    let smaps = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    Memory { pss: kib(&smaps, "Pss:"), anonymous: kib(&smaps, "Anonymous:"), peak_rss: kib(&status, "VmHWM:") }
}

fn disk_kib(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_kib(&entry.path()),
        Ok(metadata) => metadata.len() / 1024,
        Err(_) => 0,
    });
    sizes.sum()
}
