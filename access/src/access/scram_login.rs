//! Logins by SCRAM-SHA-256, over two messages of the client.

use std::net::IpAddr;

use super::{Access, Identity, Loaded, Login, Now, Refusal, grant::Credentials, refusal::Needed};
use crate::{
    logins::{Logins, Origin},
    scram::{NONCE_BYTES, Server, fake_verifier},
};

/// An exchange that waits for the client's final message. To be given up when that takes too long.
#[derive(Debug)]
pub struct ScramExchange {
    server: Server,
    address: IpAddr,
    /// Fingerprint of the verifier. None: there is no such user, and the proof cannot be right.
    verifier: Option<[u8; 32]>,
}

impl Access {
    /// Answers the first message of a client. `nonce` is random. Of `login`, address and user name are looked at; the latter must be
    /// missing or the one in the message.
    ///
    /// # Errors
    /// If the message is malformed, the address must wait, or users or rules cannot be read. Not for an unknown user: that shows at
    /// the end only.
    pub fn scram_start(
        &self,
        logins: &mut Logins,
        login: &Login<'_>,
        data: &[u8],
        nonce: [u8; NONCE_BYTES],
        now: Now,
    ) -> Result<(ScramExchange, Vec<u8>), Refusal> {
        if self.rules.is_broken() {
            return Err(Refusal::Unavailable(Needed::Rules));
        }
        if self.users.is_broken() {
            return Err(Refusal::Unavailable(Needed::Users));
        }
        let mut fingerprint = None;
        let started = Server::start(data, nonce, |name| {
            let users = match &self.users {
                Loaded::Good(users) => Some(users),
                _ => None,
            };
            let fake = fake_verifier(name, &self.node_key, users.and_then(|users| users.usual_scram_iterations()));
            let user = users.and_then(|users| users.get(name)).filter(|user| !user.disabled);
            let verifier = user.and_then(|user| user.scram.clone());
            fingerprint = verifier.as_ref().map(|verifier| verifier.fingerprint());
            verifier.unwrap_or(fake)
        });
        let (server, answer) = match started {
            Ok(started) => started,
            Err(error) => {
                let origin = Origin { address: login.address, name: None };
                logins.admit(&origin, now)?;
                logins.failed(&origin, now);
                return Err(error.into());
            }
        };
        let exchange = ScramExchange { server, address: login.address, verifier: fingerprint };
        logins.admit(&exchange.origin(), now)?;
        if login.username.is_some_and(|name| !name.is_empty() && name != exchange.server.user()) {
            return Err(Refusal::OtherUser);
        }
        Ok((exchange, answer))
    }

    /// Checks the final message of a client; the identity's data is the server's final message.
    ///
    /// # Errors
    /// If the proof is wrong, there is no such user, or the user changed meanwhile.
    pub fn scram_finish(
        &self,
        logins: &mut Logins,
        exchange: ScramExchange,
        data: &[u8],
        now: Now,
    ) -> Result<Identity, Refusal> {
        let origin = exchange.origin();
        let known = exchange.verifier;
        logins.admit(&origin, now)?;
        if self.users.is_broken() {
            return Err(Refusal::Unavailable(Needed::Users));
        }
        let accepted = exchange.server.finish(data).map_err(Refusal::Scram);
        let decided = accepted.and_then(|accepted| {
            let fingerprint = known.ok_or(Refusal::Credentials)?;
            let mut identity = Identity::named(&accepted.user, Credentials::Scram(fingerprint));
            identity.data = accepted.data;
            if self.stands(&identity.grant) { Ok(identity) } else { Err(Refusal::Credentials) }
        });
        match &decided {
            Ok(_) => logins.succeeded(&origin),
            Err(_) => logins.failed(&origin, now),
        }
        decided
    }
}

impl ScramExchange {
    /// Who the client says it is.
    pub fn user(&self) -> &str {
        self.server.user()
    }

    fn origin(&self) -> Origin {
        Origin { address: self.address, name: Some(self.server.user().into()) }
    }
}
