//! A runtime in a temporary directory with a host in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use selvedge_functions::{
    CommitDone, CommitFailure, CompileChild, Config, DeployError, Deployed, Effects, FunctionStatus, Host, HostError,
    InvocationContext, InvocationMessage, InvocationResult, KvChange, KvEntry, LogLine, OnEnded, Runtime, TwinDoc,
    TwinSection,
};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Decides about a commit before it is applied.
pub type Verdict = Box<dyn FnMut(&Effects) -> Result<(), CommitFailure> + Send>;

#[derive(Default)]
pub struct MemoryHost {
    pub kv: Mutex<BTreeMap<(String, String), KvEntry>>,
    pub twins: Mutex<BTreeMap<(String, TwinSection), TwinDoc>>,
    pub committed: Mutex<Vec<Effects>>,
    pub verdict: Mutex<Option<Verdict>>,
    /// While set, commits are kept here instead of being answered.
    pub held: Mutex<Option<Vec<(Effects, CommitDone)>>>,
    /// While set, commits are applied and said to be ordered, and who waits for their end is kept here.
    pub ordered: Mutex<Option<Vec<OnEnded>>>,
    /// Function, event.
    pub events: Mutex<Vec<(String, String)>>,
    pub memory_available: Mutex<Option<u64>>,
    random: AtomicU64,
}

impl MemoryHost {
    fn apply(&self, effects: Effects) {
        let mut kv = self.kv.lock().unwrap();
        let own = effects.kv_writes.iter().map(|write| (&effects.function, write));
        let others =
            effects.others.iter().flat_map(|other| other.kv_writes.iter().map(|write| (&other.function, write)));
        for (function, write) in own.chain(others) {
            let key = (function.clone(), write.key.clone());
            match write.change.clone() {
                KvChange::Set { value, revision, .. } => kv.insert(key, KvEntry { value, revision }),
                KvChange::Delete => kv.remove(&key),
            };
        }
        self.committed.lock().unwrap().push(effects);
    }

    pub fn answer(&self, effects: Effects, done: CommitDone) {
        let verdict = self.verdict.lock().unwrap().as_mut().map_or(Ok(()), |verdict| verdict(&effects));
        if verdict.is_ok() {
            self.apply(effects);
        }
        done.end(verdict);
    }

    pub fn kv_text(&self, function: &str, key: &str) -> Option<String> {
        let kv = self.kv.lock().unwrap();
        kv.get(&(function.into(), key.into())).map(|entry| String::from_utf8(entry.value.clone()).unwrap())
    }

    pub fn published(&self) -> Vec<InvocationMessage> {
        self.committed.lock().unwrap().iter().flat_map(|effects| effects.publish.clone()).collect()
    }
}

impl Host for MemoryHost {
    fn now_ms(&self) -> u64 {
        1_000
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill_with(|| (self.random.fetch_add(1, Ordering::Relaxed) % 251) as u8);
    }

    fn kv_get(&self, function: &str, key: &str) -> Result<Option<KvEntry>, HostError> {
        Ok(self.kv.lock().unwrap().get(&(function.into(), key.into())).cloned())
    }

    fn kv_list(
        &self,
        function: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, HostError> {
        let kv = self.kv.lock().unwrap();
        let keys = kv.keys().filter(|(owner, key)| owner == function && key.starts_with(prefix));
        Ok(keys
            .map(|(_, key)| key.clone())
            .filter(|key| after.is_none_or(|after| key.as_str() > after))
            .take(limit)
            .collect())
    }

    fn twin_get(&self, device: &str, section: TwinSection, _path: &str) -> Result<Option<TwinDoc>, HostError> {
        Ok(self.twins.lock().unwrap().get(&(device.into(), section)).cloned())
    }

    fn event(&self, function: &str, event: &str, _detail: serde_json::Value) {
        self.events.lock().unwrap().push((function.to_owned(), event.to_owned()));
    }

    fn is_underway(&self, _function: &str) -> bool {
        self.ordered.lock().unwrap().as_ref().is_some_and(|ended| !ended.is_empty())
    }

    fn memory_available(&self) -> Option<u64> {
        *self.memory_available.lock().unwrap()
    }

    fn commit(&self, effects: Effects, done: CommitDone) {
        if self.ordered.lock().unwrap().is_some() {
            self.apply(effects);
            self.ordered.lock().unwrap().as_mut().unwrap().push(done.ended);
            return (done.ordered)();
        }
        let mut held = self.held.lock().unwrap();
        match held.as_mut() {
            Some(held) => held.push((effects, done)),
            None => {
                drop(held);
                self.answer(effects, done);
            }
        }
    }
}

pub struct Fixture {
    pub host: Arc<MemoryHost>,
    pub config: Config,
    pub directory: TempDir,
    runtime: Option<Runtime>,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let mut fixture = Self { host: Arc::default(), config, directory: tempfile::tempdir().unwrap(), runtime: None };
        fixture.reopen();
        fixture
    }

    /// Stops the runtime and opens it again on the same directory.
    pub fn reopen(&mut self) {
        self.runtime = None;
        self.runtime = Some(self.open(compile_child()));
    }

    pub fn open(&self, child: CompileChild) -> Runtime {
        Runtime::open(self.directory.path().join("functions"), child, self.config.clone(), self.host.clone()).unwrap()
    }

    pub fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    pub fn stop(&mut self) {
        self.runtime = None;
    }

    #[track_caller]
    pub fn deploy(&self, manifest: &str, component: Vec<u8>) -> Deployed {
        self.runtime().deploy(manifest, component).unwrap()
    }

    pub fn try_deploy(&self, manifest: &str, component: Vec<u8>) -> Result<Deployed, DeployError> {
        self.runtime().deploy(manifest, component)
    }

    /// Queues a message and gives the end of the line on which the result comes.
    pub fn send(&self, name: &str, message: InvocationMessage) -> Receiver<InvocationResult> {
        let (sender, receiver) = channel();
        let done = Box::new(move |result| {
            let _ = sender.send(result);
        });
        self.runtime().invoke(name, message, InvocationContext::default(), done);
        receiver
    }

    /// As [`Fixture::send`], of a client.
    pub fn send_from(&self, name: &str, client: &str, message: InvocationMessage) -> Receiver<InvocationResult> {
        let (sender, receiver) = channel();
        let context = InvocationContext { client_id: Some(client.to_owned()), ..InvocationContext::default() };
        self.runtime().invoke(name, message, context, Box::new(move |result| drop(sender.send(result))));
        receiver
    }

    /// Sends one message and waits for its end.
    pub fn call(&self, name: &str) -> InvocationResult {
        self.send(name, message("in/a", "1")).recv_timeout(PATIENCE).unwrap()
    }

    /// Sends one message of a client and gives the version that ran it.
    pub fn version_for(&self, name: &str, client: &str) -> String {
        let receiver = self.send_from(name, client, message("in/a", "1"));
        receiver.recv_timeout(PATIENCE).unwrap().unwrap().version.unwrap().to_string()
    }

    pub fn status(&self, name: &str) -> FunctionStatus {
        self.runtime().list().into_iter().find(|status| status.name == name).unwrap()
    }

    pub fn logs(&self, name: &str) -> Vec<LogLine> {
        self.runtime().logs(name, None).unwrap()
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what} did not come");
        std::thread::yield_now();
    }
}

pub fn message(topic: &str, payload: &str) -> InvocationMessage {
    InvocationMessage { topic: topic.into(), payload: payload.into(), ..InvocationMessage::default() }
}

/// The example program that cargo builds beside the tests.
pub fn compile_child() -> CompileChild {
    let test = std::env::current_exe().unwrap();
    let executable: PathBuf = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/compile_child");
    assert!(executable.exists(), "build it first: cargo build -p selvedge-functions --example compile_child");
    CompileChild { executable, args: vec![] }
}
