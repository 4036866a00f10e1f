//! Encryption: which settings new handshakes use. The handshakes have a thread of their own; the records of an
//! established connection are written and read on the reactor, by `connection/stream`.
//!
//! Certificates, keys and revocation lists are not read here: a complete [`ServerConfig`] is given. Invariant: no session
//! is resumed across a change of settings, so a certificate that was revoked, or an authority that was removed, cannot
//! come in by an old ticket.

pub(crate) mod buffers;
pub(crate) mod records;
pub(crate) mod thread;

use std::{
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ServerConfig,
    crypto::ring::Ticketer,
    server::{NoServerSessionStorage, ProducesTickets},
};

/// The settings of one or more encrypted listeners, which may be replaced while clients are connected. Clones share them.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    newest: Arc<Mutex<Arc<ServerConfig>>>,
}

impl TlsSettings {
    /// Settings from `config`: its certificates, versions, verification of clients. Resumption is set here (tickets that only
    /// these settings accept), early data is turned off: it could be replayed.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { newest: Arc::new(Mutex::new(own(&config))) }
    }

    /// Use `config` for handshakes from now on. Open connections stay; sessions of before are not resumed.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        let config = own(&config);
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(crate) fn newest(&self) -> Arc<ServerConfig> {
        // Nothing is half done when a panic lets go of the lock.
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the reactor has for encryption.
#[derive(Debug)]
pub(crate) struct Encryption {
    /// There if a listener is encrypted.
    pub(crate) thread: Option<thread::HandshakeThread>,
    pub(crate) buffers: Rc<buffers::Buffers>,
}

/// `config` with resumption of its own, whatever it shares with others.
fn own(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new().unwrap_or_else(|error| {
        tracing::warn!(%error, "no keys for session tickets: every TLS handshake will be a full one");
        Arc::new(NoTickets)
    });
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// Resumes nothing.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
