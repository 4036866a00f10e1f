//! The broker over real sockets, each test with a broker of its own on ports of its own.

mod attachment;
mod authentication;
mod certificates;
mod client;
mod clients;
mod congestion;
mod delivery;
mod enhanced;
mod framing;
mod handshake;
mod idle;
mod keeping;
mod limits;
mod shutdown;
mod steps;
mod tls;
mod websocket;
