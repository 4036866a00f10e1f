//! The broker's question who a client is, and the exchange of SCRAM.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use selvedge_access::token::looks_like_token;
use selvedge_access::{Answer, Identity, Login, Refusal, ScramExchange, Step, scram};
use selvedge_broker::{Attempt, Authenticate, Exchange, Verdict};
use selvedge_codec::ReasonCode;

use super::Gate;
use super::authorizer::GrantPermit;
use super::counters::Kind;
use crate::certificates::facts;

/// The gate as the broker asks it.
#[derive(Clone, Debug)]
pub struct Authenticator(pub Arc<Gate>);

impl Authenticate for Authenticator {
    fn quick(&self, attempt: &Attempt<'_>) -> Option<Verdict> {
        match attempt.method {
            Some(scram::METHOD) => None,
            // [MQTT-4.12.0-1]
            Some(_) => Some(Verdict::Refuse(ReasonCode::BadAuthenticationMethod)),
            None => match self.0.begin(&self.login(attempt)) {
                Step::Done(decided) => {
                    let decided = decided.map(|identity| self.until_certificate_ends(attempt, identity));
                    Some(self.verdict(kind(attempt), attempt.address.ip(), decided))
                }
                Step::Compute(_) => None,
            },
        }
    }

    fn check(&self, attempt: &Attempt<'_>) -> Verdict {
        let login = self.login(attempt);
        match attempt.method {
            Some(scram::METHOD) => self.start_scram(&login, attempt.data),
            Some(_) => Verdict::Refuse(ReasonCode::BadAuthenticationMethod),
            None => {
                let decided = self.0.login(&login).map(|identity| self.until_certificate_ends(attempt, identity));
                self.verdict(kind(attempt), login.address, decided)
            }
        }
    }
}

fn kind(attempt: &Attempt<'_>) -> Kind {
    match attempt.password {
        _ if attempt.certificate.is_some() => Kind::Certificate,
        Some(password) if looks_like_token(password) => Kind::Token,
        Some(_) => Kind::Password,
        None if attempt.username.is_some_and(|name| !name.is_empty()) => Kind::Password,
        None => Kind::Anonymous,
    }
}

impl Authenticator {
    fn login<'a>(&self, attempt: &Attempt<'a>) -> Login<'a> {
        Login {
            address: attempt.address.ip().to_canonical(),
            client_id: Some(attempt.client_id),
            username: attempt.username,
            password: attempt.password,
            certificate: attempt.certificate.map(|certificate| certificate.der.as_slice()),
            anonymous_allowed: self.0.lets_anonymous_in.get(attempt.listener).copied().unwrap_or(false),
        }
    }

    /// Who came in by a certificate goes when it ends.
    fn until_certificate_ends(&self, attempt: &Attempt<'_>, mut identity: Identity) -> Identity {
        let ends_s = attempt.certificate.and_then(|certificate| facts::ends_s(&certificate.der));
        if let (Some(ends_s), Some(_)) = (ends_s, &identity.user) {
            let left = Duration::from_secs(ends_s.saturating_sub(self.0.clock.now_s()));
            identity.expires_in = Some(identity.expires_in.map_or(left, |known| known.min(left)));
        }
        identity
    }

    fn start_scram(&self, login: &Login<'_>, data: &[u8]) -> Verdict {
        let mut nonce = [0; scram::NONCE_BYTES];
        if getrandom::fill(&mut nonce).is_err() {
            return Verdict::Refuse(ReasonCode::ServerUnavailable);
        }
        let gate = &self.0;
        let started = gate.access().scram_start(&mut gate.logins.lock(), login, data, nonce, gate.now());
        match started {
            Ok((exchange, data)) => {
                let proof = Proof { authenticator: self.clone(), address: login.address, exchange };
                Verdict::Continue { data, exchange: Box::new(proof) }
            }
            Err(refusal) => self.verdict(Kind::Scram, login.address, Err(refusal)),
        }
    }

    fn verdict(&self, kind: Kind, address: IpAddr, outcome: Result<Identity, Refusal>) -> Verdict {
        self.0.note(kind, address, &outcome);
        match outcome {
            Ok(identity) => {
                let permit = identity
                    .user
                    .is_some()
                    .then(|| GrantPermit::shared(Arc::clone(&identity.grant), Arc::clone(&self.0)));
                Verdict::Accept(selvedge_broker::Identity {
                    user: identity.user,
                    permit,
                    expires_in: identity.expires_in,
                    data: identity.data,
                })
            }
            Err(refusal) => Verdict::Refuse(reason(refusal.answer())),
        }
    }
}

fn reason(answer: Answer) -> ReasonCode {
    match answer {
        Answer::BadCredentials => ReasonCode::BadUserNameOrPassword,
        Answer::NotAuthorized => ReasonCode::NotAuthorized,
        Answer::Unavailable => ReasonCode::ServerUnavailable,
        Answer::Busy => ReasonCode::ServerBusy,
        Answer::TooManyAttempts => ReasonCode::ConnectionRateExceeded,
        Answer::BadMethod => ReasonCode::BadAuthenticationMethod,
        Answer::Malformed => ReasonCode::ProtocolError,
    }
}

/// Waits for the client's proof.
#[derive(Debug)]
struct Proof {
    authenticator: Authenticator,
    address: IpAddr,
    exchange: ScramExchange,
}

impl Exchange for Proof {
    fn step(self: Box<Self>, data: &[u8]) -> Verdict {
        let Self { authenticator, address, exchange } = *self;
        let gate = &authenticator.0;
        let outcome = gate.access().scram_finish(&mut gate.logins.lock(), exchange, data, gate.now());
        authenticator.verdict(Kind::Scram, address, outcome)
    }
}
