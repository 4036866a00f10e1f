//! Keys that tokens are checked with: PEM, JWK sets (RFC 7517), secrets. Only here is decided which algorithm a key is for.

use std::fmt;

use ring::{digest, hmac, signature};
use serde_json::{Map, Value};
use thiserror::Error;

mod jwk;
mod pem;

/// Fewest bytes of a secret for HS256 (RFC 7518, 3.2: as many as the hash has).
pub const SECRET_BYTES_MIN: usize = 32;

/// Most bytes of a secret.
const SECRET_BYTES_MAX: usize = 4096;

/// Most keys of a node.
const KEYS_MAX: usize = 64;

/// Largest file or answer with keys, in bytes.
const KEYS_BYTES_MAX: usize = 1024 * 1024;

/// Sizes of RSA keys, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A signature of a token (RFC 7518, 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSA PKCS #1 1.5 with SHA-256.
    Rs256,
    /// HMAC with SHA-256: who checks tokens can also make them.
    Hs256,
}

/// How keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormat {
    /// Public keys or certificates, one after the other.
    Pem,
    /// A JWK set or a JWK in a file of the node; may hold secrets (`oct`).
    Jwks,
    /// A JWK set fetched from an address: public keys only, what cannot be used is skipped.
    PublishedJwks,
    /// A secret for HS256, as it is, without the line end.
    Secret,
}

/// The keys of a node.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    all: Vec<Key>,
}

/// Why keys are not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeysError {
    /// Zero bytes, or nothing but white space.
    #[error("the file is empty")]
    Empty,
    /// More than a mebibyte.
    #[error("there are {0} bytes, and {KEYS_BYTES_MAX} are the most")]
    TooLarge(usize),
    /// Not of the format.
    #[error("line {line}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that cannot be used.
    #[error("key {number}: {problem}")]
    Key {
        /// From 1.
        number: usize,
        /// Why.
        problem: KeyProblem,
    },
    /// More than 64.
    #[error("there are more than {KEYS_MAX} keys")]
    TooMany,
    /// None that can be used.
    #[error("there is no key for EdDSA, ES256, RS256 or HS256")]
    None,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyProblem {
    /// Members or bytes that are missing or of the wrong form.
    #[error("is malformed")]
    Malformed,
    /// Not one of those that tokens are signed with here.
    #[error("is of a kind that is not used; Ed25519, P-256 and RSA are")]
    Kind,
    /// RSA of another size.
    #[error("is an RSA key of {0} bits; 2048 to 8192 are allowed")]
    RsaSize(usize),
    /// A short or endless secret.
    #[error("is a secret of {0} bytes; {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} are allowed")]
    SecretSize(usize),
    /// A public key where a secret was announced: everybody knows it.
    #[error("is written like a public key or certificate and cannot be a secret")]
    NotSecret,
    /// A private key has no business on a node that only checks.
    #[error("is a private key; the node needs the public one")]
    Private,
    /// A secret in a set that was fetched: others may fetch it too.
    #[error("is a secret in a published set")]
    PublishedSecret,
}

/// One key.
#[derive(Clone)]
pub(crate) struct Key {
    id: Option<Box<str>>,
    material: Material,
    fingerprint: [u8; 32],
}

#[derive(Clone)]
enum Material {
    Ed25519(Box<[u8]>),
    /// Uncompressed point.
    P256(Box<[u8]>),
    Rsa(signature::RsaPublicKeyComponents<Box<[u8]>>),
    Secret(hmac::Key),
}

impl Algorithm {
    /// The algorithm that a header names.
    pub(super) fn of_header(name: &str) -> Option<Self> {
        match name {
            "EdDSA" | "Ed25519" => Some(Self::EdDsa), // the second since RFC 9864
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            "HS256" => Some(Self::Hs256),
            _ => None,
        }
    }
}

impl KeyFormat {
    /// The format of a file with public keys. Never [`KeyFormat::Secret`]: a damaged public key would be taken for one.
    pub fn of_file(content: &[u8]) -> Option<Self> {
        let text = content.trim_ascii_start();
        if text.starts_with(b"{") {
            Some(Self::Jwks)
        } else {
            text.windows(10).any(|window| window == b"-----BEGIN").then_some(Self::Pem)
        }
    }
}

impl Keys {
    /// Reads keys.
    ///
    /// # Errors
    /// If there is none that can be used. In a file, one that cannot be used is a mistake too.
    pub fn parse(format: KeyFormat, content: &[u8]) -> Result<Self, KeysError> {
        if content.trim_ascii().is_empty() {
            return Err(KeysError::Empty);
        }
        if content.len() > KEYS_BYTES_MAX {
            return Err(KeysError::TooLarge(content.len()));
        }
        let all = match format {
            KeyFormat::Pem => pem::parse(content)?,
            KeyFormat::Jwks => jwk::parse(content, false)?,
            KeyFormat::PublishedJwks => jwk::parse(content, true)?,
            KeyFormat::Secret => {
                let secret = content.strip_suffix(b"\n").unwrap_or(content);
                let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
                vec![secret_key(secret, None).map_err(|problem| KeysError::Key { number: 1, problem })?]
            }
        };
        if all.is_empty() {
            return Err(KeysError::None);
        }
        if all.len() > KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        Ok(Self { all })
    }

    /// Adds the keys of another source.
    ///
    /// # Errors
    /// If there would be too many.
    pub fn add(&mut self, others: &Self) -> Result<(), KeysError> {
        if self.all.len() + others.all.len() > KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        self.all.extend(others.all.iter().cloned());
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether no token can be checked.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether the key with this name is here.
    pub(super) fn has_named(&self, id: &str) -> bool {
        self.all.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// The keys that a token may be signed with: those it names, else those without a name; all if it names none.
    pub(super) fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let is_named = id.is_some_and(|id| self.has_named(id));
        self.all.iter().filter(move |key| match id {
            Some(id) if is_named => key.id.as_deref() == Some(id),
            Some(_) => key.id.is_none(),
            None => true,
        })
    }

    /// Whether the key with this fingerprint is here.
    pub(crate) fn has(&self, fingerprint: &[u8; 32]) -> bool {
        self.all.iter().any(|key| key.fingerprint == *fingerprint)
    }
}

impl Key {
    fn new(id: Option<&str>, material: Material, bytes: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        bytes.iter().for_each(|part| context.update(part));
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.finish().as_ref());
        Self { id: id.map(Into::into), material, fingerprint }
    }

    pub fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Ed25519(_) => Algorithm::EdDsa,
            Material::P256(_) => Algorithm::Es256,
            Material::Rsa(_) => Algorithm::Rs256,
            Material::Secret(_) => Algorithm::Hs256,
        }
    }

    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    pub fn verifies(&self, message: &[u8], tag: &[u8]) -> bool {
        match &self.material {
            Material::Ed25519(key) => verifies(&signature::ED25519, key, message, tag),
            Material::P256(key) => verifies(&signature::ECDSA_P256_SHA256_FIXED, key, message, tag),
            Material::Rsa(key) => key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, tag).is_ok(),
            Material::Secret(key) => hmac::verify(key, message, tag).is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

fn verifies(algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8], message: &[u8], tag: &[u8]) -> bool {
    signature::UnparsedPublicKey::new(algorithm, key).verify(message, tag).is_ok()
}

fn ed25519_key(bytes: &[u8], id: Option<&str>) -> Result<Key, KeyProblem> {
    if bytes.len() != 32 {
        return Err(KeyProblem::Malformed);
    }
    Ok(Key::new(id, Material::Ed25519(bytes.into()), &[bytes]))
}

/// `point` is `4 x y`, uncompressed.
fn p256_key(point: &[u8], id: Option<&str>) -> Result<Key, KeyProblem> {
    if point.len() != 65 || point.first() != Some(&4) {
        return Err(KeyProblem::Malformed);
    }
    Ok(Key::new(id, Material::P256(point.into()), &[point]))
}

fn rsa_key(modulus: &[u8], exponent: &[u8], id: Option<&str>) -> Result<Key, KeyProblem> {
    let [n, e] = [modulus, exponent].map(|number| {
        let zeros = number.iter().take_while(|&&byte| byte == 0).count();
        number.get(zeros..).unwrap_or_default()
    });
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(KeyProblem::RsaSize(bits));
    }
    if e.is_empty() || e.len() > 4 || *e == [1] || e.last().is_none_or(|last| last % 2 == 0) {
        return Err(KeyProblem::Malformed);
    }
    Ok(Key::new(id, Material::Rsa(signature::RsaPublicKeyComponents { n: n.into(), e: e.into() }), &[n, e]))
}

fn secret_key(secret: &[u8], id: Option<&str>) -> Result<Key, KeyProblem> {
    let is_json = serde_json::from_slice::<Map<String, Value>>(secret).is_ok();
    if is_json || secret.windows(10).any(|window| window == b"-----BEGIN") {
        return Err(KeyProblem::NotSecret);
    }
    if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
        return Err(KeyProblem::SecretSize(secret.len()));
    }
    Ok(Key::new(id, Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret)), &[b"secret", secret]))
}
