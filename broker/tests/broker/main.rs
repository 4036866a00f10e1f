//! The broker over real sockets, each test with a broker of its own on ports of its own.

mod attachment;
mod client;
mod congestion;
mod delivery;
mod framing;
mod handshake;
mod idle;
mod shutdown;
mod websocket;
