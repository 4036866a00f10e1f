//! What is acknowledged survives kill -9: a child process commits numbered batches, or appends numbered entries with
//! messages, and prints each number from its durable callback; it is killed at a random moment; every printed number must
//! be there, and every batch whole.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use selvedge_store::{Batch, Config, Entry, LocalDisk, Space, Store, Urgency};

const ROUNDS: u64 = 20;
const CHILD_DIR: &str = "SELVEDGE_STORE_KILL_DIR";
const CHILD_FIRST: &str = "SELVEDGE_STORE_KILL_FIRST";
const ENTRIES_DIR: &str = "SELVEDGE_STORE_KILL_ENTRIES_DIR";
/// So many messages are held at a time.
const HELD: u64 = 50;
/// Batches underway at a time in the child.
const WINDOW: usize = 16;

/// One test at a time: a child that is just being started by the other holds, until it runs its program, whatever files
/// are open here, the lock of a store among them.
static ALONE: Mutex<()> = Mutex::new(());

/// Not a test of its own: what the child process runs.
#[test]
fn commit_numbered_batches_until_killed() {
    let (Some(dir), Ok(first)) = (std::env::var_os(CHILD_DIR), std::env::var(CHILD_FIRST)) else { return };
    let store = Store::open(Path::new(&dir), Config::default()).unwrap();
    let (sender, permits) = std::sync::mpsc::sync_channel(WINDOW);
    (0..WINDOW).for_each(|_| sender.send(()).unwrap());
    for number in first.parse::<u64>().unwrap().. {
        permits.recv().unwrap();
        let sender = sender.clone();
        store.commit(numbered(number), move |result| {
            result.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "durable {number}").and_then(|()| out.flush()).unwrap();
            sender.send(()).unwrap();
        });
    }
}

#[test]
fn every_batch_that_was_called_durable_is_there_and_whole_after_kill_9() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(0x5eed_1234_abcd_0001);
    let mut next = 0;
    let mut durable = 0;
    for round in 0..ROUNDS {
        let mut child = spawn(dir.path(), next);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kill_after = 1 + random.next() % 60;
        let mut last = None;
        for line in lines.by_ref().map_while(Result::ok) {
            last = number_in(&line).or(last);
            if last.is_some_and(|last| last + 1 >= next + kill_after) {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was printed before the kill counts, also if it was not read until now.
        last = lines.map_while(Result::ok).filter_map(|line| number_in(&line)).last().or(last);
        durable = last.map_or(durable, |last| last + 1);

        let store = Store::open(dir.path(), Config::default()).unwrap();
        assert_eq!(store.report().quarantine, None, "round {round}");
        next = 0;
        while check(&store, next) {
            next += 1;
        }
        assert!(next >= durable, "round {round}: {durable} batches were durable, {next} are there");
        assert_eq!(store.metrics().keys[Space::KeyValue.index()], next, "nothing after a gap");
    }
    assert!(durable >= ROUNDS, "the child got something done in each round");
}

/// Not a test of its own: what the child process of the next one runs. Entry n holds message n and lets n - 50 go.
#[test]
fn append_numbered_entries_until_killed() {
    let Some(dir) = std::env::var_os(ENTRIES_DIR) else { return };
    let (store, last) = open_entries(Path::new(&dir));
    let (wanted, is_wanted) = std::sync::mpsc::channel();
    store.on_image_wanted(Box::new(move || wanted.send(()).unwrap()));
    let (sender, permits) = std::sync::mpsc::sync_channel(WINDOW);
    (0..WINDOW).for_each(|_| sender.send(()).unwrap());
    for number in last + 1.. {
        permits.recv().unwrap();
        if is_wanted.try_recv().is_ok() {
            let image = Entry { records: record(b'I', number - 1, b""), ..Entry::default() };
            store.image_complete(store.append(image, 1, |_| {}));
        }
        let records = record(b'E', number, &message(number));
        let mut holds = vec![(number, 1)];
        holds.extend(number.checked_sub(HELD).filter(|old| *old > 0).map(|old| (old, -1)));
        let messages = std::iter::once(9..records.len() as u32).collect();
        let urgency = if number.is_multiple_of(3) { Urgency::Lazy } else { Urgency::Now };
        let entry = Entry { records, messages, first_message: number, holds, urgency, ..Entry::default() };
        let sender = sender.clone();
        store.append(entry, 1, move |result| {
            result.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "durable {number}").and_then(|()| out.flush()).unwrap();
            sender.send(()).unwrap();
        });
    }
}

#[test]
fn every_entry_that_was_called_durable_is_there_with_the_messages_that_are_held_after_kill_9() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(0x5eed_4321_dcba_0002);
    let mut cleaned = false;
    for round in 0..ROUNDS {
        let before = open_entries(dir.path()).1;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "append_numbered_entries_until_killed", "--nocapture"])
            .env(ENTRIES_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kill_after = before + 1 + random.next() % 400;
        let reached = lines.by_ref().map_while(Result::ok).filter_map(|line| number_in(&line));
        let mut durable = reached.take_while(|number| *number < kill_after).last();
        child.kill().unwrap();
        child.wait().unwrap();
        durable = lines.map_while(Result::ok).filter_map(|line| number_in(&line)).last().or(durable);

        let (store, last) = open_entries(dir.path());
        assert!(last >= durable.unwrap_or(before), "round {round}: {durable:?} was durable, {last} is there");
        for number in 1..=last {
            let expected = (number + HELD > last).then(|| message(number));
            assert_eq!(store.load_blocking(number).unwrap(), expected, "round {round}: {number} of {last}");
        }
        cleaned |= !dir.path().join("journal").join("0000000000000001.journal").exists();
    }
    assert!(cleaned, "segments were removed while it was killed");
}

/// Opens a store of numbered entries, checks that none is missing, and gives the last number.
fn open_entries(dir: &Path) -> (Store, u64) {
    let config = Config { segment_bytes: 8 * 1024, slack_bytes: 32 * 1024, ballast_bytes: 0, ..Config::default() };
    let mut last = 0;
    let store = Store::open_with(dir, config, Arc::new(LocalDisk), &mut |replayed| {
        let number = u64::from_le_bytes(replayed.records[1..9].try_into().unwrap());
        match replayed.records[0] {
            b'E' => {
                assert!(last == 0 || number == last + 1, "{number} follows {last}");
                assert_eq!(replayed.records[9..], message(number));
                last = number;
            }
            _ => {
                assert!(last == 0 || number == last, "an image of {number} follows {last}");
                last = number;
            }
        }
    });
    let store = store.unwrap();
    assert!(store.report().journal.dropped.as_ref().is_none_or(|dropped| !dropped.damage));
    store.adopt(&mut (1..=last).filter(|number| number + HELD > last).map(|number| (number, 1)));
    (store, last)
}

fn record(kind: u8, number: u64, rest: &[u8]) -> Vec<u8> {
    [&[kind], &number.to_le_bytes()[..], rest].concat()
}

fn message(number: u64) -> Vec<u8> {
    vec![number as u8; 100 + (number % 7) as usize * 60]
}

fn spawn(dir: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commit_numbered_batches_until_killed", "--nocapture"])
        .env(CHILD_DIR, dir)
        .env(CHILD_FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The test harness prints the test's name on the same line, so the number may be anywhere in it.
fn number_in(line: &str) -> Option<u64> {
    line.split("durable ").nth(1)?.trim().parse().ok()
}

/// Three spaces, sometimes a value in chunks.
fn numbered(number: u64) -> Batch {
    let mut batch = Batch::new();
    let key = number.to_be_bytes();
    let length = if number.is_multiple_of(7) { 20_000 } else { 30 };
    batch.put(Space::KeyValue, &key, &vec![number as u8; length]).unwrap();
    batch.put(Space::Twin, &key, b"same batch").unwrap();
    batch.put(Space::Node, b"last", &key).unwrap();
    batch
}

/// Whether batch `number` is there; panics if only a part of it is.
fn check(store: &Store, number: u64) -> bool {
    let key = number.to_be_bytes();
    let value = store.get(Space::KeyValue, &key).unwrap();
    let twin = store.get(Space::Twin, &key).unwrap();
    assert_eq!(value.is_some(), twin.is_some(), "batch {number} is there in part");
    if let Some(value) = &value {
        assert!(value.iter().all(|byte| *byte == number as u8));
        let last = store.get(Space::Node, b"last").unwrap().unwrap();
        assert!(u64::from_be_bytes(last.try_into().unwrap()) >= number);
    }
    value.is_some()
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
