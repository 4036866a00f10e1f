//! What one MQTT client, and all of them together, may take.

use serde::{Deserialize, Serialize};

use super::quantity::{ByteSize, Period};

/// What gives when the queue of a session is full. QoS 0 is always dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The oldest queued message makes room.
    DropOldest,
    /// The session ends, its client is disconnected.
    Disconnect,
}

/// Limits of the broker. Each is enforced, and counted in the metrics when it is hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Network connections at once.
    pub connections_max: u32,
    /// Of those, from one address (of IPv6, from one /64); 0 is as many as all may.
    pub connections_per_address_max: u32,
    /// Connections a second that one address may begin; 0 is any number.
    pub connect_rate_per_address_per_s: u32,
    /// Connections that one address may begin at once after a silence, before that rate holds.
    pub connect_burst_per_address: u32,
    /// Addresses of which is remembered how fast they connect.
    pub addresses_remembered_max: u32,
    /// Connections at once that have not sent their CONNECT; a further one ends the oldest of them.
    pub half_open_max: u32,
    /// From accept to a complete CONNECT, WebSocket upgrade included.
    pub handshake_timeout: Period,
    /// Clients that may wait for their password to be checked; a further one is refused.
    pub authentications_waiting_max: u32,
    /// From a connected client's AUTH to the last answer, when it authenticates again.
    pub reauthentication_timeout: Period,
    /// Largest CONNECT: what a stranger may make the node keep.
    pub connect_bytes_max: ByteSize,
    /// What all clients together may have sent of packets that are not complete or not handled yet.
    pub incomplete_bytes_max: ByteSize,
    /// From the first byte of a packet to its last, while the node reads the client.
    pub packet_timeout: Period,
    /// Unsent bytes of all clients together, from which slow ones get no further messages: those stay in their queues.
    pub unsent_bytes_max: ByteSize,
    /// Everything that the node holds for clients: sessions, queues, retained messages, unsent bytes.
    pub memory_bytes_max: ByteSize,
    /// Largest MQTT packet accepted, fixed header included.
    pub packet_bytes_max: ByteSize,
    /// Messages a second that one client may publish; 0 is any number. Above it the client is not read for a while: nothing is lost.
    pub publish_rate_per_client_per_s: u32,
    /// Messages that it may publish at once after a silence, before that rate holds.
    pub publish_burst_per_client: u32,
    /// Bytes of them a second; "0B" is any number.
    pub publish_bytes_per_client_per_s: ByteSize,
    /// QoS 1 and 2 publications that a client may have unacknowledged.
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages in flight to one client.
    pub in_flight_max: u16,
    /// Messages queued for one session.
    pub queue_messages_max: u32,
    /// Bytes queued for one session.
    pub queue_bytes_max: ByteSize,
    /// Of those, bytes of a durable session that are in memory; what is behind them is on disk only.
    pub queue_memory_bytes_max: ByteSize,
    /// What gives when a queue is full.
    pub overflow: Overflow,
    /// Sessions, connected or not.
    pub sessions_max: u32,
    /// Of those, of clients without a user, so that they cannot keep the users out.
    pub anonymous_sessions_max: u32,
    /// Longest session expiry granted; also what a 3.1.1 session that is not clean gets.
    pub session_expiry_max: Period,
    /// Longest keep-alive granted; zero grants any, also none.
    pub keep_alive_max: Period,
    /// Topic aliases accepted from, and used towards, one client.
    pub topic_alias_max: u16,
    /// Subscriptions of one session.
    pub subscriptions_per_client_max: u32,
    /// Levels of a topic name or filter.
    pub topic_levels_max: u32,
    /// Length of a topic name or filter.
    pub topic_bytes_max: ByteSize,
    /// Length of a client identifier.
    pub client_id_bytes_max: ByteSize,
    /// Payload and properties of a will.
    pub will_bytes_max: ByteSize,
    /// Retained messages.
    pub retained_messages_max: u32,
    /// Bytes of retained messages.
    pub retained_bytes_max: ByteSize,
    /// Between two publications of `$SYS/…`; zero publishes none.
    pub sys_interval: Period,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            connections_per_address_max: 10_000,
            connect_rate_per_address_per_s: 1000,
            connect_burst_per_address: 10_000,
            addresses_remembered_max: 16_384,
            half_open_max: 1024,
            handshake_timeout: Period::seconds(10),
            authentications_waiting_max: 256,
            reauthentication_timeout: Period::seconds(30),
            connect_bytes_max: ByteSize::kib(128),
            incomplete_bytes_max: ByteSize::mib(32),
            packet_timeout: Period::seconds(30),
            unsent_bytes_max: ByteSize::mib(64),
            memory_bytes_max: ByteSize::mib(128),
            packet_bytes_max: ByteSize::mib(1),
            publish_rate_per_client_per_s: 0,
            publish_burst_per_client: 1000,
            publish_bytes_per_client_per_s: ByteSize(0),
            receive_maximum: 1024,
            in_flight_max: 1024,
            queue_messages_max: 10_000,
            queue_bytes_max: ByteSize::mib(4),
            queue_memory_bytes_max: ByteSize::kib(256),
            overflow: Overflow::DropOldest,
            sessions_max: 50_000,
            anonymous_sessions_max: 37_500,
            session_expiry_max: Period::seconds(7 * 24 * 3600),
            keep_alive_max: Period::seconds(0),
            topic_alias_max: 32,
            subscriptions_per_client_max: 1000,
            topic_levels_max: 128,
            topic_bytes_max: ByteSize::kib(1),
            client_id_bytes_max: ByteSize(256),
            will_bytes_max: ByteSize::kib(64),
            retained_messages_max: 100_000,
            retained_bytes_max: ByteSize::mib(64),
            sys_interval: Period::seconds(10),
        }
    }
}
