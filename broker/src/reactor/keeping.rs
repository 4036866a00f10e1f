//! Handing over to the journal what a turn left to be kept, and sending what waited for it.

use std::{collections::VecDeque, sync::Arc};

use selvedge_core::{ConnectionId, Input, Moment, SessionToken};

use super::Reactor;
use crate::{
    handle::Command,
    journal::{Alongside, Journal, Mark},
};

/// What nobody waits for gathers for so long, or until it is so many bytes: each entry costs a head.
const GATHER_MS: u64 = 20;
const GATHER_BYTES: usize = 16 * 1024;
/// Requests for messages from disk that are under way at once: each brings so many bytes as [`selvedge_core`] asks for in one go.
const FETCHES_MAX: usize = 32;

/// The journal, where there is one.
pub(crate) struct Keeping {
    journal: Box<dyn Journal>,
    mark: Arc<Mark>,
    /// What becomes durable with the entry that gathers.
    pub(super) alongside: Vec<Alongside>,
    /// When the oldest of what nobody waits for was left.
    lazy_since: Option<Moment>,
    fetches: VecDeque<(SessionToken, Vec<u64>)>,
    fetching: usize,
    /// Connections that publish and are not read because the journal is behind.
    stalled: Vec<ConnectionId>,
}

impl Keeping {
    pub(crate) fn new(journal: Box<dyn Journal>, mark: Arc<Mark>) -> Self {
        Self {
            journal,
            mark,
            alongside: Vec::new(),
            lazy_since: None,
            fetches: VecDeque::new(),
            fetching: 0,
            stalled: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Keeping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeping").field("alongside", &self.alongside.len()).finish_non_exhaustive()
    }
}

impl Reactor {
    /// Hand over what gathered since the last call.
    pub(super) fn keep(&mut self) {
        let Some(keeping) = &mut self.keeping else { return };
        // What is to be fetched must have been handed over before.
        let is_awaited = self.core.kept_is_urgent()
            || self.connections.holds_gathering
            || !keeping.alongside.is_empty()
            || !self.connections.outstanding.fetches.is_empty();
        if !is_awaited && !self.stopping && self.core.kept_bytes() < GATHER_BYTES {
            if self.core.kept_bytes() == 0 {
                return;
            }
            let since = *keeping.lazy_since.get_or_insert(self.now);
            if self.now < since.plus_millis(GATHER_MS) {
                return;
            }
        }
        keeping.lazy_since = None;
        let kept = self.core.take_kept();
        if kept.is_none() && keeping.alongside.is_empty() && !self.connections.holds_gathering {
            return;
        }
        let mut kept = kept.unwrap_or_default();
        kept.urgent |= self.connections.holds_gathering;
        self.connections.holds_gathering = false;
        let entry = self.connections.gathering;
        self.connections.gathering += 1;
        let mark = keeping.mark.clone();
        let alongside = std::mem::take(&mut keeping.alongside);
        keeping.journal.append(kept, alongside, Box::new(move || mark.reached(entry)));
    }

    /// When what nobody waits for is to be handed over.
    pub(super) fn keep_by(&self) -> Option<Moment> {
        self.keeping.as_ref()?.lazy_since.map(|since| since.plus_millis(GATHER_MS))
    }

    /// Send what waited for what is durable by now, and read those again who had to wait for the disk.
    pub(super) fn release_durable(&mut self) {
        let Some(keeping) = &mut self.keeping else { return };
        self.connections.release(keeping.mark.durable());
        self.tell_congested();
        let Some(keeping) = &mut self.keeping else { return };
        if !keeping.stalled.is_empty() && !keeping.journal.is_behind() {
            for id in std::mem::take(&mut keeping.stalled) {
                // Its silence was not its own.
                self.handle(Input::Heard { connection: id });
                if let Some(connection) = self.connections.connection(id) {
                    connection.stalled = false;
                }
                self.put_in_line(id, true);
            }
        }
    }

    /// Whether `id` is not to be read now because it publishes what has to be kept, and the journal is behind.
    pub(super) fn stalls(&mut self, id: ConnectionId) -> bool {
        let Some(keeping) = &mut self.keeping else { return false };
        let Some(connection) = self.connections.connection(id).filter(|connection| connection.keeps) else {
            return false;
        };
        if !keeping.journal.is_behind() {
            return false;
        }
        if !std::mem::replace(&mut connection.stalled, true) {
            keeping.stalled.push(id);
            self.connections.resources.statistics.reads_stalled += 1;
        }
        true
    }

    /// Tell the core whether the disk has room.
    pub(super) fn look_at_disk(&mut self) {
        if let Some(keeping) = &self.keeping {
            self.core.set_disk_room(keeping.journal.has_room());
        }
    }

    /// Ask the journal for what the core wants from it, so much at a time. After [`Self::keep`]: a message may be wanted in the
    /// turn in which it was left to be kept.
    pub(super) fn fetch(&mut self) {
        let Some(keeping) = &mut self.keeping else { return };
        keeping.fetches.extend(self.connections.outstanding.fetches.drain(..));
        while keeping.fetching < FETCHES_MAX
            && let Some((session, numbers)) = keeping.fetches.pop_front()
        {
            keeping.fetching += 1;
            let commands = self.commands.clone();
            keeping.journal.fetch(
                numbers,
                // To a broker that has stopped, nothing needs to be said.
                Box::new(move |messages| drop(commands.push(Command::Fetched { session, messages }))),
            );
        }
    }

    /// The journal has answered.
    pub(super) fn fetched(&mut self, session: SessionToken, messages: &[(u64, Option<Vec<u8>>)]) -> usize {
        if let Some(keeping) = &mut self.keeping {
            keeping.fetching = keeping.fetching.saturating_sub(1);
        }
        self.handle(Input::Fetched { session, messages })
    }
}
