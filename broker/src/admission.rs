//! Whether one more connection may come from where it comes from: how many an address has, and how fast it makes them.
//!
//! Decides and counts; accepting and closing is `listener`. How many all together may have is looked at before this.
//! Invariant: what it remembers is bounded by the connections that there are, and by [`recent::Recent`].

mod address;
pub(crate) mod bucket;
pub(crate) mod entrance;
mod recent;
mod refusals;

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    rc::Rc,
};

use selvedge_core::Moment;

use self::{address::Origin, bucket::Rate, recent::Recent, refusals::Refusals};
use crate::{config::Config, statistics::Statistics};

/// Why a connection is closed as soon as it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the node has as many connections as it may")]
    ConnectionsMax,
    #[error("the address has as many connections as it may")]
    PerAddress,
    #[error("the address connects too fast")]
    Rate,
}

impl Refusal {
    /// Note that it happened.
    pub(crate) fn count_into(self, statistics: &mut Statistics) {
        *match self {
            Self::ConnectionsMax => &mut statistics.refused_connections_max,
            Self::PerAddress => &mut statistics.refused_connections_per_address,
            Self::Rate => &mut statistics.refused_connect_rate,
        } += 1;
    }
}

#[derive(Debug, Default)]
struct Open {
    by_origin: HashMap<Origin, usize>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Admission {
    per_address_max: usize,
    open: Rc<RefCell<Open>>,
    rate: Option<Rate>,
    recent: Recent,
    refusals: Refusals,
}

impl Admission {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            per_address_max: match config.connections_per_address_max {
                0 => usize::MAX,
                limited => limited,
            },
            open: Rc::default(),
            rate: Rate::new(config.connect_rate_per_address_per_s, config.connect_burst_per_address),
            recent: Recent::new(config.addresses_remembered_max),
            refusals: Refusals::default(),
        }
    }

    /// One more connection from `address`. What is given is to be kept for as long as the connection lasts.
    pub(crate) fn admit(&mut self, address: IpAddr, now: Moment) -> Result<Place, Refusal> {
        let origin = Origin::of(address);
        if self.open.borrow().by_origin.get(&origin).is_some_and(|count| *count >= self.per_address_max) {
            return Err(Refusal::PerAddress);
        }
        if let Some(rate) = self.rate
            && !self.recent.take(origin, rate, now)
        {
            return Err(Refusal::Rate);
        }
        *self.open.borrow_mut().by_origin.entry(origin).or_default() += 1;
        Ok(Place { open: self.open.clone(), origin })
    }

    /// How many addresses were forgotten before their time because there were too many.
    pub(crate) fn forgotten(&self) -> u64 {
        self.recent.forgotten()
    }

    /// Note a refusal in the log, at most once a second.
    pub(crate) fn log(&mut self, refusal: Refusal, address: IpAddr, now: Moment) {
        if let Some(others) = self.refusals.due(now) {
            tracing::warn!(%address, reason = %refusal, others, "connection refused");
        }
    }
}

/// A connection in the count of its address.
#[derive(Debug)]
pub(crate) struct Place {
    open: Rc<RefCell<Open>>,
    origin: Origin,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.open.borrow_mut().by_origin.entry(self.origin) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(per_address: usize, rate: u32, burst: u32) -> Admission {
        Admission::new(&Config {
            connections_per_address_max: per_address,
            connect_rate_per_address_per_s: rate,
            connect_burst_per_address: burst,
            ..Config::default()
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_may_have_as_many_connections_as_allowed_and_another_as_many_again() {
        let mut admission = admission(2, 0, 0);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let now = Moment::default();
        let first = admission.admit(one, now).expect("room");
        let _second = admission.admit(one, now).expect("room");
        assert_eq!(admission.admit(one, now).err(), Some(Refusal::PerAddress));
        let _other = admission.admit(other, now).expect("an address of its own");
        drop(first);
        assert!(admission.admit(one, now).is_ok(), "one has gone");
    }

    #[test]
    fn neighbours_in_one_network_of_ipv6_are_one_address_and_a_mapped_address_is_its_ipv4() {
        let mut admission = admission(1, 0, 0);
        let now = Moment::default();
        let _held = [
            admission.admit(address("2001:db8:0:1::1"), now).expect("the first"),
            admission.admit(address("2001:db8:0:2::1"), now).expect("another network"),
            admission.admit(address("192.0.2.1"), now).expect("another family"),
        ];
        assert_eq!(admission.admit(address("2001:db8:0:1:ffff::9"), now).err(), Some(Refusal::PerAddress));
        assert_eq!(admission.admit(address("::ffff:192.0.2.1"), now).err(), Some(Refusal::PerAddress));
    }

    #[test]
    fn none_is_remembered_once_its_connections_are_gone() {
        let mut admission = admission(1, 0, 0);
        for number in 0..1000_u32 {
            drop(admission.admit(IpAddr::from(number.to_be_bytes()), Moment::default()).expect("room"));
        }
        assert!(admission.open.borrow().by_origin.is_empty());
    }

    #[test]
    fn a_burst_is_admitted_and_then_so_many_a_second() {
        let mut admission = admission(0, 10, 3);
        let one = address("192.0.2.1");
        let admitted = |admission: &mut Admission, ms: u64| {
            (0..10).filter(|_| admission.admit(one, Moment::from_millis(ms)).is_ok()).count()
        };
        assert_eq!(admitted(&mut admission, 0), 3);
        assert_eq!(admitted(&mut admission, 99), 0);
        assert_eq!(admitted(&mut admission, 100), 1);
        assert_eq!(admitted(&mut admission, 60_000), 3);
        assert_eq!(admission.admit(one, Moment::from_millis(60_000)).err(), Some(Refusal::Rate));
        assert!(admission.admit(address("192.0.2.2"), Moment::from_millis(60_000)).is_ok());
    }

    #[test]
    fn each_refusal_has_a_counter_of_its_own() {
        let mut statistics = Statistics::default();
        for refusal in [Refusal::ConnectionsMax, Refusal::PerAddress, Refusal::Rate] {
            refusal.count_into(&mut statistics);
        }
        let counted = (
            statistics.refused_connections_max,
            statistics.refused_connections_per_address,
            statistics.refused_connect_rate,
        );
        assert_eq!(counted, (1, 1, 1));
    }
}
