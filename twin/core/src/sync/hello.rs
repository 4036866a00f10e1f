//! Telling what a node has, hearing what others have, and asking for the difference.

use super::knowledge::{Mode, Pull};
use super::message::{Buckets, Envelope, Hello, Message, MessageRefusal, PullRequest, Sealed};
use super::{Output, Sync, Turn, digests};
use crate::clock::NodeId;
use crate::digest::Digests;
use crate::policy::Membership;

/// How often a page is asked for.
const TRIES_MAX: u8 = 3;
/// A peer that is not heard for this many heartbeats is not asked.
const SILENT_HEARTBEATS: u64 = 3;
/// A peer that gave what cannot be used, or had nothing new, is not asked again for this many heartbeats.
const REST_HEARTBEATS: u64 = 2;
/// How often at most a peer is answered that tells that it lacks something.
const ANSWERS_PER_HEARTBEAT: u64 = 16;

impl Sync {
    /// Tells all what this node has.
    pub(super) fn tell(&mut self, turn: &mut Turn<'_>) {
        if !self.connected || self.knowledge.chain.head().is_none() {
            return;
        }
        self.told_ms = Some(turn.now.steady_ms);
        let hello = self.hello(turn);
        self.broadcast(hello, turn);
    }

    fn hello(&self, turn: &Turn<'_>) -> Message {
        let (known, seen, floor) = (self.knowledge.known.clone(), self.knowledge.seen(), self.knowledge.floor.clone());
        let digests = *digests(&self.knowledge, turn.state);
        Message::Hello(Box::new(Hello { known, seen, floor, digests }))
    }

    /// Tells one who lacks something what this node has, so that it need not wait for the next heartbeat.
    fn answer(&mut self, peer: NodeId, turn: &Turn<'_>) {
        let pause_ms = self.config.heartbeat_ms / ANSWERS_PER_HEARTBEAT;
        let state = self.peers.entry(peer).or_default();
        let is_due = state.answered_ms.is_none_or(|at| turn.now.steady_ms.saturating_sub(at) >= pause_ms);
        if is_due && !state.known.includes(&self.knowledge.known) {
            state.answered_ms = Some(turn.now.steady_ms);
            let hello = self.hello(turn);
            self.send(peer, hello, turn);
        }
    }

    /// Who is there when the way opens again has to be heard first. A transfer waits for its peer, but not for long.
    pub(super) fn disconnected(&mut self) {
        self.connected = false;
        for peer in self.peers.values_mut() {
            peer.is_present = false;
            peer.answered_ms = None;
        }
        if let Some(pull) = &mut self.knowledge.pull {
            (pull.asked_ms, pull.tries) = (0, TRIES_MAX.saturating_sub(1));
            self.dirty = true;
        }
    }

    pub(super) fn broadcast(&mut self, message: Message, turn: &Turn<'_>) {
        let bytes = self.sealed(message, turn);
        self.outputs.push(Output::Broadcast(bytes));
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message, turn: &Turn<'_>) {
        let bytes = self.sealed(message, turn);
        self.outputs.push(Output::Send(to, bytes));
    }

    fn sealed(&self, message: Message, turn: &Turn<'_>) -> Vec<u8> {
        let chain = &self.knowledge.chain;
        Envelope { sender: self.node(), policy: chain.version(), message }.seal(chain.group(), turn.keys)
    }

    /// Reads a message, sees whether it is from whom it says, and does what it asks for.
    pub(super) fn received(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        let sealed = match Sealed::open(bytes, self.knowledge.chain.group()) {
            Ok(sealed) => sealed,
            Err(MessageRefusal::Decode(_)) => return self.counters.malformed += 1,
            Err(MessageRefusal::Oversize) => return self.counters.oversize += 1,
            Err(MessageRefusal::OtherGroup) => return self.counters.other_group += 1,
        };
        let Envelope { sender, policy, message } = sealed.envelope;
        if sender == self.node() {
            return;
        }
        let chain = &self.knowledge.chain;
        let verified = |membership| {
            let key = chain.key_of(sender, membership)?;
            Some(turn.keys.verify(&key, &sealed.signed, sealed.signature))
        };
        match message {
            Message::Policies { to, policies } if to == self.node() => return self.take_policies(&policies, turn),
            Message::PolicyRequest { to, after } if to == self.node() => {
                if verified(Membership::Ever) == Some(true) {
                    self.give_policies(sender, after, turn);
                }
                return;
            }
            Message::Policies { .. } | Message::PolicyRequest { .. } => return,
            _ => {}
        }
        // Whoever it is: policies speak for themselves, and one that is missing may say who it is.
        if policy > chain.version() {
            return self.ask_for_policies(sender, turn);
        }
        match verified(Membership::Now) {
            Some(true) => {}
            Some(false) => return self.counters.signature += 1,
            None => return self.counters.foreign += 1,
        }
        if policy == chain.version() && self.is_member() {
            self.said(sender, message, turn);
        }
    }

    fn said(&mut self, sender: NodeId, message: Message, turn: &mut Turn<'_>) {
        let peer = self.peers.entry(sender).or_default();
        (peer.heard_ms, peer.is_present) = (turn.now.steady_ms, true);
        match message {
            Message::Hello(hello) => self.hear(sender, *hello, turn),
            Message::Delta(runs) => self.take_runs(sender, &runs, turn),
            Message::Pull(request) if request.to == self.node() => self.serve(sender, &request, turn),
            Message::Page(page) if page.to == self.node() => self.take_page(sender, *page, turn),
            _ => {}
        }
    }

    fn hear(&mut self, sender: NodeId, mut hello: Hello, turn: &mut Turn<'_>) {
        let Some(policy) = self.knowledge.chain.head() else { return };
        for vector in [&mut hello.known, &mut hello.seen, &mut hello.floor] {
            policy.cap(vector);
        }
        self.notice_rollback(&hello.known);
        let same = self.knowledge.known == hello.known;
        let differing = same.then(|| differing(&digests(&self.knowledge, turn.state), &hello.digests)).flatten();
        let peer = self.peers.entry(sender).or_default();
        // In the place of what it told before: its store may have been rolled back.
        (peer.known, peer.seen, peer.floor) = (hello.known, hello.seen, hello.floor);
        peer.differing = differing;
        let paused = self.knowledge.pull.as_ref().is_some_and(|pull| pull.peer == sender && pull.asked_ms == 0);
        if paused {
            if let Some(pull) = &mut self.knowledge.pull {
                pull.tries = 0;
            }
            self.ask(turn);
        }
        self.answer(sender, turn);
        self.look_after_pull(turn);
    }

    /// Others know events of this node that it does not know itself: its store was rolled back unnoticed.
    pub(super) fn notice_rollback(&mut self, known: &crate::vector::VersionVector) {
        let own = self.knowledge.origin;
        let of_this_node = known.dots().filter(|dot| dot.origin.node == own.node);
        let last = of_this_node.map(|dot| dot.origin.incarnation).max().unwrap_or(0);
        if last > own.incarnation || known.get(own) > self.knowledge.known.get(own) {
            self.knowledge.renew(last);
            self.counters.renewed += 1;
            self.dirty = true;
        }
    }

    /// Asks again for a page that does not come, gives up a peer that does not answer, and begins the next transfer.
    pub(super) fn look_after_pull(&mut self, turn: &mut Turn<'_>) {
        if !self.connected || !self.is_member() {
            return;
        }
        if let Some(pull) = &self.knowledge.pull {
            let (peer, waited_ms) = (pull.peer, turn.now.steady_ms.saturating_sub(pull.asked_ms));
            if waited_ms < self.config.page_timeout_ms {
                return;
            }
            if pull.tries < TRIES_MAX {
                return self.ask(turn);
            }
            self.give_up(peer, turn);
        }
        if let Some((peer, mode)) = self.next_pull(turn.now.steady_ms) {
            self.begin(peer, mode, turn);
        }
    }

    /// Ends the transfer, and does not ask this peer for a while.
    pub(super) fn give_up(&mut self, peer: NodeId, turn: &Turn<'_>) {
        self.knowledge.pull = None;
        self.dirty = true;
        let rest_ms = REST_HEARTBEATS * self.config.heartbeat_ms;
        self.peers.entry(peer).or_default().rest_until_ms = turn.now.steady_ms.saturating_add(rest_ms);
    }

    /// Whom to ask, and what for. Who may have missed a removal asks for the whole state before anything else.
    fn next_pull(&self, steady_ms: u64) -> Option<(NodeId, Mode)> {
        let known = &self.knowledge.known;
        let silent_ms = SILENT_HEARTBEATS * self.config.heartbeat_ms;
        let ready = || {
            self.peers.iter().filter(move |(_, peer)| {
                peer.is_present
                    && steady_ms >= peer.rest_until_ms
                    && steady_ms.saturating_sub(peer.heard_ms) <= silent_ms
            })
        };
        let whole = ready().find(|(_, peer)| !known.includes(&peer.floor)).map(|(node, _)| (*node, Mode::Whole));
        let since = || ready().find(|(_, peer)| !known.includes(&peer.known)).map(|(node, _)| (*node, Mode::Since));
        let repair = || ready().find(|(_, peer)| peer.differing.is_some()).map(|(node, _)| (*node, Mode::Repair));
        whole.or_else(since).or_else(repair)
    }

    pub(super) fn begin(&mut self, peer: NodeId, mode: Mode, turn: &mut Turn<'_>) {
        self.pulls_begun += 1;
        self.counters.pulls[mode as usize] += 1;
        self.knowledge.pull = Some(Pull {
            peer,
            number: turn.now.steady_ms.wrapping_shl(16) ^ self.pulls_begun ^ self.node().0.wrapping_shl(40),
            mode,
            since: self.knowledge.known.clone(),
            claim: None,
            after: None,
            window_left: 0,
            asked_ms: 0,
            tries: 0,
            dead: Vec::new(),
            turned_away: false,
        });
        self.ask(turn);
    }

    /// Asks for the next pages of the transfer.
    pub(super) fn ask(&mut self, turn: &Turn<'_>) {
        let pages = self.config.window_pages.max(1);
        let Some(pull) = &mut self.knowledge.pull else { return };
        pull.tries = pull.tries.saturating_add(1);
        pull.asked_ms = turn.now.steady_ms.max(1);
        pull.window_left = pages;
        let buckets = self.peers.get(&pull.peer).and_then(|peer| peer.differing.as_deref().copied());
        let request = PullRequest {
            to: pull.peer,
            number: pull.number,
            mode: pull.mode,
            since: pull.since.clone(),
            claim: pull.claim.clone(),
            after: pull.after.clone(),
            pages,
            buckets: buckets.unwrap_or([0; 32]),
        };
        self.dirty = true;
        self.send(request.to, Message::Pull(Box::new(request)), turn);
    }
}

fn differing(ours: &Digests, theirs: &Digests) -> Option<Box<Buckets>> {
    let mut buckets: Buckets = [0; 32];
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        if a != b
            && let Some(byte) = buckets.get_mut(index / 8)
        {
            *byte |= 1 << (index % 8);
        }
    }
    (buckets != [0; 32]).then(|| Box::new(buckets))
}
