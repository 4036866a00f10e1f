//! An application message that is kept: retained, queued, in flight to a session that may resume, or handed to a
//! consumer inside the node. Messages that are only passed on never become one of these.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use selvedge_codec::{PublishProperties, QoS};

use crate::{
    account::{ChargeSlot, Ledger},
    time::Moment,
};

/// One message, immutable and shared.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    topic: Box<str>,
    payload: Bytes,
    /// Encoded PUBLISH properties that are forwarded as they came (MQTT 5, 3.3.2.3), without message expiry.
    properties: Box<[u8]>,
    qos: QoS,
    retain: bool,
    expires_at: Option<Moment>,
    publisher: Option<Arc<str>>,
    charge: ChargeSlot,
    number: NumberSlot,
}

/// Under which number the journal keeps a message; 0 is not at all. Says nothing about the message: any two are equal.
#[derive(Debug, Default)]
struct NumberSlot(AtomicU64);

impl PartialEq for NumberSlot {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for NumberSlot {}

impl Message {
    /// A message made inside the node: no properties, no expiry.
    pub fn new(topic: &str, payload: impl Into<Bytes>, qos: QoS, retain: bool) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            properties: Box::default(),
            qos,
            retain,
            expires_at: None,
            publisher: None,
            charge: ChargeSlot::default(),
            number: NumberSlot::default(),
        }
    }

    /// Under which number the journal keeps it; 0 is not at all.
    pub(crate) fn number(&self) -> u64 {
        self.number.0.load(Ordering::Relaxed)
    }

    /// The journal keeps it under this number.
    pub(crate) fn set_number(&self, number: u64) {
        self.number.0.store(number, Ordering::Relaxed);
    }

    /// The same with encoded forwarded properties (see [`PublishProperties::forwarded`]).
    pub fn with_properties(mut self, properties: Box<[u8]>) -> Self {
        self.properties = properties;
        self
    }

    /// The same, dead at `moment` (MQTT 5, 3.3.2.3.3).
    pub fn with_expiry(mut self, moment: Option<Moment>) -> Self {
        self.expires_at = moment;
        self
    }

    /// The same, published by this client.
    pub fn with_publisher(mut self, client_id: Option<Arc<str>>) -> Self {
        self.publisher = client_id;
        self
    }

    /// Topic name; not empty, no wildcards.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Payload; cloning the `Bytes` does not copy it.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// QoS at which it was published.
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// The RETAIN flag with which it was published.
    pub fn retain(&self) -> bool {
        self.retain
    }

    /// When it dies, if ever.
    pub fn expires_at(&self) -> Option<Moment> {
        self.expires_at
    }

    /// Whether it is dead at `now`.
    pub fn is_expired(&self, now: Moment) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Seconds that it has left, rounded up: what a subscriber is told [MQTT-3.3.2-6].
    pub fn expiry_left_s(&self, now: Moment) -> Option<u32> {
        self.expires_at.map(|at| at.since(now).as_millis().div_ceil(1000).min(u128::from(u32::MAX)) as u32)
    }

    /// Client identifier of its publisher, unless it was made inside the node.
    pub fn publisher(&self) -> Option<&Arc<str>> {
        self.publisher.as_ref()
    }

    /// The encoded properties that are forwarded unaltered.
    pub fn forwarded(&self) -> &[u8] {
        &self.properties
    }

    /// Typed, lazily parsed view of the properties, with the expiry left at `now`.
    pub fn properties(&self, now: Moment) -> PublishProperties<'_> {
        PublishProperties::from_forwarded(&self.properties, self.expiry_left_s(now))
    }

    /// Counts it, once, for as long as anybody holds it.
    pub(crate) fn charge(&self, ledger: &Ledger) {
        self.charge.charge(ledger, self.cost_bytes());
    }

    /// What it counts against a byte budget: all it holds, and a flat sum for the structures around it.
    pub fn cost_bytes(&self) -> usize {
        Self::cost_of(self.topic.len(), self.payload.len(), self.properties.len())
    }

    /// What a message of such parts counts, bytes.
    pub(crate) fn cost_of(topic: usize, payload: usize, properties: usize) -> usize {
        const OVERHEAD_BYTES: usize = 256;
        topic + payload + properties + OVERHEAD_BYTES
    }
}
