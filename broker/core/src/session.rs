//! What the broker knows of a client, connected or not (MQTT 5, 4.1).

pub(crate) mod in_flight;
pub(crate) mod queue;
pub(crate) mod table;

use std::{collections::BTreeSet, sync::Arc};

use in_flight::InFlight;
use queue::Queue;
use selvedge_codec::PacketId;

use crate::{
    account::Account,
    authorize::{Permit, Principal},
    id::{ConnectionId, SessionToken},
    message::Message,
    time::Moment,
};

/// Client identifiers of consumers inside the node begin with this, and no client may use them.
pub(crate) const NODE_CLIENT_PREFIX: &str = "$node/";

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

/// What a filter takes with its place in the session and in the tree, and what each of its levels takes that no other
/// filter has, bytes.
const FILTER_FIXED_BYTES: usize = 288;
const FILTER_LEVEL_BYTES: usize = 416;

/// What a filter, `$share/…` included, takes at most, bytes.
pub(crate) fn filter_cost_bytes(filter: &str) -> usize {
    let levels = filter.bytes().filter(|byte| *byte == b'/').count() + 1;
    filter_entry_bytes(filter) + levels * FILTER_LEVEL_BYTES
}

/// What it takes beside the tree, bytes.
pub(crate) fn filter_entry_bytes(filter: &str) -> usize {
    filter.len() + FILTER_FIXED_BYTES
}

#[derive(Debug)]
pub(crate) struct Session {
    /// Its place in the table, for the shell to give back.
    pub(crate) token: SessionToken,
    pub(crate) client_id: Arc<str>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) permit: Option<Arc<dyn Permit>>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) expiry_s: u32,
    /// When the session ends, while it is away; the armed timer.
    pub(crate) ends_at: Option<Moment>,
    /// Filters as subscribed, `$share/…` included; the options stand in the topic tree.
    pub(crate) filters: BTreeSet<Box<str>>,
    /// What they take, with all their levels in the tree.
    pub(crate) filter_bytes: usize,
    /// Their length.
    filter_text_bytes: usize,
    pub(crate) in_flight: InFlight,
    pub(crate) queue: Queue,
    /// QoS 2 publications of the client that wait for its PUBREL [MQTT-4.3.3-10].
    pub(crate) inbound_qos_2: BTreeSet<PacketId>,
    pub(crate) will: Option<Box<Will>>,
    /// When the will is published, while it waits for its delay; the armed timer.
    pub(crate) will_at: Option<Moment>,
    /// The rules by which what it holds was last judged; see `handle/recheck`.
    pub(crate) judged_by: u32,
    /// Number under which the journal keeps it; 0 is not at all.
    pub(crate) number: u64,
    /// Number of the next delivery that the journal keeps for it.
    pub(crate) next_entry: u64,
    /// Its place among the sessions that may give way to a user; see `table`.
    away: Option<u64>,
    /// What it counts for in the account.
    counted: usize,
}

impl Session {
    /// What a session and its connection take, in the tables that know them as well, bytes. A session counts for a connection
    /// although it may have none: so a client can always come back and take what is kept for it.
    pub(crate) const FIXED_BYTES: usize = 960;
    /// What a publication takes that waits for its PUBREL, bytes.
    pub(crate) const INBOUND_ID_BYTES: usize = 16;

    fn new(token: SessionToken, client_id: Arc<str>, user: Option<Arc<str>>) -> Self {
        Self {
            token,
            client_id,
            user,
            permit: None,
            connection: None,
            expiry_s: 0,
            ends_at: None,
            filters: BTreeSet::new(),
            filter_bytes: 0,
            filter_text_bytes: 0,
            in_flight: InFlight::default(),
            queue: Queue::default(),
            inbound_qos_2: BTreeSet::new(),
            will: None,
            will_at: None,
            judged_by: 0,
            number: 0,
            next_entry: 1,
            away: None,
            counted: 0,
        }
    }

    pub(crate) fn principal(&self) -> Principal<'_> {
        Principal { client_id: &self.client_id, user: self.user.as_ref(), permit: self.permit.as_ref() }
    }

    /// Whether the session outlives its connection.
    pub(crate) fn is_persistent(&self) -> bool {
        self.expiry_s > 0
    }

    /// Whether it is that of a consumer inside the node.
    pub(crate) fn is_internal(&self) -> bool {
        self.client_id.starts_with(NODE_CLIENT_PREFIX)
    }

    /// The client subscribed to `filter`; must not be there.
    pub(crate) fn add_filter(&mut self, filter: &str) {
        self.filters.insert(filter.into());
        self.filter_bytes += filter_cost_bytes(filter);
        self.filter_text_bytes += filter.len();
    }

    /// The client has unsubscribed. False if there was no such filter.
    pub(crate) fn remove_filter(&mut self, filter: &str) -> bool {
        let removed = self.filters.remove(filter);
        if removed {
            self.filter_bytes -= filter_cost_bytes(filter);
            self.filter_text_bytes -= filter.len();
        }
        removed
    }

    /// What its messages take in memory, as if it alone held them, bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.queue.bytes_in_memory() + self.in_flight.bytes() + self.queue.footprint() + self.in_flight.footprint()
    }

    /// What it may hold while memory is short, bytes. Consumers inside the node are few and serve all, so their part is no crumb.
    pub(crate) fn share_bytes(&self, account: &Account) -> usize {
        const CONSUMER_BYTES_MIN: usize = 1024 * 1024;
        let share = account.share_bytes();
        if self.is_internal() { share.max(CONSUMER_BYTES_MIN) } else { share }
    }

    /// All that it takes but messages and levels of the topic tree, which count by themselves, bytes.
    pub(crate) fn footprint(&self) -> usize {
        Self::FIXED_BYTES
            + 2 * self.client_id.len()
            + self.filters.len() * FILTER_FIXED_BYTES
            + self.filter_text_bytes
            + self.queue.footprint()
            + self.in_flight.footprint()
            + self.inbound_qos_2.len() * Self::INBOUND_ID_BYTES
            + self.will.as_ref().map_or(0, |will| will.message.cost_bytes())
    }

    /// Changes what is in flight, and only that: as [`Self::settle`] afterwards, but cheap, because it is done twice for each
    /// message.
    #[inline]
    pub(crate) fn change_in_flight<R>(&mut self, account: &mut Account, change: impl FnOnce(&mut InFlight) -> R) -> R {
        let before = self.in_flight.footprint();
        let result = change(&mut self.in_flight);
        let footprint = self.counted - before + self.in_flight.footprint();
        account.settle(&mut self.counted, footprint);
        result
    }

    /// To be called after every change of what the session holds.
    #[inline]
    pub(crate) fn settle(&mut self, account: &mut Account) {
        let footprint = self.footprint();
        account.settle(&mut self.counted, footprint);
    }
}
