//! One bit of a small journal turned over, each of them in turn: opening never panics, never gives a wrong byte, and
//! whatever was acknowledged and is not there is accounted for in the report.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Lie, SimulatedDisk};
use super::engine::MemoryEngine;
use crate::batch::{Batch, Space};
use crate::checkpoint::{Checkpoint, Where};
use crate::config::Config;
use crate::disk::Disk;
use crate::entry::{Commit, Entry, Urgency};
use crate::front::Front;
use crate::load::Loader;
use crate::open::{OpenError, rebuild};
use crate::recovery::JournalReport;
use crate::shared::Shared;
use crate::state::State;
use crate::writer::Writer;

const DIR: &str = "/flips";
const MESSAGES: u64 = 20;

/// Sequence number and records.
type Replay = Vec<(u64, Vec<u8>)>;

fn config() -> Config {
    Config { segment_bytes: 4_096, ballast_bytes: 0, free_bytes_min: 0, ..Config::default() }
}

fn message(number: u64) -> Vec<u8> {
    vec![number as u8 + 1; 90]
}

fn open(disk: &SimulatedDisk) -> Result<(Front, JournalReport, Replay), OpenError> {
    let mut replay = Vec::new();
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (front, report) = rebuild::replay(Path::new(DIR), &config(), &disk, &MemoryEngine::new(), &mut |entry| {
        replay.push((entry.sequence, entry.records.to_vec()));
    })?;
    Ok((front, report, replay))
}

fn share(disk: &SimulatedDisk, front: Front) -> Arc<Shared> {
    let engine = MemoryEngine::new();
    let state = State::new(Box::new(engine.clone()), Box::new(move || engine.reopen()));
    Arc::new(Shared::new(Path::new(DIR), config(), Arc::new(disk.clone()), front, state, None))
}

/// Three segments with messages, state and moved messages, all acknowledged.
fn small_journal() -> (SimulatedDisk, Replay) {
    let disk = SimulatedDisk::new(Lie::None);
    let (front, ..) = open(&disk).unwrap();
    let shared = share(&disk, front);
    let mut writer = Writer::new(shared.clone(), Checkpoint::new(Where::Here, 0));
    let mut expected = Vec::new();
    for number in 1..=MESSAGES {
        let mut records = format!("record {number} ").into_bytes();
        let start = records.len() as u32;
        records.extend_from_slice(&message(number));
        let mut batch = Batch::new();
        batch.put(Space::Node, &[number as u8], &[7; 30]).unwrap();
        let entry = Entry {
            messages: std::iter::once(start..records.len() as u32).collect(),
            records: records.clone(),
            first_message: number,
            holds: vec![(number, 1)],
            state: vec![Commit { batch, on_durable: Box::new(|_| {}) }],
            urgency: Urgency::Now,
        };
        let sequence = shared.intake.with(|front| {
            if number % 5 == 0 {
                let from = front.index.position(1).unwrap();
                let moved = crate::front::Moved { number: 1, from, message: message(1) };
                front.append_cleaned(Batch::new(), vec![moved], Urgency::Now);
            }
            front.append(entry, number, Box::new(|result| result.unwrap()))
        });
        expected.push((sequence, records));
        writer.round(Duration::ZERO);
    }
    (disk, expected)
}

#[test]
fn a_bit_flipped_anywhere_in_the_journal_gives_no_wrong_byte_and_is_reported() {
    let (whole, expected) = small_journal();
    let files = whole.files();
    assert!(files.len() >= 2, "{files:?}");
    let mut damages = 0;
    for (path, length) in &files {
        for bit in 0..length * 8 {
            let disk = whole.copy();
            disk.flip(path, bit);
            let place = format!("{} bit {bit}", path.display());
            let (front, report, replay) = open(&disk).unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(expected.starts_with(&replay), "{place}: something else was replayed");
            match &report.dropped {
                Some(dropped) => {
                    damages += usize::from(dropped.damage);
                    assert!(dropped.damage || replay.len() + 2 >= expected.len(), "{place}: {dropped:?}");
                    assert!(dropped.bytes > 0 && dropped.damage != dropped.set_aside.is_empty(), "{place}");
                    assert!(dropped.offset as usize * 8 <= bit, "{place}: what stands before it is kept");
                }
                None => {
                    assert_eq!((replay.len(), report.headers_damaged.len()), (expected.len(), 1), "{place}");
                }
            }
            let shared = share(&disk, front);
            let mut loader = Loader::new(&shared);
            for number in 1..=MESSAGES {
                let there = replay.iter().any(|(_, records)| records.ends_with(&message(number)));
                assert_eq!(loader.load(number).unwrap(), there.then(|| message(number)), "{place}");
            }
            let again = open(&disk).unwrap();
            assert!(again.1.dropped.is_none() && again.2 == replay, "{place}: it opens again as it was left");
        }
    }
    assert!(damages > 10_000, "{damages}");
}

#[test]
fn a_bit_flipped_while_the_store_is_open_makes_a_message_nothing_and_no_other() {
    let (whole, _) = small_journal();
    for (path, length) in whole.files() {
        for bit in (0..length * 8).step_by(3) {
            let disk = whole.copy();
            let (front, ..) = open(&disk).unwrap();
            let shared = share(&disk, front);
            disk.flip(&path, bit);
            let mut loader = Loader::new(&shared);
            let loaded: Vec<_> = (1..=MESSAGES).map(|number| (number, loader.load(number).unwrap())).collect();
            assert!(loaded.iter().all(|(number, found)| found.as_ref().is_none_or(|found| *found == message(*number))));
            assert!(loaded.iter().filter(|(_, found)| found.is_none()).count() <= 1, "{} bit {bit}", path.display());
        }
    }
}
