//! What a node keeps beside its twins, read and written.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_store::{Batch, PutError, ReadError, Space, Store};
use selvedge_twin_core::dot::{Dot, Origin};
use selvedge_twin_core::event::PolicyVersion;
use selvedge_twin_core::keys::{Keys, PublicKey};
use selvedge_twin_core::policy::{CHAIN_MAX, Chain};
use selvedge_twin_core::sync::Knowledge;

use super::{Damage, Found, headers, tolerate};
use crate::clock::NodeId;
use crate::record::node::{Known, State};
use crate::record::{self, node};

/// Most held events that are read back, whatever the configuration says.
const HELD_MAX: usize = 100_000;

/// Adds the node's state record.
pub(crate) fn put_state(batch: &mut Batch, state: &State) -> Result<(), PutError> {
    batch.put(Space::Twin, node::STATE_KEY, &node::encode_state(state))
}

/// Adds the key of the node's group.
pub(crate) fn put_group(batch: &mut Batch, key: PublicKey) -> Result<(), PutError> {
    batch.put(Space::Twin, node::GROUP_KEY, &node::encode_group(&key.0))
}

/// Adds the policies after `kept`.
pub(crate) fn put_policies(batch: &mut Batch, chain: &Chain, kept: PolicyVersion) -> Result<(), PutError> {
    for (version, signed) in (kept.0 + 1..).zip(chain.signed_after(kept)) {
        batch.put(Space::Twin, &node::policy_key(version), signed)?;
    }
    Ok(())
}

/// Adds what changed of the held events since they were `kept`.
pub(crate) fn put_held(batch: &mut Batch, knowledge: &Knowledge, kept: &BTreeSet<Dot>) -> Result<(), PutError> {
    let held: BTreeSet<Dot> = knowledge.held.keys().map(|(_, dot)| *dot).collect();
    for gone in kept.difference(&held) {
        batch.delete(Space::Twin, &node::held_key(*gone))?;
    }
    for ((key, dot), event) in knowledge.held.iter().filter(|((_, dot), _)| !kept.contains(dot)) {
        batch.put(Space::Twin, &node::held_key(*dot), &node::encode_held(key, event))?;
    }
    Ok(())
}

/// What the node `node` kept: the time of its last stamp, how many twins there are, and what it knows of itself and its
/// group. What is missing or damaged is counted from what there is; which numbers were given is lost then, so the node goes
/// on under its next name.
pub(crate) fn read_node(
    store: &Store,
    node: NodeId,
    keys: &dyn Keys,
    damage: &Damage,
) -> Result<(State, Knowledge), ReadError> {
    let mut state = match tolerate(store.get(Space::Twin, node::STATE_KEY))? {
        Found::Bytes(bytes) => node::decode_state(&bytes),
        _ => None,
    };
    if state.as_ref().is_none_or(|state| state.known_of == Known::Counted) {
        state = Some(counted(store, node, state, damage)?);
    }
    let mut state = state.unwrap_or_default();
    let origin = Origin { node, incarnation: state.incarnation };
    state.known.add(origin.dot(state.last_seq));
    let knowledge = Knowledge {
        origin,
        known: state.known.clone(),
        floor: state.floor.clone(),
        held: read_held(store, damage)?,
        pull: state.pull.clone(),
        chain: read_chain(store, keys, damage)?,
    };
    Ok((state, knowledge))
}

/// The state that the cells speak of. `kept` is one that does not say what the node has.
fn counted(store: &Store, node: NodeId, kept: Option<State>, damage: &Damage) -> Result<State, ReadError> {
    let is_new_life = kept.is_none();
    let mut state = kept.unwrap_or_default();
    if is_new_life {
        for entry in headers(store, "", None, damage) {
            let (_, header) = entry?;
            state.twins += u64::from(header.exists);
            state.time = state.time.max(header.updated.time);
        }
    }
    for entry in store.scan(Space::Twin, record::CELLS_PREFIX, None, usize::MAX) {
        let cells = match entry {
            Ok((_, value)) => record::decode_bucket(&value).unwrap_or_default(),
            Err(ReadError::Corrupt { .. }) => continue,
            Err(failed @ ReadError::Failed { .. }) => return Err(failed),
        };
        for (_, _, event) in cells {
            state.time = state.time.max(event.time);
            let own = event.context.dots().chain([event.dot]).filter(|dot| dot.origin.node == node);
            for dot in own {
                state.known.add(dot);
                if is_new_life {
                    state.incarnation = state.incarnation.max(dot.origin.incarnation.saturating_add(1));
                }
            }
        }
    }
    state.known_of = Known::Kept;
    Ok(state)
}

fn read_chain(store: &Store, keys: &dyn Keys, damage: &Damage) -> Result<Chain, ReadError> {
    let group = match tolerate(store.get(Space::Twin, node::GROUP_KEY))? {
        Found::Bytes(bytes) => node::decode_group(&bytes),
        _ => None,
    };
    let mut chain = Chain::new(PublicKey(group.unwrap_or_default()));
    for entry in store.scan(Space::Twin, node::POLICY_PREFIX, None, CHAIN_MAX) {
        let adopted = match entry {
            Ok((_, signed)) => chain.adopt(&signed, keys).is_ok(),
            Err(ReadError::Corrupt { .. }) => false,
            Err(failed @ ReadError::Failed { .. }) => return Err(failed),
        };
        if !adopted {
            // The others have it.
            damage.found("", "policy of the group");
            break;
        }
    }
    Ok(chain)
}

type Held = BTreeMap<(selvedge_twin_core::place::Key, Dot), selvedge_twin_core::event::Event>;

fn read_held(store: &Store, damage: &Damage) -> Result<Held, ReadError> {
    let mut held = Held::new();
    for entry in store.scan(Space::Twin, node::HELD_PREFIX, None, HELD_MAX) {
        let decoded = match entry {
            Ok((_, value)) => node::decode_held(&value),
            Err(ReadError::Corrupt { .. }) => None,
            Err(failed @ ReadError::Failed { .. }) => return Err(failed),
        };
        match decoded {
            Some((key, event)) => drop(held.insert((key, event.dot), event)),
            None => damage.found("", "held event"),
        }
    }
    Ok(held)
}
