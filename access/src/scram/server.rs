//! The server's side: after the client's first message it waits for the final one, once.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::{
    ITERATIONS_DEFAULT, NONCE_BYTES,
    keys::{self, HASH_BYTES},
    message::{ClientFinal, ClientFirst, Unreadable},
    verifier::{Verifier, bounded},
};

/// An exchange that waits for the client's final message.
pub struct Server {
    user: String,
    verifier: Verifier,
    /// Client's and server's nonce.
    nonce: String,
    header: String,
    client_first_bare: String,
    server_first: String,
}

/// A proof that was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Who it is, prepared by SASLprep.
    pub user: String,
    /// Server's final message, by which the client knows that the server knew the password too.
    pub data: Vec<u8>,
}

/// Why an exchange ended.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ServerError {
    /// Not a message of SCRAM at this point.
    #[error("the message is not one of SCRAM-SHA-256")]
    Malformed,
    /// Channel binding or an extension that must be understood.
    #[error("the client insists on channel binding or an extension")]
    Unsupported,
    /// It wants to act for somebody else.
    #[error("the client asks to act as another user")]
    OtherUser,
    /// Header or nonce are not those of the first message.
    #[error("the final message does not belong to the first")]
    Mismatch,
    /// Wrong password, or no such user.
    #[error("the proof is wrong")]
    Proof,
}

impl Server {
    /// Answers the client's first message. `verifier_of` gets the user's name, and gives what [`fake_verifier`] makes where there
    /// is none.
    ///
    /// # Errors
    /// If the message is not one that an exchange without channel binding begins with.
    pub fn start(
        client_first: &[u8],
        nonce: [u8; NONCE_BYTES],
        verifier_of: impl FnOnce(&str) -> Verifier,
    ) -> Result<(Self, Vec<u8>), ServerError> {
        let message = ClientFirst::parse(client_first)?;
        if message.authorization_id.as_ref().is_some_and(|name| *name != message.user) {
            return Err(ServerError::OtherUser);
        }
        let verifier = verifier_of(&message.user);
        let nonce = format!("{}{}", message.nonce, STANDARD.encode(nonce));
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let answer = server_first.clone().into_bytes();
        let (header, client_first_bare) = (message.header.to_owned(), message.bare.to_owned());
        Ok((Self { user: message.user, verifier, nonce, header, client_first_bare, server_first }, answer))
    }

    /// Who the client says it is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Checks the client's final message.
    ///
    /// # Errors
    /// If it is malformed, not of this exchange, or the proof is wrong.
    pub fn finish(self, client_final: &[u8]) -> Result<Accepted, ServerError> {
        let message = ClientFinal::parse(client_final)?;
        let same_header = message.channel_binding == self.header.as_bytes();
        if !same_header || !bool::from(message.nonce.as_bytes().ct_eq(self.nonce.as_bytes())) {
            return Err(ServerError::Mismatch);
        }
        let auth_message = format!("{},{},{}", self.client_first_bare, self.server_first, message.without_proof);
        let client_signature = keys::hmac(&self.verifier.stored_key, &[auth_message.as_bytes()]);
        let client_key = keys::xor(&message.proof, &client_signature);
        if !bool::from(keys::stored_key(&client_key).ct_eq(&self.verifier.stored_key)) {
            return Err(ServerError::Proof);
        }
        let signature = keys::hmac(&self.verifier.server_key, &[auth_message.as_bytes()]);
        Ok(Accepted { user: self.user, data: format!("v={}", STANDARD.encode(signature)).into_bytes() })
    }
}

#[cfg(test)]
impl Server {
    /// The server of RFC 7677, section 3, after its first message.
    pub(super) fn of_example(verifier: Verifier, nonce: &str) -> Self {
        Self {
            user: "user".to_owned(),
            server_first: format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations),
            verifier,
            nonce: nonce.to_owned(),
            header: "n,,".to_owned(),
            client_first_bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned(),
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A verifier that no proof fits, always the same for the same name and key.
pub(crate) fn fake_verifier(user: &str, node_key: &[u8; 32], iterations: Option<u32>) -> Verifier {
    let of = |purpose: &str| keys::hmac(node_key, &[purpose.as_bytes(), b"\0", user.as_bytes()]);
    let salt = of("scram salt");
    let default = NonZeroU32::new(ITERATIONS_DEFAULT).unwrap_or(NonZeroU32::MIN);
    Verifier {
        iterations: iterations.and_then(bounded).unwrap_or(default),
        salt: salt.iter().take(HASH_BYTES / 2).copied().collect(),
        stored_key: of("scram stored key"),
        server_key: of("scram server key"),
    }
}

impl From<Unreadable> for ServerError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed => Self::Malformed,
            Unreadable::Unsupported => Self::Unsupported,
        }
    }
}
