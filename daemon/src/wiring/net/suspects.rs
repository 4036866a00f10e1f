//! Who is denied because of what the broker saw: so many failed logins, or breaches of the protocol, within so much time.
//!
//! Pure; time is an argument. Invariant: at most [`SUSPECTS_MAX`] addresses are remembered, those whose window is about to end go first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use selvedge_broker::Offenders;
use selvedge_ebpf::DenyReason;

use crate::config::net::GuardConfig;

/// Addresses that are remembered.
const SUSPECTS_MAX: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Suspects {
    failed_logins_max: u64,
    protocol_errors_max: u64,
    window: Duration,
    by_address: BTreeMap<(IpAddr, DenyReason), Suspect>,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    since: Instant,
    count: u64,
}

impl Suspects {
    /// Nobody is suspected yet.
    pub fn new(config: &GuardConfig) -> Self {
        Self {
            failed_logins_max: config.failed_logins_max.into(),
            protocol_errors_max: config.protocol_errors_max.into(),
            window: config.window.0,
            by_address: BTreeMap::new(),
        }
    }

    /// Notes what `offenders` did by `now`; gives who has done too much of it.
    pub fn note(&mut self, why: DenyReason, offenders: Offenders, now: Instant) -> Vec<(IpAddr, DenyReason)> {
        let limit = match why {
            DenyReason::AuthenticationFailures => self.failed_logins_max,
            DenyReason::ProtocolErrors => self.protocol_errors_max,
            DenyReason::ByHand => 0,
        };
        if limit == 0 {
            return Vec::new();
        }
        self.by_address.retain(|_, suspect| now.duration_since(suspect.since) < self.window);
        let mut found = Vec::new();
        for (address, count) in offenders.by_address {
            let suspect = self.by_address.entry((address, why)).or_insert(Suspect { since: now, count: 0 });
            suspect.count = suspect.count.saturating_add(count);
            if suspect.count >= limit {
                self.by_address.remove(&(address, why));
                found.push((address, why));
            }
        }
        let excess = self.by_address.len().saturating_sub(SUSPECTS_MAX);
        if excess > 0 {
            let mut keys: Vec<_> = self.by_address.iter().map(|(key, suspect)| (suspect.since, *key)).collect();
            keys.sort_unstable();
            for (_, key) in keys.into_iter().take(excess) {
                self.by_address.remove(&key);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::quantity::Period;

    const LOGIN: DenyReason = DenyReason::AuthenticationFailures;

    fn suspects() -> Suspects {
        Suspects::new(&GuardConfig {
            failed_logins_max: 5,
            protocol_errors_max: 0,
            window: Period::seconds(10),
            ..GuardConfig::default()
        })
    }

    fn offenders(counts: &[(&str, u64)]) -> Offenders {
        let by_address = counts.iter().map(|(address, count)| (address.parse().unwrap(), *count)).collect();
        Offenders { by_address, others: 0 }
    }

    #[test]
    fn so_many_failures_within_the_window_are_enough_and_one_less_is_not() {
        let (mut suspects, now) = (suspects(), Instant::now());
        assert_eq!(suspects.note(LOGIN, offenders(&[("192.0.2.7", 3), ("192.0.2.8", 1)]), now), []);
        let later = now + Duration::from_secs(9);
        let found = suspects.note(LOGIN, offenders(&[("192.0.2.7", 2), ("192.0.2.8", 3)]), later);
        assert_eq!(found, [("192.0.2.7".parse().unwrap(), LOGIN)]);
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let (mut suspects, now) = (suspects(), Instant::now());
        assert_eq!(suspects.note(LOGIN, offenders(&[("192.0.2.7", 4)]), now), []);
        assert_eq!(suspects.note(LOGIN, offenders(&[("192.0.2.7", 4)]), now + Duration::from_secs(10)), []);
    }

    #[test]
    fn a_limit_of_zero_denies_nobody_and_reasons_are_counted_apart() {
        let (mut suspects, now) = (suspects(), Instant::now());
        assert_eq!(suspects.note(DenyReason::ProtocolErrors, offenders(&[("192.0.2.7", 1000)]), now), []);
        assert_eq!(suspects.note(LOGIN, offenders(&[("192.0.2.7", 4)]), now), []);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let (mut suspects, now) = (suspects(), Instant::now());
        for number in 0..10_u32 {
            let by_address = (0..1000).map(|low| (IpAddr::from((number << 16 | low).to_be_bytes()), 1)).collect();
            suspects.note(LOGIN, Offenders { by_address, others: 0 }, now + Duration::from_millis(number.into()));
        }
        assert_eq!(suspects.by_address.len(), SUSPECTS_MAX);
    }
}
