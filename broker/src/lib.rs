//! Listeners and connections around the protocol core: the MQTT data plane, as one thread.
//!
//! [`Broker::start`] takes bound sockets and starts the reactor; [`Handle`] is what the rest of the node sees of it.
//! Everything that MQTT decides is decided in `selvedge-core`; here is sockets, buffers, time and other threads.
//!
//! The path of a message: `listener` → `handshake` → `connection/reader` → codec → core → `reactor/connections` →
//! `connection/outbox` → `connection/writer`, the last once per turn for all that gathered.
//!
//! Invariants: no two threads touch a connection; every buffer and queue is bounded by [`Config`]; an idle connection
//! holds no buffer.

mod admission;
mod authentication;
mod config;
mod connection;
mod ending;
#[doc(hidden)]
pub mod framing;
mod handle;
mod handshake;
mod journal;
mod listener;
mod offenders;
mod reactor;
mod start;
mod statistics;
mod tls;

pub use authentication::{AnonymousAccess, Attempt, Authenticate, Exchange, Identity, PeerCertificate, Verdict};
pub use config::Config;
pub use handle::{Attachment, Client, Handle, PublishError, Stopped, Subscription};
pub use journal::{Alongside, Continuation, FetchAnswer, Journal};
pub use listener::{Listener, Transport};
pub use offenders::Offenders;
pub use reactor::{clock::Clock, consumer::Sink, interception::InterceptSink};
pub use start::{Broker, Running, StartError};
pub use statistics::{Snapshot, Statistics};
pub use tls::TlsSettings;
