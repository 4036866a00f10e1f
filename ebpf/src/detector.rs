//! What in a snapshot is an event. Pure: snapshots go in, events come out, in an order that follows from them.
//!
//! Invariant: bounded, whatever the network does. At most [`EVENTS_MAX`] events a snapshot, and what is remembered of
//! peers has a bound too; what does not fit is counted in the last event.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use serde::Serialize;

use crate::{Counts, EventsConfig, InterfaceName, Measure, PortClass, Snapshot, Threshold, ThresholdScope};

/// Events of one snapshot; a scan of the network gives thousands of new peers at once.
pub const EVENTS_MAX: usize = 100;
/// Peers that are known. Beyond it, all are forgotten and those that are silent become new again.
pub const PEERS_MAX: usize = 65_536;
/// Subjects that are above a threshold at once.
pub const ABOVE_MAX: usize = 4096;

/// Part of the threshold below which a rate is back: one that dances around the threshold is one event.
const BACK_BELOW: f64 = 0.8;

/// Something that happened on the network.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum NetEvent {
    /// A peer that was not seen before.
    NewPeer {
        /// The interface that it was seen on first.
        interface: InterfaceName,
        /// Its address.
        peer: IpAddr,
        /// What it was seen doing first.
        class: PortClass,
    },
    /// A rate went above its threshold.
    Above(Crossing),
    /// It went back below four fifths of it, or its subject is no longer known.
    Below(Crossing),
    /// More happened than is told.
    Omitted {
        /// How many events.
        events: u64,
    },
}

/// A threshold that was crossed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossing {
    /// Name of the threshold.
    pub threshold: String,
    /// What it measures.
    pub measure: Measure,
    /// The interface that it is about.
    pub interface: InterfaceName,
    /// The peer that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// The rate, a second.
    pub rate_per_s: f64,
    /// The threshold, a second.
    pub above_per_s: u64,
}

/// Whom a rate is about.
type Subject = (InterfaceName, Option<IpAddr>);

/// Finds events in snapshots.
#[derive(Debug)]
pub struct Detector {
    config: EventsConfig,
    known: HashSet<IpAddr>,
    /// By position of the threshold.
    above: BTreeSet<(usize, Subject)>,
}

impl Detector {
    /// A detector that knows nobody yet. The peers of the first snapshot are new.
    pub fn new(config: &EventsConfig) -> Self {
        Self { config: config.clone(), known: HashSet::new(), above: BTreeSet::new() }
    }

    /// Looks at a snapshot.
    pub fn look(&mut self, snapshot: &Snapshot) -> Vec<NetEvent> {
        let mut events = Vec::new();
        if self.config.new_peers {
            self.find_new_peers(snapshot, &mut events);
        }
        if snapshot.interval_s > 0.0 {
            for position in 0..self.config.thresholds.len() {
                self.find_crossings(position, snapshot, &mut events);
            }
        }
        let omitted = events.len().saturating_sub(EVENTS_MAX);
        if omitted > 0 {
            events.truncate(EVENTS_MAX - 1);
            events.push(NetEvent::Omitted { events: omitted as u64 + 1 });
        }
        events
    }

    fn find_new_peers(&mut self, snapshot: &Snapshot, events: &mut Vec<NetEvent>) {
        let mut new: BTreeMap<IpAddr, (&InterfaceName, PortClass)> = BTreeMap::new();
        for row in snapshot.flows.iter().filter(|row| !row.recent.is_zero()) {
            if let Some(peer) = row.peer.filter(|peer| !self.known.contains(peer)) {
                let first = (&row.interface, row.class);
                new.entry(peer).and_modify(|seen| *seen = (*seen).min(first)).or_insert(first);
            }
        }
        if self.known.len() + new.len() > PEERS_MAX {
            let active = snapshot.flows.iter().filter(|row| !row.recent.is_zero());
            self.known = active.filter_map(|row| row.peer).take(PEERS_MAX).collect();
        }
        for (peer, (interface, class)) in new {
            if self.known.len() < PEERS_MAX || self.known.contains(&peer) {
                self.known.insert(peer);
            }
            events.push(NetEvent::NewPeer { interface: interface.clone(), peer, class });
        }
    }

    fn find_crossings(&mut self, position: usize, snapshot: &Snapshot, events: &mut Vec<NetEvent>) {
        let Some(threshold) = self.config.thresholds.get(position) else {
            return;
        };
        let sums = sums(threshold, snapshot);
        let crossing = |(interface, peer): &Subject, rate_per_s: f64| Crossing {
            threshold: threshold.name.clone(),
            measure: threshold.measure,
            interface: interface.clone(),
            peer: *peer,
            rate_per_s,
            above_per_s: threshold.above_per_s,
        };
        let limit = threshold.above_per_s as f64;
        let was_above: BTreeSet<Subject> =
            self.above.iter().filter(|(other, _)| *other == position).map(|(_, subject)| subject.clone()).collect();
        self.above.retain(|(other, _)| *other != position);
        let mut rates: BTreeMap<&Subject, f64> =
            sums.iter().map(|(subject, sum)| (subject, *sum as f64 / snapshot.interval_s)).collect();
        for subject in &was_above {
            rates.entry(subject).or_insert(0.0);
        }
        for (subject, rate) in rates {
            let was_above = was_above.contains(subject);
            if was_above && rate < limit * BACK_BELOW {
                events.push(NetEvent::Below(crossing(subject, rate)));
            } else if was_above {
                self.above.insert((position, subject.clone()));
            } else if rate > limit && self.above.len() < ABOVE_MAX {
                self.above.insert((position, subject.clone()));
                events.push(NetEvent::Above(crossing(subject, rate)));
            }
        }
    }
}

/// What was measured since the previous drain, by subject.
fn sums(threshold: &Threshold, snapshot: &Snapshot) -> HashMap<Subject, u64> {
    let mut sums: HashMap<Subject, u64> = HashMap::new();
    let mut add = |subject: Subject, class: PortClass, recent: &Counts| {
        let value = measured(threshold.measure, recent);
        if value > 0 && threshold.class.is_none_or(|wanted| wanted == class) {
            let sum = sums.entry(subject).or_default();
            *sum = sum.saturating_add(value);
        }
    };
    match threshold.scope {
        ThresholdScope::Peer => {
            for row in snapshot.flows.iter().filter(|row| row.peer.is_some()) {
                add((row.interface.clone(), row.peer), row.class, &row.recent);
            }
        }
        ThresholdScope::Interface => {
            for row in &snapshot.totals {
                add((row.interface.clone(), None), row.class, &row.recent);
            }
        }
    }
    sums
}

const fn measured(measure: Measure, counts: &Counts) -> u64 {
    match measure {
        Measure::Packets => counts.packets,
        Measure::Bytes => counts.bytes,
        Measure::Syn => counts.syn,
        Measure::Rst => counts.rst,
        Measure::MqttAttempts => counts.mqtt_attempts,
        Measure::Fragments => counts.fragments,
        Measure::Malformed => counts.malformed,
    }
}

#[cfg(test)]
mod tests;
