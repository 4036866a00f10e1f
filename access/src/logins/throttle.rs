//! Failed logins by address, and how long each address is refused.
//!
//! An address is an IPv4 address or an IPv6 /64. A user who was right from an address before has an account of failures of his own
//! there, so that one wrong device does not lock out the others behind the same router, or on loopback. What a success never
//! does is to forgive failures. When the table is full, what would be forgotten soonest goes: addresses without penalty first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use super::LoginLimits;
use crate::name::OUTSIDE_NAME_BYTES_MAX;

#[derive(Debug)]
pub(super) struct Throttle {
    limits: LoginLimits,
    accounts: HashMap<Account, Failures>,
    /// The accounts by the time when they are forgotten.
    order: BTreeSet<(u64, Account)>,
    known: Known,
    evicted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Network {
    V4(u32),
    /// The first 64 bits: what one subscriber gets.
    V6(u64),
}

/// Who is counted: all of an address, or one known user there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Account {
    network: Network,
    user: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    window_ends_ms: u64,
    refused_until_ms: u64,
    /// Length of the last penalty.
    penalty_ms: u64,
    forget_at_ms: u64,
}

/// Pairs of address and user that were right, those used longest ago first to go.
#[derive(Debug, Default)]
struct Known {
    used: HashMap<Account, u64>,
    order: BTreeMap<u64, Account>,
    uses: u64,
}

impl Throttle {
    pub fn new(limits: LoginLimits) -> Self {
        Self { limits, accounts: HashMap::new(), order: BTreeSet::new(), known: Known::default(), evicted: 0 }
    }

    /// How long an attempt is refused still. None: it is not.
    pub fn refused_for_ms(&self, address: IpAddr, user: Option<&str>, now_ms: u64) -> Option<u64> {
        let failures = self.accounts.get(&self.account(address, user))?;
        failures.refused_until_ms.checked_sub(now_ms).filter(|&left_ms| left_ms > 0)
    }

    pub fn failed(&mut self, address: IpAddr, user: Option<&str>, now_ms: u64) {
        let account = self.account(address, user);
        let mut failures = self.accounts.get(&account).copied().unwrap_or_default();
        self.order.remove(&(failures.forget_at_ms, account.clone()));
        if now_ms >= failures.forget_at_ms {
            failures = Failures::default();
        }
        failures.add(&self.limits, now_ms);
        if self.limits.addresses_max == 0 {
            return;
        }
        if !self.accounts.contains_key(&account) && self.accounts.len() >= self.limits.addresses_max {
            self.evict(now_ms);
        }
        self.order.insert((failures.forget_at_ms, account.clone()));
        self.accounts.insert(account, failures);
    }

    pub fn succeeded(&mut self, address: IpAddr, user: &str) {
        if user.len() <= OUTSIDE_NAME_BYTES_MAX {
            let account = Account { network: Network::of(address), user: Some(user.into()) };
            self.known.insert(account, self.limits.addresses_max);
        }
    }

    /// Whether `user` was right from there before.
    pub fn is_known(&self, address: IpAddr, user: Option<&str>) -> bool {
        self.account(address, user).user.is_some()
    }

    /// Accounts that went before their time.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn account(&self, address: IpAddr, user: Option<&str>) -> Account {
        let network = Network::of(address);
        let of_user = user
            .filter(|user| user.len() <= OUTSIDE_NAME_BYTES_MAX)
            .map(|user| Account { network, user: Some(user.into()) });
        of_user.filter(|account| self.known.used.contains_key(account)).unwrap_or(Account { network, user: None })
    }

    fn evict(&mut self, now_ms: u64) {
        if let Some((forget_at_ms, account)) = self.order.pop_first() {
            self.accounts.remove(&account);
            self.evicted += u64::from(forget_at_ms > now_ms);
        }
    }
}

impl Failures {
    fn add(&mut self, limits: &LoginLimits, now_ms: u64) {
        if now_ms >= self.window_ends_ms {
            self.count = 0;
            self.window_ends_ms = now_ms.saturating_add(limits.window_ms);
        }
        self.count += 1;
        self.forget_at_ms = self.forget_at_ms.max(self.window_ends_ms);
        if self.count < limits.failures_max {
            return;
        }
        self.penalty_ms = match self.penalty_ms {
            0 => limits.penalty_ms,
            last => last.saturating_mul(2),
        }
        .min(limits.penalty_max_ms);
        self.refused_until_ms = now_ms.saturating_add(self.penalty_ms);
        self.forget_at_ms = self.refused_until_ms.saturating_add(limits.penalty_max_ms);
        (self.count, self.window_ends_ms) = (0, 0);
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Known {
    fn insert(&mut self, account: Account, capacity: usize) {
        self.uses += 1;
        if let Some(before) = self.used.insert(account.clone(), self.uses) {
            self.order.remove(&before);
        }
        self.order.insert(self.uses, account);
        if self.used.len() > capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.used.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
