//! An attempt on its way to another thread.

use std::{net::SocketAddr, sync::Arc};

use selvedge_codec::ProtocolVersion;

use super::{Attempt, PeerCertificate};

/// An [`Attempt`] that borrows nothing.
#[derive(Clone)]
pub(crate) struct OwnedAttempt {
    pub(crate) listener: usize,
    pub(crate) address: SocketAddr,
    pub(crate) version: ProtocolVersion,
    pub(crate) client_id: Box<str>,
    pub(crate) username: Option<Box<str>>,
    pub(crate) password: Option<Box<[u8]>>,
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
    pub(crate) method: Option<Box<str>>,
    pub(crate) data: Box<[u8]>,
}

/// Without what is secret.
impl std::fmt::Debug for OwnedAttempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.borrow().fmt(f)
    }
}

impl OwnedAttempt {
    pub(crate) fn of(attempt: &Attempt<'_>) -> Self {
        Self {
            listener: attempt.listener,
            address: attempt.address,
            version: attempt.version,
            client_id: attempt.client_id.into(),
            username: attempt.username.map(Into::into),
            password: attempt.password.map(Into::into),
            certificate: attempt.certificate.cloned(),
            method: attempt.method.map(Into::into),
            data: attempt.data.into(),
        }
    }

    pub(crate) fn borrow(&self) -> Attempt<'_> {
        Attempt {
            listener: self.listener,
            address: self.address,
            version: self.version,
            client_id: &self.client_id,
            username: self.username.as_deref(),
            password: self.password.as_deref(),
            certificate: self.certificate.as_ref(),
            method: self.method.as_deref(),
            data: &self.data,
        }
    }
}
