//! One run: lives of a store on one disk, each with a random workload and an end that chance picks, and after each
//! reopening a comparison with the model.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::disk::{Lie, SimulatedDisk};
use super::engine::MemoryEngine;
use super::model::{Model, ModelEntry, ReplayedEntry};
use super::owner::{self, Owner};
use super::random::Random;
use crate::batch::{Batch, Space};
use crate::checkpoint::{Checkpoint, Where};
use crate::config::Config;
use crate::disk::Disk;
use crate::entry::{Commit, Entry, Urgency};
use crate::health::CommitError;
use crate::intake::Rest;
use crate::load::Loader;
use crate::open::rebuild;
use crate::recovery;
use crate::shared::{Shared, journal_dir};
use crate::state::{State, StateEngine};
use crate::writer::Writer;

const DIR: &str = "/simulated";
/// Rounds that a store may need until it has nothing to do any more.
const ROUNDS_MAX: usize = 20_000;

/// What the threads of a real store would have been told.
type Answers = Arc<Mutex<Vec<(u64, Result<(), CommitError>)>>>;

/// How likely what is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Lives after the first.
    pub(super) lives: u64,
    /// Most steps in one life.
    pub(super) steps: u64,
    /// Ends may be cuts of the power.
    pub(super) cuts: bool,
    /// The disk may be full for a while.
    pub(super) full_disks: bool,
}

/// How often something happened that a run should come across.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) segments_cleaned: u64,
    pub(super) messages_moved: u64,
    pub(super) lazy_syncs: u64,
    pub(super) torn_tails: u64,
    pub(super) times_full: u64,
    pub(super) rebuilds: u64,
    pub(super) times_behind: u64,
}

pub(super) struct World {
    pub(super) disk: SimulatedDisk,
    engine: MemoryEngine,
    config: Config,
    random: Random,
    now: Duration,
    model: Model,
    /// The state was lost and is not made again yet.
    rebuilding: bool,
    seen: Seen,
    life: Option<Life>,
}

struct Life {
    shared: Arc<Shared>,
    writer: Writer,
    answers: Answers,
    image_wanted: Arc<AtomicBool>,
    /// Parts of an image that are not appended yet, and the sequence number of its first.
    image: Option<(Option<u64>, Vec<Vec<u8>>)>,
    appended: usize,
    /// Something was made to fail, so that answers may be errors.
    failing: bool,
}

fn config(segment_bytes: u64) -> Config {
    Config {
        segment_bytes,
        slack_bytes: 8_192,
        checkpoint_bytes: 4_096,
        lazy_sync_ms: 40,
        ballast_bytes: 0,
        free_bytes_min: 0,
        ..Config::default()
    }
}

impl World {
    pub(super) fn new(seed: u64, lie: Lie) -> Self {
        Self {
            disk: SimulatedDisk::new(lie),
            engine: MemoryEngine::new(),
            config: config(if seed % 4 == 3 { 20_000 } else { 4_096 }),
            random: Random::new(seed),
            now: Duration::ZERO,
            model: Model::new(),
            rebuilding: false,
            seen: Seen::default(),
            life: None,
        }
    }

    /// Lives one after the other.
    pub(super) fn run(&mut self, plan: &Plan) -> Result<(), String> {
        for _ in 0..=plan.lives {
            if plan.cuts && self.random.chance(50) {
                let operations = self.disk.operations() + 1 + self.random.below(4 * plan.steps);
                self.disk.cut_after(Some(operations));
            }
            match self.open() {
                Ok(()) => {
                    let steps = self.random.below(plan.steps);
                    self.live(steps, plan)?;
                }
                Err(_) if self.disk.is_off() => {}
                Err(error) => return Err(error),
            }
            self.end(plan)?;
        }
        self.disk.cut_after(None);
        self.open()?;
        self.settle()
    }

    /// One life that ends by itself; for runs in which one operation fails.
    pub(super) fn run_with_fault(&mut self, plan: &Plan) -> Result<(), String> {
        if self.open().is_ok()
            && let Some(life) = &mut self.life
        {
            life.failing = true;
            self.live(plan.steps, plan)?;
        }
        if let Some(life) = self.life.take() {
            self.acknowledge(&life.answers, true)?;
        }
        self.disk.set_fault(None);
        self.engine.end(&mut self.random);
        if self.random.chance(50) {
            self.disk.lose_power(&mut self.random);
        }
        self.open()?;
        self.settle()
    }

    pub(super) fn digest(&self) -> u32 {
        self.disk.digest()
    }

    /// What happened in all lives so far.
    pub(super) fn seen(&self) -> Seen {
        self.seen
    }

    /// Opens the store and compares everything that came back.
    fn open(&mut self) -> Result<(), String> {
        let dir = Path::new(DIR);
        let journal = journal_dir(dir);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let oldest = recovery::oldest_state_sequence(&journal, &*disk).map_err(|error| error.to_string())?;
        // A rebuild that was cut off begins anew.
        self.rebuilding |= self.random.chance(20);
        if self.rebuilding {
            self.engine.lose_everything();
        } else if oldest.is_some_and(|oldest| self.engine.sequence() < oldest) {
            return Err("the state is older than the journal allows".to_owned());
        }
        let mut replayed: Vec<ReplayedEntry> = Vec::new();
        let recovered = rebuild::replay(dir, &self.config, &disk, &self.engine, &mut |entry| {
            let (records, messages) = (entry.records.to_vec(), entry.messages.to_vec());
            replayed.push((entry.sequence, entry.wall_ms, records, entry.first_message, messages));
        });
        let (front, report) = recovered.map_err(|error| error.to_string())?;
        self.engine.sync().map_err(|failure| failure.to_string())?;
        self.seen.rebuilds += u64::from(std::mem::take(&mut self.rebuilding));
        self.seen.torn_tails += u64::from(report.dropped.is_some());
        let last = front.last_sequence();
        let first = front.segments.oldest().map_or(1, |segment| segment.first_sequence);
        if report.dropped.as_ref().is_some_and(|dropped| dropped.damage) {
            return Err(format!("a power cut was taken for damage: {:?}", report.dropped));
        }
        self.model.check_replay(first, last, &replayed)?;
        self.model.forget_after(last)?;
        let owner = Owner::after(!self.model.has_records_before(first), &replayed)?;
        if owner.holds() != Some(&self.model.holds) {
            return Err(format!("the owner knows {:?} and should know {:?}", owner.holds(), self.model.holds));
        }
        if self.engine.map() != self.model.state(last) {
            return Err("the state is not what was committed".to_owned());
        }
        if front.next_message < self.model.next_message {
            return Err(format!("message numbers go back to {}", front.next_message));
        }
        let engine = self.engine.clone();
        let state = State::new(Box::new(engine.clone()), Box::new(move || engine.reopen()));
        let shared = Arc::new(Shared::new(dir, self.config.clone(), disk, front, state, None));
        let writer = Writer::new(shared.clone(), Checkpoint::new(Where::Here, self.engine.sequence()));
        self.life = Some(Life::new(shared, writer));
        self.adopt()
    }

    fn adopt(&mut self) -> Result<(), String> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let mut holds = self.model.holds.iter().map(|(number, count)| (*number, *count));
        life.shared.intake.with(|front| front.adopt(&mut holds));
        let held: Vec<u64> = self.model.holds.keys().copied().collect();
        if life.shared.intake.with(|front| front.index.live()) != held.len() {
            let missing: Vec<u64> = life
                .shared
                .intake
                .with(|front| held.iter().copied().filter(|number| front.index.position(*number).is_none()).collect());
            return Err(format!("the index has other messages than those that are held; it misses {missing:?}"));
        }
        self.check_loads(held.into_iter())
    }

    fn live(&mut self, steps: u64, plan: &Plan) -> Result<(), String> {
        for _ in 0..steps {
            if self.disk.is_off() {
                break;
            }
            match self.random.below(100) {
                0..40 => self.append(),
                40..80 => {
                    self.round();
                }
                80..88 => self.load_one()?,
                88..92 => self.append_image_part(),
                92..94 => self.begin_image(),
                94..96 if plan.full_disks => {
                    let room = self.random.below(6_000);
                    self.disk.leave_room_for(self.random.chance(40).then_some(room));
                }
                96..98 if plan.full_disks => self.engine.set_full(self.random.chance(40)),
                _ => self.release_many(),
            }
        }
        Ok(())
    }

    /// Ends the life as chance wants it.
    fn end(&mut self, plan: &Plan) -> Result<(), String> {
        self.disk.leave_room_for(None);
        self.engine.set_full(false);
        let kind = self.random.below(3);
        if self.life.is_some() && !self.disk.is_off() && kind == 0 {
            self.settle()?;
        }
        if let Some(life) = self.life.take() {
            let cut = self.disk.is_off();
            let metrics = life.shared.counters.snapshot();
            self.seen.segments_cleaned += metrics.segments_cleaned;
            self.seen.messages_moved += metrics.messages_moved;
            self.seen.lazy_syncs += metrics.lazy_syncs;
            self.acknowledge(&life.answers, cut)?;
        }
        self.engine.end(&mut self.random);
        // Otherwise the process is killed, and the cache of the disk survives.
        if self.disk.is_off() || plan.cuts && kind == 1 {
            self.disk.lose_power(&mut self.random);
        }
        self.disk.cut_after(None);
        Ok(())
    }

    /// Lets the store do all that it has to do, and looks at what must be true then.
    fn settle(&mut self) -> Result<(), String> {
        self.disk.leave_room_for(None);
        self.engine.set_full(false);
        let mut rounds = 0;
        loop {
            let rest = self.round();
            let Some(life) = &mut self.life else { return Ok(()) };
            life.write_image(&mut self.model);
            if rest == Rest::UntilWork && life.shared.intake.with(|front| front.waiting().is_empty()) {
                break;
            }
            rounds += 1;
            if rounds > ROUNDS_MAX {
                return Err("the store never comes to rest".to_owned());
            }
        }
        self.check_state()?;
        let Some(life) = &self.life else { return Ok(()) };
        if life.shared.poison.cause().is_none() && !life.failing && !self.disk.is_off() {
            let usage = life
                .shared
                .intake
                .with(|front| (front.segments.bytes(), crate::cleaning::live_bytes(front, self.engine.live_bytes())));
            let limit = 2 * (usage.1 + self.config.slack_bytes) + self.config.segment_bytes;
            if usage.0 > limit {
                return Err(format!("the journal has {} bytes at rest, {} of them live", usage.0, usage.1));
            }
        }
        let (answers, failing, appended) = (life.answers.clone(), life.failing, life.appended);
        let failing = failing || self.disk.is_off();
        self.acknowledge(&answers, failing)?;
        if !failing && answers.lock().len() != appended {
            return Err(format!("{} of {appended} entries were answered", answers.lock().len()));
        }
        self.check_loads(self.model.holds.keys().copied().collect::<Vec<_>>().into_iter())
    }

    /// Reads everything as a reader would.
    fn check_state(&self) -> Result<(), String> {
        let Some(life) = &self.life else { return Ok(()) };
        if life.failing || self.disk.is_off() {
            return Ok(());
        }
        let mut found = BTreeMap::new();
        let mut start = Bound::Unbounded;
        while let Some(key) = life.shared.state.next_key(start.as_ref().map(Vec::as_slice))? {
            let value = life.shared.state.read(&key).map_err(|error| format!("{error:?}"))?;
            found.insert(key.clone(), value.ok_or("a key without a value")?);
            start = Bound::Excluded(key);
        }
        if found == self.model.state(u64::MAX) { Ok(()) } else { Err("readers see another state".to_owned()) }
    }

    /// Takes over what was answered: in order, each once, and without an error unless one was made.
    fn acknowledge(&mut self, answers: &Answers, errors: bool) -> Result<(), String> {
        let mut last = 0;
        for (sequence, answer) in &*answers.lock() {
            match answer {
                Ok(()) if *sequence < last => return Err(format!("{sequence} was answered after {last}")),
                Ok(()) => {
                    last = *sequence;
                    self.model.acknowledged = self.model.acknowledged.max(*sequence);
                }
                Err(error) if !errors => return Err(format!("{sequence} got an error: {error}")),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn round(&mut self) -> Rest {
        self.now += Duration::from_millis(self.random.below(60));
        let Some(life) = &mut self.life else { return Rest::UntilWork };
        let rest = life.writer.round(self.now);
        self.seen.times_full += u64::from(life.shared.is_stuck());
        self.seen.times_behind += u64::from(life.shared.state.is_behind());
        if let Rest::For(time) | Rest::Hold(time) = rest
            && self.random.chance(50)
        {
            self.now += time;
        }
        rest
    }

    fn check_loads(&self, held: impl Iterator<Item = u64>) -> Result<(), String> {
        let Some(life) = &self.life else { return Ok(()) };
        let mut loader = Loader::new(&life.shared);
        for number in held {
            let is_there = matches!(loader.load(number), Ok(Some(found)) if found == owner::message(number));
            if !is_there && !life.failing && !self.disk.is_off() {
                return Err(format!("message {number} is held and cannot be loaded"));
            }
        }
        Ok(())
    }

    fn load_one(&mut self) -> Result<(), String> {
        let number = self.random.below(self.model.next_message + 2);
        if self.model.holds.contains_key(&number) {
            return self.check_loads(std::iter::once(number));
        }
        let Some(life) = &self.life else { return Ok(()) };
        match Loader::new(&life.shared).load(number) {
            Ok(Some(_)) => Err(format!("message {number} is dead and was loaded")),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn append(&mut self) {
        let mut messages = Vec::new();
        let mut holds = Vec::new();
        let first = self.model.next_message + if self.random.chance(5) { self.random.below(600) } else { 0 };
        let with_records = self.random.chance(80);
        if with_records {
            for number in first..first + self.random.below(4) {
                messages.push(number);
                if self.random.chance(85) {
                    holds.push((number, 1 + self.random.below(2) as i32));
                }
            }
            let held: Vec<u64> = self.model.holds.keys().copied().collect();
            for _ in 0..self.random.below(5).min(held.len() as u64) {
                let number = held[self.random.below(held.len() as u64) as usize];
                holds.push((number, if self.random.chance(75) { -1 } else { 1 }));
            }
            net_out(&mut holds, &self.model.holds);
        }
        let mut batch = Batch::new();
        for _ in 0..if self.random.chance(50) { self.random.below(4) } else { 0 } {
            let key = [b'k', self.random.below(14) as u8];
            if self.random.chance(70) {
                let value = vec![self.random.next() as u8; self.random.below(300) as usize];
                let _ = batch.put(Space::KeyValue, &key, &value);
            } else {
                let _ = batch.delete(Space::KeyValue, &key);
            }
        }
        let records = if with_records { owner::change(&holds) } else { Vec::new() };
        let urgency = if self.random.chance(50) { Urgency::Now } else { Urgency::Lazy };
        self.append_entry(records, first, &messages, holds, batch, urgency);
    }

    fn append_entry(
        &mut self,
        records: Vec<u8>,
        first: u64,
        messages: &[u64],
        holds: Vec<(u64, i32)>,
        batch: Batch,
        urgency: Urgency,
    ) -> u64 {
        let Some(life) = &mut self.life else { return 0 };
        let mut entry = Entry { records, first_message: first, holds, urgency, ..Entry::default() };
        for number in messages {
            let start = entry.records.len() as u32;
            entry.records.extend_from_slice(&owner::message(*number));
            entry.messages.push(start..entry.records.len() as u32);
        }
        let wall_ms = self.now.as_millis() as u64 + 1;
        life.append(&mut self.model, entry, batch, wall_ms)
    }

    /// Many messages are let go at once, as when a session ends.
    fn release_many(&mut self) {
        let keep = self.random.below(4);
        let holds: Vec<(u64, i32)> = self
            .model
            .holds
            .iter()
            .filter(|(number, _)| *number % 7 >= keep)
            .map(|(number, count)| (*number, -(*count as i32)))
            .collect();
        self.append_entry(owner::change(&holds), 0, &[], holds, Batch::new(), Urgency::Lazy);
    }

    fn begin_image(&mut self) {
        let parts = 1 + self.random.below(3) as usize;
        if let Some(life) = &mut self.life
            && life.image.is_none()
        {
            let mut records = owner::image(&self.model.holds, parts);
            records.reverse();
            life.image = Some((None, records));
            life.append_image_part(&mut self.model);
        }
    }

    fn append_image_part(&mut self) {
        if let Some(life) = &mut self.life {
            life.append_image_part(&mut self.model);
        }
    }
}

impl Life {
    fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        let image_wanted = Arc::new(AtomicBool::new(false));
        let wanted = image_wanted.clone();
        *shared.image_wanted.lock() = Some(Arc::new(move || wanted.store(true, Ordering::Relaxed)));
        Self { shared, writer, answers: Answers::default(), image_wanted, image: None, appended: 0, failing: false }
    }

    /// Appends what is left of an image, or a whole one if one is wanted.
    fn write_image(&mut self, model: &mut Model) {
        if self.image.is_none() && self.image_wanted.swap(false, Ordering::Relaxed) {
            let mut records = owner::image(&model.holds, 2);
            records.reverse();
            self.image = Some((None, records));
        }
        while self.image.is_some() {
            self.append_image_part(model);
        }
    }

    fn append_image_part(&mut self, model: &mut Model) {
        let Some((began, mut left)) = self.image.take() else { return };
        let Some(records) = left.pop() else { return };
        let entry = Entry { records, ..Entry::default() };
        let sequence = self.append(model, entry, Batch::new(), 77);
        let began = began.unwrap_or(sequence);
        if left.is_empty() {
            self.shared.intake.with(|front| front.image_complete(began));
        } else {
            self.image = Some((Some(began), left));
        }
    }

    fn append(&mut self, model: &mut Model, mut entry: Entry, batch: Batch, wall_ms: u64) -> u64 {
        let operations = batch.operations().iter().map(|one| (one.tree_key.clone(), one.value.clone())).collect();
        if !batch.is_empty() {
            entry.state.push(Commit { batch, on_durable: Box::new(|_| {}) });
        }
        let empty = entry.records.is_empty() && entry.state.is_empty();
        let changes = entry.holds.clone();
        let (records, messages) = (entry.records.clone(), entry.messages.clone());
        let answers = self.answers.clone();
        let sequence = self.shared.intake.with(|front| {
            let sequence = if empty { front.last_sequence() } else { front.next_sequence };
            let on_durable = Box::new(move |result| answers.lock().push((sequence, result)));
            front.append(entry, wall_ms, on_durable)
        });
        self.appended += 1;
        let first_message =
            if messages.is_empty() { model.next_message } else { self.first_message(sequence, &messages) };
        if !empty {
            model.push(ModelEntry { sequence, wall_ms, records, first_message, messages, operations }, &changes);
        }
        sequence
    }

    /// The number of the first message of the entry that was just appended.
    fn first_message(&self, _sequence: u64, messages: &[std::ops::Range<u32>]) -> u64 {
        self.shared.intake.with(|front| front.next_message) - messages.len() as u64
    }
}

/// One change for each message, and none that would take more than is there.
fn net_out(holds: &mut Vec<(u64, i32)>, held: &owner::Holds) {
    let mut seen = std::collections::BTreeMap::new();
    for (number, difference) in holds.drain(..) {
        *seen.entry(number).or_insert(0) += difference;
    }
    let least = |number: &u64| held.get(number).map_or(0, |count| -(*count as i32));
    holds.extend(seen.into_iter().map(|(number, difference)| (number, difference.max(least(&number)))));
}
