//! The four messages of an exchange (RFC 5802, section 7), strictly.

use base64::{Engine, engine::general_purpose::STANDARD};
use stringprep::saslprep;

use super::{MESSAGE_BYTES_MAX, keys::Hash};

/// `n,,n=user,r=nonce`.
pub(super) struct ClientFirst<'a> {
    /// Flag and authorization identity, up to the second comma inclusive.
    pub header: &'a str,
    pub bare: &'a str,
    pub authorization_id: Option<String>,
    pub user: String,
    pub nonce: &'a str,
}

/// `r=nonce,s=salt,i=iterations`.
pub(super) struct ServerFirst<'a> {
    pub nonce: &'a str,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

/// `c=header,r=nonce,p=proof`.
pub(super) struct ClientFinal<'a> {
    pub channel_binding: Vec<u8>,
    pub nonce: &'a str,
    pub proof: Hash,
    /// All before the proof.
    pub without_proof: &'a str,
}

/// Why a message is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Malformed,
    /// The peer insists on channel binding or on an extension.
    Unsupported,
}

impl<'a> ClientFirst<'a> {
    pub fn parse(data: &'a [u8]) -> Result<Self, Unreadable> {
        let text = text(data)?;
        let (flag, rest) = text.split_once(',').ok_or(Unreadable::Malformed)?;
        match flag {
            // "y": the client could bind to a channel but thinks that we cannot, and is right.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(Unreadable::Unsupported),
            _ => return Err(Unreadable::Malformed),
        }
        let (authorization_id, bare) = rest.split_once(',').ok_or(Unreadable::Malformed)?;
        let authorization_id = match authorization_id.strip_prefix("a=") {
            Some(name) => Some(decode_name(name)?),
            None if authorization_id.is_empty() => None,
            None => return Err(Unreadable::Malformed),
        };
        let header = text.strip_suffix(bare).ok_or(Unreadable::Malformed)?;
        if bare.starts_with("m=") {
            return Err(Unreadable::Unsupported);
        }
        let mut attributes = bare.split(',');
        let user = decode_name(attribute(attributes.next(), "n=")?)?;
        let nonce = nonce(attribute(attributes.next(), "r=")?)?;
        Ok(Self { header, bare, authorization_id, user, nonce })
    }
}

impl<'a> ServerFirst<'a> {
    pub fn parse(data: &'a [u8]) -> Result<Self, Unreadable> {
        let text = text(data)?;
        if text.starts_with("m=") {
            return Err(Unreadable::Unsupported);
        }
        let mut attributes = text.split(',');
        let nonce = nonce(attribute(attributes.next(), "r=")?)?;
        let salt = decode(attribute(attributes.next(), "s=")?)?;
        let iterations = attribute(attributes.next(), "i=")?.parse().map_err(|_| Unreadable::Malformed)?;
        Ok(Self { nonce, salt, iterations })
    }
}

impl<'a> ClientFinal<'a> {
    pub fn parse(data: &'a [u8]) -> Result<Self, Unreadable> {
        let text = text(data)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Unreadable::Malformed)?;
        let mut attributes = without_proof.split(',');
        let channel_binding = decode(attribute(attributes.next(), "c=")?)?;
        let nonce = nonce(attribute(attributes.next(), "r=")?)?;
        let proof = Hash::try_from(decode(proof)?).map_err(|_| Unreadable::Malformed)?;
        Ok(Self { channel_binding, nonce, proof, without_proof })
    }
}

/// A name with `,` and `=` written as RFC 5802 wants them.
pub(super) fn encode_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Reads `v=signature`.
pub(super) fn parse_server_final(data: &[u8]) -> Result<Hash, Unreadable> {
    let signature = attribute(text(data)?.split(',').next(), "v=")?;
    Hash::try_from(decode(signature)?).map_err(|_| Unreadable::Malformed)
}

fn text(data: &[u8]) -> Result<&str, Unreadable> {
    if data.len() > MESSAGE_BYTES_MAX {
        return Err(Unreadable::Malformed);
    }
    std::str::from_utf8(data).map_err(|_| Unreadable::Malformed)
}

fn attribute<'a>(text: Option<&'a str>, name: &str) -> Result<&'a str, Unreadable> {
    text.and_then(|text| text.strip_prefix(name)).ok_or(Unreadable::Malformed)
}

fn decode(text: &str) -> Result<Vec<u8>, Unreadable> {
    STANDARD.decode(text).map_err(|_| Unreadable::Malformed)
}

/// RFC 5802, 7: printable ASCII but the comma.
fn nonce(text: &str) -> Result<&str, Unreadable> {
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if printable && !text.is_empty() { Ok(text) } else { Err(Unreadable::Malformed) }
}

fn decode_name(text: &str) -> Result<String, Unreadable> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        rest = match (after.strip_prefix("2C"), after.strip_prefix("3D")) {
            (Some(after), _) => {
                name.push(',');
                after
            }
            (_, Some(after)) => {
                name.push('=');
                after
            }
            _ => return Err(Unreadable::Malformed), // RFC 5802, 5.1: the server must fail
        };
    }
    name.push_str(rest);
    let prepared = saslprep(&name).map_err(|_| Unreadable::Malformed)?;
    if prepared.is_empty() { Err(Unreadable::Malformed) } else { Ok(prepared.into_owned()) }
}
