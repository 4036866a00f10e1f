//! What happens to the nodes, and whether they agree in the end.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_twin_core::clock::NodeId;
use selvedge_twin_core::dot::{Dot, Origin};
use selvedge_twin_core::event::Body;
use selvedge_twin_core::field::Shown;
use selvedge_twin_core::keys::Keys as _;
use selvedge_twin_core::path::Path;
use selvedge_twin_core::place::{Key, Part, Section};
use selvedge_twin_core::policy::{Chain, Extent, Member, Pattern, Policy, Rule};
use selvedge_twin_core::sync::{Config, Counters, Input, Output, State as _, newcomer};
use selvedge_twin_core::vector::VersionVector;

use super::chance::Chance;
use super::keys::SumKeys;
use super::network::Network;
use super::node::Node;
use super::oracle::{Expected, Oracle};

const SIGNER: SumKeys = SumKeys(200);
const YEAR_MS: i64 = 365 * 24 * 3_600 * 1_000;
const THINGS: [&str; 3] = ["dev-0", "dev-1", "dev-2"];
const PATHS: [&str; 5] = ["/a", "/a/b", "/a/b/c", "/n", "/s"];
const ELEMENTS: [&str; 3] = ["1", "2", "\"x\""];

/// What happened in a run, to see that all that should happen does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub deeds: u64,
    pub crashes: u64,
    pub rollbacks: u64,
    pub expelled: u64,
    pub wrong_clocks: u64,
    pub held: u64,
    pub uncertain: u64,
    pub heal_ms: u64,
    pub counters: Counters,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.deeds += other.deeds;
        self.crashes += other.crashes;
        self.rollbacks += other.rollbacks;
        self.expelled += other.expelled;
        self.wrong_clocks += other.wrong_clocks;
        self.held += other.held;
        self.uncertain += other.uncertain;
        self.heal_ms = self.heal_ms.max(other.heal_ms);
        add_counters(&mut self.counters, &other.counters);
    }

    /// Whether everything happened that a simulation is for.
    pub fn is_broad(&self) -> bool {
        let c = &self.counters;
        let happened =
            [self.crashes, self.rollbacks, self.expelled, self.wrong_clocks, self.held, c.collected, c.capped];
        let refused = [c.gap, c.signature, c.malformed, c.turned_away, c.pulls[0], c.pulls[1], c.pulls[2], c.renewed];
        happened.iter().chain(&refused).all(|count| *count > 0)
    }
}

fn add_counters(sum: &mut Counters, more: &Counters) {
    sum.joined += more.joined;
    sum.given += more.given;
    sum.malformed += more.malformed;
    sum.foreign += more.foreign;
    sum.signature += more.signature;
    sum.authority += more.authority;
    sum.gap += more.gap;
    sum.unfit += more.unfit;
    sum.turned_away += more.turned_away;
    sum.collected += more.collected;
    sum.capped += more.capped;
    sum.renewed += more.renewed;
    for (sum, more) in sum.pulls.iter_mut().zip(more.pulls) {
        *sum += more;
    }
}

struct World {
    chance: Chance,
    now_ms: u64,
    nodes: Vec<Node>,
    network: Network,
    oracle: Oracle,
    tally: Tally,
    /// The chain as the person has it who signs it.
    chain: Chain,
    may_expel: bool,
}

/// Runs one seed. What is wrong in the end, if anything is.
pub fn run(seed: u64) -> Result<Tally, String> {
    let mut world = World::new(seed);
    let steps = world.chance.between(100, 500);
    for _ in 0..steps {
        world.step();
    }
    let (rollbacks, expelled) = (world.tally.rollbacks, world.tally.expelled);
    world.heal().map_err(|what| format!("({rollbacks} rollbacks, {expelled} expelled) {what}"))?;
    for node in &world.nodes {
        for counters in node.counters.iter().chain([&node.sync.counters()]) {
            add_counters(&mut world.tally.counters, counters);
        }
    }
    world.tally.uncertain = world.oracle.uncertain.len() as u64;
    Ok(world.tally)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let count = chance.between(2, 5);
        let config = Config {
            heartbeat_ms: 1_000,
            lease_ms: chance.pick(&[3_000, 10_000, 1_000_000]),
            page_timeout_ms: 700,
            page_bytes: chance.pick(&[150, 400, 60_000]),
            window_pages: chance.pick(&[1, 2, 4]),
            held_max: chance.pick(&[2, 1_000]),
            tombstones_max: chance.pick(&[0, 3, 1_000]),
            collect_every_ms: chance.pick(&[200, 2_000]),
            cells_max: chance.pick(&[2, 5, 4_096]),
        };
        let members: BTreeMap<NodeId, Member> = (0..count)
            .map(|node| (NodeId(node), Member { key: SumKeys(node as u8).public(), first_incarnation: 0 }))
            .collect();
        let mut chain = Chain::new(SIGNER.public());
        extend(&mut chain, members, BTreeMap::new());
        let first: Vec<Vec<u8>> = chain.signed_after(Default::default()).map(<[u8]>::to_vec).collect();
        let nodes: Vec<Node> = (0..count)
            .map(|node| {
                let mut own = Chain::new(SIGNER.public());
                own.adopt(&first[0], &SIGNER).unwrap();
                Node::new(newcomer(NodeId(node), own), config)
            })
            .collect();
        let network = Network {
            island: vec![0; count as usize],
            loss_percent: chance.pick(&[0, 5, 30]),
            twice_percent: chance.pick(&[0, 20]),
            late_ms: chance.pick(&[5, 300]),
            damage_percent: chance.pick(&[0, 3]),
            ..Network::default()
        };
        let may_expel = chance.percent(30);
        let (oracle, tally) = (Oracle::default(), Tally::default());
        Self { chance, now_ms: 0, nodes, network, oracle, tally, chain, may_expel }
    }

    fn step(&mut self) {
        let ms = self.chance.pick(&[50, 100, 200, 400]);
        self.pass(ms);
        let index = self.chance.below(self.nodes.len() as u64) as usize;
        match self.chance.below(100) {
            0..58 => self.deed(index),
            58..70 => self.sync_disk(index),
            70..78 => self.switch_line(index),
            78..84 => self.divide(),
            84..87 => self.network.island = vec![0; self.nodes.len()],
            87..90 => self.crash(index),
            90..93 => self.set_clock(index),
            93..95 => self.nodes[index].backup = Some(self.nodes[index].disk.clone()),
            95..96 => self.restore(index),
            96..97 => self.pass(15_000),
            97..98 if self.may_expel => self.change_members(index),
            _ => self.start(index),
        }
    }

    fn divide(&mut self) {
        for island in &mut self.network.island {
            *island = self.chance.below(2);
        }
    }

    /// Lets time pass: messages arrive, nodes tick.
    fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.now_ms = (self.now_ms + 100).min(end_ms);
            for flying in self.network.arrived(self.now_ms) {
                let node = &mut self.nodes[flying.to.0 as usize];
                if node.is_up && node.is_online {
                    node.handle(Input::Received(&flying.bytes), self.now_ms);
                    if self.chance.percent(60) {
                        self.sync_disk(flying.to.0 as usize);
                    }
                }
            }
            for index in 0..self.nodes.len() {
                if self.nodes[index].is_up {
                    self.nodes[index].handle(Input::Tick, self.now_ms);
                    self.tally.held = self.tally.held.max(self.nodes[index].sync.knowledge().held.len() as u64);
                    if self.chance.percent(30) {
                        self.sync_disk(index);
                    }
                }
            }
        }
    }

    fn sync_disk(&mut self, index: usize) {
        if !self.nodes[index].is_up {
            return;
        }
        let from = self.nodes[index].id;
        let is_online = self.nodes[index].is_online;
        for output in self.nodes[index].fsync() {
            let (to, bytes): (Vec<NodeId>, _) = match output {
                Output::Broadcast(bytes) => {
                    (self.nodes.iter().map(|node| node.id).filter(|id| *id != from).collect(), bytes)
                }
                // Whoever is named in a damaged message may not exist.
                Output::Send(to, bytes) => {
                    (self.nodes.iter().map(|node| node.id).filter(|id| *id == to).collect(), bytes)
                }
            };
            for to in to.into_iter().filter(|_| is_online) {
                self.network.send(self.now_ms, from, to, &bytes, &mut self.chance);
            }
        }
    }

    fn switch_line(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.is_up {
            node.is_online = !node.is_online;
            let input = if node.is_online { Input::Connected } else { Input::Disconnected };
            node.handle(input, self.now_ms);
        }
    }

    fn crash(&mut self, index: usize) {
        if !self.nodes[index].is_up {
            return;
        }
        self.tally.crashes += 1;
        self.nodes[index].crash();
        let (origin, durable) = {
            let knowledge = &self.nodes[index].disk.knowledge;
            (self.nodes[index].sync.knowledge().origin, knowledge.known.clone())
        };
        let is_own = |dot: Dot| dot.origin.node == origin.node && dot.origin.incarnation >= origin.incarnation;
        self.oracle.retain(|dot| !is_own(dot) || durable.covers(dot));
    }

    fn start(&mut self, index: usize) {
        if !self.nodes[index].is_up {
            self.nodes[index].start();
        }
    }

    /// The disk becomes what it was at the time of a backup. Whoever does that says so to the node.
    fn restore(&mut self, index: usize) {
        let Some(backup) = self.nodes[index].backup.clone() else { return };
        self.tally.rollbacks += 1;
        for other in 0..self.nodes.len() {
            self.sync_disk(other);
        }
        if self.nodes[index].is_up {
            self.nodes[index].crash();
        }
        let id = self.nodes[index].id;
        let last = self.nodes[index].sync.knowledge().origin.incarnation;
        self.nodes[index].disk = backup;
        self.nodes[index].disk.knowledge.renew(last);
        self.network.forget_from(id);
        self.declare_void();
        self.oracle.retain(|dot| self.nodes.iter().any(|node| node.disk.has(dot)));
        self.doubt();
        self.start(index);
    }

    fn set_clock(&mut self, index: usize) {
        self.tally.wrong_clocks += 1;
        let minute = 60_000;
        let skew =
            [0, 0, 2 * minute, -2 * minute, 30 * minute, -30 * minute, YEAR_MS, -YEAR_MS, 5 * YEAR_MS, -60 * YEAR_MS];
        self.nodes[index].skew_ms = self.chance.pick(&skew);
    }

    fn deed(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if !node.is_up {
            return;
        }
        let section = self.chance.pick(&Section::ALL);
        let thing = match section {
            Section::Desired => self.chance.pick(&THINGS),
            Section::Reported if index < THINGS.len() => THINGS[index],
            Section::Reported => return,
        };
        if !node.sync.knowledge().chain.may_write(node.id, section, thing) {
            return;
        }
        self.tally.deeds += 1;
        let path = Path::parse(self.chance.pick(&PATHS)).unwrap();
        let before = node.memory.document_mut(thing, section).clone();
        let wall_ms = node.wall_ms(self.now_ms);
        let mut pen = node.sync.pen(&mut node.clock, wall_ms);
        let first = pen.next_seq;
        let document = node.memory.document_mut(thing, section);
        let amount = self.chance.between(0, 20) as i64 - 5;
        let element: Box<str> = self.chance.pick(&ELEMENTS).into();
        match self.chance.below(20) {
            0..6 => document.write(&path, Body::Json(self.chance.below(9).to_string().into()), &mut pen),
            6 => document.write(&path, Body::Object, &mut pen),
            7..10 => drop(document.remove(&path, &mut pen)),
            10 => drop(document.remove_within(None, &mut pen)),
            11..14 => document.count(&path, amount, &mut pen).unwrap(),
            14..16 => document.add(&path, &Part::Latest(element), &mut pen),
            16 => drop(document.remove_part(&path, &Part::Latest(element), &mut pen)),
            17..19 => document.add(&path, &Part::AddWins(element), &mut pen),
            _ => drop(document.remove_part(&path, &Part::AddWins(element), &mut pen)),
        }
        let mut events = Vec::new();
        for (path, part, cell) in document.cells() {
            let new = cell.siblings().iter().filter(|event| event.dot.origin == pen.origin && event.dot.seq >= first);
            for event in new {
                let key = Key { thing: thing.into(), section, path: path.clone(), part: part.clone() };
                events.push((key, event.clone()));
            }
        }
        events.sort_by_key(|(_, event)| event.dot);
        assert_eq!(pen.next_seq - first, events.len() as u64, "every number belongs to an event");
        for (key, event) in &events {
            let empty = Default::default();
            let cell = before.cell(&key.path, &key.part).unwrap_or(&empty);
            self.oracle.note(key, event, cell, amount);
        }
        if !events.is_empty() {
            node.written(&events, self.now_ms);
        }
    }

    /// A person expels a member, or takes one back in.
    fn change_members(&mut self, index: usize) {
        let Some(policy) = self.chain.head().cloned() else { return };
        let victim = NodeId(self.chance.below(self.nodes.len() as u64));
        let (mut members, mut cutoffs) = (policy.members, policy.cutoffs);
        let incarnations =
            0..=self.nodes.iter().map(|node| node.sync.knowledge().origin.incarnation).max().unwrap_or(1) + 1;
        if members.remove(&victim).is_some() {
            if members.len() < 2 || self.nodes[index].id == victim || !members.contains_key(&self.nodes[index].id) {
                return;
            }
            self.tally.expelled += 1;
            let known = self.nodes[index].sync.knowledge().known.clone();
            for incarnation in incarnations {
                let origin = Origin { node: victim, incarnation };
                cutoffs.entry(origin).or_insert(known.get(origin));
            }
        } else {
            let first_incarnation = incarnations.end() + 1;
            members.insert(victim, Member { key: SumKeys(victim.0 as u8).public(), first_incarnation });
        }
        // What counts is what that node has, so it must not lose it.
        self.sync_disk(index);
        extend(&mut self.chain, members, cutoffs);
        self.bring_policies(index);
    }

    /// Tells the oracle what only expelled nodes have: it may come back with them, or not.
    fn doubt(&mut self) {
        let Some(policy) = self.chain.head() else { return };
        let members = self.nodes.iter().filter(|node| policy.members.contains_key(&node.id));
        let members: Vec<&Node> = members.collect();
        self.oracle.doubt(|dot| members.iter().any(|node| node.disk.has(dot)));
    }

    /// Tells the oracle what does not count by the last policy.
    fn declare_void(&mut self) {
        let Some(policy) = self.chain.head() else { return };
        self.oracle.declare_void(|dot| match policy.extent(dot.origin) {
            Extent::All => false,
            Extent::Through(through) => dot.seq > through,
        });
    }

    fn bring_policies(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if !node.is_up {
            return;
        }
        let after = node.sync.knowledge().chain.version();
        let missing: Vec<Vec<u8>> = self.chain.signed_after(after).map(<[u8]>::to_vec).collect();
        for policy in missing {
            assert!(node.adopt(&policy, self.now_ms), "a policy of the chain is taken");
        }
    }

    /// Everything works from now on, and all clocks are right. The members must come to agree.
    fn heal(&mut self) -> Result<(), String> {
        self.network.island = vec![0; self.nodes.len()];
        (self.network.loss_percent, self.network.damage_percent) = (0, 0);
        self.network.late_ms = 5;
        let latest_ms = self.nodes.iter().map(|node| node.clock.last().ms().saturating_sub(node.wall_ms(0))).max();
        // Until the far future of the wrong clocks is the past.
        let jump_ms = latest_ms.unwrap_or(0).max(6 * YEAR_MS as u64);
        for node in &mut self.nodes {
            node.skew_ms = 2 * jump_ms as i64;
            node.start_if_down();
        }
        for index in 0..self.nodes.len() {
            if !self.nodes[index].is_online {
                self.switch_line(index);
            }
            // Whoever wrote under a policy that others replaced hears it from the person at last.
            self.bring_policies(index);
        }
        for index in 0..self.nodes.len() {
            self.sync_disk(index);
        }
        self.declare_void();
        self.doubt();
        let began_ms = self.now_ms;
        let mut wrong = String::new();
        for _ in 0..400 {
            self.pass(1_000);
            match self.judge() {
                Ok(()) => {
                    self.tally.heal_ms = self.now_ms - began_ms;
                    return Ok(());
                }
                Err(what) => wrong = what,
            }
        }
        Err(wrong)
    }

    /// Whether all members have and show the same, and what the list says.
    fn judge(&self) -> Result<(), String> {
        let members = self.chain.head().map(|policy| policy.members.keys().copied().collect::<BTreeSet<_>>());
        let members = members.unwrap_or_default();
        let nodes: Vec<&Node> = self.nodes.iter().filter(|node| members.contains(&node.id)).collect();
        let [first, rest @ ..] = &nodes[..] else { return Ok(()) };
        for node in rest {
            let (a, b) = (first.memory.shown(), node.memory.shown());
            if a != b {
                let differs = a
                    .iter()
                    .find(|(at, text)| b.get(at) != Some(text))
                    .or(b.iter().find(|(at, _)| !a.contains_key(at)));
                return Err(format!(
                    "nodes {} and {} show different things: {:?} and {:?}",
                    first.id.0,
                    node.id.0,
                    differs,
                    differs.map(|(at, _)| b.get(at))
                ));
            }
            let (a, b): (&VersionVector, &VersionVector) =
                (&first.sync.knowledge().known, &node.sync.knowledge().known);
            if a != b || first.memory.digests() != node.memory.digests() {
                return Err(format!("nodes {} and {} have different things: {a:?} and {b:?}", first.id.0, node.id.0));
            }
        }
        self.compare_with_oracle(first)
    }

    fn compare_with_oracle(&self, node: &Node) -> Result<(), String> {
        let mut expected = self.oracle.expected();
        for thing in THINGS {
            for section in Section::ALL {
                let Some(document) = node.memory.document(thing, section) else { continue };
                for (path, field) in document.fields() {
                    let at = (thing.into(), section, path.clone());
                    let wanted = expected.remove(&at);
                    if self.oracle.uncertain.contains(&at) {
                        continue;
                    }
                    let shown = field.sight().map(|sight| simple(&sight.shown));
                    if shown != wanted {
                        return Err(format!(
                            "{thing} {section:?} {path} is {shown:?} and should be {wanted:?}: {field:?}"
                        ));
                    }
                }
            }
        }
        expected.retain(|at, _| !self.oracle.uncertain.contains(at));
        if expected.is_empty() { Ok(()) } else { Err(format!("missing: {expected:?}")) }
    }
}

impl Node {
    fn start_if_down(&mut self) {
        if !self.is_up {
            self.start();
        }
    }
}

fn simple(shown: &Shown<'_>) -> Expected {
    match shown {
        Shown::Json(text) => Expected::Json((*text).to_owned()),
        Shown::Object => Expected::Object,
        Shown::Set(elements) => Expected::Set(elements.iter().map(|element| (*element).to_owned()).collect()),
        Shown::Count(count) => Expected::Count(*count),
    }
}

/// Signs the next policy: all write the desired of all things, node N the reported of `dev-N`.
fn extend(chain: &mut Chain, members: BTreeMap<NodeId, Member>, cutoffs: BTreeMap<Origin, u64>) {
    let everything = Rule { section: Section::Desired, things: Pattern::parse("*").unwrap(), writers: Vec::new() };
    let own = |(index, thing): (usize, &&str)| Rule {
        section: Section::Reported,
        things: Pattern::parse(thing).unwrap(),
        writers: vec![NodeId(index as u64)],
    };
    let rules = std::iter::once(everything).chain(THINGS.iter().enumerate().map(own)).collect();
    let (version, previous) = (chain.version().0 + 1, chain.last_hash());
    let policy = Policy { version, previous, next_signer: SIGNER.public(), members, cutoffs, rules };
    let bytes = policy.to_bytes(chain.group());
    let signed = [&bytes[..], &SIGNER.sign(&bytes)].concat();
    chain.adopt(&signed, &SIGNER).unwrap();
}
