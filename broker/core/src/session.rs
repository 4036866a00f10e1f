//! What the broker knows of a client, connected or not (MQTT 5, 4.1), and the table of all sessions.

pub(crate) mod in_flight;
pub(crate) mod queue;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;
use in_flight::InFlight;
use queue::Queue;
use selvedge_codec::PacketId;

use crate::{
    authorize::Principal,
    id::{ConnectionId, SessionKey},
    message::Message,
    time::Moment,
};

/// A will that waits to be published or deleted (MQTT 5, 3.1.2.5).
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) message: Message,
    /// Message expiry counts from the publication of the will, not from CONNECT.
    pub(crate) expiry_s: Option<u32>,
    pub(crate) delay_s: u32,
}

/// Seconds that a session outlives its connection; `NEVER` is for ever (MQTT 5, 3.1.2.11.2).
pub(crate) const NEVER: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: Arc<str>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) expiry_s: u32,
    /// When the session ends, while it is away; the armed timer.
    pub(crate) ends_at: Option<Moment>,
    /// Filters as subscribed, `$share/…` included; the options stand in the topic tree.
    pub(crate) filters: BTreeSet<Box<str>>,
    /// What they take.
    pub(crate) filter_bytes: usize,
    pub(crate) in_flight: InFlight,
    pub(crate) queue: Queue,
    /// QoS 2 publications of the client that wait for its PUBREL [MQTT-4.3.3-10].
    pub(crate) inbound_qos_2: BTreeSet<PacketId>,
    pub(crate) will: Option<Box<Will>>,
    /// When the will is published, while it waits for its delay; the armed timer.
    pub(crate) will_at: Option<Moment>,
}

impl Session {
    pub(crate) fn principal(&self) -> Principal<'_> {
        Principal { client_id: &self.client_id, user: self.user.as_ref() }
    }

    /// Whether the session outlives its connection.
    pub(crate) fn is_persistent(&self) -> bool {
        self.expiry_s > 0
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    session: Option<Session>,
}

/// All sessions, by key and by client identifier.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_client: HashMap<Arc<str>, SessionKey, RandomState>,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.by_client.len()
    }

    pub(crate) fn find(&self, client_id: &str) -> Option<SessionKey> {
        self.by_client.get(client_id).copied()
    }

    pub(crate) fn insert(&mut self, client_id: Arc<str>, user: Option<Arc<str>>) -> SessionKey {
        let session = Session {
            client_id: client_id.clone(),
            user,
            connection: None,
            expiry_s: 0,
            ends_at: None,
            filters: BTreeSet::new(),
            filter_bytes: 0,
            in_flight: InFlight::default(),
            queue: Queue::default(),
            inbound_qos_2: BTreeSet::new(),
            will: None,
            will_at: None,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, session: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.session = Some(session);
        let key = SessionKey { index, generation: slot.generation };
        self.by_client.insert(client_id, key);
        key
    }

    pub(crate) fn get(&self, key: SessionKey) -> Option<&Session> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.session.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.session.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: SessionKey) -> Option<Session> {
        self.get(key)?;
        let session = self.slots.get_mut(key.index as usize)?.session.take()?;
        self.by_client.remove(&session.client_id);
        self.free.push(key.index);
        Some(session)
    }
}
