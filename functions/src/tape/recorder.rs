//! Lends the node to one run and writes down what it said.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Tape, http_question};
use crate::host::{CommitDone, CommitFailure, Effects, Host, HostError, KvEntry, TwinDoc, TwinSection};
use crate::outgoing::{HttpReply, HttpRequest};

/// The node, with a tape that runs along.
pub(crate) struct Recorder {
    host: Arc<dyn Host>,
    bytes_max: usize,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    tape: Tape,
    bytes: usize,
    is_over: bool,
}

impl Recorder {
    /// A tape of at most `bytes_max` bytes, as they are counted here: answers, and a little for each.
    pub(crate) fn new(host: Arc<dyn Host>, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { host, bytes_max, running: Mutex::default() })
    }

    /// The tape and its bytes; `None`: it grew too large.
    pub(crate) fn finish(&self) -> Option<(Tape, usize)> {
        let running = std::mem::take(&mut *self.running.lock());
        (!running.is_over).then_some((running.tape, running.bytes))
    }

    fn note(&self, write: impl FnOnce(&mut Tape) -> usize) {
        let running = &mut *self.running.lock();
        if running.is_over {
            return;
        }
        running.bytes += write(&mut running.tape);
        if running.bytes > self.bytes_max {
            *running = Running { is_over: true, ..Running::default() };
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Host for Recorder {
    fn now_ms(&self) -> u64 {
        let now_ms = self.host.now_ms();
        self.note(|tape| tape.now_ms.push(now_ms, 8));
        now_ms
    }

    fn elapsed(&self, measured: Duration) -> Duration {
        let elapsed = self.host.elapsed(measured);
        self.note(|tape| tape.elapsed_ns.push(nanoseconds(elapsed), 8));
        elapsed
    }

    fn remaining(&self, measured: Duration) -> Duration {
        let remaining = self.host.remaining(measured);
        self.note(|tape| tape.remaining_ns.push(nanoseconds(remaining), 8));
        remaining
    }

    fn random(&self, buffer: &mut [u8]) {
        self.host.random(buffer);
        self.note(|tape| {
            tape.random.extend_from_slice(buffer);
            buffer.len()
        });
    }

    fn kv_get(&self, function: &str, key: &str) -> Result<Option<KvEntry>, HostError> {
        let answer = self.host.kv_get(function, key);
        let bytes = answer.as_ref().map_or(0, |entry| entry.as_ref().map_or(0, |entry| entry.value.len() + 8));
        self.note(|tape| tape.kv.push(key.to_owned(), answer.clone(), (key.len(), bytes)));
        answer
    }

    fn kv_list(
        &self,
        function: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, HostError> {
        let answer = self.host.kv_list(function, prefix, after, limit);
        let bytes = answer.as_ref().map_or(0, |keys| keys.iter().map(|key| key.len() + 24).sum());
        let question = (prefix.to_owned(), after.map(str::to_owned), limit);
        let question_bytes = prefix.len() + after.map_or(0, str::len);
        self.note(|tape| tape.kv_lists.push(question, answer.clone(), (question_bytes, bytes)));
        answer
    }

    fn twin_get(&self, device: &str, section: TwinSection, path: &str) -> Result<Option<TwinDoc>, HostError> {
        let answer = self.host.twin_get(device, section, path);
        let bytes = answer.as_ref().map_or(0, |doc| doc.as_ref().map_or(0, |doc| doc.json.len() + 8));
        let question = (device.to_owned(), section, path.to_owned());
        self.note(|tape| tape.twins.push(question, answer.clone(), (device.len() + path.len(), bytes)));
        answer
    }

    fn http(&self, request: &HttpRequest) -> Result<HttpReply, HostError> {
        let answer = self.host.http(request);
        let header = |(name, value): &(String, String)| name.len() + value.len() + 48;
        let bytes = |reply: &HttpReply| reply.body.len() + reply.headers.iter().map(header).sum::<usize>();
        let bytes = answer.as_ref().map_or(0, bytes);
        let question_bytes = request.url.len() + 2 * request.body.as_ref().map_or(0, Vec::len);
        self.note(|tape| tape.http.push(http_question(request), answer.clone(), (question_bytes, bytes)));
        answer
    }

    fn commit(&self, _effects: Effects, done: CommitDone) {
        // A run has no way to commit; the runtime does that with the node itself.
        done.end(Err(CommitFailure::Refused("a run that is recorded does not commit".to_owned())));
    }
}
