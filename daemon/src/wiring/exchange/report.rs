//! How the exchange stands, for people and metrics.

use std::sync::atomic::Ordering;

use selvedge_twin::exchange::GroupStatus;
use selvedge_twin::keys::PublicKey;
use selvedge_twin::policy::Policy;
use selvedge_twin::sync::{Counters, MemberState, Mode};
use serde_json::{Map, Value, json};

use super::{Exchange, steady_ms};
use crate::http::PartState;

/// What metrics say of the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReadings {
    /// Whether the node takes part in a group.
    pub is_on: bool,
    /// Whether the way to the others is open.
    pub connected: bool,
    /// Members of the group.
    pub members: u64,
    /// Events that other members have and this node has not.
    pub lacking: u64,
    /// Events that are held.
    pub held: u64,
    /// Messages that found no room.
    pub left_out: u64,
    /// Connections so far.
    pub connections: u64,
    /// Of the exchange itself.
    pub counters: Counters,
}

impl Exchange {
    /// For metrics.
    pub fn readings(&self) -> SyncReadings {
        let Some(status) = self.twins.twins().group_status() else { return SyncReadings::default() };
        SyncReadings {
            is_on: true,
            connected: status.connected,
            members: status.members.len() as u64,
            lacking: status.members.iter().map(|member| member.lacking).sum(),
            held: status.held as u64,
            left_out: self.outbox.left_out(),
            connections: self.connections.load(Ordering::Relaxed),
            counters: status.counters,
        }
    }

    /// For `/readyz`. It never makes the node unready: a node alone is a node.
    pub fn part(&self) -> PartState {
        let detail = match self.twins.twins().group_status() {
            None => "off".to_owned(),
            Some(status) => self.sentence(&status),
        };
        PartState { name: "sync", ready: true, detail }
    }

    fn sentence(&self, status: &GroupStatus) -> String {
        if let Some(trouble) = &*self.trouble.lock() {
            return format!("no exchange with other nodes: {trouble}");
        }
        match &status.policy {
            _ if !status.connected => "connecting".to_owned(),
            None => "waits for a policy that names this node: `selvedge twin group add`".to_owned(),
            Some(policy) if !policy.members.contains_key(&status.node) => {
                format!("the group's policy {} does not name this node", policy.version)
            }
            Some(policy) => {
                let heard = status.members.iter().filter(|member| member.heard_ms.is_some()).count();
                format!("{} members, {heard} heard, policy {}", policy.members.len(), policy.version)
            }
        }
    }

    /// All that is known.
    pub fn report(&self) -> Value {
        let mut report = Map::new();
        report.insert("node".to_owned(), self.node.to_string().into());
        report.insert("public_key".to_owned(), self.public_key.to_string().into());
        if let Some(status) = self.twins.twins().group_status() {
            report.insert("group".to_owned(), self.group(&status));
        }
        report.into()
    }

    fn group(&self, status: &GroupStatus) -> Value {
        let now_ms = steady_ms(self.started);
        let member = |member: &MemberState| {
            json!({
                "node": member.node.to_string(),
                "self": member.node == status.node,
                "heard_s_ago": member.heard_ms.map(|at| now_ms.saturating_sub(at) / 1000),
                "lacking": member.lacking,
                "unseen": member.unseen,
            })
        };
        let known = status.known.dots();
        let known = known.map(
            |dot| json!({ "node": dot.origin.node.to_string(), "incarnation": dot.origin.incarnation, "seq": dot.seq }),
        );
        let fetching = status.fetching.map(|(peer, mode)| json!({ "from": peer.to_string(), "what": name(mode) }));
        let (_, last_hash) = self.twins.twins().policies_after(Default::default());
        json!({
            "key": status.signer.to_string(),
            "broker": self.config.broker,
            "topics": format!("{}/#", self.topics),
            "connected": status.connected,
            "trouble": *self.trouble.lock(),
            "incarnation": status.incarnation,
            "policy": status.policy.as_ref().map(describe),
            "policy_hash": PublicKey(last_hash).to_string(),
            "members": status.members.iter().map(member).collect::<Vec<_>>(),
            "known": known.collect::<Vec<_>>(),
            "held": status.held,
            "fetching": fetching,
            "outbox": { "waiting": self.outbox.len(), "left_out": self.outbox.left_out() },
            "counters": counters(&status.counters),
        })
    }
}

fn describe(policy: &Policy) -> Value {
    let members = policy.members.iter().map(|(node, member)| {
        json!({
            "node": node.to_string(),
            "key": member.key.to_string(),
            "first_incarnation": member.first_incarnation,
        })
    });
    let cutoffs = policy.cutoffs.iter().map(|(origin, through)| {
        json!({ "node": origin.node.to_string(), "incarnation": origin.incarnation, "through": through })
    });
    let rules = policy.rules.iter().map(|rule| {
        json!({
            "section": rule.section.name(),
            "things": rule.things.as_str(),
            "writers": rule.writers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    json!({
        "version": policy.version,
        "next_signer": policy.next_signer.to_string(),
        "members": members.collect::<Vec<_>>(),
        "cutoffs": cutoffs.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
    })
}

/// What is fetched, in a word.
pub fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Since => "new",
        Mode::Whole => "whole",
        Mode::Repair => "repair",
    }
}

/// Causes for which something was refused, with their counts.
pub fn refusals(counters: &Counters) -> [(&'static str, u64); 9] {
    [
        ("malformed", counters.malformed),
        ("oversize", counters.oversize),
        ("other_group", counters.other_group),
        ("foreign", counters.foreign),
        ("signature", counters.signature),
        ("authority", counters.authority),
        ("giant_clock", counters.giant_clock),
        ("unfit", counters.unfit),
        ("policy", counters.policy),
    ]
}

fn counters(counters: &Counters) -> Value {
    let refused: Map<String, Value> =
        refusals(counters).into_iter().map(|(cause, count)| (cause.to_owned(), count.into())).collect();
    json!({
        "joined": counters.joined,
        "given": counters.given,
        "refused": refused,
        "gaps": counters.gap,
        "turned_away": counters.turned_away,
        "removals_forgotten": counters.collected,
        "removals_forgotten_early": counters.capped,
        "transfers": { "new": counters.pulls[0], "whole": counters.pulls[1], "repair": counters.pulls[2] },
        "renewed": counters.renewed,
    })
}
