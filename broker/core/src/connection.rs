//! What the broker knows of one network connection (or attachment inside the node) for as long as it lasts.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use selvedge_codec::ProtocolVersion;

use crate::{
    id::{ConnectionId, SessionKey},
    time::Moment,
};

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A client that speaks MQTT.
    Network(ProtocolVersion),
    /// A consumer inside the node, which gets messages and no bytes.
    Internal,
}

/// Topic aliases that the broker uses towards a client (MQTT 5, 3.3.2.3.4): first come, first served.
#[derive(Debug, Default)]
pub(crate) struct AliasesOut {
    pub(crate) maximum: u16,
    pub(crate) by_topic: HashMap<Box<str>, u16, RandomState>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) session: SessionKey,
    pub(crate) kind: Kind,
    /// Silence after which the client counts as gone, milliseconds; 0 is any.
    pub(crate) silence_max_ms: u64,
    pub(crate) last_heard: Moment,
    /// The armed keep-alive timer.
    pub(crate) keep_alive_at: Option<Moment>,
    /// Largest packet that the client accepts, bytes [MQTT-3.1.2-24].
    pub(crate) packet_bytes_max: u32,
    /// QoS 1 and 2 messages that may be unacknowledged towards the client [MQTT-4.9.0-1].
    pub(crate) window: u16,
    /// The outbox is over its high-water mark.
    pub(crate) congested: bool,
    /// Reason strings and user properties are welcome in every packet [MQTT-3.1.2-29].
    pub(crate) problem_information: bool,
    /// Session expiry of the CONNECT was 0, so DISCONNECT may not raise it [MQTT-3.1.2.11.2].
    pub(crate) connected_without_expiry: bool,
    /// The input that sent to this connection last, and how many bytes.
    pub(crate) input: u64,
    pub(crate) input_bytes: usize,
    pub(crate) aliases_in: Vec<Option<Box<str>>>,
    pub(crate) aliases_out: Option<Box<AliasesOut>>,
}

/// All connections, by the slot that the shell gave them.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    network: usize,
}

impl Connections {
    /// Connections of clients; consumers inside the node do not count.
    pub(crate) fn network_count(&self) -> usize {
        self.network
    }

    pub(crate) fn insert(&mut self, connection: Connection) {
        let slot = connection.id.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.network += usize::from(connection.kind != Kind::Internal);
        let replaced = self.slots[slot].replace(Box::new(connection));
        self.network -= usize::from(replaced.is_some_and(|replaced| replaced.kind != Kind::Internal));
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.slots.get(id.slot as usize)?.as_deref().filter(|connection| connection.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots.get_mut(id.slot as usize)?.as_deref_mut().filter(|connection| connection.id == id)
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        self.network -= usize::from(self.get(id)?.kind != Kind::Internal);
        self.slots.get_mut(id.slot as usize)?.take()
    }

    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.slots.iter().flatten().map(|connection| connection.id).collect()
    }
}
