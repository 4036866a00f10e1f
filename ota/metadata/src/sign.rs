//! The publisher's side: secret keys, and files made so that devices take them.
//!
//! A file is first made without signatures from what it is to say, then signed by one key after the other, on several machines
//! if the keys live on several: `bytes → SignedFile::read → sign → bytes`. Not here: where keys are kept, and which files a
//! repository consists of.
//!
//! Invariant: no file is made that a device with the default [`Limits`] would refuse for its form.

use ed25519_dalek::Signer as _;
use thiserror::Error;

use crate::key::{Key, KeySet, hex};
use crate::limits::Limits;
use crate::refuse::Refusal;
use crate::role::{Delegation, Role, Root, Snapshot, Targets, Timestamp};
use crate::signed_file::SignedFile;

/// A secret ed25519 key. Wiped from memory when dropped; shows only its public half.
#[derive(Clone, Debug)]
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    public: Key,
}

/// Why a file cannot be made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DraftError {
    /// A time that cannot be written.
    #[error("the {0} is to expire outside of the years 0 to 9999")]
    Expiry(Role),
    /// A threshold that these keys can never reach.
    #[error("{role} is to be signed by {threshold} keys and has {distinct} different ones")]
    Threshold {
        /// Whose keys.
        role: Role,
        /// How many must sign.
        threshold: u32,
        /// How many could.
        distinct: usize,
    },
    /// A name that would be another one as a file name.
    #[error(
        "{0} cannot be the name of a file; use letters, digits, '-', '_' and '.', and begin with a letter or digit"
    )]
    RoleName(Role),
    /// What a device would say.
    #[error("devices would refuse the {role}: {refusal}")]
    Refused {
        /// Of which file.
        role: Role,
        /// Why.
        refusal: Refusal,
    },
}

impl SigningKey {
    /// The key of a seed of 32 random bytes, which is all of the secret.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = Key::of_signer(&secret.verifying_key());
        Self { secret, public }
    }

    /// The secret. Wipe it after use.
    pub fn seed(&self) -> [u8; 32] {
        self.secret.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> &Key {
        &self.public
    }
}

impl SignedFile {
    /// Adds the signature of a key, in the place of an earlier one of the same key.
    pub fn sign(&mut self, key: &SigningKey) {
        let signature = key.secret.sign(self.to_sign());
        self.put_signature(key.public.id().as_str(), hex(&signature.to_bytes()));
    }

    /// Reads what a root says, whoever signed it, to make the next one. Fields that are not known here get lost.
    ///
    /// # Errors
    /// If it is no root.
    pub fn root(&self) -> Result<Root, Refusal> {
        Root::read(self.content(), &Limits::default())
    }

    /// Reads what a timestamp says, whoever signed it, to make the next one.
    ///
    /// # Errors
    /// If it is no timestamp.
    pub fn timestamp(&self) -> Result<Timestamp, Refusal> {
        Timestamp::read(self.content())
    }

    /// Reads what a snapshot says, whoever signed it, to make the next one.
    ///
    /// # Errors
    /// If it is no snapshot.
    pub fn snapshot(&self) -> Result<Snapshot, Refusal> {
        Snapshot::read(self.content())
    }

    /// Reads what a targets file says, whoever signed it, to make the next one. Fields that are not known here get lost.
    ///
    /// # Errors
    /// If it is no targets file.
    pub fn targets(&self) -> Result<Targets, Refusal> {
        Targets::read(self.content(), &Role::Targets, &Limits::default())
    }
}

/// Makes a root file.
///
/// # Errors
/// If devices would refuse it, or a role could never be signed.
pub fn root(root: &Root) -> Result<SignedFile, DraftError> {
    let sets = [
        (Role::Root, &root.root),
        (Role::Timestamp, &root.timestamp),
        (Role::Snapshot, &root.snapshot),
        (Role::Targets, &root.targets),
    ];
    for (role, keys) in sets {
        check_keys(role, keys)?;
    }
    let limits = Limits::default();
    let file = file(Role::Root, root.expires_unix_s, || root.write())?;
    check(Role::Root, &file, limits.root_bytes, file.root().map(|read| read == *root))
}

/// Makes a timestamp file.
///
/// # Errors
/// If devices would refuse it.
pub fn timestamp(timestamp: &Timestamp) -> Result<SignedFile, DraftError> {
    let file = file(Role::Timestamp, timestamp.expires_unix_s, || timestamp.write())?;
    check(Role::Timestamp, &file, Limits::default().timestamp_bytes, file.timestamp().map(|read| read == *timestamp))
}

/// Makes a snapshot file.
///
/// # Errors
/// If devices would refuse it.
pub fn snapshot(snapshot: &Snapshot) -> Result<SignedFile, DraftError> {
    snapshot.meta.keys().try_for_each(check_role_name)?;
    let file = file(Role::Snapshot, snapshot.expires_unix_s, || snapshot.write())?;
    check(Role::Snapshot, &file, Limits::default().snapshot_bytes, file.snapshot().map(|read| read == *snapshot))
}

/// Makes a targets file, of the targets role or of a delegated one.
///
/// # Errors
/// If devices would refuse it, or a delegated role could never be signed.
pub fn targets(targets: &Targets) -> Result<SignedFile, DraftError> {
    for Delegation { name, keys, .. } in &targets.delegations {
        let role = Role::Delegated(name.clone());
        check_role_name(&role)?;
        check_keys(role, keys)?;
    }
    let file = file(Role::Targets, targets.expires_unix_s, || targets.write())?;
    check(Role::Targets, &file, Limits::default().targets_bytes, file.targets().map(|read| read == *targets))
}

fn file(
    role: Role,
    expires_unix_s: i64,
    content: impl FnOnce() -> serde_json::Value,
) -> Result<SignedFile, DraftError> {
    if crate::expiry::format_time(expires_unix_s).is_none() {
        return Err(DraftError::Expiry(role));
    }
    SignedFile::unsigned(content()).map_err(|refusal| DraftError::Refused { role, refusal })
}

fn check(
    role: Role,
    file: &SignedFile,
    bytes_max: u64,
    reads_the_same: Result<bool, Refusal>,
) -> Result<SignedFile, DraftError> {
    let refusal = match reads_the_same {
        Ok(true) if file.to_bytes().len() as u64 <= bytes_max => return Ok(file.clone()),
        Ok(true) => Refusal::TooLong { bytes_max },
        Ok(false) => Refusal::Form("it would not be read as it was written".to_owned()),
        Err(refusal) => refusal,
    };
    Err(DraftError::Refused { role, refusal })
}

fn check_keys(role: Role, keys: &KeySet) -> Result<(), DraftError> {
    let distinct = keys.distinct();
    if distinct < usize::try_from(keys.threshold).unwrap_or(usize::MAX) {
        return Err(DraftError::Threshold { role, threshold: keys.threshold, distinct });
    }
    Ok(())
}

fn check_role_name(role: &Role) -> Result<(), DraftError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let name = role.name();
    if name.bytes().all(plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(DraftError::RoleName(role.clone()))
}
