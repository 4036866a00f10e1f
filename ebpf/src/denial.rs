//! Who may be denied, and what a denial is. Pure: the lists are arguments.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Network;

/// Longest denial: longer ones are rules for a firewall.
pub const DENIAL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why a peer is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenyReason {
    /// Somebody said so.
    ByHand,
    /// Too many failed logins.
    AuthenticationFailures,
    /// Too many packets that are no MQTT.
    ProtocolErrors,
}

/// A peer that is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// Its address.
    pub peer: IpAddr,
    /// Why.
    pub why: DenyReason,
    /// Seconds until it ends, rounded up.
    pub remaining_s: u64,
    /// Packets that were dropped, or in a dry run would have been.
    pub dropped_packets: u64,
}

/// Why a peer may not be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MayNotDeny {
    /// Its own address, or none at all.
    #[error("{0} is this machine itself or no address of a peer; it cannot be denied")]
    NoPeer(IpAddr),
    /// In the allow list.
    #[error("{0} lies in {1}, which is in the allow list; take that out first (`selvedge net disallow {1}`)")]
    Allowed(IpAddr, Network),
    /// Somebody operates the node from there at this moment.
    #[error("{0} has a control connection to this node at this moment; denying it would lock its user out")]
    Control(IpAddr),
    /// Ends at once, or never.
    #[error("a denial lasts from 1 second to 30 days")]
    Time,
}

/// Why a denial was not made or ended.
#[derive(Debug, thiserror::Error)]
pub enum DenyError {
    /// The guard is off.
    #[error("the guard is off; set `net.guard.mode` to `dry-run` or `enforce`, then start the node again")]
    Off,
    /// It must not be.
    #[error(transparent)]
    MayNot(#[from] MayNotDeny),
    /// No room.
    #[error("the list is full with {0} entries; end some of them, or make room with `net.guard.denied_max`")]
    Full(usize),
    /// The kernel refused.
    #[error("the kernel did not take the change of the guard's list")]
    Kernel(#[source] std::io::Error),
}

/// Whether a peer may be denied for this time.
///
/// `control` are the addresses that control connections come from at this moment: of the HTTP interface, of SSH.
///
/// # Errors
/// Why it may not.
pub fn may_deny(peer: IpAddr, time: Duration, allowed: &[Network], control: &[IpAddr]) -> Result<(), MayNotDeny> {
    let peer = peer.to_canonical();
    if peer.is_loopback() || peer.is_unspecified() || peer.is_multicast() {
        return Err(MayNotDeny::NoPeer(peer));
    }
    if let Some(network) = allowed.iter().find(|network| network.contains(peer)) {
        return Err(MayNotDeny::Allowed(peer, *network));
    }
    if control.iter().any(|address| address.to_canonical() == peer) {
        return Err(MayNotDeny::Control(peer));
    }
    if time < Duration::from_secs(1) || time > DENIAL_MAX {
        return Err(MayNotDeny::Time);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_that_nothing_protects_may_be_denied() {
        assert_eq!(may_deny(address("192.0.2.7"), MINUTE, &[], &[]), Ok(()));
        assert_eq!(may_deny(address("2001:db8::7"), MINUTE, &[], &[]), Ok(()));
    }

    #[test]
    fn this_machine_and_what_is_no_peer_may_not() {
        for text in ["127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "224.0.0.1", "ff02::1"] {
            let refused = may_deny(address(text), MINUTE, &[], &[]);
            assert!(matches!(refused, Err(MayNotDeny::NoPeer(_))), "{text}");
        }
    }

    #[test]
    fn the_allow_list_protects_its_networks_and_no_more() {
        let allowed = ["192.0.2.0/29".parse().unwrap()];
        assert!(matches!(may_deny(address("192.0.2.7"), MINUTE, &allowed, &[]), Err(MayNotDeny::Allowed(..))));
        assert_eq!(may_deny(address("192.0.2.8"), MINUTE, &allowed, &[]), Ok(()));
    }

    #[test]
    fn whoever_operates_the_node_at_this_moment_may_not_be_locked_out() {
        let control = [address("::ffff:192.0.2.7")];
        assert_eq!(
            may_deny(address("192.0.2.7"), MINUTE, &[], &control),
            Err(MayNotDeny::Control(address("192.0.2.7")))
        );
        assert_eq!(may_deny(address("192.0.2.8"), MINUTE, &[], &control), Ok(()));
    }

    #[test]
    fn a_denial_has_a_shortest_and_a_longest_time() {
        let peer = address("192.0.2.7");
        for (time, possible) in [
            (Duration::from_millis(999), false),
            (Duration::from_secs(1), true),
            (DENIAL_MAX, true),
            (DENIAL_MAX + Duration::from_nanos(1), false),
        ] {
            assert_eq!(may_deny(peer, time, &[], &[]).is_ok(), possible, "{time:?}");
        }
    }

    proptest! {
        #[test]
        fn no_protected_address_is_ever_denied(peer: IpAddr, others: Vec<IpAddr>) {
            let mut control = others;
            control.push(peer);
            prop_assert!(may_deny(peer, MINUTE, &[], &control).is_err());
            prop_assert!(may_deny(peer, MINUTE, &[Network::of(peer)], &[]).is_err());
        }
    }
}
