//! The client's side, for tests and for the command line.

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    NONCE_BYTES,
    keys::{self, Hash},
    message::{self, ServerFirst},
    verifier::{bounded, prepare},
};

/// An exchange that waits for the server's first message.
pub struct Client {
    password: Zeroizing<String>,
    nonce: String,
    first_bare: String,
}

/// An exchange that waits for the server's final message.
pub struct ClientFinal {
    signature: Hash,
}

/// Why an exchange ended.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ClientError {
    /// Empty, too long, or with characters that SASLprep prohibits.
    #[error("the password cannot be used with SCRAM")]
    Password,
    /// Not a message of SCRAM at this point.
    #[error("the server's message is not one of SCRAM-SHA-256")]
    Malformed,
    /// Fewer iterations than are safe or more than we do, or a nonce that does not begin with ours.
    #[error("the server asks for something that is not safe")]
    Unsafe,
    /// It did not know the password.
    #[error("the server's signature is wrong")]
    Signature,
}

impl Client {
    /// Begins an exchange: what to send first.
    ///
    /// # Errors
    /// If the password cannot be used with SCRAM.
    pub fn start(user: &str, password: &str, nonce: [u8; NONCE_BYTES]) -> Result<(Self, Vec<u8>), ClientError> {
        let password = prepare(password).ok_or(ClientError::Password)?;
        let nonce = STANDARD.encode(nonce);
        Ok(Self::with_nonce(user, password, nonce))
    }

    pub(super) fn with_nonce(user: &str, password: Zeroizing<String>, nonce: String) -> (Self, Vec<u8>) {
        let first_bare = format!("n={},r={nonce}", message::encode_name(user));
        let data = format!("n,,{first_bare}").into_bytes();
        (Self { password, nonce, first_bare }, data)
    }

    /// Answers the server's first message. Takes as many hashes as it asks for.
    ///
    /// # Errors
    /// If the message is malformed or asks for too few or too many iterations.
    pub fn answer(self, server_first: &[u8]) -> Result<(ClientFinal, Vec<u8>), ClientError> {
        let server = ServerFirst::parse(server_first).map_err(|_| ClientError::Malformed)?;
        let iterations = bounded(server.iterations).ok_or(ClientError::Unsafe)?;
        if server.nonce.strip_prefix(&*self.nonce).is_none_or(str::is_empty) {
            return Err(ClientError::Unsafe);
        }
        let without_proof = format!("c={},r={}", STANDARD.encode("n,,"), server.nonce);
        let server_first = String::from_utf8_lossy(server_first);
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);
        let salted = keys::salted_password(&self.password, &server.salt, iterations);
        let client_key = keys::client_key(&salted);
        let client_signature = keys::hmac(&keys::stored_key(&client_key), &[auth_message.as_bytes()]);
        let proof = keys::xor(&client_key, &client_signature);
        let signature = keys::hmac(&keys::server_key(&salted), &[auth_message.as_bytes()]);
        Ok((ClientFinal { signature }, format!("{without_proof},p={}", STANDARD.encode(*proof)).into_bytes()))
    }
}

impl ClientFinal {
    /// Checks the server's final message.
    ///
    /// # Errors
    /// If the server did not know the password's verifier.
    pub fn verify(self, server_final: &[u8]) -> Result<(), ClientError> {
        let signature = message::parse_server_final(server_final).map_err(|_| ClientError::Malformed)?;
        if bool::from(signature.ct_eq(&self.signature)) { Ok(()) } else { Err(ClientError::Signature) }
    }
}
