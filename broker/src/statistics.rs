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
    /// Network connections accepted.
    pub accepted: u64,
    /// Connections closed at once because of `connections_max`.
    pub refused_connections_max: u64,
    /// Handshakes ended because of `half_open_max` or `half_open_bytes_max`.
    pub refused_half_open: u64,
    /// Handshakes that reached no CONNECT within `handshake_timeout`.
    pub handshake_timeouts: u64,
    /// Handshakes that ended otherwise: bytes that are no CONNECT, or a peer that went away.
    pub handshake_failures: u64,
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
    /// Turns of the reactor in which something happened.
    pub turns: u64,
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
