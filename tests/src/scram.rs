//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding, independent of the product's.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Name of the method in CONNECT and AUTH.
pub const METHOD: &str = "SCRAM-SHA-256";

/// The header that says that there is no channel binding.
const NO_CHANNEL_BINDING: &str = "n,,";

/// One login.
#[derive(Debug, Clone)]
pub struct Scram {
    password: String,
    nonce: String,
    bare: String,
}

/// What the client waits for after its proof.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The client's last message.
    pub message: Vec<u8>,
    signature: [u8; 32],
}

impl Scram {
    /// A login of `user`, whose name has neither `=` nor `,`.
    pub fn new(user: &str, password: &str, nonce: &str) -> Self {
        Self { password: password.to_owned(), nonce: nonce.to_owned(), bare: format!("n={user},r={nonce}") }
    }

    /// The client's first message.
    pub fn first(&self) -> Vec<u8> {
        format!("{NO_CHANNEL_BINDING}{}", self.bare).into_bytes()
    }

    /// The client's answer to the server's first message.
    ///
    /// # Errors
    /// The server's message is not one.
    pub fn proof(&self, server_first: &[u8]) -> anyhow::Result<Expected> {
        let server_first = std::str::from_utf8(server_first).context("read the server's first message")?;
        let field = |index: usize, name: &str| {
            let part = server_first.split(',').nth(index).and_then(|part| part.strip_prefix(name));
            part.with_context(|| format!("find {name} in {server_first}"))
        };
        let (nonce, salt, iterations) = (field(0, "r=")?, field(1, "s=")?, field(2, "i=")?);
        ensure!(nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len(), "the server's nonce is {nonce}");
        let salt = BASE64.decode(salt).with_context(|| format!("decode the salt {salt}"))?;
        let iterations = iterations.parse().with_context(|| format!("read the iterations {iterations}"))?;
        let salted = salted(self.password.as_bytes(), &salt, iterations);
        let without_proof = format!("c={},r={nonce}", BASE64.encode(NO_CHANNEL_BINDING));
        let whole = format!("{},{server_first},{without_proof}", self.bare);
        let client_key = hash(&salted, b"Client Key");
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let mut proof = hash(&stored_key, whole.as_bytes());
        for (byte, key) in proof.iter_mut().zip(client_key) {
            *byte ^= key;
        }
        let signature = hash(&hash(&salted, b"Server Key"), whole.as_bytes());
        Ok(Expected { message: format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes(), signature })
    }
}

impl Expected {
    /// Whether the server's last message shows that it knows the user, too.
    pub fn is_shown_by(&self, server_final: &[u8]) -> bool {
        server_final == format!("v={}", BASE64.encode(self.signature)).as_bytes()
    }
}

/// PBKDF2 with HMAC-SHA-256 and one block.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut last = hash(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = last;
    for _ in 1..iterations {
        last = hash(password, &last);
        for (sum, byte) in sum.iter_mut().zip(last) {
            *sum ^= byte;
        }
    }
    sum
}

fn hash(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(bytes);
    hmac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677_comes_out() {
        let login = Scram::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(login.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let expected = login.proof(server).unwrap();
        let message = String::from_utf8(expected.message.clone()).unwrap();
        assert!(message.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{message}");
        assert!(expected.is_shown_by(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!expected.is_shown_by(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }
}
