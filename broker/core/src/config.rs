//! Limits of the protocol core, each with its unit and its reason.

use crate::durability::DurabilityRules;

/// What happens to a QoS 1 or 2 message for a session whose queue is full. QoS 0 is always dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverflowRule {
    /// The oldest queued message makes room.
    #[default]
    DropOldest,
    /// The session's client is disconnected (0x97) and the session ends with all that was queued. For a consumer inside the
    /// node the oldest message makes room all the same.
    Disconnect,
}

/// Every bound of the core. All are enforced, and counted in [`crate::Statistics`] when hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest packet accepted, bytes, fixed header included; told to MQTT 5 clients.
    pub packet_bytes_max: u32,
    /// QoS 1 and 2 publications a client may have unacknowledged; told to MQTT 5 clients.
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages in flight to one client, at most, whatever it offers.
    pub in_flight_max: u16,
    /// Bytes of QoS 1 and 2 messages that a consumer inside the node may have unacknowledged before it gets no more: what it
    /// holds is not in its queue any more. One message may go over.
    pub consumer_in_flight_bytes_max: usize,
    /// Messages queued for one session.
    pub queue_messages_max: usize,
    /// Bytes queued for one session.
    pub queue_bytes_max: usize,
    /// Of those, bytes that a durable session has in memory; what is behind them is on disk only.
    pub queue_memory_bytes_max: usize,
    /// What gives when a queue is full.
    pub overflow: OverflowRule,
    /// Longest session expiry granted, seconds; `u32::MAX` is never. Also what a 3.1.1 session that is not clean gets.
    pub session_expiry_max_s: u32,
    /// Sessions, connected or not. Where a user meets this limit, the session of an anonymous client that has been away for
    /// longest gives way.
    pub sessions_max: usize,
    /// Sessions of clients without a user, of those, so that they cannot keep the users out.
    pub anonymous_sessions_max: usize,
    /// Longest keep-alive granted, seconds; 0 grants any, also none. MQTT 5 clients are told (Server Keep Alive).
    pub keep_alive_max_s: u16,
    /// Topic aliases accepted from a client; 0 is none.
    pub topic_alias_max: u16,
    /// Topic aliases used towards a client that offers them; 0 is none.
    pub topic_alias_out_max: u16,
    /// Subscriptions of one session.
    pub subscriptions_max: usize,
    /// Length of a topic name, or of a filter with its `$share` prefix, bytes.
    pub topic_bytes_max: usize,
    /// Levels of a topic name or filter.
    pub topic_levels_max: usize,
    /// Length of a client identifier, bytes.
    pub client_id_bytes_max: usize,
    /// Payload and properties of a will, bytes.
    pub will_bytes_max: usize,
    /// Time for a re-authentication, from the client's AUTH to the last answer, seconds.
    pub reauthentication_timeout_s: u32,
    /// Everything that the node holds for clients, bytes: see `docs/decisions/memory-budget.md`.
    pub memory_bytes_max: usize,
    /// Retained messages.
    pub retained_messages_max: usize,
    /// Bytes of retained messages.
    pub retained_bytes_max: usize,
    /// Payload size from which deliveries share the payload instead of copying it, bytes.
    pub share_payload_bytes: usize,
    /// Seconds between publications of `$SYS/…`; 0 publishes none.
    pub sys_interval_s: u32,
    /// How safe messages are kept, where there is a journal.
    pub durability: DurabilityRules,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            packet_bytes_max: 1024 * 1024,
            receive_maximum: 1024,
            in_flight_max: 1024,
            consumer_in_flight_bytes_max: 4 * 1024 * 1024,
            queue_messages_max: 10_000,
            queue_bytes_max: 4 * 1024 * 1024,
            queue_memory_bytes_max: 256 * 1024,
            overflow: OverflowRule::DropOldest,
            session_expiry_max_s: 7 * 24 * 3600,
            sessions_max: 50_000,
            anonymous_sessions_max: 37_500,
            keep_alive_max_s: 0,
            topic_alias_max: 32,
            topic_alias_out_max: 32,
            subscriptions_max: 1000,
            topic_bytes_max: 1024,
            topic_levels_max: 128,
            client_id_bytes_max: 256,
            will_bytes_max: 64 * 1024,
            reauthentication_timeout_s: 30,
            memory_bytes_max: 128 * 1024 * 1024,
            retained_messages_max: 100_000,
            retained_bytes_max: 64 * 1024 * 1024,
            share_payload_bytes: 16 * 1024,
            sys_interval_s: 10,
            durability: DurabilityRules::default(),
        }
    }
}
