//! Twins as nodes exchange them: every event signed by its node, every message signed by its sender, the receiver checking
//! both signatures, membership, authority, order and clocks. Neither automerge nor yrs has a part that does that.

use std::collections::BTreeMap;

use selvedge_twin_core::clock::Clock;
use selvedge_twin_core::keys::{Ed25519, Keys};
use selvedge_twin_core::memory::Memory;
use selvedge_twin_core::place::Section;
use selvedge_twin_core::policy::{Chain, Member, Pattern, Policy, Rule};
use selvedge_twin_core::sync::{self, Config, Input, Now, Output, State, Sync, Turn};

use crate::contender::{Contender, Write};
use crate::core::{self, THING, Wanted};

const SIGNER: [u8; 32] = [9; 32];
const MEMBERS: u8 = 4;
const SIGNATURE: [u8; 64] = [0; 64];

/// A node of a group of four.
pub struct Exchange {
    sync: Sync,
    clock: Clock,
    memory: Memory,
    keys: Ed25519,
}

impl Exchange {
    fn handle(&mut self, input: Input<'_>) -> Vec<Output> {
        let now = Now { steady_ms: 1, wall_ms: core::wall_ms() };
        let (clock, state, keys) = (&mut self.clock, &mut self.memory as &mut dyn State, &self.keys as &dyn Keys);
        self.sync.handle(input, Turn { now, clock, state, keys })
    }
}

fn keys(number: u8) -> Ed25519 {
    Ed25519::from_secret(&[number + 1; 32])
}

fn chain() -> Chain {
    let signer = Ed25519::from_secret(&SIGNER);
    let mut chain = Chain::new(signer.public());
    let member = |number| (core::node(number), Member { key: keys(number).public(), first_incarnation: 0 });
    let policy = Policy {
        version: 1,
        previous: chain.last_hash(),
        next_signer: signer.public(),
        members: (0..MEMBERS).map(member).collect(),
        cutoffs: BTreeMap::new(),
        rules: vec![Rule {
            section: Section::Reported,
            things: Pattern::parse("*").expect("a pattern"),
            writers: Vec::new(),
        }],
    };
    let mut signed = policy.to_bytes(chain.group());
    let signature = signer.sign(&signed);
    signed.extend_from_slice(&signature);
    chain.adopt(&signed, &signer).expect("the first policy");
    chain
}

impl Contender for Exchange {
    const NAME: &'static str = "twins, signed and checked";

    fn new(number: u8) -> Self {
        let node = core::node(number);
        let sync = Sync::new(sync::newcomer(node, chain()), Config::default());
        let mut new = Self { sync, clock: core::clock(node), memory: Memory::default(), keys: keys(number) };
        // What it tells of itself is of no interest here.
        let _ = new.handle(Input::Connected);
        new
    }

    fn write(&mut self, writes: &[Write<'_>]) {
        // A node that is on its own signs nothing.
        let _ = self.handle(Input::Disconnected);
        self.write_and_tell(writes);
    }

    fn write_and_tell(&mut self, writes: &[Write<'_>]) -> Vec<Vec<u8>> {
        let mut pen = self.sync.pen(&mut self.clock, core::wall_ms());
        let document = self.memory.document_mut(THING, Section::Reported);
        let events = core::write(document, writes, &mut pen, Wanted::Events);
        let messages = self.handle(Input::Written(&events)).into_iter().map(|output| match output {
            Output::Broadcast(message) => message,
            Output::Send(..) => panic!("nobody asked"),
        });
        messages.collect()
    }

    fn merge(&mut self, message: &[u8]) {
        let _ = self.handle(Input::Received(message));
    }

    fn save(&mut self) -> Vec<u8> {
        core::save(self.memory.document(THING, Section::Reported).expect("a document"), &SIGNATURE)
    }

    fn read(&self) -> BTreeMap<String, i64> {
        core::read(self.memory.document(THING, Section::Reported).expect("a document"))
    }
}
