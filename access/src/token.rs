//! JSON web tokens (RFC 7515, 7519) as passwords and as HTTP bearer: signature, times, issuer, audience, and what they say.
//!
//! The key decides the algorithm: a header can only agree with it or be refused, so `none` and an HMAC keyed with a public key
//! come to nothing. Cryptography is ring's; what is here is three base64 texts and the order of checks. Time is an argument.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::name::NameProblem;

mod claims;
mod keys;

pub(crate) use claims::TokenGrants;
pub use keys::{Algorithm, KeyFormat, KeyProblem, Keys, KeysError, SECRET_BYTES_MIN};

/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Most keys that one signature is checked with, where the token does not say which.
const TRIES_MAX: usize = 8;

/// What is asked of tokens, and which claims say what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// Signatures that are accepted; a key for another one is of no use.
    pub algorithms: Vec<Algorithm>,
    /// Wanted in `iss`. None: any.
    pub issuer: Option<String>,
    /// Wanted in `aud`. None: any.
    pub audience: Option<String>,
    /// Claim that names the user.
    pub user_claim: String,
    /// Claim that the client identifier must be equal to, where a token has it.
    pub client_id_claim: String,
    /// Claim with the filters that may be published.
    pub publish_claim: String,
    /// Claim with the filters that may be subscribed.
    pub subscribe_claim: String,
    /// Claim with the filters for retained messages; without it those of publish and will.
    pub retain_claim: String,
    /// Claim with the filters for wills; without it those of publish.
    pub will_claim: String,
    /// Claim with `"read"`, `"write"` for the HTTP interface.
    pub api_claim: String,
    /// How far the clocks of issuer and node may be apart, in seconds.
    pub leeway_s: u64,
    /// Longest time that a token is good for from when it is shown, in seconds, whatever it says. None: as it says.
    pub lifetime_max_s: Option<u64>,
    /// Whether a token must expire.
    pub expiry_required: bool,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256],
            issuer: None,
            audience: None,
            user_claim: "sub".to_owned(),
            client_id_claim: "client_id".to_owned(),
            publish_claim: "publish".to_owned(),
            subscribe_claim: "subscribe".to_owned(),
            retain_claim: "retain".to_owned(),
            will_claim: "will".to_owned(),
            api_claim: "api".to_owned(),
            leeway_s: 60,
            lifetime_max_s: None,
            expiry_required: true,
        }
    }
}

/// A token that is good now.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// Who shows it.
    pub user: String,
    /// Client identifier that it is bound to.
    pub client_id: Option<String>,
    /// When it ends, leeway included, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// What it allows itself. None: it says nothing about it.
    pub(crate) grants: Option<Box<TokenGrants>>,
    /// Which key it is signed with.
    pub(crate) key: [u8; 32],
}

/// Why a token is not taken. Says nothing of its content but names of claims.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TokenRefusal {
    /// More than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts of base64url with JSON objects.
    #[error("the token is malformed")]
    Malformed,
    /// An extension of the header that must be understood (RFC 7515, 4.1.11).
    #[error("the token has critical header parameters")]
    Critical,
    /// An algorithm that is not accepted, or not the one of the key.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// It names a key that is not here: a newer one, perhaps.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Made by somebody else, or changed.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that is missing or of another type.
    #[error("the token's claim {claim:?} {problem}")]
    Claim {
        /// Name.
        claim: String,
        /// What is wrong.
        problem: ClaimProblem,
    },
    /// It was good.
    #[error("the token has expired")]
    Expired,
    /// It will be good.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// From another issuer.
    #[error("the token is from another issuer")]
    Issuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// The time is not known, so neither is whether it is good.
    #[error("the clock is not trusted, so that the token cannot be checked")]
    ClockNotTrusted,
}

/// What is wrong with a claim.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClaimProblem {
    /// Not there.
    #[error("is missing")]
    Missing,
    /// Of another type.
    #[error("is of the wrong type")]
    Type,
    /// A name that is not taken.
    #[error("is no name: {0}")]
    Name(NameProblem),
    /// A filter or right that is none.
    #[error("holds something that is no filter or right")]
    Entry,
}

/// RFC 7515, 4.1. Other members mean nothing here.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Whether `password` looks like a token and not like a password that a person chose.
pub fn looks_like_token(password: &[u8]) -> bool {
    let is_part = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // base64url of `{"`, with which the JSON of every header begins.
    password.starts_with(b"ey") && password.split(|&byte| byte == b'.').filter(|part| is_part(part)).count() == 3
}

/// Checks a token. `now_ms` is the time in milliseconds since 1970, if it is known.
///
/// # Errors
/// The first thing that is wrong; signature before claims.
pub fn verify(
    token: &str,
    keys: &Keys,
    rules: &TokenRules,
    now_ms: Option<u64>,
) -> Result<VerifiedToken, TokenRefusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenRefusal::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefusal::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenRefusal::Malformed)?;
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenRefusal::Malformed)?;
    if header.crit.is_some() {
        return Err(TokenRefusal::Critical);
    }
    let algorithm = Algorithm::of_header(&header.alg).filter(|algorithm| rules.algorithms.contains(algorithm));
    let algorithm = algorithm.ok_or(TokenRefusal::Algorithm)?;
    let signature = decode(signature)?;
    let id = header.kid.as_deref();
    let mut candidates = keys.candidates(id).filter(|key| key.algorithm() == algorithm).take(TRIES_MAX).peekable();
    let is_tried = candidates.peek().is_some();
    let Some(key) = candidates.find(|key| key.verifies(signed.as_bytes(), &signature)) else {
        return Err(match id {
            Some(id) if !keys.has_named(id) => TokenRefusal::UnknownKey,
            _ if is_tried => TokenRefusal::Signature,
            _ => TokenRefusal::Algorithm,
        });
    };
    let claims = serde_json::from_slice(&decode(payload)?).map_err(|_| TokenRefusal::Malformed)?;
    claims::check(&claims, rules, now_ms, key.fingerprint())
}

fn decode(text: &str) -> Result<Vec<u8>, TokenRefusal> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenRefusal::Malformed)
}

#[cfg(test)]
pub(crate) mod tests;
