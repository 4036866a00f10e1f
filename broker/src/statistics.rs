//! What the shell counts, beside what the core counts ([`selvedge_core::Statistics`]).

/// Counters only grow; gauges say how it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Gauge: network connections past CONNECT, those being closed included.
    pub connections: u64,
    /// Gauge: network connections that have not sent their CONNECT.
    pub half_open: u64,
    /// Gauge: bytes kept for connections that have not sent their CONNECT: what came of it, and unsent answers.
    pub half_open_bytes: u64,
    /// Gauge: consumers inside the node.
    pub attachments: u64,
    /// Gauge: unsent bytes of all connections past CONNECT.
    pub outbox_bytes: u64,
    /// Gauge: what clients sent of packets that are not handled yet, bytes of memory.
    pub incomplete_bytes: u64,
    /// Gauge: clients that are not read because of their publish rate.
    pub throttled: u64,
    /// Gauge: the longest turn of the reactor in the last ten to twenty seconds, microseconds.
    pub longest_turn_us: u64,
    /// Gauge: bytes that encrypted connections keep beside their keys: begun records, and what waits to be read or sent.
    pub tls_bytes: u64,
    /// Gauge: clients that wait for the authentication thread.
    pub authentications_waiting: u64,
    /// Network connections accepted.
    pub accepted: u64,
    /// Connections closed at once because of `connections_max`.
    pub refused_connections_max: u64,
    /// Connections closed at once because of `connections_per_address_max`.
    pub refused_connections_per_address: u64,
    /// Connections closed at once because of `connect_rate_per_address_per_s`.
    pub refused_connect_rate: u64,
    /// Addresses whose connect rate was forgotten before its time because of `addresses_remembered_max`.
    pub addresses_forgotten: u64,
    /// Handshakes ended because of `half_open_max` or `half_open_bytes_max`.
    pub refused_half_open: u64,
    /// Handshakes that did not come to an end within `handshake_timeout`, whatever they waited for.
    pub handshake_timeouts: u64,
    /// Handshakes that ended otherwise: bytes that are no CONNECT, or a peer that went away.
    pub handshake_failures: u64,
    /// Of `handshake_timeouts`, those that were in the TLS handshake.
    pub tls_handshake_timeouts: u64,
    /// TLS handshakes that failed: no TLS, nothing in common, a certificate that is missing or refused, a peer that went away.
    pub tls_handshake_failures: u64,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: u64,
    /// Of `tls_handshakes`, those that resumed a session.
    pub tls_handshakes_resumed: u64,
    /// Encrypted connections that ended by a record that is not acceptable, or without an announcement.
    pub tls_errors: u64,
    /// Clients refused by authentication, for whatever reason they were told.
    pub authentications_refused: u64,
    /// Questions to the authentication thread: passwords that take long, steps of an exchange.
    pub authentications_checked: u64,
    /// Clients refused because of `authentications_waiting_max`.
    pub authentications_busy: u64,
    /// Of `handshake_timeouts`, those that waited for the authentication thread.
    pub authentication_timeouts: u64,
    /// Clients refused because the authenticator panicked.
    pub authenticator_panics: u64,
    /// WebSocket upgrades refused: path, subprotocol, or no upgrade at all.
    pub upgrades_refused: u64,
    /// Accept calls that failed (no file descriptor left, say).
    pub accept_errors: u64,
    /// Bytes read from sockets.
    pub bytes_in: u64,
    /// Bytes written to sockets.
    pub bytes_out: u64,
    /// Reads that brought bytes.
    pub reads: u64,
    /// Writes that took bytes.
    pub writes: u64,
    /// Writes that the socket did not take whole.
    pub writes_blocked: u64,
    /// Times that an outbox went over its high-water mark.
    pub congested: u64,
    /// Times that a client was not read because it did not take its answers.
    pub reads_paused: u64,
    /// Times that a client was not read because of `publish_rate_per_client_per_s`.
    pub throttled_publish_rate: u64,
    /// Times that a client was not read because of `publish_bytes_per_client_per_s`.
    pub throttled_publish_bytes: u64,
    /// Clients disconnected because of `incomplete_bytes_max`.
    pub closed_incomplete_bytes: u64,
    /// Clients disconnected because of `packet_timeout`.
    pub packet_timeouts: u64,
    /// Times that a client which publishes was not read because too much waited for the disk.
    pub reads_stalled: u64,
    /// Turns of the reactor in which something happened.
    pub turns: u64,
    /// Turns that took more than 50 ms: nobody was served meanwhile.
    pub stalls: u64,
    /// Consumers inside the node dropped because their sink panicked.
    pub sinks_panicked: u64,
    /// Commands from other threads.
    pub commands: u64,
    /// Connections cut off because they did not take their last bytes in time.
    pub close_timeouts: u64,
    /// Frames that break the WebSocket protocol, or are too large, or text.
    pub websocket_violations: u64,
}

impl Statistics {
    /// An outbox that held `before` unsent bytes holds `after` now.
    #[inline]
    pub(crate) fn outbox_changed(&mut self, before: usize, after: usize) {
        let all = self.outbox_bytes + after as u64;
        debug_assert!(all >= before as u64, "an outbox holds more than all together");
        self.outbox_bytes = all.saturating_sub(before as u64);
    }
}

/// Everything that the broker counts, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Protocol: sessions, messages, drops, refusals.
    pub core: selvedge_core::Statistics,
    /// Sockets and buffers.
    pub shell: Statistics,
}
