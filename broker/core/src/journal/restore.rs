//! From records back to sessions: what the journal held when the node stopped, as data for
//! [`Core::continue_from`](crate::Core::continue_from).
//!
//! Records are applied in the order in which they were written. Invariant: what they name and nobody knows is passed over,
//! because the image of it comes later; what cannot be read at all ends the replay with an error.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use foldhash::fast::RandomState;
use selvedge_codec::{PacketId, QoS};

use super::{
    encoding::Reader,
    record::{Opened, Queued, Record, decode_identifiers},
};
use crate::{
    router::SubscriptionOptions,
    session::{
        in_flight::Identifiers,
        queue::{Stored, StoredEntry},
    },
};

/// Records that this program cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "reading what the journal keeps of sessions: unknown record at byte {offset} of {length}; was it written by a newer program?"
)]
pub struct ReplayError {
    /// Where the record begins.
    pub offset: usize,
    /// How long all records are.
    pub length: usize,
}

/// Takes records in their order and keeps what they come to.
#[derive(Debug, Default)]
pub struct Restorer {
    sessions: HashMap<u64, RestoredSession, RandomState>,
    retained: HashMap<Box<str>, u64, RandomState>,
    last_session: u64,
}

/// What the journal held: sessions and retained messages.
#[derive(Debug, Default)]
pub struct Restored {
    pub(crate) sessions: BTreeMap<u64, RestoredSession>,
    /// Sessions that end now, because they were to end with their connection.
    pub(crate) ended: Vec<u64>,
    /// Number and topic.
    pub(crate) retained: Vec<(u64, Box<str>)>,
    pub(crate) next_session: u64,
}

#[derive(Debug)]
pub(crate) struct RestoredSession {
    pub(crate) client_id: Box<str>,
    pub(crate) user: Option<Box<str>>,
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<RestoredWill>,
    pub(crate) presence: Presence,
    pub(crate) filters: BTreeMap<Box<str>, SubscriptionOptions>,
    pub(crate) in_flight: VecDeque<RestoredEntry>,
    pub(crate) queue: Stored,
    pub(crate) next_entry: u64,
    pub(crate) inbound: BTreeSet<PacketId>,
}

#[derive(Debug)]
pub(crate) struct RestoredWill {
    pub(crate) delay_s: u32,
    pub(crate) expiry_s: Option<u32>,
    pub(crate) body: Box<[u8]>,
}

/// Whether the client was there when the node stopped. Times in milliseconds since 1970, 0 is never or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Connected,
    Away { ends_at_ms: u64, will_at_ms: u64 },
}

/// A delivery that was sent.
#[derive(Debug)]
pub(crate) struct RestoredEntry {
    pub(crate) entry: u64,
    pub(crate) packet_id: PacketId,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// 0: the client has it, and its PUBCOMP is awaited.
    pub(crate) message: u64,
    pub(crate) cost: u32,
    pub(crate) identifiers: Identifiers,
}

impl Restorer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the records of one [`super::Kept`], whose first message has this number.
    ///
    /// # Errors
    /// A record cannot be read; what came before it is taken.
    pub fn apply(&mut self, records: &[u8]) -> Result<(), ReplayError> {
        let mut reader = Reader::new(records);
        while !reader.is_empty() {
            let offset = records.len() - reader.len();
            let record = Record::decode(&mut reader).ok_or(ReplayError { offset, length: records.len() })?;
            self.take(record);
        }
        Ok(())
    }

    /// All of it, when the last record was taken.
    pub fn finish(self) -> Restored {
        let (mut sessions, mut ended) = (BTreeMap::new(), Vec::new());
        for (number, session) in self.sessions {
            if session.expiry_s == 0 || session.client_id.is_empty() {
                ended.push(number);
            } else {
                sessions.insert(number, session);
            }
        }
        ended.sort_unstable();
        let mut retained: Vec<(u64, Box<str>)> =
            self.retained.into_iter().map(|(topic, number)| (number, topic)).collect();
        retained.sort_unstable();
        Restored { sessions, ended, retained, next_session: self.last_session + 1 }
    }

    fn take(&mut self, record: Record<'_>) {
        match record {
            Record::Message { .. } => {}
            Record::Opened(opened) => self.open(&opened),
            Record::Ended { session } => drop(self.sessions.remove(&session)),
            Record::Image { session } => drop(self.sessions.remove(&session)),
            Record::Retained { message, topic } => drop(self.retained.insert(topic.into(), message)),
            Record::RetainedRemoved { topic } => drop(self.retained.remove(topic)),
            Record::RetainedForgotten => self.retained.clear(),
            Record::Away { session, ends_at_ms, will_at_ms } => {
                self.change(session, |session| session.presence = Presence::Away { ends_at_ms, will_at_ms });
            }
            Record::WillGone { session } => self.change(session, |session| session.will = None),
            Record::Subscribed { session, filter, options } => {
                self.change(session, |session| {
                    session.filters.insert(filter.into(), options);
                });
            }
            Record::Unsubscribed { session, filter } => {
                self.change(session, |session| {
                    session.filters.remove(filter);
                });
            }
            Record::Queued(queued) => self.change(queued.session, |session| session.queue(&queued)),
            Record::Passed(queued, packet_id) => {
                self.change(queued.session, |session| session.pass(&queued, packet_id))
            }
            Record::Sent { session, entry, packet_id } => {
                self.change(session, |session| session.send(entry, packet_id));
            }
            Record::Received { session, entry } => self.change(session, |session| {
                if let Some(sent) = session.in_flight.iter_mut().find(|sent| sent.entry == entry) {
                    sent.message = 0;
                }
            }),
            Record::Done { session, entry } => self.change(session, |session| session.end(entry)),
            Record::Inbound { session, packet_id } => {
                self.change(session, |session| {
                    session.inbound.insert(packet_id);
                });
            }
            Record::InboundReleased { session, packet_id } => {
                self.change(session, |session| {
                    session.inbound.remove(&packet_id);
                });
            }
            Record::EntriesFrom { session, entry } => self.change(session, |session| session.next_entry = entry),
        }
    }

    fn open(&mut self, opened: &Opened<'_>) {
        self.last_session = self.last_session.max(opened.session);
        let session = self.sessions.entry(opened.session).or_insert_with(|| RestoredSession {
            client_id: opened.client_id.into(),
            user: None,
            expiry_s: 0,
            will: None,
            presence: Presence::Connected,
            filters: BTreeMap::new(),
            in_flight: VecDeque::new(),
            queue: Stored::default(),
            next_entry: 1,
            inbound: BTreeSet::new(),
        });
        session.user = opened.user.map(Box::from);
        session.expiry_s = opened.expiry_s;
        session.presence = Presence::Connected;
        session.will = opened.will.as_ref().map(|will| RestoredWill {
            delay_s: will.delay_s,
            expiry_s: will.expiry_s,
            body: will.message.into(),
        });
    }

    fn change(&mut self, session: u64, change: impl FnOnce(&mut RestoredSession)) {
        self.last_session = self.last_session.max(session);
        if let Some(session) = self.sessions.get_mut(&session) {
            change(session);
        }
    }
}

impl RestoredSession {
    fn queue(&mut self, queued: &Queued<'_>) {
        self.queue.push(StoredEntry {
            entry: self.next_entry,
            message: queued.message,
            qos: queued.qos,
            retain: queued.retain,
            cost: queued.cost,
            priority: queued.priority,
            expires_at_ms: queued.expires_at_ms,
            identifiers: decode_identifiers(queued.identifiers),
        });
        self.next_entry += 1;
    }

    fn pass(&mut self, queued: &Queued<'_>, packet_id: PacketId) {
        self.in_flight.push_back(RestoredEntry {
            entry: self.next_entry,
            packet_id,
            qos: queued.qos,
            retain: queued.retain,
            message: queued.message,
            cost: queued.cost,
            identifiers: decode_identifiers(queued.identifiers),
        });
        self.next_entry += 1;
    }

    fn send(&mut self, entry: u64, packet_id: PacketId) {
        let Some(StoredEntry { entry, message, qos, retain, cost, identifiers, .. }) = self.queue.remove(entry) else {
            return;
        };
        self.in_flight.push_back(RestoredEntry { entry, packet_id, qos, retain, message, cost, identifiers });
    }

    fn end(&mut self, entry: u64) {
        match self.in_flight.iter().position(|sent| sent.entry == entry) {
            Some(index) => drop(self.in_flight.remove(index)),
            None => drop(self.queue.remove(entry)),
        }
    }
}

impl Restored {
    /// Which messages are held, once for each that holds them.
    pub fn holds(&self, found: &mut dyn FnMut(u64)) {
        for session in self.sessions.values() {
            session.queue.each(&mut |entry| found(entry.message));
            session.in_flight.iter().map(|sent| sent.message).filter(|message| *message != 0).for_each(&mut *found);
        }
        self.retained.iter().for_each(|(number, _)| found(*number));
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Whose they are.
    pub fn client_ids(&self) -> impl Iterator<Item = &str> {
        self.sessions.values().map(|session| &*session.client_id)
    }

    /// How many messages wait for them.
    pub fn queued_messages(&self) -> usize {
        self.sessions.values().map(|session| session.queue.len()).sum()
    }
}
