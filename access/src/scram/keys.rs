//! The hashes of RFC 5802, section 3.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

pub(super) const HASH_BYTES: usize = digest::SHA256_OUTPUT_LEN;

pub(super) type Hash = [u8; HASH_BYTES];

/// `Hi`: PBKDF2 with HMAC-SHA-256.
pub(super) fn salted_password(prepared: &str, salt: &[u8], iterations: NonZeroU32) -> Zeroizing<Hash> {
    let mut output = Zeroizing::new([0; HASH_BYTES]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut *output);
    output
}

pub(super) fn client_key(salted_password: &Hash) -> Zeroizing<Hash> {
    Zeroizing::new(hmac(salted_password, &[b"Client Key"]))
}

pub(super) fn server_key(salted_password: &Hash) -> Hash {
    hmac(salted_password, &[b"Server Key"])
}

pub(super) fn stored_key(client_key: &Hash) -> Hash {
    hash(client_key)
}

pub(super) fn hash(data: &[u8]) -> Hash {
    array(digest::digest(&digest::SHA256, data).as_ref())
}

pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    array(context.sign().as_ref())
}

pub(super) fn xor(left: &Hash, right: &Hash) -> Zeroizing<Hash> {
    let mut output = Zeroizing::new(*left);
    output.iter_mut().zip(right).for_each(|(byte, other)| *byte ^= other);
    output
}

fn array(bytes: &[u8]) -> Hash {
    let mut output = [0; HASH_BYTES];
    output.iter_mut().zip(bytes).for_each(|(byte, from)| *byte = *from);
    output
}
