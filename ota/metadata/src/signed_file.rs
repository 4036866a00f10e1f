//! A file of metadata: what is signed, and signatures. Read by devices and publishers, written by publishers.
//!
//! A signature covers the canonical form of `signed`, so the file may be laid out in any way. Signatures that cannot be
//! checked (of keys of other kinds, of nobody's keys, left empty for a signer to come) do no harm and do not count.

use serde_json::{Map, Value, json};

use crate::json::{canonical, parse};
use crate::key::{Key, KeySet};
use crate::limits::Limits;
use crate::refuse::Refusal;

/// One file: content and signatures.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedFile {
    signed: Value,
    canonical: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    key_id: String,
    hex: String,
}

impl SignedFile {
    /// Reads a file, without a judgement on who signed it.
    ///
    /// # Errors
    /// If it is too long, no JSON of one meaning, or no object of `signed` and `signatures`.
    pub fn read(bytes: &[u8], bytes_max: u64, limits: &Limits) -> Result<Self, Refusal> {
        if bytes.len() as u64 > bytes_max {
            return Err(Refusal::TooLong { bytes_max });
        }
        let Value::Object(mut file) = parse(bytes).map_err(Refusal::Json)? else {
            return Err(Refusal::Form("it is no JSON object".to_owned()));
        };
        let (Some(signed @ Value::Object(_)), Some(Value::Array(listed))) =
            (file.shift_remove("signed"), file.shift_remove("signatures"))
        else {
            return Err(Refusal::Form("it is no object of `signed` and `signatures`".to_owned()));
        };
        if listed.len() > limits.signatures_per_file {
            return Err(Refusal::TooMany { what: "signatures", count: listed.len(), max: limits.signatures_per_file });
        }
        let signatures = listed.iter().map(Signature::read).collect::<Result<Vec<_>, _>>()?;
        for (position, signature) in signatures.iter().enumerate() {
            if signatures.iter().take(position).any(|other| other.key_id == signature.key_id) {
                return Err(Refusal::DuplicateSignature(signature.key_id.clone()));
            }
        }
        let canonical = canonical(&signed).map_err(|error| Refusal::Form(error.to_string()))?;
        Ok(Self { signed, canonical, signatures })
    }

    pub(crate) fn unsigned(signed: Value) -> Result<Self, Refusal> {
        let canonical = canonical(&signed).map_err(|error| Refusal::Form(error.to_string()))?;
        Ok(Self { signed, canonical, signatures: Vec::new() })
    }

    /// The keys of a set that have signed the file, each key once however many ids it has.
    pub fn signed_by<'a>(&self, keys: &'a KeySet) -> Vec<&'a Key> {
        let mut valid: Vec<&Key> = Vec::new();
        for signature in &self.signatures {
            let signer = keys.keys.iter().find(|key| key.id().as_str() == signature.key_id);
            let Some(key) = signer.filter(|key| key.has_signed(&self.canonical, &signature.hex)) else { continue };
            if !valid.iter().any(|other| other.identity() == key.identity()) {
                valid.push(key);
            }
        }
        valid
    }

    /// Whether enough keys of a set have signed.
    pub(crate) fn check_signed_by(&self, keys: &KeySet) -> Result<(), Refusal> {
        let valid = self.signed_by(keys).len();
        if valid < usize::try_from(keys.threshold).unwrap_or(usize::MAX) {
            let usable = keys.keys.iter().filter(|key| key.is_usable()).map(|key| key.id().clone()).collect();
            return Err(Refusal::Signatures { valid, threshold: keys.threshold, keys: usable });
        }
        Ok(())
    }

    /// What is signed, as JSON.
    pub fn content(&self) -> &Value {
        &self.signed
    }

    /// What a signature covers: the canonical form of the content.
    pub fn to_sign(&self) -> &[u8] {
        &self.canonical
    }

    /// Puts a signature in the place of an earlier one of the same key, or after the others.
    pub(crate) fn put_signature(&mut self, key_id: &str, hex: String) {
        match self.signatures.iter_mut().find(|signature| signature.key_id == key_id) {
            Some(signature) => signature.hex = hex,
            None => self.signatures.push(Signature { key_id: key_id.to_owned(), hex }),
        }
    }

    /// The file: ordinary JSON in one line, keys in order. (The canonical form is none where a text has control characters.)
    /// Publish these bytes as they are where their hash is listed elsewhere.
    pub fn to_bytes(&self) -> Vec<u8> {
        let signatures: Vec<_> = self
            .signatures
            .iter()
            .map(|signature| json!({ "keyid": signature.key_id, "sig": signature.hex }))
            .collect();
        let mut file = json!({ "signatures": signatures, "signed": self.signed });
        file.sort_all_objects();
        file.to_string().into_bytes()
    }
}

impl Signature {
    fn read(value: &Value) -> Result<Self, Refusal> {
        let text =
            |name: &str| value.as_object().and_then(|fields: &Map<_, _>| fields.get(name)).and_then(Value::as_str);
        match (text("keyid"), text("sig")) {
            (Some(key_id), Some(hex)) => Ok(Self { key_id: key_id.to_owned(), hex: hex.to_owned() }),
            _ => Err(Refusal::Form("one of its signatures is no object of `keyid` and `sig`".to_owned())),
        }
    }
}
