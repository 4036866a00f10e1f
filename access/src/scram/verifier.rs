//! What a server keeps of a password: `SCRAM-SHA-256$iterations:salt$stored key:server key`, the form that PostgreSQL uses.

use std::{fmt, num::NonZeroU32};

use base64::{Engine, engine::general_purpose::STANDARD};
use stringprep::saslprep;
use thiserror::Error;

use super::{
    ITERATIONS_MAX, ITERATIONS_MIN, METHOD,
    keys::{self, Hash},
};
use crate::password::PASSWORD_BYTES_MAX;

/// Fewest and most bytes of a salt.
const SALT_BYTES: std::ops::RangeInclusive<usize> = 8..=64;

/// What is kept for SCRAM of one user.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(super) iterations: NonZeroU32,
    pub(super) salt: Box<[u8]>,
    pub(super) stored_key: Hash,
    pub(super) server_key: Hash,
}

/// Why a stored verifier is not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum VerifierProblem {
    /// Not of the form.
    #[error("is not SCRAM-SHA-256$iterations:salt$stored-key:server-key with standard base64")]
    Form,
    /// Too few or too many iterations.
    #[error("has iterations outside of {ITERATIONS_MIN} to {ITERATIONS_MAX}")]
    Iterations,
    /// A salt that is too short or too long.
    #[error("has a salt that is shorter than 8 or longer than 64 bytes")]
    Salt,
}

/// Why no verifier can be made of a password.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DeriveVerifierError {
    /// Empty, longer than [`PASSWORD_BYTES_MAX`], or with characters that SASLprep (RFC 4013) prohibits.
    #[error("the password is empty, too long or has characters that SCRAM does not allow")]
    Password,
    /// Too few or too many.
    #[error("iterations must be {ITERATIONS_MIN} to {ITERATIONS_MAX}")]
    Iterations,
}

impl Verifier {
    /// Makes one. Takes `iterations` hashes.
    ///
    /// # Errors
    /// If the password cannot be used with SCRAM or `iterations` are out of bounds.
    pub fn derive(password: &str, salt: [u8; 16], iterations: u32) -> Result<Self, DeriveVerifierError> {
        let prepared = prepare(password).ok_or(DeriveVerifierError::Password)?;
        let iterations = bounded(iterations).ok_or(DeriveVerifierError::Iterations)?;
        let salted = keys::salted_password(&prepared, &salt, iterations);
        Ok(Self {
            iterations,
            salt: salt.into(),
            stored_key: keys::stored_key(&keys::client_key(&salted)),
            server_key: keys::server_key(&salted),
        })
    }

    /// Reads the form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// If it is not of that form, or its numbers are out of bounds.
    pub fn parse(text: &str) -> Result<Self, VerifierProblem> {
        let mut parts = text.split('$');
        let (Some(METHOD), Some(how), Some(what), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifierProblem::Form);
        };
        let (iterations, salt) = how.split_once(':').ok_or(VerifierProblem::Form)?;
        let (stored_key, server_key) = what.split_once(':').ok_or(VerifierProblem::Form)?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| VerifierProblem::Form);
        let key = |text: &str| Hash::try_from(decode(text)?).map_err(|_| VerifierProblem::Form);
        let iterations = iterations.parse().ok().and_then(bounded).ok_or(VerifierProblem::Iterations)?;
        let salt = decode(salt)?.into_boxed_slice();
        if !SALT_BYTES.contains(&salt.len()) {
            return Err(VerifierProblem::Salt);
        }
        Ok(Self { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)? })
    }

    /// Iterations that a client must do.
    pub fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// Tells this verifier from every other.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        keys::hmac(&self.stored_key, &[&self.server_key, &self.iterations.get().to_le_bytes(), &self.salt])
    }
}

/// The form in which it is stored.
impl fmt::Display for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored_key, server_key] =
            [&*self.salt, &self.stored_key, &self.server_key].map(|part| STANDARD.encode(part));
        write!(formatter, "{METHOD}${}:{salt}${stored_key}:{server_key}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// A password as SCRAM hashes it.
pub(super) fn prepare(password: &str) -> Option<zeroize::Zeroizing<String>> {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return None;
    }
    let prepared = saslprep(password).ok().filter(|prepared| !prepared.is_empty())?;
    Some(zeroize::Zeroizing::new(prepared.into_owned()))
}

pub(super) fn bounded(iterations: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(iterations).filter(|iterations| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations.get()))
}
