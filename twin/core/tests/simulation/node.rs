//! A node: what it has in memory, what lies on its disk, what it may send once that is durable.

use selvedge_twin_core::cell::Cell;
use selvedge_twin_core::clock::{BUILD_FLOOR_MS, Clock, HybridTime, NodeId};
use selvedge_twin_core::dot::Dot;
use selvedge_twin_core::event::Event;
use selvedge_twin_core::memory::Memory;
use selvedge_twin_core::place::Key;
use selvedge_twin_core::sync::{Config, Input, Knowledge, Now, Output, State as _, Sync, Turn};

use super::keys::SumKeys;

/// How far ahead a stamp may be that is not held, in milliseconds.
const AHEAD_MAX_MS: u64 = 300_000;

#[derive(Debug, Clone)]
pub struct Disk {
    pub memory: Memory,
    pub knowledge: Knowledge,
    pub time: HybridTime,
}

impl Disk {
    /// Whether an event is here, or what took its place.
    pub fn has(&self, dot: Dot) -> bool {
        let is_here = |cell: &Cell| cell.siblings().iter().any(|event| event.dot == dot);
        self.knowledge.known.covers(dot)
            || self.knowledge.held.keys().any(|(_, held)| *held == dot)
            || self.memory.cells().any(|(_, cell)| is_here(cell))
    }
}

pub struct Node {
    pub id: NodeId,
    pub sync: Sync,
    pub memory: Memory,
    pub clock: Clock,
    pub keys: SumKeys,
    pub disk: Disk,
    pub backup: Option<Disk>,
    pub is_up: bool,
    pub is_online: bool,
    /// What the wall clock is wrong by.
    pub skew_ms: i64,
    config: Config,
    waiting: Vec<Output>,
    /// Of earlier lives of the process.
    pub counters: Vec<selvedge_twin_core::sync::Counters>,
}

impl Node {
    pub fn new(knowledge: Knowledge, config: Config) -> Self {
        let id = knowledge.origin.node;
        let disk = Disk { memory: Memory::default(), knowledge: knowledge.clone(), time: HybridTime::default() };
        Self {
            id,
            sync: Sync::new(knowledge, config),
            memory: Memory::default(),
            clock: Clock::new(id, HybridTime::default(), BUILD_FLOOR_MS, AHEAD_MAX_MS),
            keys: SumKeys(id.0 as u8),
            disk,
            backup: None,
            is_up: true,
            is_online: false,
            skew_ms: 0,
            config,
            waiting: Vec::new(),
            counters: Vec::new(),
        }
    }

    pub fn wall_ms(&self, now_ms: u64) -> u64 {
        (BUILD_FLOOR_MS + 1_000_000 + now_ms).saturating_add_signed(self.skew_ms)
    }

    pub fn handle(&mut self, input: Input<'_>, now_ms: u64) {
        let now = Now { steady_ms: now_ms, wall_ms: self.wall_ms(now_ms) };
        let turn = Turn { now, clock: &mut self.clock, state: &mut self.memory, keys: &self.keys };
        let outputs = self.sync.handle(input, turn);
        self.waiting.extend(outputs);
    }

    pub fn adopt(&mut self, signed: &[u8], now_ms: u64) -> bool {
        let now = Now { steady_ms: now_ms, wall_ms: self.wall_ms(now_ms) };
        let turn = Turn { now, clock: &mut self.clock, state: &mut self.memory, keys: &self.keys };
        match self.sync.adopt(signed, turn) {
            Ok(outputs) => {
                self.waiting.extend(outputs);
                true
            }
            Err(_) => false,
        }
    }

    pub fn written(&mut self, events: &[(Key, Event)], now_ms: u64) {
        self.handle(Input::Written(events), now_ms);
    }

    /// Makes everything durable, and gives what may be sent now.
    pub fn fsync(&mut self) -> Vec<Output> {
        // What was saved must be what there is.
        if let Some(saved) = self.memory.saved() {
            assert_eq!(saved, self.sync.knowledge(), "something changed and was not saved");
        }
        self.disk =
            Disk { memory: self.memory.clone(), knowledge: self.sync.knowledge().clone(), time: self.clock.last() };
        std::mem::take(&mut self.waiting)
    }

    /// Loses what is not durable, and what was to be sent after it.
    pub fn crash(&mut self) {
        self.is_up = false;
        self.is_online = false;
        self.waiting.clear();
        self.counters.push(self.sync.counters());
    }

    pub fn start(&mut self) {
        self.memory = self.disk.memory.clone();
        self.sync = Sync::new(self.disk.knowledge.clone(), self.config);
        self.memory.save(self.sync.knowledge());
        self.clock = Clock::new(self.id, self.disk.time, BUILD_FLOOR_MS, AHEAD_MAX_MS);
        self.is_up = true;
    }
}
