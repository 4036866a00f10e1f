//! Says again what a tape has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::answers::{Answers, Keyed};
use super::{Tape, http_question};
use crate::host::{CommitDone, CommitFailure, Effects, Host, HostError, KvEntry, TwinDoc, TwinSection};
use crate::outgoing::{HttpReply, HttpRequest};
use crate::wasi::split_mix;

/// A node of then.
pub(crate) struct Player {
    tape: Arc<Tape>,
    start_ms: u64,
    /// Who is asked for what is not on the tape; `None`: it is not there.
    present: Option<Arc<dyn Host>>,
    played: Mutex<Played>,
}

/// How often each question was asked.
#[derive(Default)]
struct Played {
    now: u64,
    elapsed: u64,
    remaining: u64,
    random: usize,
    random_steps: u64,
    kv: HashMap<usize, u64>,
    kv_lists: HashMap<usize, u64>,
    http: HashMap<usize, u64>,
    twins: HashMap<usize, u64>,
    unrecorded: usize,
}

fn next(counter: &mut u64) -> u64 {
    let asked = *counter;
    *counter += 1;
    asked
}

impl Player {
    /// `start_ms`: the clock at the start of the run, for a version that asks for it where the other did not.
    pub(crate) fn new(tape: Arc<Tape>, start_ms: u64, present: Option<Arc<dyn Host>>) -> Arc<Self> {
        Arc::new(Self { tape, start_ms, present, played: Mutex::default() })
    }

    /// Reads of key-values and twins that were not on the tape.
    pub(crate) fn unrecorded(&self) -> usize {
        self.played.lock().unrecorded
    }

    fn clock(&self, answers: &Answers<u64>, which: impl FnOnce(&mut Played) -> &mut u64) -> Option<u64> {
        let asked = next(which(&mut self.played.lock()));
        answers.at(asked).copied()
    }

    fn answer<K: Ord, T: Clone + PartialEq>(
        &self,
        keyed: &Keyed<K, Result<T, HostError>>,
        key: &K,
        counters: impl FnOnce(&mut Played) -> &mut HashMap<usize, u64>,
        present: impl FnOnce(&dyn Host) -> Result<T, HostError>,
        absent: T,
    ) -> Result<T, HostError> {
        if let Some((index, answers)) = keyed.find(key) {
            let asked = next(counters(&mut self.played.lock()).entry(index).or_default());
            if let Some(answer) = answers.at(asked) {
                return answer.clone();
            }
        }
        self.played.lock().unrecorded += 1;
        self.present.as_deref().map_or(Ok(absent), present)
    }
}

impl Host for Player {
    fn now_ms(&self) -> u64 {
        self.clock(&self.tape.now_ms, |played| &mut played.now).unwrap_or(self.start_ms)
    }

    fn elapsed(&self, _measured: Duration) -> Duration {
        let nanoseconds = self.clock(&self.tape.elapsed_ns, |played| &mut played.elapsed);
        Duration::from_nanos(nanoseconds.unwrap_or(0))
    }

    fn remaining(&self, measured: Duration) -> Duration {
        let nanoseconds = self.clock(&self.tape.remaining_ns, |played| &mut played.remaining);
        nanoseconds.map_or(measured, Duration::from_nanos)
    }

    /// After the end of the tape a sequence that repeats.
    fn random(&self, buffer: &mut [u8]) {
        let played = &mut *self.played.lock();
        let recorded = self.tape.random.get(played.random..).unwrap_or_default();
        let (from_tape, beyond) = buffer.split_at_mut(recorded.len().min(buffer.len()));
        from_tape.copy_from_slice(recorded.get(..from_tape.len()).unwrap_or_default());
        played.random += from_tape.len();
        for chunk in beyond.chunks_mut(8) {
            played.random_steps += 1;
            let number = split_mix(played.random_steps).to_le_bytes();
            chunk.copy_from_slice(number.get(..chunk.len()).unwrap_or_default());
        }
    }

    fn kv_get(&self, function: &str, key: &str) -> Result<Option<KvEntry>, HostError> {
        let present = |host: &dyn Host| host.kv_get(function, key);
        self.answer(&self.tape.kv, &key.to_owned(), |played| &mut played.kv, present, None)
    }

    fn kv_list(
        &self,
        function: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, HostError> {
        let question = (prefix.to_owned(), after.map(str::to_owned), limit);
        let present = |host: &dyn Host| host.kv_list(function, prefix, after, limit);
        self.answer(&self.tape.kv_lists, &question, |played| &mut played.kv_lists, present, Vec::new())
    }

    fn twin_get(&self, device: &str, section: TwinSection, path: &str) -> Result<Option<TwinDoc>, HostError> {
        let question = (device.to_owned(), section, path.to_owned());
        let present = |host: &dyn Host| host.twin_get(device, section, path);
        self.answer(&self.tape.twins, &question, |played| &mut played.twins, present, None)
    }

    /// A replay asks nobody: what is not on the tape is not reachable.
    fn http(&self, request: &HttpRequest) -> Result<HttpReply, HostError> {
        if let Some((index, answers)) = self.tape.http.find(&http_question(request)) {
            let asked = next(self.played.lock().http.entry(index).or_default());
            if let Some(answer) = answers.at(asked) {
                return answer.clone();
            }
        }
        self.played.lock().unrecorded += 1;
        Err(HostError::Unavailable("this request was not recorded, and a replay makes none".to_owned()))
    }

    fn commit(&self, _effects: Effects, done: CommitDone) {
        done.end(Err(CommitFailure::Refused("a run that is played again changes nothing".to_owned())));
    }
}
