//! What carries messages: late, twice, not at all, in any order, changed on the way, and not across a partition.

use selvedge_twin_core::clock::NodeId;

use super::chance::Chance;

#[derive(Debug, Clone)]
pub struct Flying {
    pub due_ms: u64,
    pub from: NodeId,
    pub to: NodeId,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Network {
    pub flying: Vec<Flying>,
    /// Islands by node; nodes of one island reach each other.
    pub island: Vec<u64>,
    pub loss_percent: u64,
    pub twice_percent: u64,
    pub late_ms: u64,
    pub damage_percent: u64,
}

impl Network {
    pub fn send(&mut self, now_ms: u64, from: NodeId, to: NodeId, bytes: &[u8], chance: &mut Chance) {
        if chance.percent(self.loss_percent) {
            return;
        }
        let copies = if chance.percent(self.twice_percent) { 2 } else { 1 };
        for _ in 0..copies {
            let mut bytes = bytes.to_vec();
            if chance.percent(self.damage_percent) {
                let at = chance.below(bytes.len() as u64) as usize;
                bytes[at] ^= chance.between(1, 255) as u8;
            }
            // Some come very late.
            let late_ms = if chance.percent(3) { self.late_ms * 20 } else { self.late_ms };
            self.flying.push(Flying { due_ms: now_ms + 1 + chance.below(late_ms + 1), from, to, bytes });
        }
    }

    /// What arrives until `now_ms`.
    pub fn arrived(&mut self, now_ms: u64) -> Vec<Flying> {
        let (mut due, rest): (Vec<_>, Vec<_>) = self.flying.drain(..).partition(|flying| flying.due_ms <= now_ms);
        self.flying = rest;
        due.sort_by_key(|flying| flying.due_ms);
        due.retain(|flying| self.reaches(flying.from, flying.to));
        due
    }

    pub fn forget_from(&mut self, node: NodeId) {
        self.flying.retain(|flying| flying.from != node);
    }

    fn reaches(&self, a: NodeId, b: NodeId) -> bool {
        self.island[a.0 as usize] == self.island[b.0 as usize]
    }
}
