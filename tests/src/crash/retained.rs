//! Retained messages: what was set, what of that was acknowledged, and what may stand after a crash.
//!
//! Each topic has one publisher, so that the order of what is set is known. Invariant: after a crash a topic holds the last
//! acknowledged message or a later one.

use std::collections::{BTreeMap, HashMap};

use super::ledger::MessageId;
use super::report::{Breach, Kind, Report};

/// One message that was set; an empty one clears.
#[derive(Debug, Clone, Copy)]
struct Set {
    id: MessageId,
    clears: bool,
    acknowledged: bool,
}

/// Everything that was set and may stand.
#[derive(Debug, Default)]
pub struct Retained {
    topics: BTreeMap<String, Vec<Set>>,
    topic_of: HashMap<MessageId, String>,
}

impl Retained {
    /// A message is published.
    pub fn set(&mut self, topic: &str, id: MessageId, clears: bool) {
        self.topics.entry(topic.to_owned()).or_default().push(Set { id, clears, acknowledged: false });
        self.topic_of.insert(id, topic.to_owned());
    }

    /// The broker has acknowledged it: what was set before it may not stand any more.
    pub fn acknowledged(&mut self, id: MessageId) {
        let Some(topic) = self.topic_of.get(&id) else { return };
        let Some(sets) = self.topics.get_mut(topic) else { return };
        if let Some(position) = sets.iter().position(|set| set.id == id) {
            sets[position].acknowledged = true;
            for former in sets.drain(..position) {
                self.topic_of.remove(&former.id);
            }
        }
    }

    /// The broker has refused it.
    pub fn refused(&mut self, id: MessageId) {
        if let Some(sets) = self.topic_of.remove(&id).and_then(|topic| self.topics.get_mut(&topic)) {
            sets.retain(|set| set.id != id);
        }
    }

    /// Compares with what a new subscriber has got.
    pub fn compare(&self, found: &BTreeMap<String, MessageId>, report: &mut Report) {
        for (topic, sets) in &self.topics {
            let owed = sets.iter().any(|set| set.acknowledged);
            report.owed(Kind::Retained, u64::from(owed));
            let found = found.get(topic);
            // Before the first acknowledgement there may be nothing.
            let fits = match found {
                Some(id) => sets.iter().any(|set| set.id == *id && !set.clears),
                None => !owed || sets.iter().any(|set| set.clears),
            };
            if !fits {
                let breach = if found.is_none() { Breach::Lost } else { Breach::Wrong };
                report.breach(Kind::Retained, breach, || format!("{topic} holds {found:?}, set were {sets:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(retained: &Retained, found: Option<MessageId>) -> u64 {
        let mut report = Report::new(0);
        retained.compare(&found.into_iter().map(|id| ("r".to_owned(), id)).collect(), &mut report);
        report.breaches()
    }

    #[test]
    fn the_last_acknowledged_or_a_later_one_may_stand() {
        let mut retained = Retained::default();
        retained.set("r", 1, false);
        assert_eq!((breaches(&retained, None), breaches(&retained, Some(1))), (0, 0));
        retained.acknowledged(1);
        retained.set("r", 2, false);
        assert_eq!([None, Some(1), Some(2)].map(|found| breaches(&retained, found)), [1, 0, 0]);
        retained.acknowledged(2);
        assert_eq!([None, Some(1), Some(2)].map(|found| breaches(&retained, found)), [1, 1, 0]);
        retained.set("r", 3, true);
        assert_eq!([None, Some(2), Some(3)].map(|found| breaches(&retained, found)), [0, 0, 1]);
        retained.acknowledged(3);
        assert_eq!([None, Some(2)].map(|found| breaches(&retained, found)), [0, 1]);
    }
}
