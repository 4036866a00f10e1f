//! Tokens of every algorithm, and every way to forge or misuse one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::{filter::Subject, rules::Operation};

const NOW_MS: u64 = 1_800_000_000_000;
const NOW_S: u64 = NOW_MS / 1000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// RFC 7515, A.2 and A.3; RFC 8037, A.
const RFC_RSA: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RFC_EC: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const RFC_ED: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const RFC_RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RFC_EC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn b64(data: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(data)
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", b64(header.to_string()), b64(claims.to_string()))
}

fn hs256_with(secret: &[u8], header: &Value, claims: &Value) -> String {
    let signed = unsigned(header, claims);
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", b64(tag))
}

/// A good token with these claims besides the necessary ones, for other tests of this crate too.
pub(crate) fn hs256(claims: Value) -> String {
    let mut all = claims_of(&claims);
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    hs256_with(SECRET, &json!({"alg": "HS256"}), &all)
}

/// Key of [`hs256`].
pub(crate) const HS256_SECRET: &[u8] = SECRET;

/// Time at which the tokens of [`hs256`] are good.
pub(crate) const GOOD_AT_MS: u64 = NOW_MS;

fn claims_of(others: &Value) -> Value {
    let mut all = json!({"sub": "alice", "exp": NOW_S + 600});
    all.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    all
}

fn signed(key: &KeyPair, header: Value) -> String {
    let signed = unsigned(&header, &claims_of(&json!({})));
    let mut tag = SigningKey::sign(key, signed.as_bytes()).unwrap();
    if header["alg"] == "ES256" {
        tag = fixed(&tag);
    }
    format!("{signed}.{}", b64(tag))
}

/// A DER signature as the two numbers of 32 bytes that a token has.
fn fixed(der: &[u8]) -> Vec<u8> {
    let (r, rest) = integer(&der[2..]);
    let (s, _) = integer(rest);
    [r, s].concat()
}

fn integer(der: &[u8]) -> (Vec<u8>, &[u8]) {
    let length = usize::from(der[1]);
    let (number, rest) = der[2..].split_at(length);
    let mut padded = vec![0; 32usize.saturating_sub(length)];
    padded.extend(&number[length.saturating_sub(32)..]);
    (padded, rest)
}

fn every_algorithm() -> TokenRules {
    let algorithms = vec![Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256, Algorithm::Hs256];
    TokenRules { algorithms, ..TokenRules::default() }
}

fn secret() -> Keys {
    Keys::parse(KeyFormat::Secret, SECRET).unwrap()
}

fn check(token: &str, keys: &Keys) -> Result<VerifiedToken, TokenRefusal> {
    verify(token, keys, &every_algorithm(), Some(NOW_MS))
}

/// Checks a good HS256 token with these claims.
fn check_claims(claims: Value, rules: &TokenRules) -> Result<VerifiedToken, TokenRefusal> {
    verify(&hs256(claims), &secret(), rules, Some(NOW_MS))
}

fn refusal(claims: Value) -> TokenRefusal {
    check_claims(claims.clone(), &every_algorithm()).expect_err(&claims.to_string())
}

#[test]
fn the_signatures_of_the_standards_are_right() {
    for (key, token) in [(RFC_RSA, RFC_RSA_TOKEN), (RFC_EC, RFC_EC_TOKEN)] {
        let keys = Keys::parse(KeyFormat::Jwks, key.as_bytes()).unwrap();
        assert_eq!(
            check(token, &keys).unwrap_err(),
            TokenRefusal::Expired,
            "the signature is right, the token from 2011"
        );
        let mut changed = token.to_owned();
        changed.replace_range(25..26, "f");
        assert_ne!(check(&changed, &keys).unwrap_err(), TokenRefusal::Expired);
    }
    // RFC 8037, A.4: its payload is no JSON, which is looked at after the signature.
    let keys = Keys::parse(KeyFormat::Jwks, RFC_ED.as_bytes()).unwrap();
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(check(token, &keys).unwrap_err(), TokenRefusal::Malformed);
    let wrong = token.replace("hgyY", "hgyZ");
    assert_eq!(check(&wrong, &keys).unwrap_err(), TokenRefusal::Signature);
}

#[test]
fn tokens_are_checked_with_keys_in_pem() {
    for (algorithm, name) in [(&rcgen::PKCS_ED25519, "EdDSA"), (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256")] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let keys = Keys::parse(KeyFormat::Pem, key.public_key_pem().as_bytes()).unwrap();
        assert_eq!(check(&signed(&key, json!({"alg": name})), &keys).unwrap().user, "alice");
        let other = KeyPair::generate_for(algorithm).unwrap();
        assert_eq!(check(&signed(&other, json!({"alg": name})), &keys).unwrap_err(), TokenRefusal::Signature);
    }
}

#[test]
fn a_certificate_stands_for_its_key() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["issuer".to_owned()]).unwrap().self_signed(&key).unwrap();
    let keys = Keys::parse(KeyFormat::Pem, certificate.pem().as_bytes()).unwrap();
    assert!(check(&signed(&key, json!({"alg": "EdDSA"})), &keys).is_ok());
    assert!(check(&signed(&key, json!({"alg": "Ed25519"})), &keys).is_ok());
}

#[test]
fn a_public_key_is_no_secret() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let pem = key.public_key_pem();
    let public = Keys::parse(KeyFormat::Pem, pem.as_bytes()).unwrap();
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), key.der_bytes(), &key.subject_public_key_info()] {
        let forged = hs256_with(secret, &json!({"alg": "HS256"}), &claims_of(&json!({})));
        assert_eq!(check(&forged, &public).unwrap_err(), TokenRefusal::Algorithm);
    }
    let rsa = Keys::parse(KeyFormat::Jwks, RFC_RSA.as_bytes()).unwrap();
    let forged = hs256_with(RFC_RSA.as_bytes(), &json!({"alg": "HS256"}), &claims_of(&json!({})));
    assert_eq!(check(&forged, &rsa).unwrap_err(), TokenRefusal::Algorithm);
}

#[test]
fn unsigned_tokens_and_other_algorithms_are_refused() {
    for algorithm in ["none", "None", "NONE", "", "HS384", "RS512", "PS256", "hs256", "ES384"] {
        let token = hs256_with(SECRET, &json!({"alg": algorithm}), &claims_of(&json!({})));
        assert_eq!(check(&token, &secret()).unwrap_err(), TokenRefusal::Algorithm, "{algorithm}");
    }
    let unsigned = unsigned(&json!({"alg": "none"}), &claims_of(&json!({})));
    assert_eq!(check(&format!("{unsigned}."), &secret()).unwrap_err(), TokenRefusal::Algorithm);
    let stripped = hs256(json!({}));
    let stripped = &stripped[..=stripped.rfind('.').unwrap()];
    assert_eq!(check(stripped, &secret()).unwrap_err(), TokenRefusal::Signature);
}

#[test]
fn an_algorithm_that_is_not_configured_is_refused_even_with_a_key() {
    assert!(check(&hs256(json!({})), &secret()).is_ok());
    let refused = verify(&hs256(json!({})), &secret(), &TokenRules::default(), Some(NOW_MS));
    assert_eq!(refused.unwrap_err(), TokenRefusal::Algorithm);
}

#[test]
fn a_token_says_which_key_it_is_signed_with() {
    let [first, second, third] = [1, 2, 3].map(|byte| [byte; 32]);
    let set = json!({"keys": [
        {"kty": "oct", "kid": "first", "k": b64(first)},
        {"kty": "oct", "kid": "second", "k": b64(second)},
    ]});
    let keys = Keys::parse(KeyFormat::Jwks, set.to_string().as_bytes()).unwrap();
    let token = |secret: &[u8], kid: Option<&str>| {
        let header = kid.map_or(json!({"alg": "HS256"}), |kid| json!({"alg": "HS256", "kid": kid}));
        hs256_with(secret, &header, &claims_of(&json!({})))
    };
    assert!(check(&token(&first, Some("first")), &keys).is_ok());
    assert!(check(&token(&second, Some("second")), &keys).is_ok());
    assert!(check(&token(&second, None), &keys).is_ok());
    assert_eq!(check(&token(&first, Some("second")), &keys).unwrap_err(), TokenRefusal::Signature);
    assert_eq!(check(&token(&third, Some("third")), &keys).unwrap_err(), TokenRefusal::UnknownKey);
    assert_eq!(check(&token(&third, None), &keys).unwrap_err(), TokenRefusal::Signature);

    let mut with_unnamed = keys.clone();
    with_unnamed.add(&Keys::parse(KeyFormat::Secret, &third).unwrap()).unwrap();
    assert!(check(&token(&third, Some("anything")), &with_unnamed).is_ok(), "a key without a name is tried for any");
    assert_eq!(check(&token(&[4; 32], Some("new")), &with_unnamed).unwrap_err(), TokenRefusal::UnknownKey);
}

#[test]
fn times_are_held_on_both_sides_of_the_leeway() {
    assert!(check_claims(json!({"exp": NOW_S - 59}), &every_algorithm()).is_ok());
    assert_eq!(refusal(json!({"exp": NOW_S - 60})), TokenRefusal::Expired);
    assert!(check_claims(json!({"nbf": NOW_S + 60}), &every_algorithm()).is_ok());
    assert_eq!(refusal(json!({"nbf": NOW_S + 61})), TokenRefusal::NotYetValid);
    assert!(check_claims(json!({"iat": NOW_S + 60}), &every_algorithm()).is_ok());
    assert_eq!(refusal(json!({"iat": NOW_S + 61})), TokenRefusal::NotYetValid);
    let fraction = check_claims(json!({"exp": NOW_S as f64 + 0.5}), &every_algorithm()).unwrap();
    assert_eq!(fraction.expires_at_ms, Some(NOW_MS + 500 + 60_000));
}

#[test]
fn a_date_that_is_no_number_is_refused() {
    for claim in ["exp", "nbf", "iat"] {
        for value in [json!("1900000000"), json!(-1), json!([1]), json!(true)] {
            let expected = TokenRefusal::Claim { claim: claim.to_owned(), problem: ClaimProblem::Type };
            assert_eq!(refusal(json!({claim: value})), expected, "{claim} {value}");
        }
    }
    let far = check_claims(json!({"exp": u64::MAX}), &every_algorithm()).unwrap();
    assert_eq!(far.expires_at_ms, Some(u64::MAX));
}

#[test]
fn a_token_must_expire_unless_the_node_does_not_mind() {
    let expected = TokenRefusal::Claim { claim: "exp".to_owned(), problem: ClaimProblem::Missing };
    assert_eq!(refusal(json!({"exp": null})), expected);
    let rules = TokenRules { expiry_required: false, ..every_algorithm() };
    assert_eq!(check_claims(json!({"exp": null}), &rules).unwrap().expires_at_ms, None);
    let rules = TokenRules { expiry_required: false, lifetime_max_s: Some(100), ..every_algorithm() };
    assert_eq!(check_claims(json!({"exp": null}), &rules).unwrap().expires_at_ms, Some(NOW_MS + 100_000));
    assert_eq!(check_claims(json!({"exp": NOW_S}), &rules).unwrap().expires_at_ms, Some(NOW_MS + 60_000));
    assert_eq!(check_claims(json!({"exp": NOW_S + 9999}), &rules).unwrap().expires_at_ms, Some(NOW_MS + 100_000));
}

#[test]
fn without_a_trusted_clock_a_token_with_a_date_is_refused() {
    let rules = TokenRules { expiry_required: false, ..every_algorithm() };
    let check = |claims| verify(&hs256(claims), &secret(), &rules, None).map(|token| token.user);
    assert_eq!(check(json!({})), Err(TokenRefusal::ClockNotTrusted));
    assert_eq!(check(json!({"exp": null})), Ok("alice".to_owned()));
}

#[test]
fn issuer_and_audience_must_be_the_configured_ones() {
    let rules = TokenRules { issuer: Some("us".to_owned()), audience: Some("node".to_owned()), ..every_algorithm() };
    let check = |claims| check_claims(claims, &rules).map(|_| ());
    assert_eq!(check(json!({"iss": "us", "aud": "node"})), Ok(()));
    assert_eq!(check(json!({"iss": "us", "aud": ["other", "node"]})), Ok(()));
    assert_eq!(check(json!({"iss": "them", "aud": "node"})), Err(TokenRefusal::Issuer));
    assert_eq!(check(json!({"iss": ["us"], "aud": "node"})), Err(TokenRefusal::Issuer));
    assert_eq!(check(json!({"aud": "node"})), Err(TokenRefusal::Issuer));
    for audience in [json!("nodes"), json!([]), json!(["x"]), json!({"node": 1}), json!(null)] {
        assert_eq!(check(json!({"iss": "us", "aud": audience})), Err(TokenRefusal::Audience));
    }
}

#[test]
fn the_user_comes_from_the_configured_claim() {
    let rules = TokenRules { user_claim: "name".to_owned(), ..every_algorithm() };
    assert_eq!(check_claims(json!({"name": "bob"}), &rules).unwrap().user, "bob");
    for (value, problem) in [
        (json!(null), ClaimProblem::Missing),
        (json!(7), ClaimProblem::Type),
        (json!(""), ClaimProblem::Name(NameProblem::Empty)),
        (json!("a\0b"), ClaimProblem::Name(NameProblem::Character('\0'))),
        (json!("x".repeat(257)), ClaimProblem::Name(NameProblem::TooLong(256))),
    ] {
        let expected = TokenRefusal::Claim { claim: "name".to_owned(), problem };
        assert_eq!(check_claims(json!({"name": value}), &rules).unwrap_err(), expected);
    }
}

#[test]
fn a_token_can_say_itself_what_it_allows() {
    let token = check_claims(
        json!({"publish": ["up/%u/#"], "subscribe": ["down/%c"], "will": ["status"], "api": ["read"]}),
        &every_algorithm(),
    );
    let grants = token.unwrap().grants.unwrap();
    let subject = Subject { user: Some("alice"), client_id: "c" };
    let may = |operation, topic| grants.allows(subject, operation, topic);
    assert!(
        may(Operation::Publish { retain: true }, "up/alice/x")
            && !may(Operation::Publish { retain: false }, "up/bob/x")
    );
    assert!(may(Operation::Subscribe, "down/c") && !may(Operation::Subscribe, "down/+"));
    assert!(may(Operation::Will { retain: true }, "status") && !may(Operation::Will { retain: false }, "up/alice/x"));
    assert!(grants.read && !grants.write);

    assert!(check_claims(json!({}), &every_algorithm()).unwrap().grants.is_none(), "it says nothing");
    let nothing = check_claims(json!({"publish": []}), &every_algorithm()).unwrap().grants.unwrap();
    assert!(!nothing.allows(subject, Operation::Subscribe, "a") && !nothing.read, "it allows nothing");
}

#[test]
fn claims_about_topics_that_cannot_be_read_are_refused() {
    for (value, problem) in [
        (json!("a/#"), ClaimProblem::Type),
        (json!([1]), ClaimProblem::Type),
        (json!({"a": 1}), ClaimProblem::Type),
        (json!(["a#"]), ClaimProblem::Entry),
    ] {
        for claim in ["publish", "subscribe", "retain", "will"] {
            let expected = TokenRefusal::Claim { claim: claim.to_owned(), problem: problem.clone() };
            assert_eq!(refusal(json!({claim: value})), expected);
        }
    }
    assert_eq!(
        refusal(json!({"api": ["admin"]})),
        TokenRefusal::Claim { claim: "api".to_owned(), problem: ClaimProblem::Entry }
    );
}

#[test]
fn headers_that_must_be_understood_are_not() {
    let token = hs256_with(SECRET, &json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &claims_of(&json!({})));
    assert_eq!(check(&token, &secret()).unwrap_err(), TokenRefusal::Critical);
}

#[test]
fn malformed_tokens_are_refused() {
    let good = hs256(json!({}));
    for token in
        ["", ".", "..", "a.b", "a.b.c", "ey.ey.ey", &format!("{good}="), &format!("{good}.x"), &format!(" {good}")]
    {
        assert!(check(token, &secret()).is_err(), "{token}");
    }
    // The last characters of a part hold unused bits: another text for the same bytes.
    let (rest, last) = good.split_at(good.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let same = alphabet.chars().filter(|other| check(&format!("{rest}{other}"), &secret()).is_ok());
    assert_eq!(same.collect::<String>(), last);
}

#[test]
fn the_length_of_a_token_is_bounded() {
    let token = |length: usize| {
        let pad = |pad: usize| hs256(json!({"pad": "x".repeat(pad)}));
        (0..).map(pad).skip(length * 3 / 4 - 200).find(|token| token.len() >= length).unwrap()
    };
    let longest = token(TOKEN_BYTES_MAX - 1);
    assert!(longest.len() <= TOKEN_BYTES_MAX && check(&longest, &secret()).is_ok());
    assert_eq!(check(&token(TOKEN_BYTES_MAX + 1), &secret()).unwrap_err(), TokenRefusal::TooLong);
}

#[test]
fn what_looks_like_a_token_is_told_from_passwords() {
    assert!(looks_like_token(hs256(json!({})).as_bytes()));
    for password in ["", "eye.of.tiger!", "a.b.c", "ey..x", "ey.a", "ey.a.b.c.d", "hunter2"] {
        assert!(!looks_like_token(password.as_bytes()), "{password}");
    }
}

#[test]
fn keys_that_cannot_be_trusted_are_refused() {
    let problem = |format, content: &[u8]| match Keys::parse(format, content).unwrap_err() {
        KeysError::Key { problem, .. } => problem,
        other => panic!("{other}"),
    };
    assert_eq!(problem(KeyFormat::Secret, &[1; 31]), KeyProblem::SecretSize(31));
    assert!(Keys::parse(KeyFormat::Secret, &[1; 32]).is_ok());
    assert_eq!(problem(KeyFormat::Secret, &[1; 5000]), KeyProblem::SecretSize(5000));
    assert_eq!(problem(KeyFormat::Secret, RFC_EC.as_bytes()), KeyProblem::NotSecret);
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert_eq!(problem(KeyFormat::Secret, key.public_key_pem().as_bytes()), KeyProblem::NotSecret);
    assert_eq!(problem(KeyFormat::Pem, key.serialize_pem().as_bytes()), KeyProblem::Private);
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert_eq!(problem(KeyFormat::Pem, p384.public_key_pem().as_bytes()), KeyProblem::Kind);

    let jwk = |key: Value| problem(KeyFormat::Jwks, key.to_string().as_bytes());
    assert_eq!(jwk(json!({"kty": "RSA", "n": b64([0xff; 255]), "e": "AQAB"})), KeyProblem::RsaSize(2040));
    assert_eq!(jwk(json!({"kty": "RSA", "n": b64([0xff; 256]), "e": "AQ"})), KeyProblem::Malformed, "exponent one");
    assert_eq!(jwk(json!({"kty": "RSA", "n": b64([0xff; 256])})), KeyProblem::Malformed);
    assert_eq!(jwk(json!({"kty": "OKP", "crv": "Ed25519", "x": b64([1; 31])})), KeyProblem::Malformed);
    assert_eq!(jwk(json!({"kty": "EC", "crv": "P-256", "x": b64([1; 32]), "y": b64([1; 31])})), KeyProblem::Malformed);
    assert_eq!(jwk(json!({"kty": "OKP", "crv": "Ed25519", "x": b64([1; 32]), "d": b64([1; 32])})), KeyProblem::Private);
    assert_eq!(jwk(json!({"kty": "oct", "k": b64([1; 31])})), KeyProblem::SecretSize(31));
}

#[test]
fn a_fetched_set_is_taken_as_far_as_it_can_be_used() {
    let good: Value = serde_json::from_str(RFC_ED).unwrap();
    let set = json!({"keys": [
        good,
        {"kty": "oct", "k": b64(SECRET)},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-521", "x": "", "y": ""},
        {"kty": "OKP", "crv": "Ed25519", "x": b64([2; 32]), "use": "enc"},
        {"kty": "OKP", "crv": "Ed25519", "x": b64([3; 32]), "alg": "ES256"},
        {"kty": "OKP", "crv": "Ed25519", "x": b64([4; 32]), "key_ops": ["sign"]},
        7,
    ]});
    let content = set.to_string();
    assert_eq!(Keys::parse(KeyFormat::PublishedJwks, content.as_bytes()).unwrap().len(), 1);
    assert!(matches!(Keys::parse(KeyFormat::Jwks, content.as_bytes()), Err(KeysError::Key { number: 3, .. })));
    let only_secret = json!({"keys": [{"kty": "oct", "k": b64(SECRET)}]}).to_string();
    assert_eq!(Keys::parse(KeyFormat::PublishedJwks, only_secret.as_bytes()).unwrap_err(), KeysError::None);
}

#[test]
fn key_files_are_bounded_and_never_empty() {
    for format in [KeyFormat::Pem, KeyFormat::Jwks, KeyFormat::PublishedJwks, KeyFormat::Secret] {
        assert_eq!(Keys::parse(format, b" \n").unwrap_err(), KeysError::Empty);
        assert!(matches!(Keys::parse(format, &vec![b'x'; 1024 * 1024 + 1]), Err(KeysError::TooLarge(_))));
    }
    let set = |count: usize| json!({"keys": vec![json!({"kty": "oct", "k": b64(SECRET)}); count]}).to_string();
    assert_eq!(Keys::parse(KeyFormat::Jwks, set(64).as_bytes()).unwrap().len(), 64);
    assert_eq!(Keys::parse(KeyFormat::Jwks, set(65).as_bytes()).unwrap_err(), KeysError::TooMany);
    assert_eq!(Keys::parse(KeyFormat::Pem, b"no pem").unwrap_err(), KeysError::None);
    assert!(Keys::parse(KeyFormat::Pem, b"-----BEGIN PUBLIC KEY-----\nAAAA").is_err());
    assert_eq!(
        Keys::parse(KeyFormat::Jwks, b"{}").map(|keys| keys.len()).unwrap_err(),
        KeysError::Key { number: 1, problem: KeyProblem::Malformed }
    );
}

#[test]
fn a_damaged_block_is_named_by_its_line() {
    let good = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().public_key_pem().replace('\r', "");
    let lines = good.lines().count();
    let damaged = format!("{good}\n-----BEGIN PUBLIC KEY-----\nAAAA\n");
    let KeysError::Syntax { line, .. } = Keys::parse(KeyFormat::Pem, damaged.as_bytes()).unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(line, lines + 2);
}

#[test]
fn the_format_of_a_file_is_never_taken_for_a_secret() {
    assert_eq!(KeyFormat::of_file(b" {\"keys\":[]}"), Some(KeyFormat::Jwks));
    assert_eq!(KeyFormat::of_file(b"# mine\n-----BEGIN PUBLIC KEY-----"), Some(KeyFormat::Pem));
    assert_eq!(KeyFormat::of_file(b"-----BEGI"), None);
    assert_eq!(KeyFormat::of_file(SECRET), None);
}

#[test]
fn the_line_end_of_a_secret_file_does_not_count() {
    let with_line_end = [SECRET, b"\r\n"].concat();
    assert!(check(&hs256(json!({})), &Keys::parse(KeyFormat::Secret, &with_line_end).unwrap()).is_ok());
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let shown = format!("{:?}", secret());
    assert!(shown.contains("Hs256") && !shown.contains("0123"), "{shown}");
}

proptest! {
    #[test]
    fn no_token_makes_the_check_panic(token in "\\PC{0,40}|[A-Za-z0-9_-]{0,30}\\.[A-Za-z0-9_-]{0,30}\\.[A-Za-z0-9_-]{0,30}") {
        let _ = check(&token, &secret());
    }

    #[test]
    fn no_signed_claims_make_the_check_panic(claim in "exp|nbf|iat|sub|aud|iss|publish|api|client_id", text in "\\PC{0,10}|[-0-9e.]{1,20}|[\\[\\]{}\",:0-9a]{0,20}") {
        let payload = format!("{{\"sub\":\"a\",\"exp\":1900000000,\"{claim}\":{text}}}");
        let signed = format!("{}.{}", b64("{\"alg\":\"HS256\"}"), b64(payload));
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET), signed.as_bytes());
        let _ = check(&format!("{signed}.{}", b64(tag)), &secret());
    }

    #[test]
    fn one_changed_character_makes_a_token_worthless(at in 0usize..10_000, character in "[A-Za-z0-9_.-]") {
        let mut token = hs256(json!({}));
        let at = at % token.len();
        prop_assume!(token[at..=at] != character);
        token.replace_range(at..=at, &character);
        prop_assert!(check(&token, &secret()).is_err());
    }

    #[test]
    fn no_bytes_make_the_key_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(\\{\"keys\":\\[)?\\{\"kty\":\"(RSA|EC|OKP|oct)\",\"(n|x|k|e)\":\"[A-Za-z0-9_=-]{0,20}\"\\}(\\]\\})?|-----BEGIN [A-Z ]{0,10}-----\n[A-Za-z0-9+/=\n]{0,60}\n-----END [A-Z ]{0,10}-----") {
        for content in [&bytes, text.as_bytes()] {
            for format in [KeyFormat::Pem, KeyFormat::Jwks, KeyFormat::PublishedJwks, KeyFormat::Secret] {
                let _ = Keys::parse(format, content);
            }
        }
    }
}
