//! Limits of the shell around the core, each with its unit and its reason. What the protocol limits stands in
//! [`selvedge_core::Config`].

use std::time::Duration;

/// Every bound of listeners, handshakes, sockets and buffers. All are enforced, and counted in
/// [`crate::Statistics`] when hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Network connections at one time, handshakes included. A further one is closed at once.
    pub connections_max: usize,
    /// Connections at one time that have not sent their CONNECT. A further one ends the oldest of them.
    pub half_open_max: usize,
    /// Time from accept to a complete CONNECT, WebSocket upgrade included.
    pub handshake_timeout: Duration,
    /// Largest CONNECT, bytes: what a stranger may make the node keep.
    pub connect_bytes_max: u32,
    /// What all unfinished CONNECT packets may take together, bytes.
    pub half_open_bytes_max: usize,
    /// Size of the one read buffer, bytes: what one connection may bring in before the others get their turn.
    pub read_bytes_max: usize,
    /// What one connection's input may cost before the others get their turn, in effects and work of about their size
    /// ([`selvedge_core::Effects::cost`]); the rest of the input waits.
    pub effects_per_turn_max: usize,
    /// Unsent bytes of one connection from which it gets no further messages: they stay in its session's queue.
    pub outbox_high_bytes: usize,
    /// Unsent bytes of one connection at which messages flow again.
    pub outbox_low_bytes: usize,
    /// Bytes of answers that a congested client may pile up before it is no longer read.
    pub outbox_answers_max_bytes: usize,
    /// Unsent bytes of all connections together from which each counts as congested at its low-water mark.
    pub outbox_total_bytes: usize,
    /// Time that a connection being closed has for its last bytes, and its peer to take them.
    pub close_timeout: Duration,
    /// Silence after which the kernel probes a TCP connection; `None` leaves that to MQTT's keep-alive.
    pub tcp_keep_alive: Option<Duration>,
    /// Path of WebSocket connections; any other is answered 404.
    pub websocket_path: String,
    /// Largest frame that a WebSocket client may send, bytes.
    pub websocket_frame_bytes_max: u64,
    /// Bytes that other threads may have waiting for publication; more is refused.
    pub command_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            half_open_max: 1_024,
            handshake_timeout: Duration::from_secs(10),
            connect_bytes_max: 128 * 1024,
            half_open_bytes_max: 8 * 1024 * 1024,
            read_bytes_max: 16 * 1024,
            effects_per_turn_max: 4_096,
            outbox_high_bytes: 64 * 1024,
            outbox_low_bytes: 16 * 1024,
            outbox_answers_max_bytes: 64 * 1024,
            outbox_total_bytes: 64 * 1024 * 1024,
            close_timeout: Duration::from_secs(2),
            tcp_keep_alive: None,
            websocket_path: "/mqtt".to_owned(),
            websocket_frame_bytes_max: 4 * 1024 * 1024,
            command_bytes_max: 16 * 1024 * 1024,
        }
    }
}
