//! What the broker knows of one network connection (or attachment inside the node) for as long as it lasts.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use selvedge_codec::ProtocolVersion;

use crate::{
    account::Account,
    durability::Durability,
    handle::many_filters::Request,
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

/// Enhanced authentication of a connection (MQTT 5, 4.12).
#[derive(Debug)]
pub(crate) struct Enhanced {
    /// The method of CONNECT, which all that follows must name [MQTT-4.12.1-1].
    pub(crate) method: Box<str>,
    pub(crate) exchange: Exchange,
}

impl Enhanced {
    /// When the re-authentication must be over, if one is going on; the armed timer.
    pub(crate) fn until(&self) -> Option<Moment> {
        match self.exchange {
            Exchange::Idle => None,
            Exchange::Judged { until } | Exchange::Awaited { until } => Some(until),
        }
    }
}

/// How far a re-authentication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// None is going on.
    Idle,
    /// The shell looks at what the client sent; until then the client has nothing to say.
    Judged { until: Moment },
    /// The client is to go on.
    Awaited { until: Moment },
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
    /// How safe the listener wants what the client publishes.
    pub(crate) durability: Option<Durability>,
    /// The publication of the client that somebody looks at now, by its ticket.
    pub(crate) held: Option<u64>,
    /// A packet with many filters that is not answered yet.
    pub(crate) request: Option<Box<Request>>,
    /// Reason strings and user properties are welcome in every packet [MQTT-3.1.2-29].
    pub(crate) problem_information: bool,
    /// Session expiry of the CONNECT was 0, so DISCONNECT may not raise it [MQTT-3.1.2.11.2].
    pub(crate) connected_without_expiry: bool,
    /// The input that sent to this connection last, and how many bytes.
    pub(crate) input: u64,
    pub(crate) input_bytes: usize,
    /// When the credentials of the client end; the armed timer.
    pub(crate) credentials_end_at: Option<Moment>,
    /// Present where the client was authenticated by enhanced authentication.
    pub(crate) enhanced: Option<Box<Enhanced>>,
    pub(crate) aliases_in: Vec<Option<Box<str>>>,
    pub(crate) aliases_out: Option<Box<AliasesOut>>,
    /// What the topics behind the aliases of both directions take.
    pub(crate) alias_bytes: usize,
    /// What it counts for in the account.
    pub(crate) counted: usize,
}

impl Connection {
    /// What an alias takes beside its topic, bytes.
    pub(crate) const ALIAS_BYTES: usize = 64;

    /// A connection without keep-alive, limits and aliases.
    pub(crate) fn new(id: ConnectionId, session: SessionKey, kind: Kind, now: Moment) -> Self {
        Self {
            id,
            session,
            kind,
            silence_max_ms: 0,
            last_heard: now,
            keep_alive_at: None,
            packet_bytes_max: u32::MAX,
            window: u16::MAX,
            congested: false,
            durability: None,
            held: None,
            request: None,
            problem_information: false,
            connected_without_expiry: false,
            input: 0,
            input_bytes: 0,
            credentials_end_at: None,
            enhanced: None,
            aliases_in: Vec::new(),
            aliases_out: None,
            alias_bytes: 0,
            counted: 0,
        }
    }

    /// All that it takes but what its session counts for it (see `Session::FIXED_BYTES`), bytes.
    pub(crate) fn footprint(&self) -> usize {
        const PLACE_BYTES: usize = size_of::<Option<Box<str>>>();
        let request = self.request.as_ref().map_or(0, |request| request.footprint());
        self.aliases_in.len() * PLACE_BYTES + self.alias_bytes + request
    }

    /// To be called after every change of what the connection holds.
    pub(crate) fn settle(&mut self, account: &mut Account) {
        let footprint = self.footprint();
        account.settle(&mut self.counted, footprint);
    }

    /// Remembers `topic` behind an alias of the client's, in place of what was there. `false` if the account has no room.
    pub(crate) fn learn_alias(&mut self, index: usize, topic: &str, account: &mut Account) -> bool {
        let known = self.aliases_in.len();
        let wider = (index + 1).saturating_sub(known) * size_of::<Option<Box<str>>>();
        if !account.has_room(alias_cost_bytes(topic) + wider) {
            return false;
        }
        if known <= index {
            self.aliases_in.resize(index + 1, None);
        }
        let before = self.aliases_in[index].replace(topic.into());
        self.alias_bytes += alias_cost_bytes(topic);
        self.alias_bytes -= before.map_or(0, |before| alias_cost_bytes(&before));
        self.settle(account);
        true
    }
}

/// What an alias and its topic take, bytes.
pub(crate) fn alias_cost_bytes(topic: &str) -> usize {
    topic.len() + Connection::ALIAS_BYTES
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

    pub(crate) fn insert(&mut self, mut connection: Connection, account: &mut Account) {
        connection.settle(account);
        let slot = connection.id.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.network += usize::from(connection.kind != Kind::Internal);
        if let Some(replaced) = self.slots[slot].replace(Box::new(connection)) {
            self.network -= usize::from(replaced.kind != Kind::Internal);
            account.forget(replaced.counted);
        }
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.slots.get(id.slot as usize)?.as_deref().filter(|connection| connection.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots.get_mut(id.slot as usize)?.as_deref_mut().filter(|connection| connection.id == id)
    }

    pub(crate) fn remove(&mut self, id: ConnectionId, account: &mut Account) -> Option<Box<Connection>> {
        self.network -= usize::from(self.get(id)?.kind != Kind::Internal);
        let connection = self.slots.get_mut(id.slot as usize)?.take()?;
        account.forget(connection.counted);
        Some(connection)
    }

    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.slots.iter().flatten().map(|connection| connection.id).collect()
    }
}
