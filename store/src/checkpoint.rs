//! Making the state durable, on a thread of its own, because sled's flush and an fsync may take long and nobody waits
//! for them: what is in the journal is durable already. Needed before segments are removed, and so that the next start
//! has little to apply.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::config::Config;
use crate::shared::Shared;

/// Stack of the thread in bytes.
const STACK_BYTES: usize = 512 * 1024;

/// Where a checkpoint runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// On a thread of its own.
    Thread,
    /// In the call that begins it, for what has to be repeatable.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the simulation needs it"))]
    Here,
}

pub(crate) struct Checkpoint {
    place: Where,
    running: Option<Running>,
    /// The last batch of the journal that is durable in the state.
    synced: u64,
    bytes_since: u64,
}

struct Running {
    thread: JoinHandle<()>,
    result: Receiver<Result<u64, String>>,
}

impl Checkpoint {
    /// For a state in which everything up to the batch `synced` is durable.
    pub(crate) fn new(place: Where, synced: u64) -> Self {
        Self { place, running: None, synced, bytes_since: 0 }
    }

    /// The last batch of the journal that is durable in the state.
    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }

    /// Counts bytes that were applied.
    pub(crate) fn count(&mut self, bytes: u64) {
        self.bytes_since += bytes;
    }

    pub(crate) fn is_due(&self, config: &Config) -> bool {
        self.running.is_none() && self.bytes_since > config.checkpoint_bytes
    }

    /// Begins one, unless one runs. `Err`: it failed at once.
    pub(crate) fn begin(&mut self, shared: &Arc<Shared>) -> Result<(), String> {
        if self.running.is_some() {
            return Ok(());
        }
        self.bytes_since = 0;
        if self.place == Where::Thread {
            let thread = thread::Builder::new().name("store-sync".to_owned()).stack_size(STACK_BYTES);
            let shared = shared.clone();
            let (sender, result) = sync_channel(1);
            let spawned = thread.spawn(move || {
                let _ = sender.send(sync(&shared));
                shared.intake.push(None, |_| ());
            });
            if let Ok(thread) = spawned {
                self.running = Some(Running { thread, result });
                return Ok(());
            }
        }
        self.note(sync(shared)?);
        Ok(())
    }

    /// Takes note of one that has ended. `Err`: it failed.
    pub(crate) fn poll(&mut self, shared: &Arc<Shared>) -> Result<(), String> {
        let Some(running) = &self.running else { return Ok(()) };
        let ended = match running.result.try_recv() {
            Ok(result) => result,
            Err(TryRecvError::Empty) => return Ok(()),
            Err(TryRecvError::Disconnected) => Err("the thread that syncs the state panicked".to_owned()),
        };
        self.running = None;
        shared.look_at_state_bytes();
        self.note(ended?);
        Ok(())
    }

    /// Ends what runs, then makes everything durable.
    pub(crate) fn finish(&mut self, shared: &Arc<Shared>) -> Result<(), String> {
        self.join();
        if shared.state.engine_sequence() != self.synced {
            self.note(sync(shared)?);
        }
        Ok(())
    }

    /// Everything up to this batch is durable in the state.
    pub(crate) fn note(&mut self, synced: u64) {
        self.synced = self.synced.max(synced);
    }

    /// Waits until nothing runs any more.
    pub(crate) fn join(&mut self) {
        if let Some(running) = self.running.take() {
            if let Ok(Ok(synced)) = running.result.recv() {
                self.note(synced);
            }
            let _ = running.thread.join();
        }
    }
}

/// Gives the last batch that is durable in the state; 0 if there was no room.
fn sync(shared: &Shared) -> Result<u64, String> {
    let Some(sequence) = shared.state.sync()? else { return Ok(0) };
    shared.counters.checkpoint();
    Ok(sequence)
}
