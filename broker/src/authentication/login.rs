//! What is remembered of a client's enhanced authentication, for when it authenticates again (MQTT 5, 4.12.1).

use selvedge_codec::{Connect, ReasonCode};
use selvedge_core::{Authentication as Proof, Peer, Reauthentication};

use super::{
    Exchange, Identity, Verdict,
    attempt::OwnedAttempt,
    thread::{Question, Waiting},
};
use crate::handshake::guest::Guest;

/// See the module.
#[derive(Debug)]
pub(crate) struct Login {
    /// As at CONNECT, without password and data.
    attempt: OwnedAttempt,
    exchange: Option<Box<dyn Exchange>>,
    /// The question under way; given up with the connection.
    pub(crate) waiting: Option<Waiting>,
}

impl Login {
    pub(crate) fn of(guest: &Guest, connect: &Connect<'_>) -> Self {
        let attempt = OwnedAttempt {
            listener: guest.listener,
            address: guest.connection.peer,
            version: connect.version,
            client_id: connect.client_id.into(),
            username: connect.username.map(Into::into),
            password: None,
            certificate: guest.certificate.clone(),
            method: connect.authentication_method.map(Into::into),
            data: Box::default(),
        };
        Self { attempt, exchange: None, waiting: None }
    }

    /// The client has proved to be `identity`.
    pub(crate) fn peer(&mut self, identity: Identity) -> Peer {
        let Identity { user, permit, expires_in, data } = identity;
        Peer {
            address: Some(self.attempt.address),
            user,
            permit,
            expires_in_ms: expires_in.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            authentication: self.attempt.method.clone().map(|method| Proof { method, data: data.into() }),
            // The listener's; see `Reactor::admit`.
            durability: None,
        }
    }

    /// The client's AUTH as a question; `None` if nothing is going on that it could belong to.
    pub(crate) fn question(&mut self, reason: ReasonCode, data: &[u8]) -> Option<Question> {
        match (reason, self.exchange.take()) {
            (ReasonCode::ContinueAuthentication, Some(exchange)) => {
                Some(Question::Step { exchange, data: data.to_vec() })
            }
            (ReasonCode::Reauthenticate, _) => {
                let attempt = OwnedAttempt { data: data.into(), ..self.attempt.clone() };
                Some(Question::Check(Box::new(attempt)))
            }
            _ => None,
        }
    }

    /// What `verdict` means for the core.
    pub(crate) fn outcome(&mut self, verdict: Verdict) -> Reauthentication {
        self.waiting = None;
        match verdict {
            Verdict::Accept(identity) => Reauthentication::Success { peer: self.peer(identity) },
            Verdict::Refuse(reason) => Reauthentication::Failure { reason },
            Verdict::Continue { data, exchange } => {
                self.exchange = Some(exchange);
                Reauthentication::Continue { data: data.into() }
            }
        }
    }
}
