//! Who a client is: the question that the broker asks of the node, and the thread that answers what takes long.
//!
//! Which users exist, and how they prove who they are, is not known here: an [`Authenticate`] is given to the broker.
//! Invariant: no answer that takes longer than microseconds is waited for on the reactor's thread, and a panic of the
//! authenticator refuses one client and nothing else.

pub(crate) mod attempt;
pub(crate) mod login;
pub(crate) mod thread;

use std::{fmt::Debug, net::SocketAddr, sync::Arc, time::Duration};

use selvedge_codec::{ProtocolVersion, ReasonCode};
use selvedge_core::Permit;

/// Decides who a client is. Shared by all listeners and both threads that ask.
pub trait Authenticate: Debug + Send + Sync + 'static {
    /// Asked on the reactor's thread, must return within microseconds: anonymous, certificate, throttled address, cached
    /// password. `None`: ask [`Authenticate::check`] on the authentication thread.
    fn quick(&self, attempt: &Attempt<'_>) -> Option<Verdict>;

    /// Asked on the authentication thread: may take tens of milliseconds (argon2id), never waits for a network. A client
    /// that authenticates again (MQTT 5, 4.12.1) is judged here without `quick`, and without a password.
    fn check(&self, attempt: &Attempt<'_>) -> Verdict;
}

/// What a client says of itself, and what is known of its connection.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// Index in the broker's listeners.
    pub listener: usize,
    /// Remote address.
    pub address: SocketAddr,
    /// What it speaks.
    pub version: ProtocolVersion,
    /// Its client identifier; may be empty.
    pub client_id: &'a str,
    /// User name.
    pub username: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// Certificate that it has proved to own, verified against the authorities of the listener.
    pub certificate: Option<&'a Arc<PeerCertificate>>,
    /// Method of enhanced authentication (MQTT 5, 4.12). One that is not known is to be refused with
    /// [`ReasonCode::BadAuthenticationMethod`] [MQTT-4.12.0-1].
    pub method: Option<&'a str>,
    /// Data of that method.
    pub data: &'a [u8],
}

/// Without what is secret.
impl Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("listener", &self.listener)
            .field("address", &self.address)
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("certificate", &self.certificate)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// The certificate of a client. Names are read from it by whoever needs them.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The leaf, DER.
    pub der: Vec<u8>,
}

impl Debug for PeerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerCertificate").field("bytes", &self.der.len()).finish_non_exhaustive()
    }
}

/// What is decided of an attempt.
#[derive(Debug)]
pub enum Verdict {
    /// The client is who it says.
    Accept(Identity),
    /// It is not. The reason is told as far as its version has a code for it; one that CONNACK cannot carry closes the
    /// connection without a word.
    Refuse(ReasonCode),
    /// Enhanced authentication goes on: `data` is for the client, its answer for `exchange`.
    Continue {
        /// What the client is told.
        data: Vec<u8>,
        /// What takes its answer.
        exchange: Box<dyn Exchange>,
    },
}

/// An enhanced authentication under way.
pub trait Exchange: Debug + Send {
    /// The client has answered with `data`. Asked on the authentication thread.
    fn step(self: Box<Self>, data: &[u8]) -> Verdict;
}

/// Who a client is.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Name of the user; `None` is anonymous.
    pub user: Option<Arc<str>>,
    /// What the credentials themselves allow.
    pub permit: Option<Arc<dyn Permit>>,
    /// When the credentials end: the client is then disconnected.
    pub expires_in: Option<Duration>,
    /// Last data of an enhanced authentication, for CONNACK or AUTH; empty is none.
    pub data: Vec<u8>,
}

/// Accepts everybody, under no name. For tests and examples.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnonymousAccess;

impl Authenticate for AnonymousAccess {
    fn quick(&self, attempt: &Attempt<'_>) -> Option<Verdict> {
        Some(self.check(attempt))
    }

    fn check(&self, attempt: &Attempt<'_>) -> Verdict {
        match attempt.method {
            None => Verdict::Accept(Identity::default()),
            Some(_) => Verdict::Refuse(ReasonCode::BadAuthenticationMethod), // [MQTT-4.12.0-1]
        }
    }
}
