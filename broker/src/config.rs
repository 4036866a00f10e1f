//! Limits of the shell around the core, each with its unit and its reason. What the protocol limits stands in
//! [`selvedge_core::Config`].

use std::time::Duration;

/// Every bound of listeners, handshakes, sockets and buffers. All are enforced, and counted in
/// [`crate::Statistics`] when hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Network connections at one time, handshakes included. A further one is closed at once.
    pub connections_max: usize,
    /// Network connections at one time from one address, handshakes included; of IPv6, from one /64. 0 is as many as
    /// all may. A further one is closed at once.
    pub connections_per_address_max: usize,
    /// Connections a second that one address (one /64) may begin; 0 is any number. A further one is closed at once.
    pub connect_rate_per_address_per_s: u32,
    /// Connections that one address may begin at once after a silence, before the rate holds.
    pub connect_burst_per_address: u32,
    /// Addresses of which is remembered how fast they connect. With more, the one that needs it least is forgotten.
    pub addresses_remembered_max: usize,
    /// Connections at one time that have not sent their CONNECT. A further one ends the oldest of them.
    pub half_open_max: usize,
    /// Time from accept to the decision on CONNECT: TLS handshake, WebSocket upgrade and authentication included.
    pub handshake_timeout: Duration,
    /// Largest CONNECT, bytes: what a stranger may make the node keep.
    pub connect_bytes_max: u32,
    /// What all unfinished CONNECT packets and TLS handshakes may take together, bytes.
    pub half_open_bytes_max: usize,
    /// Clients that may wait for the authentication thread. A further one is refused (0x89; 3.1.1: code 3).
    pub authentications_waiting_max: usize,
    /// PUBLISH packets a second of one client; 0 is any number. Above it the client is not read for a while: nothing is lost.
    pub publish_rate_per_client_per_s: u32,
    /// PUBLISH packets that a client may send at once after a silence, before the rate holds.
    pub publish_burst_per_client: u32,
    /// Bytes of PUBLISH packets a second of one client; 0 is any number. What a second brings may come at once. Above it
    /// the client is not read for a while.
    pub publish_bytes_per_client_per_s: u32,
    /// What all clients together may have sent of packets that are not handled yet, bytes: incomplete ones, and what waits
    /// for its turn. Above it, the client that keeps the node waiting longest is disconnected (0x97).
    pub incomplete_bytes_max: usize,
    /// Time from the first byte of a packet to its last, while the node reads the client. Later, it is disconnected (0x97).
    pub packet_timeout: Duration,
    /// Size of the one read buffer, bytes: what one connection may bring in before the others get their turn.
    pub read_bytes_max: usize,
    /// What a turn of the reactor may spend on each kind of its work, about, before it looks who else has come: clients that
    /// send much wait for each other, those that send little are served first.
    pub turn_share: Duration,
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
            connections_per_address_max: 10_000,
            connect_rate_per_address_per_s: 1_000,
            connect_burst_per_address: 10_000,
            addresses_remembered_max: 16_384,
            half_open_max: 1_024,
            handshake_timeout: Duration::from_secs(10),
            connect_bytes_max: 128 * 1024,
            half_open_bytes_max: 8 * 1024 * 1024,
            authentications_waiting_max: 256,
            publish_rate_per_client_per_s: 0,
            publish_burst_per_client: 1_000,
            publish_bytes_per_client_per_s: 0,
            incomplete_bytes_max: 32 * 1024 * 1024,
            packet_timeout: Duration::from_secs(30),
            read_bytes_max: 16 * 1024,
            turn_share: Duration::from_micros(50),
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
