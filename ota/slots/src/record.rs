//! `boot`: which slot is good, which is on trial, and how the last trial ended.
//!
//! ```text
//! selvedge-boot 1
//! good SLOT | "package"           ; what starts when nothing is on trial; "package": the program that was installed
//! [previous SLOT]                 ; was good before, is whole and can read the data: a way back
//! [candidate SLOT TRIES MAX]      ; on trial: started TRIES times of MAX
//! [ended OUTCOME UNIX_S SHA256 VERSION]   ; "committed", "rolled-back" or "interrupted": the last trial
//! [reason TEXT]                   ; of the last trial
//! crc32 8HEX
//! ```
//! Invariant: no slot is named twice.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::sealed_text::{SealError, seal, unseal};
use crate::slot::Slot;

const KIND: &str = "selvedge-boot";
const FORMAT: u32 = 1;
/// Longest reason that is kept, bytes.
const REASON_BYTES_MAX: usize = 1024;
/// Longest record, bytes.
pub(crate) const BYTES_MAX: u64 = 8192;

/// What is known between two starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootRecord {
    /// What starts when nothing is on trial; `None`: the program of the package.
    pub good: Option<Slot>,
    /// Was good before and can go on from the present data.
    pub previous: Option<Slot>,
    /// On trial.
    pub candidate: Option<Candidate>,
    /// How the last trial ended.
    pub ended: Option<Ended>,
}

/// A slot on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The slot.
    pub slot: Slot,
    /// Starts so far.
    pub tries: u32,
    /// Starts that it has to be confirmed in.
    pub tries_max: u32,
}

/// The end of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which end.
    pub outcome: Outcome,
    /// Version of the program that was on trial.
    pub version: String,
    /// SHA-256 of that program, 64 hexadecimal digits; empty when it is not known any more.
    pub sha256: String,
    /// When, by the clock of the node. Seconds since 1970; 0: not known.
    pub at_unix_s: u64,
    /// Why, for people; at most 1024 bytes.
    pub reason: String,
}

/// How a trial can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program was confirmed and is the good one now.
    Committed,
    /// The program was not good enough; the one before runs.
    RolledBack,
    /// It never began: the machine stopped before `current` was turned.
    Interrupted,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Committed, Self::RolledBack, Self::Interrupted];

    /// `committed`, `rolled-back` or `interrupted`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::RolledBack => "rolled-back",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Outcome {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == text).ok_or(())
    }
}

/// Why a record says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Not as it was written.
    #[error("{0}")]
    Seal(String),
    /// Whole, but without sense.
    #[error("its line {0:?} makes no sense")]
    Line(String),
}

impl From<SealError> for RecordError {
    fn from(error: SealError) -> Self {
        Self::Seal(error.to_string())
    }
}

impl BootRecord {
    /// The slot on trial, or the good one.
    pub fn wanted(&self) -> Option<Slot> {
        self.candidate.map(|candidate| candidate.slot).or(self.good)
    }

    /// Whether a slot is named, and so may not be written.
    pub fn names(&self, slot: Slot) -> bool {
        self.good == Some(slot)
            || self.previous == Some(slot)
            || self.candidate.is_some_and(|candidate| candidate.slot == slot)
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut lines = vec![("good", self.good.map_or("package", Slot::name).to_owned())];
        lines.extend(self.previous.map(|slot| ("previous", slot.to_string())));
        lines.extend(
            self.candidate.map(|candidate| {
                ("candidate", format!("{} {} {}", candidate.slot, candidate.tries, candidate.tries_max))
            }),
        );
        if let Some(ended) = &self.ended {
            let hash = if ended.sha256.is_empty() { "-" } else { &ended.sha256 };
            lines.push(("ended", format!("{} {} {hash} {}", ended.outcome, ended.at_unix_s, ended.version)));
            lines.push(("reason", cut(&ended.reason).to_owned()));
        }
        seal(KIND, FORMAT, &lines)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It is not what [`BootRecord::to_bytes`] writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let lines = unseal(KIND, FORMAT, bytes)?;
        let mut record = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for (key, value) in &lines {
            let fails = || RecordError::Line(key.clone());
            if seen.contains(&key.as_str()) {
                return Err(fails());
            }
            seen.push(key);
            match key.as_str() {
                "good" if value == "package" => {}
                "good" => record.good = Some(value.parse().map_err(|()| fails())?),
                "previous" => record.previous = Some(value.parse().map_err(|()| fails())?),
                "candidate" => record.candidate = Some(candidate(value).ok_or_else(fails)?),
                "ended" => record.ended = Some(ended(value).ok_or_else(fails)?),
                "reason" => record.ended.as_mut().ok_or_else(fails)?.reason.clone_from(value),
                _ => return Err(fails()),
            }
        }
        let named = [record.good, record.previous, record.candidate.map(|candidate| candidate.slot)];
        let twice = Slot::ALL.iter().any(|slot| named.iter().filter(|named| **named == Some(*slot)).count() > 1);
        if !seen.contains(&"good") || twice {
            return Err(RecordError::Line("good".to_owned()));
        }
        Ok(record)
    }
}

fn candidate(value: &str) -> Option<Candidate> {
    let mut words = value.split(' ');
    let slot = words.next()?.parse().ok()?;
    let candidate = Candidate { slot, tries: words.next()?.parse().ok()?, tries_max: words.next()?.parse().ok()? };
    words.next().is_none().then_some(candidate)
}

fn ended(value: &str) -> Option<Ended> {
    let mut words = value.splitn(4, ' ');
    let outcome = words.next()?.parse().ok()?;
    let at_unix_s = words.next()?.parse().ok()?;
    let hash = words.next()?;
    let version = words.next().unwrap_or_default().to_owned();
    let sha256 = if hash == "-" { String::new() } else { hash.to_owned() };
    Some(Ended { outcome, version, sha256, at_unix_s, reason: String::new() })
}

/// As much of `reason` as is kept.
fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full() -> BootRecord {
        BootRecord {
            good: Some(Slot::A),
            previous: None,
            candidate: Some(Candidate { slot: Slot::B, tries: 2, tries_max: 3 }),
            ended: Some(Ended {
                outcome: Outcome::RolledBack,
                version: "1.2 (beta)".into(),
                sha256: "ab".repeat(32),
                at_unix_s: 1_800_000_000,
                reason: "MQTT does not answer:\nconnection refused".into(),
            }),
        }
    }

    #[test]
    fn a_record_comes_back() {
        let package = BootRecord { good: None, candidate: None, previous: Some(Slot::B), ended: None };
        for record in [BootRecord::default(), full(), package] {
            assert_eq!(BootRecord::from_bytes(&record.to_bytes()), Ok(record));
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let mut record = full();
        record.ended.as_mut().expect("ended").reason = "é".repeat(600);
        let read = BootRecord::from_bytes(&record.to_bytes()).expect("reads");
        assert_eq!(read.ended.expect("ended").reason, "é".repeat(512));
        assert!((record.to_bytes().len() as u64) < BYTES_MAX);
    }

    #[test]
    fn a_slot_named_twice_or_a_line_without_sense_is_refused() {
        let cases: &[&[(&str, &str)]] = &[
            &[],
            &[("good", "c")],
            &[("good", "a"), ("good", "a")],
            &[("good", "a"), ("previous", "a")],
            &[("good", "a"), ("candidate", "a 0 3")],
            &[("good", "package"), ("candidate", "a 0 3"), ("previous", "a")],
            &[("good", "a"), ("candidate", "b 0")],
            &[("good", "a"), ("candidate", "b 0 3 4")],
            &[("good", "a"), ("candidate", "b -1 3")],
            &[("good", "a"), ("reason", "none")],
            &[("good", "a"), ("ended", "eaten 1 - v")],
            &[("good", "a"), ("colour", "red")],
        ];
        for case in cases {
            let lines: Vec<_> = case.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
            assert!(BootRecord::from_bytes(&seal(KIND, FORMAT, &lines)).is_err(), "{case:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_from_anywhere_are_a_record_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _either = BootRecord::from_bytes(&bytes);
        }
    }
}
