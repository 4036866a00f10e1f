//! The store as the broker's journal, and the broker as the way that every change of the node's state takes.
//!
//! Twins and key-values change together with messages and acknowledgements of the broker, in one entry of the journal; so all
//! changes go through the broker's thread, which keeps them in one order. Invariant: no change reaches the store on two ways
//! while the broker runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use selvedge_broker::{Alongside, FetchAnswer, Handle, Journal};
use selvedge_core::{Kept, ReplayError, Restored, Restorer};
use selvedge_store::{Batch, Commit, Entry, Health, JournalOwner, OnDurable, Replayed, Store, Urgency};
use selvedge_twin::CommitPath;

use crate::trusted_clock::TrustedClock;

use super::clock::wall_ms;

/// Between two looks at how much room the disk has.
const LOOK_AT_DISK_EVERY: Duration = Duration::from_millis(20);

/// What the store kept for the broker, taken while it was opened.
#[derive(Debug, Default)]
pub struct Replay {
    restorer: Restorer,
    failed: Option<ReplayError>,
}

impl Replay {
    /// Takes one entry.
    pub fn take(&mut self, replayed: &Replayed<'_>) {
        if self.failed.is_none() {
            self.failed = self.restorer.apply(replayed.records).err();
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// Something could not be read; nothing of the journal is touched.
    pub fn finish(self) -> Result<Restored, ReplayError> {
        self.failed.map_or_else(|| Ok(self.restorer.finish()), Err)
    }
}

/// The broker's part in work on a store that no node has open.
#[derive(Debug, Default)]
pub struct OfflineReplay {
    replay: Replay,
    restored: Restored,
}

impl JournalOwner for OfflineReplay {
    fn replay(&mut self, replayed: Replayed<'_>) {
        self.replay.take(&replayed);
    }

    fn holds(&mut self) -> Result<Vec<(u64, u32)>, String> {
        self.restored = std::mem::take(&mut self.replay).finish().map_err(|error| error.to_string())?;
        Ok(holders(&self.restored).collect())
    }

    fn image(&mut self) -> Vec<Vec<u8>> {
        self.restored.image()
    }
}

/// The messages that are held, each once, with how many hold it.
pub fn holders(restored: &Restored) -> impl Iterator<Item = (u64, u32)> {
    let mut held = Vec::new();
    restored.holds(&mut |number| held.push(number));
    held.sort_unstable();
    let mut at = 0;
    std::iter::from_fn(move || {
        let number = *held.get(at)?;
        let end = at + held[at..].iter().take_while(|other| **other == number).count();
        let holders = u32::try_from(end - at).unwrap_or(u32::MAX);
        at = end;
        Some((number, holders))
    })
}

/// Milliseconds since 1970 by which the broker goes on. A clock that is not trusted, or behind what was kept last, counts as if
/// it had stood still while the node was off.
pub fn time_to_go_on_by(clock: &TrustedClock, last_ms: u64) -> u64 {
    let judgement = clock.judgement();
    if judgement.is_trusted {
        wall_ms().max(last_ms)
    } else if last_ms > 0 {
        last_ms
    } else {
        wall_ms()
    }
}

/// See the module.
pub struct StoreJournal {
    store: Store,
    /// The wall clock at `started`, milliseconds since 1970.
    origin_ms: u64,
    started: Instant,
    queue_bytes_max: usize,
    image_began: u64,
    looked_at_disk: std::cell::Cell<Option<Instant>>,
    had_room: std::cell::Cell<bool>,
}

impl StoreJournal {
    /// Over `store`, at a time that the broker takes for `origin_ms`.
    pub fn new(store: Store, origin_ms: u64, queue_bytes_max: usize) -> Self {
        Self {
            store,
            origin_ms,
            started: Instant::now(),
            queue_bytes_max,
            image_began: 0,
            looked_at_disk: std::cell::Cell::new(None),
            had_room: std::cell::Cell::new(true),
        }
    }

    fn now_ms(&self) -> u64 {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.origin_ms.saturating_add(since)
    }
}

impl Journal for StoreJournal {
    fn append(&mut self, kept: Kept, alongside: Vec<Alongside>, durable: Box<dyn FnOnce() + Send>) {
        let state: Vec<Commit> =
            alongside.into_iter().filter_map(|change| change.downcast().ok()).map(|change| *change).collect();
        let Kept { records, messages, first_message, holds, urgent, image } = kept;
        let urgency = if urgent || !state.is_empty() { Urgency::Now } else { Urgency::Lazy };
        let entry = Entry { records, messages, first_message, holds, state, urgency };
        let sequence = self.store.append(entry, self.now_ms(), move |result| {
            // Otherwise the store has said why, refuses everything from now on, and the node ends.
            if result.is_ok() {
                durable();
            }
        });
        if image.begins {
            self.image_began = sequence;
        }
        if image.ends {
            self.store.image_complete(self.image_began);
        }
    }

    fn fetch(&mut self, numbers: Vec<u64>, answer: FetchAnswer) {
        let wanted = numbers.clone();
        self.store.load(numbers, move |bodies| answer(wanted.into_iter().zip(bodies).collect()));
    }

    fn is_behind(&self) -> bool {
        self.store.backlog().bytes > self.queue_bytes_max
    }

    fn has_room(&self) -> bool {
        let looked = self.looked_at_disk.get();
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_AT_DISK_EVERY) {
            self.looked_at_disk.set(Some(Instant::now()));
            self.had_room.set(self.store.health() == Health::Good && self.store.has_room(0));
        }
        self.had_room.get()
    }
}

/// The way of every change while the broker runs; before and after, the store itself.
pub struct BrokerPath {
    broker: Handle,
    store: Store,
}

impl BrokerPath {
    /// Through `broker` to `store`.
    pub fn new(broker: Handle, store: Store) -> Arc<Self> {
        Arc::new(Self { broker, store })
    }

    /// The broker.
    pub fn broker(&self) -> &Handle {
        &self.broker
    }

    /// The broker has stopped and gave this back.
    pub fn without_broker(&self, alongside: Option<Alongside>) {
        if let Some(Ok(commit)) = alongside.map(|alongside| alongside.downcast::<Commit>()) {
            self.store.commit_now(commit.batch, commit.on_durable);
        }
    }
}

impl CommitPath for BrokerPath {
    fn commit(&self, batch: Batch, on_durable: OnDurable) {
        let alongside: Alongside = Box::new(Commit { batch, on_durable });
        if let Err(alongside) = self.broker.commit(Vec::new(), Some(alongside)) {
            self.without_broker(alongside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use selvedge_store::{Config, LocalDisk};

    use super::*;

    fn open(dir: &Path) -> (Store, Restored) {
        let mut replay = Replay::default();
        let store = Store::open_with(dir, Config::default(), Arc::new(LocalDisk), &mut |entry| replay.take(&entry));
        (store.unwrap(), replay.finish().unwrap())
    }

    /// What the broker keeps of two sessions that wait for the same message.
    fn kept() -> Kept {
        use selvedge_codec::{Connect, Packet, PacketId, ProtocolVersion, Publish, QoS, Subscribe, SubscribeFilter};
        use selvedge_core::{ConnectionId, Core, Effects, Input, Moment, OpenAccess, Peer};
        let mut core = Core::new(selvedge_core::Config::default(), Box::new(OpenAccess), 1);
        core.continue_from(Restored::default(), 0, 1, &mut |_| None);
        let mut effects = Effects::new();
        for slot in 0..3 {
            let (connection, name) = (ConnectionId { slot, generation: 1 }, slot.to_string());
            let connect = Connect { session_expiry_s: Some(9), ..Connect::new(ProtocolVersion::V5, &name, true) };
            let input = Input::Connect { connection, connect: &connect, peer: Peer::default() };
            core.handle(input, Moment::default(), &mut effects);
            let packet = if slot < 2 {
                Packet::Subscribe(Subscribe {
                    packet_id: PacketId::MIN,
                    subscription_identifier: None,
                    user_properties: selvedge_codec::UserProperties::EMPTY,
                    filters: [SubscribeFilter::new("t", QoS::AtLeastOnce)].into_iter().collect(),
                })
            } else {
                Packet::Publish(Publish {
                    dup: false,
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    topic: "t",
                    packet_id: Some(PacketId::MIN),
                    properties: selvedge_codec::PublishProperties::default(),
                    payload: b"x",
                })
            };
            core.handle(Input::Packet { connection, packet }, Moment::default(), &mut effects);
        }
        core.take_kept().unwrap()
    }

    #[test]
    fn a_message_that_two_sessions_and_its_topic_hold_is_there_until_the_last_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = open(directory.path());
        let mut journal = StoreJournal::new(store, 1000, 1 << 20);
        let durable = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&durable);
        journal.append(kept(), Vec::new(), Box::new(move || told.store(1, Ordering::Relaxed)));
        drop(journal);
        assert_eq!(durable.load(Ordering::Relaxed), 1);

        let (store, restored) = open(directory.path());
        assert_eq!(holders(&restored).collect::<Vec<_>>(), [(1, 3)]);
        store.adopt(&mut holders(&restored));
        for left in [2, 1, 0] {
            assert!(store.load_blocking(1).unwrap().is_some(), "{left} more hold it");
            store.append(Entry { holds: vec![(1, -1)], ..Entry::default() }, 1000, |_| {});
        }
        assert!(store.load_blocking(1).unwrap().is_none());
    }
}
