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
use super::key_values::underway::Change;
use super::key_values::{self, KeyValues, Record};
use super::messages;
use super::twin_service::TwinService;

/// The node, lent to functions.
pub struct FunctionHost {
    store: Store,
    key_values: KeyValues,
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
            key_values: KeyValues::new(store.clone()),
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
        // What rests on something under way is not before it, outputs of QoS 0 and answers included.
        let has_writes = writes_key_values(effects)
            || !effects.twin_patches.is_empty()
            || buckets(effects).any(|(function, _, _)| self.key_values.are_underway(function));
        if has_writes {
            self.check_health()?;
        }
        let (batch, changes) = self.key_value_batch(effects, now_ms)?;
        let mut transaction = self.twins.twins().begin(now_ms);
        for read in &effects.twin_reads {
            check_read(&mut transaction, read)?;
        }
        for patch in &effects.twin_patches {
            apply_patch(&mut transaction, patch)?;
        }
        Ok(Prepared { batch, changes, transaction, has_writes })
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
    /// bucket, and that takes turns; the runtime has one such commit a bucket at a time until it is ordered.
    fn key_value_batch(&self, effects: &Effects, now_ms: u64) -> Result<(Batch, Vec<Change>), CommitFailure> {
        let (mut batch, mut changes) = (Batch::new(), Vec::new());
        for (function, reads, writes) in buckets(effects) {
            self.check_key_values(function, reads, writes, now_ms)?;
            for write in writes {
                let record = match &write.change {
                    KvChange::Set { value, revision, ttl_s } => {
                        let expires_ms = ttl_s.map_or(0, |ttl_s| now_ms.saturating_add(u64::from(ttl_s) * 1000).max(1));
                        Some(Record { revision: *revision, expires_ms, value: value.clone() })
                    }
                    KvChange::Delete => None,
                };
                let change = key_values::write(&mut batch, function, &write.key, record);
                changes.push(change.map_err(|error| CommitFailure::Refused(error.to_string()))?);
            }
        }
        Ok((batch, changes))
    }

    fn check_key_values(
        &self,
        function: &str,
        reads: &[KvRead],
        writes: &[KvWrite],
        now_ms: u64,
    ) -> Result<(), CommitFailure> {
        let reads = reads.iter().map(|read| (&read.key, read.revision));
        for (key, expected) in reads.chain(writes.iter().map(|write| (&write.key, write.expected))) {
            let current = self.key_values.get(function, key, now_ms);
            let current = current.map_err(|error| CommitFailure::Unavailable(error.to_string()))?;
            if current.map(|entry| entry.revision) != expected {
                return Err(CommitFailure::Conflict(format!("key {key:?}")));
            }
        }
        Ok(())
    }
}

/// Checked effects.
struct Prepared {
    batch: Batch,
    /// The key-values in it.
    changes: Vec<Change>,
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
        self.key_values.get(function, key, wall_ms())
    }

    fn kv_list(
        &self,
        function: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, HostError> {
        self.key_values.list(function, prefix, after, limit, wall_ms())
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

    fn is_underway(&self, function: &str) -> bool {
        self.key_values.are_underway(function)
    }

    fn memory_available(&self) -> Option<u64> {
        memory_available(&std::fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn http(&self, request: &HttpRequest) -> Result<HttpReply, HostError> {
        self.web.ask(request)
    }

    fn commit(&self, mut effects: Effects, done: CommitDone) {
        let Some(lines) = self.lines.get().cloned() else {
            return done.end(Err(CommitFailure::Unavailable("the broker does not run yet".to_owned())));
        };
        let publisher = messages::publisher(&effects.function, effects.depth, &effects.invocation_id);
        let now = lines.now();
        let outputs = std::mem::take(&mut effects.publish)
            .into_iter()
            .map(|message| messages::from_invocation(message, now, Arc::clone(&publisher)))
            .collect::<Result<Vec<Message>, _>>();
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(error) => return done.end(Err(CommitFailure::Refused(error.to_string()))),
        };
        let turn = writes_key_values(&effects).then(|| self.key_value_writes.lock());
        let prepared = match self.prepare(&effects) {
            Ok(prepared) => prepared,
            Err(failure) => {
                drop(turn);
                return done.end(Err(failure));
            }
        };
        let patches_bytes = effects.twin_patches.iter().map(|patch| patch.merge.len()).sum();
        let (function, delivery) = (effects.function, effects.delivery);
        if !prepared.has_writes {
            lines.commit(&function, delivery, outputs, None);
            return done.end(Ok(()));
        }
        let twins = Arc::clone(&self.twins);
        let CommitDone { ordered, ended } = done;
        // It is wanted in both arms, and only one of them takes it.
        let ended = Arc::new(Mutex::new(Some(ended)));
        let on_durable_ended = Arc::clone(&ended);
        let passage = self.key_values.underway().add(prepared.changes, patches_bytes);
        let committed = prepared.transaction.commit_with(prepared.batch, move |batch, publications, ending| {
            let told = publications.iter().flat_map(|publication| {
                let (thing, replies) = (&publication.thing, publication.replies.clone());
                twins.messages_of(thing, replies, None, Some(Arc::clone(&publisher)))
            });
            let all = outputs.into_iter().chain(told).collect();
            let on_durable = move |result: Result<(), CommitError>| {
                ending.end(result.is_ok());
                drop(passage);
                let Some(ended) = on_durable_ended.lock().take() else { return };
                match result {
                    Ok(()) => {
                        for publication in &publications {
                            twins.tell_watchers(&publication.thing, &publication.replies);
                        }
                        ended(Ok(()));
                    }
                    Err(error) => ended(Err(CommitFailure::Unavailable(error.to_string()))),
                }
            };
            lines.commit(&function, delivery, all, Some(Commit { batch, on_durable: Box::new(on_durable) }));
        });
        let has_room = self.key_values.underway().has_room();
        drop(turn);
        match committed {
            // Where much is under way, what comes next waits until this is durable.
            Ok(()) if has_room => ordered(),
            Ok(()) => {}
            Err(error) => {
                if let Some(ended) = ended.lock().take() {
                    ended(Err(failure(error)));
                }
            }
        }
    }
}

/// What was done with key-values, by function: the own ones first.
fn buckets(effects: &Effects) -> impl Iterator<Item = (&str, &[KvRead], &[KvWrite])> {
    let own = (effects.function.as_str(), &*effects.kv_reads, &*effects.kv_writes);
    let others = effects.others.iter().map(|other| (other.function.as_str(), &*other.kv_reads, &*other.kv_writes));
    iter::once(own).chain(others)
}

fn writes_key_values(effects: &Effects) -> bool {
    buckets(effects).any(|(_, _, writes)| !writes.is_empty())
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

    /// What a run does that adds one to the number under a key.
    fn increment(host: &FunctionHost, key: &str) -> Effects {
        let entry = host.kv_get("f", key).unwrap();
        let (expected, number) = entry.map_or((None, 0), |entry| (Some(entry.revision), entry.value[0]));
        let revision = expected.unwrap_or(0) + 1;
        let change = KvChange::Set { value: vec![number + 1], revision, ttl_s: None };
        let write = KvWrite { key: key.to_owned(), expected, change };
        Effects { function: "f".to_owned(), kv_writes: vec![write], ..Effects::default() }
    }

    #[test]
    fn a_commit_sees_those_before_it_that_are_not_durable_yet_and_ends_after_them() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), selvedge_store::Config::default()).unwrap();
        let twins = Twins::open(store.clone(), selvedge_twin::NodeId(1), selvedge_twin::Config::default()).unwrap();
        let host = FunctionHost::new(store.clone(), TwinService::new(twins, 1, true));

        // The store stands still.
        let (go_on, told) = channel::<()>();
        store.commit(Batch::new(), move |_| {
            let _ = told.recv();
        });
        let ended = Arc::new(Mutex::new(Vec::new()));
        let submit = |effects: &Effects, number: u8| {
            let prepared = host.prepare(effects).unwrap();
            assert!(prepared.has_writes, "{number} waits for what it rests on");
            let passage = host.key_values.underway().add(prepared.changes, 0);
            let ended = Arc::clone(&ended);
            store.commit_now(prepared.batch, move |result| {
                drop(passage);
                ended.lock().push((number, result.is_ok()));
            });
        };
        let stale = increment(&host, "n");
        (1..=3).for_each(|number| submit(&increment(&host, "n"), number));
        assert!(matches!(host.prepare(&stale), Err(CommitFailure::Conflict(_))), "it rests on what is there no more");
        let read = host.kv_get("f", "n").unwrap().unwrap();
        assert_eq!(read.value, [3]);
        // Only reads; and what does not touch key-values at all comes after what the function did before, too.
        let kv_reads = vec![KvRead { key: "n".to_owned(), revision: Some(read.revision) }];
        submit(&Effects { function: "f".to_owned(), kv_reads, ..Effects::default() }, 4);
        submit(&Effects { function: "f".to_owned(), ..Effects::default() }, 5);
        assert!(ended.lock().is_empty() && host.is_underway("f") && !host.is_underway("g"));
        go_on.send(()).unwrap();
        store.commit_blocking(Batch::new()).unwrap();
        assert_eq!(*ended.lock(), [1, 2, 3, 4, 5].map(|number| (number, true)));
        let idle = Effects { function: "f".to_owned(), ..Effects::default() };
        assert!(!host.prepare(&idle).unwrap().has_writes && !host.is_underway("f"), "nothing is under way any more");
        assert_eq!(host.kv_get("f", "n").unwrap().unwrap().value, [3]);
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
            key_values::write(&mut batch, "f", key, Some(record)).unwrap();
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
        assert_eq!(host.key_values.get("f", "kept", 2).unwrap().unwrap().revision, 2);
        assert_eq!(host.key_values.list("f", "", None, 10, 0).unwrap(), ["kept"]);
    }
}
