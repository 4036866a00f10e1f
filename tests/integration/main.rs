//! Tests of the whole process: the real binary with real third-party clients and raw sockets.

mod access;
mod client_checks;
mod client_matrix;
mod command_line;
mod configuration;
mod every_client_together;
mod functions;
mod logins;
mod node_life;
mod ota;
mod ota_publisher;
mod probes;
mod store;
mod tls;
mod twins;
mod websocket_frames;
