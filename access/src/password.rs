//! Stored passwords: argon2id in PHC string form, made and checked with bounded cost.
//!
//! A check never takes more memory or passes than the bounds here, whatever the file says; a hash that would is refused when the
//! file is read. Comparisons take the same time wherever the difference is.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version, password_hash::phc};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ring::digest;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Most memory of a stored hash, in KiB.
pub const MEMORY_KIB_MAX: u32 = 64 * 1024;

/// Most passes of a stored hash.
pub const PASSES_MAX: u32 = 10;

/// Most lanes of a stored hash.
pub const LANES_MAX: u32 = 4;

/// Most memory times passes of a stored hash, in KiB: eight times the default.
pub const WORK_KIB_MAX: u32 = 8 * 2 * 19 * 1024;

const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// What a check of a password costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PasswordCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes (computed one after the other).
    pub lanes: u32,
}

/// 19 MiB, two passes, one lane: the weakest that OWASP recommends, because the node has little memory and computes one at a time.
impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 }
    }
}

/// Why a password cannot be hashed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HashPasswordError {
    /// It has no bytes.
    #[error("an empty password cannot be set")]
    Empty,
    /// More than [`PASSWORD_BYTES_MAX`].
    #[error("a password cannot be longer than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// The cost is outside the bounds that a stored hash has.
    #[error("cannot hash a password: {0}")]
    Cost(StoredPasswordProblem),
    /// There is not enough memory, or the library refuses.
    #[error("cannot compute the hash of the password")]
    Computation,
}

/// Why a stored hash is not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StoredPasswordProblem {
    /// Not a PHC string with salt and hash.
    #[error("is no PHC string such as $argon2id$v=19$m=19456,t=2,p=1$salt$hash")]
    NotPhc,
    /// Another algorithm, or another version of argon2.
    #[error("is not argon2id, version 19")]
    Algorithm,
    /// Parameters that argon2 does not have or that are out of bounds.
    #[error(
        "its cost is out of bounds: m up to {MEMORY_KIB_MAX}, t up to {PASSES_MAX}, p up to {LANES_MAX}, m times t up to {WORK_KIB_MAX}"
    )]
    Cost,
}

/// A hash as it stands in a users file.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredPassword {
    cost: PasswordCost,
    salt: Box<[u8]>,
    output: Box<[u8]>,
}

/// The PHC string of `password`, for a users file.
///
/// # Errors
/// If the password is empty or too long, or `cost` outside of what a stored hash may have.
pub fn hash(password: &[u8], salt: [u8; SALT_BYTES], cost: PasswordCost) -> Result<String, HashPasswordError> {
    if password.is_empty() {
        return Err(HashPasswordError::Empty);
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(HashPasswordError::TooLong);
    }
    cost.check().map_err(HashPasswordError::Cost)?;
    let output = compute(password, &salt, cost, OUTPUT_BYTES).ok_or(HashPasswordError::Computation)?;
    let PasswordCost { memory_kib, passes, lanes } = cost;
    let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(&*output));
    Ok(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${output}"))
}

impl PasswordCost {
    fn check(self) -> Result<(), StoredPasswordProblem> {
        let within = self.memory_kib <= MEMORY_KIB_MAX
            && (1..=PASSES_MAX).contains(&self.passes)
            && (1..=LANES_MAX).contains(&self.lanes)
            && self.memory_kib.saturating_mul(self.passes) <= WORK_KIB_MAX
            && self.memory_kib >= 8 * self.lanes;
        if within { Ok(()) } else { Err(StoredPasswordProblem::Cost) }
    }
}

impl StoredPassword {
    /// Reads a PHC string.
    ///
    /// # Errors
    /// If it is none, of another algorithm, or costs more than the bounds.
    pub fn parse(text: &str) -> Result<Self, StoredPasswordProblem> {
        let hash = phc::PasswordHash::new(text).map_err(|_| StoredPasswordProblem::NotPhc)?;
        if hash.algorithm.as_str() != "argon2id" || hash.version != Some(0x13) {
            return Err(StoredPasswordProblem::Algorithm);
        }
        let params = Params::try_from(&hash).map_err(|_| StoredPasswordProblem::Cost)?;
        let cost = PasswordCost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        cost.check()?;
        let salt = hash.salt.ok_or(StoredPasswordProblem::NotPhc)?;
        let output = hash.hash.ok_or(StoredPasswordProblem::NotPhc)?;
        Ok(Self { cost, salt: salt.as_ref().into(), output: output.as_bytes().into() })
    }

    /// What a check costs.
    pub fn cost(&self) -> PasswordCost {
        self.cost
    }

    /// Whether it was made of `password`. Takes tens of milliseconds and [`PasswordCost::memory_kib`]. False also where memory is
    /// short.
    pub fn matches(&self, password: &[u8]) -> bool {
        compute(password, &self.salt, self.cost, self.output.len())
            .is_some_and(|output| bool::from(output.ct_eq(&self.output)))
    }

    /// Tells this hash from every other.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [&self.salt, &self.output] {
            context.update(&[u8::try_from(part.len()).unwrap_or(u8::MAX)]);
            context.update(part);
        }
        for number in [self.cost.memory_kib, self.cost.passes, self.cost.lanes] {
            context.update(&number.to_le_bytes());
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.finish().as_ref());
        fingerprint
    }
}

/// Spends what a check of a stored hash of that `cost` would.
pub(crate) fn pretend(password: &[u8], cost: PasswordCost) {
    std::hint::black_box(compute(password, &[0x5a; SALT_BYTES], cost, OUTPUT_BYTES));
}

fn compute(password: &[u8], salt: &[u8], cost: PasswordCost, length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(length)).ok()?;
    let mut output = Zeroizing::new(vec![0; length]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, &mut output).ok()?;
    Some(output)
}

impl fmt::Debug for StoredPassword {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StoredPassword").field("cost", &self.cost).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1, lanes: 1 };

    fn stored(parameters: &str) -> String {
        format!("$argon2id$v=19${parameters}$c29tZXNhbHQ$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE")
    }

    #[test]
    fn a_hash_is_of_its_password_only() {
        let stored = StoredPassword::parse(&hash(b"correct", [7; 16], CHEAP).unwrap()).unwrap();
        assert!(stored.matches(b"correct"));
        assert!(!stored.matches(b"Correct") && !stored.matches(b"") && !stored.matches(b"correct\0"));
    }

    #[test]
    fn a_hash_of_the_reference_implementation_is_understood() {
        // From the tests of the argon2 reference implementation (v=19, t=2, m=65536, p=1, "password", "somesalt").
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(StoredPassword::parse(text).unwrap().matches(b"password"));
    }

    #[test]
    fn the_default_cost_is_what_owasp_recommends() {
        assert_eq!(PasswordCost::default(), PasswordCost { memory_kib: 19_456, passes: 2, lanes: 1 });
        assert_eq!(PasswordCost::default().check(), Ok(()));
    }

    #[test]
    fn a_hash_that_would_take_the_memory_of_the_node_is_refused() {
        assert!(StoredPassword::parse(&stored("m=65536,t=4,p=1")).is_ok());
        for parameters in
            ["m=65537,t=1,p=1", "m=4194304,t=1,p=1", "m=8,t=11,p=1", "m=4294967295,t=4294967295,p=1", "m=1024,t=1,p=5"]
        {
            assert_eq!(StoredPassword::parse(&stored(parameters)), Err(StoredPasswordProblem::Cost), "{parameters}");
        }
        assert_eq!(StoredPassword::parse(&stored("m=65536,t=5,p=1")), Err(StoredPasswordProblem::Cost));
        assert!(StoredPassword::parse(&stored("m=8,t=10,p=1")).is_ok());
        assert!(StoredPassword::parse(&stored("m=1024,t=1,p=4")).is_ok());
    }

    #[test]
    fn other_algorithms_and_broken_strings_are_refused() {
        for text in [
            "",
            "password",
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=8,t=1,p=1",
            "$2b$10$abcdefghijklmnopqrstuv",
        ] {
            assert!(StoredPassword::parse(text).is_err(), "{text}");
        }
        for text in
            [stored("m=8,t=1,p=1").replace("argon2id", "argon2i"), stored("m=8,t=1,p=1").replace("v=19", "v=16")]
        {
            assert_eq!(StoredPassword::parse(&text), Err(StoredPasswordProblem::Algorithm), "{text}");
        }
    }

    #[test]
    fn passwords_have_a_length() {
        assert_eq!(hash(b"", [0; 16], CHEAP), Err(HashPasswordError::Empty));
        assert!(hash(&[b'x'; PASSWORD_BYTES_MAX], [0; 16], CHEAP).is_ok());
        assert_eq!(hash(&[b'x'; PASSWORD_BYTES_MAX + 1], [0; 16], CHEAP), Err(HashPasswordError::TooLong));
    }

    #[test]
    fn the_fingerprint_changes_with_every_part() {
        let of = |password: &[u8], salt, cost| {
            StoredPassword::parse(&hash(password, salt, cost).unwrap()).unwrap().fingerprint()
        };
        let first = of(b"a", [1; 16], CHEAP);
        assert_eq!(first, of(b"a", [1; 16], CHEAP));
        assert_ne!(first, of(b"b", [1; 16], CHEAP));
        assert_ne!(first, of(b"a", [2; 16], CHEAP));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\$?(argon2id|argon2i|x)?(\\$v=[0-9]{0,12})?(\\$[a-z=0-9,]{0,40})?(\\$[A-Za-z0-9+/]{0,70}){0,3}|\\PC*") {
            let _ = StoredPassword::parse(&text);
        }
    }
}
