//! Public keys and certificates in PEM (RFC 7468).

use x509_parser::{
    asn1_rs::oid,
    pem::Pem,
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use super::{KEYS_MAX, Key, KeyProblem, KeysError, ed25519_key, p256_key, rsa_key};
use crate::place::line_of;

pub(super) fn parse(content: &[u8]) -> Result<Vec<Key>, KeysError> {
    let mut keys = Vec::new();
    for block in Pem::iter_from_buffer(content) {
        let block = block.map_err(|error| {
            let message = format!("is no PEM: {error}");
            KeysError::Syntax { line: line_of_block(content, keys.len()), message }
        })?;
        if keys.len() == KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        let key =
            key(&block.label, &block.contents).map_err(|problem| KeysError::Key { number: keys.len() + 1, problem })?;
        keys.push(key);
    }
    Ok(keys)
}

/// Line where the block after so many others begins.
fn line_of_block(content: &[u8], others: usize) -> usize {
    let text = String::from_utf8_lossy(content);
    let offset = text.match_indices("-----BEGIN").nth(others).map_or(0, |(offset, _)| offset);
    line_of(&text, offset)
}

fn key(label: &str, der: &[u8]) -> Result<Key, KeyProblem> {
    match label {
        "PUBLIC KEY" => {
            let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyProblem::Malformed)?;
            if rest.is_empty() { public_key(&info) } else { Err(KeyProblem::Malformed) }
        }
        "CERTIFICATE" => {
            let (_, certificate) = X509Certificate::from_der(der).map_err(|_| KeyProblem::Malformed)?;
            public_key(certificate.public_key())
        }
        label if label.contains("PRIVATE") => Err(KeyProblem::Private),
        _ => Err(KeyProblem::Kind),
    }
}

fn public_key(info: &SubjectPublicKeyInfo<'_>) -> Result<Key, KeyProblem> {
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == oid!(1.3.101.112) {
        return ed25519_key(&info.subject_public_key.data, None); // RFC 8410
    }
    match info.parsed().map_err(|_| KeyProblem::Malformed)? {
        PublicKey::RSA(key) => rsa_key(key.modulus, key.exponent, None),
        PublicKey::EC(point) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            // RFC 5480, 2.1.1.1: prime256v1
            if curve == Some(oid!(1.2.840.10045.3.1.7)) { p256_key(point.data(), None) } else { Err(KeyProblem::Kind) }
        }
        _ => Err(KeyProblem::Kind),
    }
}
