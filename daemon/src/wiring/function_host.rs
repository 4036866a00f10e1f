//! What functions may ask of the node, over the store, the twins and the broker; and the one commit of an invocation.
//!
//! Invariant: the acknowledgement of the input, the outputs and what the invocation wrote are one entry of the journal; nobody
//! gets an output before that is durable.

use std::iter;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use selvedge_core::Message;
use selvedge_functions::{
    CommitDone, CommitFailure, Effects, Host, HostError, HttpReply, HttpRequest, KvChange, KvEntry, KvRead, KvWrite,
    TwinDoc, TwinPatch, TwinRead, TwinSection,
};
use selvedge_store::{Batch, Commit, CommitError, Health, Store};
use selvedge_twin::twin::Refusal;
use selvedge_twin::{CommitPath as _, PatchError, Section, Transaction};

use super::clock::wall_ms;
use super::function_lines::FunctionLines;
use super::function_web::FunctionWeb;
use super::key_values::{self, Record};
use super::messages;
use super::twin_service::TwinService;

/// The node, lent to functions.
pub struct FunctionHost {
    store: Store,
    twins: Arc<TwinService>,
    /// Set once the broker runs; nothing is invoked before.
    lines: OnceLock<Arc<FunctionLines>>,
    /// Held from the look at key-values to the commit that rests on it.
    key_value_writes: Mutex<()>,
    web: FunctionWeb,
}

impl FunctionHost {
    /// Over these parts; `connect` completes it.
    pub fn new(store: Store, twins: Arc<TwinService>) -> Arc<Self> {
        Arc::new(Self {
            store,
            twins,
            lines: OnceLock::new(),
            key_value_writes: Mutex::default(),
            web: FunctionWeb::default(),
        })
    }

    /// Where outputs go.
    pub fn connect(&self, lines: Arc<FunctionLines>) {
        // A second call would change nothing, and there is none.
        let _ = self.lines.set(lines);
    }

    /// Removes key-values that have expired at `now_ms`, in batches.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn sweep_key_values(&self, now_ms: u64) -> Result<(), CommitError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let (keys, next) = key_values::expired(&self.store, after.as_deref(), now_ms);
            self.remove_expired(&keys, now_ms)?;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Functions may have set some of `keys` again since they were found.
    fn remove_expired(&self, keys: &[Vec<u8>], now_ms: u64) -> Result<(), CommitError> {
        if keys.is_empty() {
            return Ok(());
        }
        let writes = self.key_value_writes.lock();
        // Reading does not see what is still queued: all of that is applied once this is.
        self.commit_and_wait(Batch::new())?;
        let removals = key_values::removals(&self.store, keys, now_ms);
        if removals.is_empty() {
            return Ok(());
        }
        let answered = self.begin_commit(removals);
        drop(writes);
        // A store that ends without an answer has said why elsewhere.
        answered.recv().unwrap_or(Ok(()))
    }

    fn commit_and_wait(&self, batch: Batch) -> Result<(), CommitError> {
        self.begin_commit(batch).recv().unwrap_or(Ok(()))
    }

    /// The way that all changes take, so that they keep one order.
    fn begin_commit(&self, batch: Batch) -> Receiver<Result<(), CommitError>> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        let on_durable = move |result| drop(answer.send(result));
        match self.lines.get() {
            Some(lines) => lines.path().commit(batch, Box::new(on_durable)),
            None => self.store.commit_now(batch, on_durable),
        }
        answered
    }

    fn prepare(&self, effects: &Effects) -> Result<Prepared, CommitFailure> {
        let now_ms = wall_ms();
        let has_writes = writes_key_values(effects) || !effects.twin_patches.is_empty();
        if has_writes {
            self.check_health()?;
        }
        let batch = self.key_value_batch(effects, now_ms)?;
        let mut transaction = self.twins.twins().begin(now_ms);
        for read in &effects.twin_reads {
            check_read(&mut transaction, read)?;
        }
        for patch in &effects.twin_patches {
            apply_patch(&mut transaction, patch)?;
        }
        Ok(Prepared { batch, transaction, has_writes })
    }

    fn check_health(&self) -> Result<(), CommitFailure> {
        match self.store.health() {
            Health::Good => Ok(()),
            Health::DiskFull { free_bytes } => {
                Err(CommitFailure::Unavailable(format!("the disk is full ({free_bytes} bytes are free)")))
            }
            Health::Poisoned { cause } => Err(CommitFailure::Unavailable(cause.to_string())),
        }
    }

    /// The key-value changes, if what they are based on still holds. Besides the function itself only the sweep writes to its
    /// bucket, and that takes turns; the runtime has one such commit a bucket at a time.
    fn key_value_batch(&self, effects: &Effects, now_ms: u64) -> Result<Batch, CommitFailure> {
        let mut batch = Batch::new();
        let own = (&effects.function, &effects.kv_reads, &effects.kv_writes);
        let others = effects.others.iter().map(|other| (&other.function, &other.kv_reads, &other.kv_writes));
        for (function, reads, writes) in iter::once(own).chain(others) {
            self.add_key_values(&mut batch, function, (reads, writes), now_ms)?;
        }
        Ok(batch)
    }

    fn add_key_values(
        &self,
        batch: &mut Batch,
        function: &str,
        (reads, writes): (&[KvRead], &[KvWrite]),
        now_ms: u64,
    ) -> Result<(), CommitFailure> {
        let unchanged = |key: &str, expected: Option<u64>| {
            let current = key_values::get(&self.store, function, key, now_ms)
                .map_err(|error| CommitFailure::Unavailable(error.to_string()))?
                .map(|entry| entry.revision);
            if current == expected { Ok(()) } else { Err(CommitFailure::Conflict(format!("key {key:?}"))) }
        };
        for read in reads {
            unchanged(&read.key, read.revision)?;
        }
        for write in writes {
            unchanged(&write.key, write.expected)?;
            let put = match &write.change {
                KvChange::Set { value, revision, ttl_s } => {
                    let expires_ms = ttl_s.map_or(0, |ttl_s| now_ms.saturating_add(u64::from(ttl_s) * 1000).max(1));
                    let record = Record { revision: *revision, expires_ms, value: value.clone() };
                    key_values::put(batch, function, &write.key, &record)
                }
                KvChange::Delete => key_values::delete(batch, function, &write.key),
            };
            put.map_err(|error| CommitFailure::Refused(error.to_string()))?;
        }
        Ok(())
    }
}

/// Checked effects.
struct Prepared {
    batch: Batch,
    transaction: Transaction,
    has_writes: bool,
}

impl Host for FunctionHost {
    fn now_ms(&self) -> u64 {
        wall_ms()
    }

    fn random(&self, buffer: &mut [u8]) {
        if let Err(error) = getrandom::fill(buffer) {
            // Predictable randomness would be worse than none.
            tracing::error!(%error, "the system has no random numbers");
            std::process::abort();
        }
    }

    fn kv_get(&self, function: &str, key: &str) -> Result<Option<KvEntry>, HostError> {
        key_values::get(&self.store, function, key, wall_ms())
    }

    fn kv_list(
        &self,
        function: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, HostError> {
        key_values::list(&self.store, function, prefix, after, limit, wall_ms())
    }

    fn twin_get(&self, device: &str, section: TwinSection, path: &str) -> Result<Option<TwinDoc>, HostError> {
        let view = match self.twins.twins().get(device) {
            Ok(Some(view)) => view,
            Ok(None) => return Ok(None),
            Err(selvedge_twin::TwinError::Name(error)) => return Err(HostError::Invalid(error.to_string())),
            Err(error) => return Err(HostError::Unavailable(error.to_string())),
        };
        let version = view.version;
        let document = serde_json::Value::Object(match section {
            TwinSection::Desired => view.desired,
            TwinSection::Reported => view.reported,
        });
        Ok(document.pointer(path).map(|part| TwinDoc { json: part.to_string(), revision: version }))
    }

    fn event(&self, function: &str, event: &str, detail: serde_json::Value) {
        if let Some(lines) = self.lines.get() {
            lines.tell(function, event, &detail);
        }
    }

    fn memory_available(&self) -> Option<u64> {
        memory_available(&std::fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn http(&self, request: &HttpRequest) -> Result<HttpReply, HostError> {
        self.web.ask(request)
    }

    fn commit(&self, mut effects: Effects, done: CommitDone) {
        let Some(lines) = self.lines.get().cloned() else {
            return done(Err(CommitFailure::Unavailable("the broker does not run yet".to_owned())));
        };
        let publisher = messages::publisher(&effects.function, effects.depth, &effects.invocation_id);
        let now = lines.now();
        let outputs = std::mem::take(&mut effects.publish)
            .into_iter()
            .map(|message| messages::from_invocation(message, now, Arc::clone(&publisher)))
            .collect::<Result<Vec<Message>, _>>();
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(error) => return done(Err(CommitFailure::Refused(error.to_string()))),
        };
        let turn = writes_key_values(&effects).then(|| self.key_value_writes.lock());
        let prepared = match self.prepare(&effects) {
            Ok(prepared) => prepared,
            Err(failure) => {
                drop(turn);
                return done(Err(failure));
            }
        };
        let (function, delivery) = (effects.function, effects.delivery);
        if !prepared.has_writes {
            lines.commit(&function, delivery, outputs, None);
            return done(Ok(()));
        }
        let twins = Arc::clone(&self.twins);
        // `done` is wanted in both arms, and only one of them takes it.
        let done = Arc::new(Mutex::new(Some(done)));
        let on_durable_done = Arc::clone(&done);
        let committed = prepared.transaction.commit_with(prepared.batch, move |batch, publications, ending| {
            let told = publications.iter().flat_map(|publication| {
                let (thing, replies) = (&publication.thing, publication.replies.clone());
                twins.messages_of(thing, replies, None, Some(Arc::clone(&publisher)))
            });
            let all = outputs.into_iter().chain(told).collect();
            let on_durable = move |result: Result<(), CommitError>| {
                ending.end(result.is_ok());
                let Some(done) = on_durable_done.lock().take() else { return };
                match result {
                    Ok(()) => {
                        for publication in &publications {
                            twins.tell_watchers(&publication.thing, &publication.replies);
                        }
                        done(Ok(()));
                    }
                    Err(error) => done(Err(CommitFailure::Unavailable(error.to_string()))),
                }
            };
            lines.commit(&function, delivery, all, Some(Commit { batch, on_durable: Box::new(on_durable) }));
        });
        drop(turn);
        if let Err(error) = committed
            && let Some(done) = done.lock().take()
        {
            done(Err(failure(error)));
        }
    }
}

fn writes_key_values(effects: &Effects) -> bool {
    !effects.kv_writes.is_empty() || effects.others.iter().any(|other| !other.kv_writes.is_empty())
}

/// `MemAvailable` in bytes.
fn memory_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The section must be as it was when it was read. Versions belong to whole twins, so a change of the other half counts, too.
fn check_read(transaction: &mut Transaction, read: &TwinRead) -> Result<(), CommitFailure> {
    let current = transaction.get(&read.device).map_err(failure)?.map(|view| view.version);
    // Without a revision nothing was there at the path, and nothing says what else there was.
    if read.revision.is_none() || read.revision == current {
        return Ok(());
    }
    Err(CommitFailure::Conflict(format!("the twin of {:?}", read.device)))
}

fn apply_patch(transaction: &mut Transaction, patch: &TwinPatch) -> Result<(), CommitFailure> {
    let section = match patch.section {
        TwinSection::Desired => Section::Desired,
        TwinSection::Reported => Section::Reported,
    };
    transaction.patch(&patch.device, section, patch.merge.as_bytes(), patch.expected).map(drop).map_err(failure)
}

/// Running again helps against what others did, not against what the function did.
fn failure(error: PatchError) -> CommitFailure {
    let words = error.to_string();
    match error {
        PatchError::Conflict { .. } | PatchError::Refused(Refusal::VersionConflict { .. }) => {
            CommitFailure::Conflict(words)
        }
        PatchError::Read(_) | PatchError::Unavailable(_) => CommitFailure::Unavailable(words),
        _ => CommitFailure::Refused(words),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use selvedge_twin::Twins;

    use super::*;

    #[test]
    fn the_kernel_says_how_much_memory_is_left() {
        assert_eq!(memory_available("MemTotal:  9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        for wrong in ["", "MemAvailable: x kB", "MemAvailable: 1", "MemAvailable: 18446744073709551615 kB"] {
            assert_eq!(memory_available(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_sweep_leaves_a_key_whose_new_value_is_still_queued() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), selvedge_store::Config::default()).unwrap();
        let twins = Twins::open(store.clone(), selvedge_twin::NodeId(1), selvedge_twin::Config::default()).unwrap();
        let host = FunctionHost::new(store.clone(), TwinService::new(twins, 1, true));
        let mut batch = Batch::new();
        for key in ["kept", "gone"] {
            let record = Record { revision: 1, expires_ms: 1, value: Vec::new() };
            key_values::put(&mut batch, "f", key, &record).unwrap();
        }
        store.commit_blocking(batch).unwrap();
        let (keys, _) = key_values::expired(&store, None, 2);
        assert_eq!(keys.len(), 2);

        // The store stands still with a write of the function behind it.
        let (go_on, told) = channel::<()>();
        let (begin, begun) = channel();
        store.commit(Batch::new(), move |_| {
            begin.send(()).unwrap();
            let _ = told.recv();
        });
        begun.recv().unwrap();
        let change = KvChange::Set { value: b"new".to_vec(), revision: 2, ttl_s: None };
        let write = KvWrite { key: "kept".to_owned(), expected: None, change };
        let effects = Effects { function: "f".to_owned(), kv_writes: vec![write], ..Effects::default() };
        {
            let _turn = host.key_value_writes.lock();
            store.commit(host.prepare(&effects).unwrap().batch, drop);
        }
        std::thread::scope(|scope| {
            let sweep = scope.spawn(|| host.remove_expired(&keys, 2));
            // Bounded: a sweep that does not wait for the store has done its reading by then.
            for _ in 0..100_000 {
                std::thread::yield_now();
            }
            go_on.send(()).unwrap();
            sweep.join().unwrap().unwrap();
        });
        assert_eq!(key_values::get(&store, "f", "kept", 2).unwrap().unwrap().revision, 2);
        assert_eq!(key_values::list(&store, "f", "", None, 10, 0).unwrap(), ["kept"]);
    }
}
