//! The circuits of one function: its own, or one for each client that it failed on.
//!
//! Pure: the time is an argument. Bounded: clients that never failed have none; where as many have one as may, a further one shares
//! the function's.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use crate::circuit::{Change, Circuit, End, Permit, Position};
use crate::manifest::{CircuitPer, CircuitPolicy};

/// Clients with a circuit of their own.
const CLIENTS_MAX: usize = 1024;

/// How the circuits of a function are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitState {
    /// Messages run.
    Closed,
    /// One message runs as a probe.
    HalfOpen,
    /// Messages do not run; with a circuit per client: those of one or more clients.
    Open,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    shared: Option<Circuit>,
    clients: HashMap<String, Circuit>,
}

impl Circuits {
    /// May a message of `client` run?
    pub(super) fn permit(&mut self, policy: &CircuitPolicy, client: Option<&str>, now: Duration) -> Permit {
        self.find(policy, client).map_or(Permit::Run, |circuit| circuit.permit(&policy.rule, now))
    }

    /// A message of `client` that had `permit` came to its end.
    pub(super) fn ended(
        &mut self,
        policy: &CircuitPolicy,
        client: Option<&str>,
        now: Duration,
        (permit, end): (Permit, End),
    ) -> Option<Change> {
        let circuit = match self.own_key(policy, client) {
            None => self.shared.get_or_insert_with(Circuit::new),
            // Good ends take no memory; where there is no circuit yet they would change nothing but a share.
            Some(client) if end != End::Failed && !self.clients.contains_key(client) => return None,
            Some(client) => self.clients.entry(client.to_owned()).or_insert_with(Circuit::new),
        };
        let change = circuit.ended(&policy.rule, now, permit, end);
        if change == Some(Change::Closed)
            && let Some(client) = client
        {
            self.clients.remove(client);
        }
        change
    }

    /// The worst of them, and how many are open or half open.
    pub(super) fn state(&self) -> (CircuitState, usize) {
        let positions = || self.shared.iter().chain(self.clients.values()).map(Circuit::position);
        let not_closed = positions().filter(|position| *position != Position::Closed).count();
        let state = if positions().any(|position| position == Position::Open) {
            CircuitState::Open
        } else if not_closed > 0 {
            CircuitState::HalfOpen
        } else {
            CircuitState::Closed
        };
        (state, not_closed)
    }

    fn find(&mut self, policy: &CircuitPolicy, client: Option<&str>) -> Option<&mut Circuit> {
        match (policy.per, client) {
            (CircuitPer::Client, Some(client)) if self.clients.contains_key(client) => self.clients.get_mut(client),
            (CircuitPer::Client, Some(_)) if self.clients.len() < CLIENTS_MAX => None,
            _ => self.shared.as_mut(),
        }
    }

    /// The client, where it has or gets a circuit of its own.
    fn own_key<'a>(&mut self, policy: &CircuitPolicy, client: Option<&'a str>) -> Option<&'a str> {
        let client = client.filter(|_| policy.per == CircuitPer::Client)?;
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(client) {
            self.clients.retain(|_, circuit| circuit.position() != Position::Closed);
        }
        (self.clients.len() < CLIENTS_MAX || self.clients.contains_key(client)).then_some(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circuit::CircuitRule;
    use crate::manifest::Fallback;

    const NOW: Duration = Duration::from_secs(1);

    fn policy(per: CircuitPer) -> CircuitPolicy {
        CircuitPolicy { rule: CircuitRule::default(), per, fallback: Fallback::Drop }
    }

    fn fail(circuits: &mut Circuits, policy: &CircuitPolicy, client: &str) -> Option<Change> {
        let permit = circuits.permit(policy, Some(client), NOW);
        circuits.ended(policy, Some(client), NOW, (permit, End::Failed))
    }

    fn runs(circuits: &mut Circuits, policy: &CircuitPolicy, client: &str) -> bool {
        circuits.permit(policy, Some(client), NOW) == Permit::Run
    }

    #[test]
    fn a_bad_client_opens_its_own_circuit_and_nobody_elses() {
        let (mut circuits, policy) = (Circuits::default(), policy(CircuitPer::Client));
        assert!((0..2).all(|_| fail(&mut circuits, &policy, "bad").is_none()));
        assert!(fail(&mut circuits, &policy, "bad").is_some());
        assert!(!runs(&mut circuits, &policy, "bad") && runs(&mut circuits, &policy, "good"));
        assert_eq!(circuits.state(), (CircuitState::Open, 1));
    }

    #[test]
    fn without_a_circuit_of_their_own_all_share_one() {
        let (mut circuits, policy) = (Circuits::default(), policy(CircuitPer::Function));
        assert_eq!(circuits.state(), (CircuitState::Closed, 0));
        for client in ["a", "b", "c"] {
            fail(&mut circuits, &policy, client);
        }
        assert!(!runs(&mut circuits, &policy, "d"));
    }

    #[test]
    fn a_client_whose_circuit_closes_is_forgotten() {
        let (mut circuits, policy) = (Circuits::default(), policy(CircuitPer::Client));
        (0..3).for_each(|_| drop(fail(&mut circuits, &policy, "a")));
        let later = NOW + Duration::from_secs(30);
        let probe = circuits.permit(&policy, Some("a"), later);
        assert_eq!((probe, circuits.state().0), (Permit::Probe, CircuitState::HalfOpen));
        assert_eq!(circuits.ended(&policy, Some("a"), later, (probe, End::Good)), Some(Change::Closed));
        assert!(circuits.clients.is_empty());
    }

    #[test]
    fn clients_that_fail_once_do_not_take_memory_for_ever_and_open_circuits_are_not_forgotten() {
        let (mut circuits, policy) = (Circuits::default(), policy(CircuitPer::Client));
        (0..3).for_each(|_| drop(fail(&mut circuits, &policy, "bad")));
        for client in 0..3 * CLIENTS_MAX {
            fail(&mut circuits, &policy, &client.to_string());
            assert!(circuits.clients.len() <= CLIENTS_MAX);
        }
        assert!(!runs(&mut circuits, &policy, "bad"));
    }
}
