//! Passwords that were right: so that a storm of reconnecting devices does not cost a computation each.
//!
//! Keeps no password, only a keyed hash of user, password and stored hash together: a changed password or a removed user misses at
//! once. One for each user; when full, the one that was used longest ago goes.

use std::collections::{BTreeMap, HashMap};

use ring::hmac;
use subtle::ConstantTimeEq;

pub(super) struct VerifiedPasswords {
    key: hmac::Key,
    capacity: usize,
    by_user: HashMap<Box<str>, Remembered, foldhash::fast::RandomState>,
    /// Users by the time of their last use, counted in uses.
    order: BTreeMap<u64, Box<str>>,
    uses: u64,
}

struct Remembered {
    tag: [u8; 32],
    used: u64,
}

impl VerifiedPasswords {
    pub fn new(capacity: usize, key: [u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            capacity,
            by_user: HashMap::default(),
            order: BTreeMap::new(),
            uses: 0,
        }
    }

    pub fn tag(&self, user: &str, password: &[u8], stored: &[u8; 32]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), password, stored] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    pub fn contains(&mut self, user: &str, password: &[u8], stored: &[u8; 32]) -> bool {
        let tag = self.tag(user, password, stored);
        let Some(remembered) = self.by_user.get(user) else { return false };
        let is_right = bool::from(remembered.tag.ct_eq(&tag));
        if is_right {
            self.insert(user, tag);
        }
        is_right
    }

    pub fn insert(&mut self, user: &str, tag: [u8; 32]) {
        if self.capacity == 0 {
            return;
        }
        self.uses += 1;
        if let Some(old) = self.by_user.insert(user.into(), Remembered { tag, used: self.uses }) {
            self.order.remove(&old.used);
        }
        self.order.insert(self.uses, user.into());
        if self.by_user.len() > self.capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.by_user.remove(&oldest);
        }
    }
}

impl std::fmt::Debug for VerifiedPasswords {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("VerifiedPasswords").field("len", &self.by_user.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::VerifiedPasswords;

    fn insert(verified: &mut VerifiedPasswords, user: &str) {
        let tag = verified.tag(user, b"password", &[1; 32]);
        verified.insert(user, tag);
    }

    #[test]
    fn only_the_same_user_password_and_stored_hash_are_remembered() {
        let mut verified = VerifiedPasswords::new(10, [9; 32]);
        insert(&mut verified, "alice");
        assert!(verified.contains("alice", b"password", &[1; 32]));
        assert!(!verified.contains("alice", b"passwore", &[1; 32]));
        assert!(!verified.contains("alice", b"password", &[2; 32]), "the stored hash changed");
        assert!(!verified.contains("bob", b"password", &[1; 32]));
    }

    #[test]
    fn boundaries_between_the_parts_count() {
        let verified = VerifiedPasswords::new(10, [9; 32]);
        assert_ne!(verified.tag("ab", b"c", &[1; 32]), verified.tag("a", b"bc", &[1; 32]));
    }

    #[test]
    fn the_user_who_was_away_longest_is_forgotten_first() {
        let mut verified = VerifiedPasswords::new(2, [9; 32]);
        insert(&mut verified, "a");
        insert(&mut verified, "b");
        assert!(verified.contains("a", b"password", &[1; 32]));
        insert(&mut verified, "c");
        assert!(!verified.contains("b", b"password", &[1; 32]));
        assert!(verified.contains("a", b"password", &[1; 32]) && verified.contains("c", b"password", &[1; 32]));
        assert_eq!((verified.by_user.len(), verified.order.len()), (2, 2));
    }

    #[test]
    fn a_capacity_of_none_remembers_nothing() {
        let mut verified = VerifiedPasswords::new(0, [9; 32]);
        insert(&mut verified, "a");
        assert!(!verified.contains("a", b"password", &[1; 32]));
    }
}
