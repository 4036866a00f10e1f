//! What real messages came to: the input, all that the run asked of the node, and the result; the last ones of a function, in memory.
//!
//! Not the log and not the durable history: after a restart it begins anew, so that it costs no flash. Invariants: so many recordings a
//! function, so many bytes of the whole node; the oldest of the same function give way, never another function's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::caller::Wanted;
use crate::host::{Effects, KvWrite, TwinPatch};
use crate::message::{InvocationContext, InvocationMessage};
use crate::run_failure::RunFailure;
use crate::tape::Tape;
use crate::version::VersionNumber;

/// What a recording costs beside its bytes.
const RECORDING_BYTES: usize = 512;

/// One run on a real message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Identifies the run in logs.
    pub invocation_id: String,
    /// The version that ran.
    pub version: VersionNumber,
    /// The alias by which it was chosen.
    pub alias: Option<String>,
    /// The input.
    pub message: InvocationMessage,
    /// Facts about the input.
    pub context: InvocationContext,
    /// What somebody waited for, if somebody did.
    #[serde(default)]
    pub wanted: Option<Wanted>,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// The clock when the run began, milliseconds since 1970.
    pub start_ms: u64,
    /// What it asked of the node.
    pub tape: Arc<Tape>,
    /// What it came to.
    pub result: RunResult,
    /// Instantiate and call, microseconds.
    pub run_us: u64,
    /// All memories and tables of the instance, bytes.
    pub memory_bytes: u64,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RunResult {
    /// It returned ok.
    Ok {
        /// Messages in order.
        published: Vec<InvocationMessage>,
        /// Messages for who waited.
        #[serde(default)]
        replies: Vec<InvocationMessage>,
        /// Key-values that changed.
        kv: Vec<KvWrite>,
        /// Twins that changed.
        twins: Vec<TwinPatch>,
    },
    /// It had no effects.
    Failed {
        /// What kind of failure.
        how: FailureKind,
        /// In words.
        reason: String,
    },
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The function asked for another attempt.
    Retry,
    /// The function did not want the message.
    Reject,
    /// The instance trapped.
    Trap,
    /// It was stopped at its time limit.
    TimedOut,
    /// It passed a limit on memory or output.
    OverLimit,
    /// An output was not granted or no valid message.
    Refused,
    /// Who waited for it did not wait any more.
    Left,
}

impl FailureKind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Trap => "trap",
            Self::TimedOut => "time limit",
            Self::OverLimit => "over a limit",
            Self::Refused => "output refused",
            Self::Left => "caller left",
        }
    }

    /// Whether it counts against the version: one that rejects a message works.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Reject | Self::Left)
    }
}

impl RunResult {
    /// What `end` means.
    pub(crate) fn of(end: &Result<Effects, RunFailure>) -> Self {
        let failed = |how, reason: &str| Self::Failed { how, reason: reason.to_owned() };
        match end {
            Ok(effects) => Self::Ok {
                published: effects.publish.iter().chain(&effects.handed).cloned().collect(),
                replies: effects.replies.clone(),
                kv: effects.kv_writes.clone(),
                twins: effects.twin_patches.clone(),
            },
            Err(RunFailure::Retry(reason)) => failed(FailureKind::Retry, reason),
            Err(RunFailure::Reject(reason)) => failed(FailureKind::Reject, reason),
            Err(RunFailure::Trap(reason)) => failed(FailureKind::Trap, reason),
            Err(RunFailure::TimedOut) => failed(FailureKind::TimedOut, "stopped at limits.timeout_ms"),
            Err(RunFailure::OverLimit(reason)) => failed(FailureKind::OverLimit, reason),
            Err(RunFailure::Refused(reason)) => failed(FailureKind::Refused, reason),
            Err(RunFailure::NotReady(function)) => failed(FailureKind::Retry, function),
            Err(RunFailure::Left) => failed(FailureKind::Left, "the caller did not wait any more"),
        }
    }

    /// Whether it counts against the version.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Failed { how, .. } if how.is_fault())
    }

    fn weight_bytes(&self) -> usize {
        match self {
            Self::Ok { published, replies, kv, twins } => {
                let messages: usize = published.iter().chain(replies).map(|message| message.weight_bytes() + 128).sum();
                let keys: usize = kv.iter().map(kv_weight).sum();
                let patches: usize = twins.iter().map(|patch| patch.device.len() + patch.merge.len() + 96).sum();
                messages + keys + patches
            }
            Self::Failed { reason, .. } => reason.len(),
        }
    }
}

fn kv_weight(write: &KvWrite) -> usize {
    let value = match &write.change {
        crate::host::KvChange::Set { value, .. } => value.len(),
        crate::host::KvChange::Delete => 0,
    };
    write.key.len() + value + 96
}

impl Recording {
    fn weight_bytes(&self, tape_bytes: usize) -> usize {
        RECORDING_BYTES + self.message.weight_bytes() + tape_bytes + self.result.weight_bytes()
    }
}

/// Bytes of all recordings of a node.
#[derive(Debug)]
pub(crate) struct RecordingRoom {
    used: AtomicUsize,
    bytes_max: usize,
}

impl RecordingRoom {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), bytes_max })
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The last recordings of one function.
pub(crate) struct RecordingRing {
    room: Arc<RecordingRoom>,
    kept: VecDeque<(Arc<Recording>, usize)>,
    /// Recordings that found no room.
    refused: u64,
}

impl RecordingRing {
    pub(crate) fn new(room: Arc<RecordingRoom>) -> Self {
        Self { room, kept: VecDeque::new(), refused: 0 }
    }

    /// Adds a recording, whose tape has so many bytes, and drops the oldest ones of this function that are too many or in its way.
    pub(crate) fn push(&mut self, recording: Arc<Recording>, tape_bytes: usize, messages_max: usize) {
        if messages_max == 0 {
            return self.clear();
        }
        while self.kept.len() >= messages_max {
            self.drop_oldest();
        }
        let bytes = recording.weight_bytes(tape_bytes);
        if bytes > self.room.bytes_max {
            self.refused += 1;
            return;
        }
        while !self.room.take(bytes) {
            if !self.drop_oldest() {
                self.refused += 1;
                return;
            }
        }
        self.kept.push_back((recording, bytes));
    }

    /// The recordings, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Recording>> {
        self.kept.iter().map(|(recording, _)| recording.clone()).collect()
    }

    /// How many there are, and how many found no room since the node started.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.kept.len(), self.refused)
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        while self.drop_oldest() {}
        self.kept.shrink_to_fit();
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, bytes)) = self.kept.pop_front() else { return false };
        self.room.give_back(bytes);
        true
    }
}

impl Drop for RecordingRing {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(number: usize, payload_bytes: usize) -> Arc<Recording> {
        Arc::new(Recording {
            invocation_id: format!("f-{number}"),
            version: VersionNumber::FIRST,
            alias: None,
            message: InvocationMessage { payload: vec![0; payload_bytes], ..InvocationMessage::default() },
            context: InvocationContext::default(),
            wanted: None,
            attempt: 1,
            start_ms: 0,
            tape: Arc::default(),
            result: RunResult::Failed { how: FailureKind::Reject, reason: String::new() },
            run_us: 1,
            memory_bytes: 0,
        })
    }

    fn names(ring: &RecordingRing) -> Vec<String> {
        ring.all().iter().map(|recording| recording.invocation_id.clone()).collect()
    }

    #[test]
    fn the_oldest_of_the_same_function_give_way() {
        let room = RecordingRoom::new(10_000);
        let (mut first, mut second) = (RecordingRing::new(room.clone()), RecordingRing::new(room.clone()));
        first.push(recording(1, 3000), 0, 9);
        for number in 2..=4 {
            second.push(recording(number, 2000), 0, 9);
        }
        assert_eq!((names(&first), names(&second)), (vec!["f-1".into()], vec!["f-3".into(), "f-4".into()]));
        second.push(recording(5, 0), 0, 2);
        assert_eq!(names(&second), ["f-4", "f-5"], "two are enough");
        let before = room.used();
        second.push(recording(6, 20_000), 0, 9);
        assert_eq!(
            (second.counts(), room.used()),
            ((2, 1), before),
            "too large for any room: nothing else goes for it"
        );
        drop(second);
        first.push(recording(7, 0), 0, 0);
        assert_eq!((first.counts(), room.used()), ((0, 0), 0), "off");
    }

    #[test]
    fn another_function_keeps_what_it_has() {
        let room = RecordingRoom::new(4000);
        let (mut first, mut second) = (RecordingRing::new(room.clone()), RecordingRing::new(room));
        first.push(recording(1, 3000), 0, 9);
        second.push(recording(2, 1000), 0, 9);
        assert_eq!((first.counts(), second.counts()), ((1, 0), (0, 1)));
    }

    #[test]
    fn a_recording_is_the_same_after_writing_and_reading() {
        let mut original = (*recording(1, 3)).clone();
        original.result = RunResult::Ok {
            published: vec![InvocationMessage { topic: "a".into(), payload: vec![255], ..Default::default() }],
            replies: Vec::new(),
            kv: vec![KvWrite {
                key: "k".into(),
                expected: None,
                change: crate::host::KvChange::Set { value: vec![0], revision: 3, ttl_s: Some(1) },
            }],
            twins: Vec::new(),
        };
        let text = serde_json::to_string(&original).unwrap();
        assert_eq!(serde_json::from_str::<Recording>(&text).unwrap(), original);
    }
}
