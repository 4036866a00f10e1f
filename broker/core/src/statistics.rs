//! What the core counts. Metrics, `$SYS` topics and test assertions all read these.

/// Counters only grow; gauges say how it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Gauge: network connections past CONNECT.
    pub connections: u64,
    /// Gauge: sessions, connected or not, consumers inside the node included.
    pub sessions: u64,
    /// Gauge: subscriptions.
    pub subscriptions: u64,
    /// Gauge: retained messages.
    pub retained_messages: u64,
    /// Gauge: bytes of retained messages.
    pub retained_bytes: u64,
    /// Gauge: messages queued for sessions.
    pub queued_messages: u64,
    /// Gauge: bytes queued for sessions.
    pub queued_bytes: u64,
    /// Gauge: bytes that the node holds for clients, by the account of the core, with what the shell says it holds.
    pub memory_bytes: u64,
    /// Gauge: publications that are held because somebody looks at them first.
    pub held: u64,
    /// Publications and wills that were held so.
    pub publishes_held: u64,
    /// Of those: nobody got anything of them, because who looked at them wanted that or nobody answered.
    pub held_dropped: u64,
    /// Of those: nobody answered in time.
    pub held_timeouts: u64,
    /// Of those: the client had left without an acknowledgement, and publishes them again.
    pub held_abandoned: u64,
    /// CONNECT packets accepted.
    pub connects_accepted: u64,
    /// CONNECT packets refused.
    pub connects_refused: u64,
    /// PUBLISH packets from clients, by QoS.
    pub publishes_received: [u64; 3],
    /// Payload bytes of them.
    pub publish_bytes_received: u64,
    /// Messages published by the node itself.
    pub publishes_internal: u64,
    /// PUBLISH packets to clients and deliveries inside the node, by effective QoS.
    pub publishes_sent: [u64; 3],
    /// Payload bytes of them.
    pub publish_bytes_sent: u64,
    /// Messages dropped because a queue was full (message or byte limit).
    pub dropped_queue_full: u64,
    /// QoS 0 messages dropped because the session is not connected.
    pub dropped_offline: u64,
    /// Messages that expired before they were delivered.
    pub dropped_expired: u64,
    /// Messages larger than what the subscriber accepts [MQTT-3.1.2-25].
    pub dropped_too_large: u64,
    /// Retained messages refused because of the count or byte limit.
    pub refused_retained: u64,
    /// Subscriptions that were not sent all retained messages, because looking for them took too long.
    pub cut_replays: u64,
    /// Publications refused by the access rules.
    pub refused_publish: u64,
    /// Subscriptions refused by the access rules or limits.
    pub refused_subscribe: u64,
    /// Connections ended: keep-alive.
    pub closed_keep_alive: u64,
    /// Connections ended: protocol errors and malformed packets.
    pub closed_protocol: u64,
    /// Connections ended: receive maximum, queue overflow and other quotas.
    pub closed_quota: u64,
    /// Connections ended: taken over.
    pub closed_taken_over: u64,
    /// Connections ended: rules changed, credentials expired or withdrawn, re-authentication failed.
    pub closed_unauthorized: u64,
    /// Of those: credentials that expired.
    pub credentials_expired: u64,
    /// Re-authentications that succeeded.
    pub reauthentications: u64,
    /// Re-authentications that failed or took too long.
    pub reauthentications_failed: u64,
    /// Sessions ended because rules changed or credentials were withdrawn.
    pub revoked_sessions: u64,
    /// Subscriptions removed for the same reasons.
    pub revoked_subscriptions: u64,
    /// Wills not published, or deleted, because the client may not publish there (any more).
    pub revoked_wills: u64,
    /// Queued messages dropped because the client may not have their topic any more.
    pub dropped_unauthorized: u64,
    /// Queued messages, and messages to be queued, dropped because the memory budget was short.
    pub dropped_memory: u64,
    /// Connects, subscriptions, retained messages and publications refused because they would exceed the memory budget.
    pub refused_memory: u64,
    /// Publications refused because a durable session must get them and the disk has no room.
    pub refused_disk: u64,
    /// Messages that a durable session should have got and that were dropped because the disk had no room: QoS 0 retained ones,
    /// wills, and those of the node itself.
    pub dropped_disk: u64,
    /// Messages that waited and were given up for others of higher priority, because the disk had no room.
    pub dropped_priority: u64,
    /// Kept messages that were not on disk any more, or damaged, when their turn came.
    pub lost_on_disk: u64,
    /// CONNECT packets refused because of the limits on sessions.
    pub refused_sessions: u64,
    /// Sessions of anonymous clients that gave way to a user.
    pub displaced_sessions: u64,
    /// Topic names and filters refused because of their length.
    pub refused_topic_bytes: u64,
    /// CONNECT packets refused because of the size of their will.
    pub refused_wills: u64,
    /// Wills published.
    pub wills_published: u64,
    /// Topic lookups answered by the match cache.
    pub match_cache_hits: u64,
    /// Topic lookups that walked the tree.
    pub match_cache_misses: u64,
}
