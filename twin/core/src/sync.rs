//! The exchange between the nodes of a group, as a state machine: what happened goes in with the time, and what is to be
//! sent comes out. No sockets, no store, no clock.
//!
//! A node tells what it wrote at once ([`delta`]). From time to time and whenever it was away it tells what it has
//! ([`message::Hello`]); who lacks something asks for it in pages, whose order is that of the cells ([`serve`],
//! [`receive`]). Everything from outside is checked before anything changes.
//!
//! Rules that the rest stands on:
//! - What a node *has* (`known`) it has completely: each event, or one that took its place, or a removal that was
//!   forgotten with the floor raised over it. Events may be taken in before that can be said, never the other way round.
//! - An event that a node has is never taken in again, so what was removed does not come back.
//! - The floor covers every removal that was forgotten, and what it had removed. Who does not have all of a floor may have
//!   missed a removal, and takes the whole state of the node that told the floor: what is not there any more is removed.
//! - Outputs are sent after what the same call saved is durable, in the order of the calls. So nobody is told of more
//!   than a power cut leaves.

mod collect;
mod delta;
mod hello;
mod hold;
pub mod knowledge;
mod members;
pub mod message;
mod receive;
mod serve;
pub mod state;

use std::collections::BTreeMap;

use crate::cell::Pen;
use crate::clock::{Clock, NodeId};
use crate::digest::Digests;
use crate::dot::{Dot, Origin};
use crate::event::Event;
use crate::keys::Keys;
use crate::place::Key;
use crate::policy::{Chain, PolicyRefusal};
use crate::vector::VersionVector;

use self::collect::Collection;

pub use self::knowledge::{Knowledge, Mode};
pub use self::message::MESSAGE_BYTES_MAX;
pub use self::state::{State, Wanted};

/// Largest content of a message, in bytes: what is left of [`MESSAGE_BYTES_MAX`] for events.
pub const PAGE_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 8 * 1024;

/// Settings of [`Sync`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How often a node tells what it has, in milliseconds.
    pub heartbeat_ms: u64,
    /// A member that is silent for longer no longer holds up the forgetting of removals, in milliseconds.
    pub lease_ms: u64,
    /// How long a page is waited for, in milliseconds; after three times that the peer is given up.
    pub page_timeout_ms: u64,
    /// What a page should not be larger than, in bytes; one event always fits. At most [`PAGE_BYTES_MAX`].
    pub page_bytes: usize,
    /// Pages that a peer may send without being asked again.
    pub window_pages: u8,
    /// Events of the far future that are held until the clock has caught up. More are turned away, and asked for later.
    pub held_max: usize,
    /// Removals that are remembered. Beyond that the oldest are forgotten before everybody has seen them, which costs
    /// those who have not a transfer of the whole state.
    pub tombstones_max: usize,
    /// How often removals are looked through, in milliseconds.
    pub collect_every_ms: u64,
    /// Cells that one call looks at for a page, or for removals, at most; the next goes on there. At least 2.
    pub cells_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat_ms: 30_000,
            lease_ms: 14 * 24 * 3_600 * 1_000,
            page_timeout_ms: 15_000,
            page_bytes: PAGE_BYTES_MAX,
            window_pages: 4,
            held_max: 1_024,
            tombstones_max: 100_000,
            collect_every_ms: 60_000,
            cells_max: 4_096,
        }
    }
}

/// The time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// A clock that never goes back, from any start, in milliseconds.
    pub steady_ms: u64,
    /// What the wall clock says, right or wrong, in milliseconds since 1970.
    pub wall_ms: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The way to the other nodes is open.
    Connected,
    /// It is not any more.
    Disconnected,
    /// These bytes came from it.
    Received(&'a [u8]),
    /// This node wrote these events, numbers in order, which are in its state already.
    Written(&'a [(Key, Event)]),
    /// Time has passed.
    Tick,
}

/// What is to be done, once what the call saved is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To send to all other nodes.
    Broadcast(Vec<u8>),
    /// To send to one node.
    Send(NodeId, Vec<u8>),
}

/// What one call works with.
pub struct Turn<'a> {
    /// When.
    pub now: Now,
    /// The node's clock.
    pub clock: &'a mut Clock,
    /// The node's documents.
    pub state: &'a mut dyn State,
    /// The node's key.
    pub keys: &'a dyn Keys,
}

/// What was refused and done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Events taken in.
    pub joined: u64,
    /// Events given to others.
    pub given: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Messages larger than [`MESSAGE_BYTES_MAX`].
    pub oversize: u64,
    /// Messages of other groups.
    pub other_group: u64,
    /// Messages and events of nodes that are no members.
    pub foreign: u64,
    /// Messages and events whose signature is wrong.
    pub signature: u64,
    /// Events of members that may not write there.
    pub authority: u64,
    /// Events of times that cannot be.
    pub giant_clock: u64,
    /// Runs of events before which others are missing, which are asked for.
    pub gap: u64,
    /// Pages that do not say what they were asked for.
    pub unfit: u64,
    /// Policies that were not taken.
    pub policy: u64,
    /// Events of the far future that had no room.
    pub turned_away: u64,
    /// Removals that were forgotten because everybody had seen them.
    pub collected: u64,
    /// Removals that were forgotten because there were too many.
    pub capped: u64,
    /// Transfers that began, by mode: what is new, the whole state, what differs although it should not.
    pub pulls: [u64; 3],
    /// Times that this node had to begin to count anew.
    pub renewed: u64,
}

/// A member, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberState {
    /// Which.
    pub node: NodeId,
    /// When it was heard last, by the steady clock; `None` if it was not since the start.
    pub heard_ms: Option<u64>,
    /// Numbers of events that it had, by what it told last, and this node has not.
    pub lacking: u64,
    /// The other way round; `None` before it was heard.
    pub unseen: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Sync {
    config: Config,
    knowledge: Knowledge,
    peers: BTreeMap<NodeId, Peer>,
    connected: bool,
    /// Whether `knowledge` changed in this call.
    dirty: bool,
    told_ms: Option<u64>,
    collection: Collection,
    started_ms: Option<u64>,
    pulls_begun: u64,
    counters: Counters,
    outputs: Vec<Output>,
}

/// What another node told, since this one started.
#[derive(Debug, Default)]
struct Peer {
    known: VersionVector,
    seen: VersionVector,
    floor: VersionVector,
    heard_ms: u64,
    /// Buckets in which it shows something else although it has the same.
    differing: Option<Box<message::Buckets>>,
    /// Not asked before this.
    rest_until_ms: u64,
    /// When it was told last, alone, what this node has.
    answered_ms: Option<u64>,
    /// Whether it was heard since the way to it opened.
    is_present: bool,
}

impl Sync {
    /// Goes on with what was saved, and with a transfer that was not finished, unless it was one of the whole state.
    #[must_use]
    pub fn new(mut knowledge: Knowledge, config: Config) -> Self {
        // A transfer of the whole state begins anew: what is to be removed is too much to be kept.
        knowledge.pull = knowledge.pull.filter(|pull| pull.mode != Mode::Whole);
        Self {
            config,
            knowledge,
            peers: BTreeMap::new(),
            connected: false,
            dirty: false,
            told_ms: None,
            collection: Collection::default(),
            started_ms: None,
            pulls_begun: 0,
            counters: Counters::default(),
            outputs: Vec::new(),
        }
    }

    /// What the node knows of itself and of the group.
    #[must_use]
    pub fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// What was refused and done.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// For a change that is made now. What is written with it is to be told with [`Input::Written`] before the next pen.
    #[must_use]
    pub fn pen(&self, clock: &mut Clock, wall_ms: u64) -> Pen {
        let origin = self.knowledge.origin;
        let next_seq = self.knowledge.known.get(origin).saturating_add(1);
        Pen { origin, next_seq, time: clock.tick(wall_ms).time, policy: self.knowledge.chain.version() }
    }

    /// Notes removals that the node forgot by itself, and what they had removed. The caller keeps the knowledge together
    /// with that.
    pub fn forgot(&mut self, removals: &VersionVector) {
        self.knowledge.floor.join(removals);
    }

    /// Counts this node's own events up to and including the number `through` and tells nobody: for a node that is not
    /// connected, which would only waste [`Input::Written`]. The caller keeps the knowledge together with them.
    pub fn wrote(&mut self, through: u64) {
        self.knowledge.known.add(self.knowledge.origin.dot(through));
    }

    /// Whether the way to the other nodes is open.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Goes back to what was saved, because what the last call changed cannot be kept.
    pub fn rewind(&mut self, saved: Knowledge) {
        self.knowledge = saved;
        self.dirty = false;
        self.outputs.clear();
    }

    /// Members of the group, with what this node has heard of them since it started: when, by the steady clock, and how
    /// many events of theirs it still lacks.
    pub fn members(&self) -> impl Iterator<Item = MemberState> + '_ {
        let members = self.knowledge.chain.head().into_iter().flat_map(|policy| policy.members.keys());
        members.map(|node| {
            let peer = self.peers.get(node);
            let lacks = |dot: Dot| dot.seq.saturating_sub(self.knowledge.known.get(dot.origin));
            let lacking = peer.map_or(0, |peer| peer.known.dots().map(lacks).sum());
            let unseen = |dot: Dot| peer.map_or(0, |peer| dot.seq.saturating_sub(peer.known.get(dot.origin)));
            // What it wrote itself it has.
            let by_others = self.knowledge.known.dots().filter(|dot| dot.origin.node != *node);
            let unseen = peer.map(|_| by_others.map(unseen).sum());
            MemberState { node: *node, heard_ms: peer.map(|peer| peer.heard_ms), lacking, unseen }
        })
    }

    /// Lets one thing happen. What comes out is to be sent when what was saved is durable.
    #[must_use = "other nodes wait for what is to be sent"]
    pub fn handle(&mut self, input: Input<'_>, mut turn: Turn<'_>) -> Vec<Output> {
        let turn = &mut turn;
        self.started_ms.get_or_insert(turn.now.steady_ms);
        match input {
            Input::Connected => {
                self.connected = true;
                self.tell(turn);
            }
            Input::Disconnected => self.disconnected(),
            Input::Received(bytes) => self.received(bytes, turn),
            Input::Written(events) => self.written(events, turn),
            Input::Tick => self.tick(turn),
        }
        self.save(turn);
        std::mem::take(&mut self.outputs)
    }

    /// Takes the next policy from a person who has it signed.
    ///
    /// # Errors
    /// If it is not the next one or not signed; nothing has changed.
    pub fn adopt(&mut self, signed: &[u8], mut turn: Turn<'_>) -> Result<Vec<Output>, PolicyRefusal> {
        let turn = &mut turn;
        let before = self.knowledge.chain.head().cloned();
        self.knowledge.chain.adopt(signed, turn.keys)?;
        self.policy_changed(before.as_ref(), turn);
        self.tell(turn);
        self.save(turn);
        Ok(std::mem::take(&mut self.outputs))
    }

    fn tick(&mut self, turn: &mut Turn<'_>) {
        self.release_held(turn);
        self.collect(turn);
        let is_due = |told: u64| turn.now.steady_ms.saturating_sub(told) >= self.config.heartbeat_ms;
        if self.connected && self.told_ms.is_none_or(is_due) {
            self.tell(turn);
        }
        self.look_after_pull(turn);
    }

    fn save(&mut self, turn: &mut Turn<'_>) {
        if std::mem::take(&mut self.dirty) {
            turn.state.save(&self.knowledge);
        }
    }

    fn node(&self) -> NodeId {
        self.knowledge.origin.node
    }

    fn is_member(&self) -> bool {
        self.knowledge.chain.head().is_some_and(|policy| policy.members.contains_key(&self.node()))
    }
}

/// The first life of a node that nobody knows yet.
#[must_use]
pub fn newcomer(node: NodeId, chain: Chain) -> Knowledge {
    Knowledge {
        origin: Origin::first(node),
        known: VersionVector::default(),
        floor: VersionVector::default(),
        held: BTreeMap::new(),
        pull: None,
        chain,
    }
}

/// The sums of what the node would show if it held nothing back.
fn digests(knowledge: &Knowledge, state: &dyn State) -> Box<Digests> {
    let mut digests = state.digests();
    hold::adjust(&mut digests, knowledge, state);
    digests
}
