//! JSON web tokens as passwords, signed by openssl with each algorithm.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use selvedge_tests::child::TestChild;
use selvedge_tests::node::{Node, Place};
use selvedge_tests::{PATIENCE, installed};
use serde_json::{Value, json};

use super::{REFUSED_PASSWORD, UNAVAILABLE};
use crate::logins::{Session, fails, login, openssl, part, succeeds};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

struct Signer {
    openssl: PathBuf,
    folder: PathBuf,
}

impl Signer {
    /// Makes a key of each kind in `folder`; gives their public halves as one PEM text.
    fn new(openssl: PathBuf, folder: &Path) -> anyhow::Result<(Self, String)> {
        let signer = Self { openssl, folder: folder.to_owned() };
        let kinds: [(&str, &[&str]); 3] = [
            ("EdDSA", &["-algorithm", "ed25519"]),
            ("ES256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
            ("RS256", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        ];
        let mut public = String::new();
        for (name, options) in kinds {
            let key = signer.key(name);
            signer.run(&[&["genpkey", "-out", &key], options].concat(), b"")?;
            public.push_str(&String::from_utf8(signer.run(&["pkey", "-in", &key, "-pubout"], b"")?)?);
        }
        Ok((signer, public))
    }

    fn key(&self, name: &str) -> String {
        self.folder.join(format!("{name}.key")).display().to_string()
    }

    fn run(&self, words: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut child = Command::new(&self.openssl)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("standard input")?.write_all(input)?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    fn token(&self, algorithm: &str, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "alg": algorithm, "typ": "JWT" });
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let key = self.key(algorithm);
        let signature = match algorithm {
            "EdDSA" => {
                // openssl signs Ed25519 from files only.
                let file = self.folder.join("message");
                std::fs::write(&file, &message)?;
                let file = file.display().to_string();
                self.run(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", &file], b"")?
            }
            "ES256" => raw_signature(&self.run(&["dgst", "-sha256", "-sign", &key], message.as_bytes())?)?,
            "RS256" => self.run(&["dgst", "-sha256", "-sign", &key], message.as_bytes())?,
            _ => {
                let secret = format!("hexkey:{}", hex(SECRET.as_bytes()));
                self.run(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", &secret, "-binary"], message.as_bytes())?
            }
        };
        Ok(format!("{message}.{}", BASE64.encode(signature)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two numbers of 32 bytes, from `SEQUENCE { INTEGER, INTEGER }`.
fn raw_signature(der: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut rest = der.get(2..).context("a short signature")?;
    let mut raw = Vec::new();
    for _ in 0..2 {
        let length = usize::from(*rest.get(1).context("a short signature")?);
        let number = rest.get(2..2 + length).context("a short signature")?;
        let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
        let digits = number.get(start..).unwrap_or_default();
        raw.resize(raw.len() + 32 - digits.len(), 0);
        raw.extend(digits);
        rest = rest.get(2 + length..).unwrap_or_default();
    }
    Ok(raw)
}

fn claims(more: &Value) -> Value {
    let mut claims = json!({ "sub": "meter", "exp": now_s() + 3600, "publish": ["login"], "subscribe": ["news/#"] });
    for (key, value) in more.as_object().into_iter().flatten() {
        claims[key] = value.clone();
    }
    claims
}

#[test]
fn a_token_of_each_public_algorithm_is_a_password_and_says_what_it_allows() -> anyhow::Result<()> {
    let Some(openssl) = openssl("tokens") else { return Ok(()) };
    let place = Place::with_configuration("[access.tokens]\nkeys = 'keys.pem'\n")?;
    let (signer, public) = Signer::new(openssl, place.folder())?;
    std::fs::write(place.folder().join("keys.pem"), &public)?;
    let node = place.start()?;
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let good = signer.token(algorithm, &claims(&json!({})))?;
        assert_eq!(login(node.mqtt(), "meter", &good)?, "", "{algorithm}");
        assert_eq!(login(node.mqtt(), "jwt", &good)?, "", "{algorithm}");
        let expired = signer.token(algorithm, &claims(&json!({ "exp": now_s() - 3600 })))?;
        let early = signer.token(algorithm, &claims(&json!({ "nbf": now_s() + 3600 })))?;
        let mut changed = good.clone();
        changed.replace_range(good.len() - 8..good.len() - 4, "AAAA");
        for wrong in [expired, early, changed] {
            ensure!(login(node.mqtt(), "meter", &wrong)?.contains(REFUSED_PASSWORD), "{algorithm}");
        }
    }
    // Of two filters the token allows one; the other is refused with 0x87.
    let token = signer.token("EdDSA", &claims(&json!({})))?;
    let login = json!({ "username": "meter", "password": token, "filters": ["news/#", "secret/#"] });
    let mut session = Session::start(node.mqtt(), "meter-1", &login)?;
    assert_eq!(session.expect("connected")?["code"], 0);
    assert_eq!(session.expect("subscribed")?["codes"], json!([1, 0x87]));
    // The connection ends with the token.
    let short = signer.token("EdDSA", &claims(&json!({ "exp": now_s().saturating_sub(57) })))?;
    let login = json!({ "username": "meter", "password": short, "filters": ["news/#"] });
    let mut session = Session::start(node.mqtt(), "meter-2", &login)?;
    session.is_in()?;
    assert_eq!(session.expect("disconnected")?["code"], 0x87);
    Ok(())
}

#[test]
fn a_token_with_a_shared_secret_is_taken_where_that_is_configured() -> anyhow::Result<()> {
    let Some(openssl) = openssl("tokens") else { return Ok(()) };
    let place = Place::with_configuration(
        "[access.tokens]\nkeys = 'secret'\nkeys_format = 'secret'\nalgorithms = ['HS256']\nissuer = 'us'\n",
    )?;
    let (signer, _) = Signer::new(openssl, place.folder())?;
    std::fs::write(place.folder().join("secret"), SECRET)?;
    let node = place.start()?;
    let token = |issuer: &str| signer.token("HS256", &claims(&json!({ "iss": issuer })));
    assert_eq!(login(node.mqtt(), "meter", &token("us")?)?, "");
    ensure!(login(node.mqtt(), "meter", &token("them")?)?.contains(REFUSED_PASSWORD));
    // Another's secret, then none.
    std::fs::write(place.folder().join("secret"), SECRET.to_uppercase())?;
    succeeds(&place, &["reload"])?;
    ensure!(login(node.mqtt(), "meter", &token("us")?)?.contains(REFUSED_PASSWORD));
    std::fs::write(place.folder().join("secret"), "")?;
    ensure!(fails(&place, &["reload"])?.contains("secret"));
    ensure!(login(node.mqtt(), "meter", &token("us")?)?.contains(UNAVAILABLE));
    Ok(())
}

/// Serves one folder over https.
const HTTPS: &str = "
import functools, http.server, ssl, sys
folder, certificate, key = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.HTTPServer(('127.0.0.1', 0), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
";

fn serve_https(issuer: &Place) -> anyhow::Result<(TestChild, u16)> {
    let mut command = Command::new(installed::python()?);
    let tls = issuer.data().join("tls");
    command.args(["-c", HTTPS]).arg(issuer.folder()).args([tls.join("server.pem"), tls.join("server.key")]);
    let child = TestChild::start("https", command)?;
    let port = child.wait_for_line(0, PATIENCE, |line| line.parse::<u16>().ok())?;
    Ok((child, port))
}

#[test]
fn keys_of_tokens_are_fetched_and_outlive_the_address() -> anyhow::Result<()> {
    let Some(openssl) = openssl("tokens") else { return Ok(()) };
    let issuer = Place::new()?;
    succeeds(&issuer, &["cert", "create"])?;
    let (signer, _) = Signer::new(openssl, issuer.folder())?;
    let der = signer.run(&["pkey", "-in", &signer.key("EdDSA"), "-pubout", "-outform", "DER"], b"")?;
    let x = BASE64.encode(der.get(der.len() - 32..).context("a short key")?);
    let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x }] });
    std::fs::write(issuer.folder().join("keys.json"), set.to_string())?;
    let (https, port) = serve_https(&issuer)?;
    let configuration = format!(
        "[access.tokens]\njwks_url = 'https://127.0.0.1:{port}/keys.json'\njwks_ca = '{}'\n",
        issuer.data().join("tls/ca.pem").display()
    );
    let place = Place::with_configuration(&configuration)?;
    let node = place.start()?;
    let token = signer.token("EdDSA", &claims(&json!({})))?;
    crate::eventually(|| Ok(login(node.mqtt(), "meter", &token)?.is_empty()))?;
    drop(https);
    assert_eq!(login(node.mqtt(), "meter", &token)?, "", "the keys that were fetched count on");
    // A node that has never reached the address runs, and takes no token.
    let place = node.kill()?;
    let node: Node = place.start()?;
    ensure!(login(node.mqtt(), "meter", &token)?.contains(UNAVAILABLE));
    crate::eventually(|| Ok(part(&node, "access")?.contains(&format!("127.0.0.1:{port}"))))
}
