//! The table of connections and consumers, and carrying out on it what the core decided.

use std::collections::VecDeque;

use selvedge_codec::ReasonCode;
use selvedge_core::{CloseCause, ConnectionId, Delivery, Effect, Effects, Hold, PacketIdPatch, SessionToken};

use super::{consumer::Consumer, interception::Interceptors};
use crate::{
    config::Config,
    connection::{Connection, Phase, Resources, close_code},
};

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are connections, and each effect looks one up")]
enum Occupant {
    Nobody,
    Connection(Connection),
    Consumer(Box<Consumer>),
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    occupant: Occupant,
}

/// What is to be done before the turn ends.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    /// Connections with something to flush, or to look at again.
    pub(crate) dirty: VecDeque<ConnectionId>,
    /// The same, from before: there was no time for them.
    pub(crate) unflushed: VecDeque<ConnectionId>,
    /// Connections of which the core must hear that they are congested.
    pub(crate) congested: Vec<ConnectionId>,
    /// What clients sent who authenticate again.
    pub(crate) authentications: Vec<(ConnectionId, ReasonCode, Vec<u8>)>,
    /// Consumers with deliveries to hand over.
    pub(crate) consumers: Vec<ConnectionId>,
    /// Connections that are to be read again, because nothing of them is held any more.
    pub(crate) released: Vec<ConnectionId>,
    /// Messages that the core wants from the journal.
    pub(crate) fetches: Vec<(SessionToken, Vec<u64>)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
    pub(crate) outstanding: Outstanding,
    pub(crate) resources: Resources,
    /// Who looks at publications first, and what they have not been given yet.
    pub(crate) interceptors: Interceptors,
    outbox_high: usize,
    outbox_low: usize,
    outbox_answers_max: usize,
    outbox_total: u64,
    /// Number of the journal's entry that gathers.
    pub(crate) gathering: u64,
    /// Whether something waits for that one.
    pub(crate) holds_gathering: bool,
    /// Who waits for which entry, in the order of entries.
    waiters: VecDeque<(u64, ConnectionId)>,
}

impl Connections {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            outstanding: Outstanding::default(),
            resources: Resources::default(),
            interceptors: Interceptors::default(),
            outbox_high: config.outbox_high_bytes,
            outbox_low: config.outbox_low_bytes.min(config.outbox_high_bytes),
            outbox_answers_max: config.outbox_answers_max_bytes,
            outbox_total: config.outbox_total_bytes as u64,
            gathering: 1,
            holds_gathering: false,
            waiters: VecDeque::new(),
        }
    }

    pub(crate) fn insert_connection(&mut self, connection: Connection) -> ConnectionId {
        self.resources.statistics.connections += 1;
        self.insert(Occupant::Connection(connection))
    }

    pub(crate) fn insert_consumer(&mut self, consumer: Consumer) -> ConnectionId {
        self.resources.statistics.attachments += 1;
        self.insert(Occupant::Consumer(Box::new(consumer)))
    }

    fn insert(&mut self, occupant: Occupant) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, occupant: Occupant::Nobody });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        place.generation = place.generation.wrapping_add(1);
        place.occupant = occupant;
        ConnectionId { slot, generation: place.generation }
    }

    /// Free the place of `id`; closes its socket or drops its sink.
    pub(crate) fn remove(&mut self, id: ConnectionId) {
        let Some(slot) = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation) else {
            return;
        };
        match std::mem::replace(&mut slot.occupant, Occupant::Nobody) {
            Occupant::Nobody => return,
            Occupant::Connection(mut connection) => {
                connection.waker = None;
                connection.fail(&mut self.resources);
                self.resources.statistics.connections -= 1;
            }
            Occupant::Consumer(_) => self.resources.statistics.attachments -= 1,
        }
        self.free.push(id.slot);
    }

    fn occupant(&mut self, id: ConnectionId) -> Option<&mut Occupant> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        (slot.generation == id.generation).then_some(&mut slot.occupant)
    }

    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        match self.occupant(id)? {
            Occupant::Connection(connection) => Some(connection),
            _ => None,
        }
    }

    /// The connection together with what all share.
    pub(crate) fn connection_and_resources(&mut self, id: ConnectionId) -> Option<(&mut Connection, &mut Resources)> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        match &mut slot.occupant {
            Occupant::Connection(connection) if slot.generation == id.generation => {
                Some((connection, &mut self.resources))
            }
            _ => None,
        }
    }

    pub(crate) fn consumer(&mut self, id: ConnectionId) -> Option<&mut Consumer> {
        match self.occupant(id)? {
            Occupant::Consumer(consumer) => Some(consumer),
            _ => None,
        }
    }

    /// Do what the core decided, in its order. What is sent to one that is gone is dropped.
    pub(crate) fn carry_out(&mut self, effects: &Effects) {
        for effect in effects.list() {
            match effect {
                Effect::Send { connection, bytes, patch, hold } => {
                    if !self.held(*connection, [effects.bytes(*bytes), &[]], *patch, *hold) {
                        self.send(*connection, effects.bytes(*bytes), *patch);
                    }
                }
                Effect::SendShared { connection, bytes, patch, message, hold } => {
                    if self.held(*connection, [effects.bytes(*bytes), message.payload()], *patch, *hold) {
                        continue;
                    }
                    self.send(*connection, effects.bytes(*bytes), *patch);
                    if let Some((open, resources)) = self.open_connection(*connection) {
                        let before = open.outbox.pending();
                        open.outbox.append_shared(message.clone());
                        resources.statistics.outbox_changed(before, open.outbox.pending());
                        self.appended(*connection, message.payload().len());
                    }
                }
                Effect::AwaitDrain { connection } => {
                    if let Some((open, _)) = self.open_connection(*connection) {
                        open.awaits_drain = true;
                        self.mark_dirty(*connection);
                    }
                }
                Effect::Authenticate { connection, reason, data } => {
                    let data = effects.bytes(*data).to_vec();
                    self.outstanding.authentications.push((*connection, *reason, data));
                }
                Effect::Fetch { session, numbers } => self.outstanding.fetches.push((*session, numbers.clone())),
                Effect::Intercept { connection, held } => {
                    self.interceptors.push(held.clone());
                    if let Some((connection, _)) = connection.and_then(|id| self.open_connection(id)) {
                        connection.suspended = true;
                    }
                }
                Effect::Pause { connection } => {
                    if let Some((connection, _)) = self.open_connection(*connection) {
                        connection.suspended = true;
                    }
                }
                Effect::GoOn { connection } => self.outstanding.released.push(*connection),
                Effect::Close { connection, cause } => self.close(*connection, *cause),
                Effect::Deliver { connection, delivery } => self.deliver(*connection, delivery.clone()),
            }
        }
    }

    /// The connections past CONNECT that are not being closed.
    pub(crate) fn open(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.slots.iter().enumerate().filter_map(|(slot, place)| match &place.occupant {
            Occupant::Connection(connection) if connection.phase == Phase::Open => {
                Some((ConnectionId { slot: slot as u32, generation: place.generation }, connection))
            }
            _ => None,
        })
    }

    fn open_connection(&mut self, id: ConnectionId) -> Option<(&mut Connection, &mut Resources)> {
        self.connection_and_resources(id).filter(|(connection, _)| connection.phase == Phase::Open)
    }

    /// Have a packet wait for the journal, if it has to. Gives `false` if it can be sent.
    #[inline]
    fn held(&mut self, id: ConnectionId, parts: [&[u8]; 2], patch: Option<PacketIdPatch>, hold: Hold) -> bool {
        match self.connection(id) {
            Some(connection) if connection.held.is_none() && matches!(hold, Hold::Nothing | Hold::Turn) => false,
            Some(_) => self.hold(id, parts, patch, hold),
            None => true,
        }
    }

    fn hold(&mut self, id: ConnectionId, parts: [&[u8]; 2], patch: Option<PacketIdPatch>, hold: Hold) -> bool {
        let gathering = self.gathering;
        let Some((connection, resources)) = self.open_connection(id) else { return true };
        let held = connection.held.get_or_insert_default();
        if !held.takes(hold) {
            return false;
        }
        let before = held.len();
        let entry = held.push(parts, patch, hold, gathering);
        resources.statistics.outbox_changed(before, held.len());
        if entry == gathering {
            self.holds_gathering = true;
            if self.waiters.back() != Some(&(entry, id)) {
                self.waiters.push_back((entry, id));
            }
        }
        true
    }

    /// Send what waited for entries up to `durable`.
    pub(crate) fn release(&mut self, durable: u64) {
        while let Some((_, id)) = self.waiters.pop_front_if(|(entry, _)| *entry <= durable) {
            let Some((connection, resources)) = self.open_connection(id) else { continue };
            let Some(held) = &mut connection.held else { continue };
            let before = held.len();
            let bytes = held.release(durable);
            resources.statistics.outbox_changed(before, held.len());
            if held.is_empty() {
                connection.held = None;
            }
            let closes_with = if connection.held.is_none() { connection.closes_with.take() } else { None };
            if !bytes.is_empty() {
                self.send(id, &bytes, None);
            }
            if let (Some(code), Some((connection, resources))) = (closes_with, self.open_connection(id)) {
                connection.begin_close(code, resources);
                self.mark_dirty(id);
            }
        }
    }

    #[inline]
    fn send(&mut self, id: ConnectionId, bytes: &[u8], patch: Option<PacketIdPatch>) {
        let mark = self.mark();
        let Some((connection, resources)) = self.open_connection(id) else { return };
        let before = connection.outbox.pending();
        connection.outbox.append(bytes, patch, &mut resources.pool);
        let pending = connection.outbox.pending();
        // A WebSocket frame that is sealed on the way may get shorter by as much as the new one's header is longer.
        resources.statistics.outbox_changed(before, pending);
        let watched = connection.congested || pending > mark;
        if !connection.dirty {
            connection.dirty = true;
            self.outstanding.dirty.push_back(id);
        }
        if watched {
            self.appended(id, bytes.len());
        }
    }

    /// Unsent bytes above which a connection is congested.
    #[inline]
    fn mark(&self) -> usize {
        if self.resources.statistics.outbox_bytes > self.outbox_total { self.outbox_low } else { self.outbox_high }
    }

    /// After `count` bytes came into an outbox: watch its marks.
    pub(crate) fn appended(&mut self, id: ConnectionId, count: usize) {
        let mark = self.mark();
        let answers_max = self.outbox_answers_max;
        let Some((connection, resources)) = self.open_connection(id) else { return };
        if connection.congested {
            connection.answer_bytes += count;
            if connection.answer_bytes > answers_max && !connection.paused {
                connection.paused = true;
                resources.statistics.reads_paused += 1;
            }
        } else if connection.outbox.pending() > mark {
            if !connection.blocked {
                connection.flush(resources);
            }
            if connection.phase == Phase::Open && connection.outbox.pending() > mark {
                connection.congested = true;
                connection.answer_bytes = 0;
                resources.statistics.congested += 1;
                self.outstanding.congested.push(id);
            }
        }
        self.mark_dirty(id);
    }

    pub(crate) fn mark_dirty(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id)
            && !connection.dirty
        {
            connection.dirty = true;
            self.outstanding.dirty.push_back(id);
        }
    }

    fn close(&mut self, id: ConnectionId, cause: CloseCause) {
        tracing::debug!(slot = id.slot, generation = id.generation, ?cause, "connection is being closed");
        if let Some((connection, resources)) = self.open_connection(id) {
            if cause == CloseCause::ProtocolViolation {
                resources.offenders.note(connection.peer.ip());
            }
            if connection.held.is_some() && cause != CloseCause::ShuttingDown {
                // What it was to be told is sent first; nothing it sends counts any more.
                connection.closes_with = Some(close_code(cause));
                connection.paused = true;
                return;
            }
            connection.begin_close(close_code(cause), resources);
            self.mark_dirty(id);
        } else if let Some(consumer) = self.consumer(id) {
            consumer.ended = true;
            self.outstanding.consumers.push(id);
        }
    }

    fn deliver(&mut self, id: ConnectionId, delivery: Delivery) {
        let Some(consumer) = self.consumer(id) else { return };
        consumer.deliveries.push(delivery);
        if consumer.deliveries.len() == 1 {
            self.outstanding.consumers.push(id);
        }
    }

    /// Flush the outbox of `id` if its socket may take something. Gives `true` when the core must be told that it has
    /// drained.
    pub(crate) fn flush(&mut self, id: ConnectionId, socket_has_room: bool) -> bool {
        let low = self.outbox_low;
        let Some((connection, resources)) = self.connection_and_resources(id) else { return false };
        connection.dirty = false;
        if socket_has_room || !connection.blocked {
            connection.flush(resources);
        }
        match connection.phase {
            Phase::Open => {}
            // Its task goes on with what comes after the last byte.
            Phase::Closing if connection.outbox.is_empty() => {
                connection.wake();
                return false;
            }
            _ => return false,
        }
        if !(connection.congested || connection.awaits_drain) || connection.outbox.pending() > low {
            return false;
        }
        connection.congested = false;
        connection.awaits_drain = false;
        if connection.paused {
            connection.paused = false;
            connection.wake();
        }
        true
    }
}
