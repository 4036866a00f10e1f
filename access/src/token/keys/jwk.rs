//! JSON web keys (RFC 7517, RFC 7518 section 6, RFC 8037).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{KEYS_MAX, Key, KeyProblem, KeysError, ed25519_key, p256_key, rsa_key, secret_key};

/// Reads a set, or a single key. Where it `is_published`, keys that cannot be used are skipped (RFC 7517, 5) and secrets are
/// refused.
pub(super) fn parse(content: &[u8], is_published: bool) -> Result<Vec<Key>, KeysError> {
    let document: Map<String, Value> = serde_json::from_slice(content)
        .map_err(|error| KeysError::Syntax { line: error.line(), message: "is no JSON object".to_owned() })?;
    let single = [Value::Object(document)];
    let [Value::Object(document)] = &single else { return Err(KeysError::None) };
    let entries = match document.get("keys") {
        Some(Value::Array(entries)) => entries.as_slice(),
        Some(_) => return Err(KeysError::Syntax { line: 1, message: "\"keys\" is no array".to_owned() }),
        None => &single,
    };
    if entries.len() > KEYS_MAX {
        return Err(KeysError::TooMany);
    }
    let mut keys = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match key(entry, is_published) {
            Ok(Some(key)) => keys.push(key),
            Ok(None) => {}
            Err(_) if is_published => {}
            Err(problem) => return Err(KeysError::Key { number: index + 1, problem }),
        }
    }
    Ok(keys)
}

/// None for keys of other kinds or uses, which a set may well hold.
fn key(entry: &Value, is_published: bool) -> Result<Option<Key>, KeyProblem> {
    let member = |name: &str| entry.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        let text = member(name).ok_or(KeyProblem::Malformed)?;
        URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).map_err(|_| KeyProblem::Malformed)
    };
    let kind = member("kty").ok_or(KeyProblem::Malformed)?;
    let algorithms: &[&str] = match (kind, member("crv")) {
        ("OKP", Some("Ed25519")) => &["EdDSA", "Ed25519"],
        ("EC", Some("P-256")) => &["ES256"],
        ("RSA", _) => &["RS256"],
        ("oct", _) if is_published => return Err(KeyProblem::PublishedSecret),
        ("oct", _) => &["HS256"],
        _ => return Ok(None),
    };
    if !is_for_signatures(entry) || member("alg").is_some_and(|algorithm| !algorithms.contains(&algorithm)) {
        return Ok(None);
    }
    if entry.get("d").is_some() {
        return Err(KeyProblem::Private);
    }
    let id = member("kid");
    match kind {
        "OKP" => ed25519_key(&bytes("x")?, id),
        "EC" => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            p256_key(&[&[4], x.as_slice(), y.as_slice()].concat(), id) // RFC 7518, 6.2.1.2: both of full length
        }
        "RSA" => rsa_key(&bytes("n")?, &bytes("e")?, id),
        _ => secret_key(&bytes("k")?, id),
    }
    .map(Some)
}

/// RFC 7517, 4.2 and 4.3.
fn is_for_signatures(entry: &Value) -> bool {
    let is_used_so = match entry.get("use") {
        None => true,
        Some(usage) => usage.as_str() == Some("sig"),
    };
    let allows_it = match entry.get("key_ops") {
        None => true,
        Some(operations) => {
            let mut operations = operations.as_array().into_iter().flatten();
            operations.any(|operation| operation.as_str() == Some("verify"))
        }
    };
    is_used_so && allows_it
}
