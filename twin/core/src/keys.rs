//! Signatures of nodes. The functions are arguments of what needs them, so that tests and simulations can do without
//! curves; what nodes use is [`Ed25519`].

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::event::Signature;

/// An ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// From its 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        (digits.len() == 64).then(|| bytes.try_into().ok().map(Self))?
    }
}

impl fmt::Display for PublicKey {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Signs for this node and checks what others signed.
pub trait Keys {
    /// This node's signature of `bytes`.
    fn sign(&self, bytes: &[u8]) -> Signature;

    /// Whether `signature` is that of `key`'s owner, of `bytes`.
    fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool;
}

/// What nodes use: ed25519, verified strictly (no weak keys, one form of each signature).
pub struct Ed25519(SigningKey);

impl Ed25519 {
    /// From the 32 bytes of a secret key.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
}

impl Ed25519 {
    /// Whether `signature` is that of `key`'s owner, of `bytes`.
    #[must_use]
    pub fn verify_strictly(key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&key.0).is_ok_and(|key| key.verify_strict(bytes, &signature).is_ok())
    }
}

impl Keys for Ed25519 {
    fn sign(&self, bytes: &[u8]) -> Signature {
        self.0.sign(bytes).to_bytes()
    }

    fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        Self::verify_strictly(key, bytes, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_bytes_and_key_only() {
        let (one, two) = (Ed25519::from_secret(&[1; 32]), Ed25519::from_secret(&[2; 32]));
        let signature = one.sign(b"a");
        assert!(two.verify(&one.public(), b"a", &signature));
        assert!(!two.verify(&one.public(), b"b", &signature));
        assert!(!one.verify(&two.public(), b"a", &signature));
        assert!(!one.verify(&PublicKey([0; 32]), b"a", &[0; 64]));
    }
}
