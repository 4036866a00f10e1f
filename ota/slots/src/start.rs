//! The launcher's side: which program to start, said by what is on the disk and nothing else.
//!
//! Invariant: a start of a program on trial is on the disk before the program runs, so one that takes the machine down
//! with it is counted too; and no program starts from a slot whose bytes are not what they have to be.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::causes::with_causes;
use crate::record::{BootRecord, Candidate, Outcome};
use crate::slot::Slot;
use crate::slots::Slots;

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// Which it is.
    pub started: Started,
    /// What a person should know about how it came to this, in order.
    pub notes: Vec<String>,
}

/// Which program starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// The good one.
    Good(Slot),
    /// The one before, because the good one is damaged.
    Previous(Slot),
    /// The one on trial, for the given time.
    Candidate {
        /// Its slot.
        slot: Slot,
        /// This start, from 1.
        attempt: u32,
    },
    /// The program of the package.
    Package,
}

/// Why there is nothing to start.
#[derive(Debug, Error)]
#[error("no program can be started: {}; install the package again", notes.join("; "))]
pub struct StartError {
    /// What is wrong with each.
    pub notes: Vec<String>,
}

/// Decides, and makes the decision durable. `package` is the installed program, if there is one.
///
/// # Errors
/// No slot holds what it should, and there is no package.
pub fn next_start(slots: &Slots, package: Option<&Path>, now_unix_s: u64) -> Result<Start, StartError> {
    let mut notes = Vec::new();
    let mut record = slots.record().unwrap_or_else(|error| {
        notes.push(with_causes(&error));
        rebuild(slots)
    });
    match try_candidate(slots, &mut record, now_unix_s, &mut notes) {
        Trial::Starts(start) => return Ok(start),
        // `current` is for people; the record decides.
        Trial::Over => notes.extend(slots.follow(&record).err().map(|error| with_causes(&error))),
        Trial::Postponed => {}
    }
    for (slot, started) in [(record.good, Started::Good as fn(Slot) -> Started), (record.previous, Started::Previous)] {
        if let Some(slot) = slot
            && usable(slots, slot, &mut notes)
        {
            return Ok(Start { program: slots.program(slot), started: started(slot), notes });
        }
    }
    match package {
        Some(package) if package.is_file() => {
            Ok(Start { program: package.to_owned(), started: Started::Package, notes })
        }
        Some(package) => {
            notes.push(format!("{} is not there", package.display()));
            Err(StartError { notes })
        }
        None => Err(StartError { notes }),
    }
}

/// What becomes of the program on trial at this start.
enum Trial {
    /// It is tried once more.
    Starts(Start),
    /// There is none, or it ended here; the record says so.
    Over,
    /// It is tried at another start.
    Postponed,
}

fn try_candidate(slots: &Slots, record: &mut BootRecord, now_unix_s: u64, notes: &mut Vec<String>) -> Trial {
    let Some(Candidate { slot, tries, tries_max }) = record.candidate else { return Trial::Over };
    if tries == 0 && slots.current() != Some(slot) {
        // The switch was never made. The updater ends this trial when the node runs.
        return Trial::Postponed;
    }
    let reason = if tries >= tries_max {
        format!("it was started {tries} times and never confirmed")
    } else if usable(slots, slot, notes) {
        return count_and_start(slots, record, slot, notes);
    } else {
        notes.last().cloned().unwrap_or_default()
    };
    notes.push(format!("the update in slot {slot} is given up: {reason}"));
    record.candidate = None;
    record.ended = Some(slots.ended(Outcome::RolledBack, slot, now_unix_s, reason));
    notes.extend(slots.write_record(record).err().map(|error| with_causes(&error)));
    Trial::Over
}

fn count_and_start(slots: &Slots, record: &mut BootRecord, slot: Slot, notes: &mut Vec<String>) -> Trial {
    let Some(candidate) = record.candidate.as_mut() else { return Trial::Over };
    candidate.tries += 1;
    let attempt = candidate.tries;
    match slots.write_record(record) {
        Ok(()) => Trial::Starts(Start {
            program: slots.program(slot),
            started: Started::Candidate { slot, attempt },
            notes: std::mem::take(notes),
        }),
        // One that is not counted could go on for ever.
        Err(error) => {
            let cause = with_causes(&error);
            notes.push(format!("the start of slot {slot} cannot be counted, so it is not tried: {cause}"));
            Trial::Postponed
        }
    }
}

/// What can be told without a record: a slot that `current` points to and that is whole is good.
fn rebuild(slots: &Slots) -> BootRecord {
    let whole = |slot: &Slot| usable(slots, *slot, &mut Vec::new());
    let good = slots.current().filter(whole);
    let record = BootRecord { good, ..BootRecord::default() };
    if good.is_some() {
        // As good as the notes: the damaged one is replaced if that can be.
        let _ = slots.write_record(&record);
    }
    record
}

fn usable(slots: &Slots, slot: Slot, notes: &mut Vec<String>) -> bool {
    let verified = slots
        .image(slot)
        .map_err(|error| with_causes(&error))
        .and_then(|image| slots.verify(slot, image.digest).map_err(|error| with_causes(&error)));
    match verified {
        Ok(()) => true,
        Err(cause) => {
            notes.push(format!("slot {slot} is damaged: {cause}"));
            false
        }
    }
}

#[cfg(test)]
mod tests;
