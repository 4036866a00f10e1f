//! What must hold for whatever strangers send and files hold, shared by the fuzz target `access` and the test that replays its
//! corpus: nothing panics, nobody gets in without a key, and what is wrong is refused.
//!
//! The first byte of an input chooses who reads the rest.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use selvedge_access::{
    KeyFormat, NameFrom, Operation, Subject, TokenRules,
    certificate::{ClientCertificate, Revoked},
    http_credentials,
    rules::Rules,
    scram::{self, Verifier},
    token::{self, Keys},
    users::Users,
};

const SECRET: &[u8] = b"a secret of the node that nobody sends";
const NOW_MS: u64 = 1_800_000_000_000;

/// Reads the input.
pub fn check_input(input: &[u8]) {
    let Some((&reader, rest)) = input.split_first() else { return };
    match reader % 8 {
        0 => unsigned_token(rest),
        1 => signed_token(rest),
        2 => scram_messages(rest),
        3 => certificates(rest),
        4 => users(rest),
        5 => rules(rest),
        6 => keys(rest),
        _ => http_header(rest),
    }
}

fn node_keys() -> Keys {
    Keys::parse(KeyFormat::Secret, SECRET).expect("a secret is a key")
}

/// A token as it came. Nobody who does not know the secret makes one that is taken.
fn unsigned_token(input: &[u8]) {
    token::looks_like_token(input);
    if let Ok(text) = std::str::from_utf8(input) {
        let verified = token::verify(text, &node_keys(), &TokenRules::default(), Some(NOW_MS));
        assert!(verified.is_err(), "a token without the secret is taken: {text}");
    }
}

/// Claims that are signed as they should be: what they say is still a stranger's.
fn signed_token(claims: &[u8]) {
    let head = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
    for now_ms in [Some(NOW_MS), None, Some(0), Some(u64::MAX)] {
        if let Ok(verified) = token::verify(&token, &node_keys(), &TokenRules::default(), now_ms) {
            // What is printed must not hold the token.
            assert!(!format!("{verified:?}").contains(&token));
        }
    }
}

/// Both messages of a client, with a line end between; and the same as messages of a server.
fn scram_messages(input: &[u8]) {
    let cut = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (first, rest) = input.split_at(cut);
    let last = rest.get(1..).unwrap_or_default();
    let verifier = || Verifier::derive("password", [7; 16], 4096).expect("a password that can be prepared");
    if let Ok((server, _)) = scram::Server::start(first, [9; scram::NONCE_BYTES], |_| verifier()) {
        assert!(server.finish(last).is_err(), "a proof was guessed");
    }
    if let Ok((client, _)) = scram::Client::start("user", "password", [3; scram::NONCE_BYTES])
        && let Ok((server_final, _)) = client.answer(first)
    {
        assert!(server_final.verify(last).is_err(), "a server's signature was guessed");
    }
    if let Ok(text) = std::str::from_utf8(input) {
        drop(Verifier::parse(text));
    }
}

fn certificates(input: &[u8]) {
    for from in [NameFrom::CommonName, NameFrom::Dns, NameFrom::Email, NameFrom::Uri] {
        drop(ClientCertificate::read(input, from));
    }
    if let Ok(revoked) = Revoked::parse(input) {
        let count = revoked.len();
        assert_eq!(revoked.is_empty(), count == 0);
    }
}

fn users(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(users) = Users::parse(text) {
        for user in users.list() {
            assert!(users.get(user.name).is_some(), "a user that is listed is not there: {}", user.name);
        }
    }
}

/// Deny wins, whatever the rules say.
fn rules(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(rules) = Rules::parse(text) else { return };
    for user in [None, Some("alice"), Some("")] {
        for client_id in ["client", "", "a/b", "+"] {
            let subject = Subject { user, client_id };
            for operation in
                [Operation::Publish { retain: true }, Operation::Will { retain: false }, Operation::Subscribe]
            {
                for topic in ["a", "a/b/c", "", "#", "alice/client", "$SYS/x", "é"] {
                    let may = rules.may(subject, operation, topic);
                    assert!(!(may && rules.denies(subject, operation, topic)), "{topic} is denied and allowed");
                }
            }
        }
    }
}

fn keys(input: &[u8]) {
    for format in [KeyFormat::Pem, KeyFormat::Jwks, KeyFormat::PublishedJwks, KeyFormat::Secret] {
        drop(Keys::parse(format, input));
    }
}

fn http_header(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(credentials) = http_credentials::parse(text)
    {
        credentials.login([127, 0, 0, 1].into());
    }
}
