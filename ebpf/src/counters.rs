//! The counters as a whole: the thin shell around the kernel's maps. What follows from readings is decided elsewhere.
//!
//! Calls block for as long as the system calls take: micro- to milliseconds. They belong on a thread that may wait.

mod follow;
mod guard;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Instant,
};

use aya::{
    Ebpf,
    maps::{Array, MapData, MapError, PerCpuArray},
};
use selvedge_ebpf_abi::{FlowKey, Statistic, TOTALS_PER_SLOT, TotalKey, map};
use serde::Serialize;

use self::guard::Guard;
use crate::{
    Config, DrainError, GuardHook, GuardMode, Health, Hook, InterfaceName, KernelTime, ReadMethod, Snapshot,
    StartError,
    accumulate::{
        flow_table::FlowTable,
        total_table::{SlotReading, TotalTable},
    },
    attachment::{Attachment, XdpAttachment},
    counts_map::{FlowsMap, TotalsMap},
    guard_maps::{GuardMaps, io_error},
    interface::{self, Interface},
    map_reader::MapReader,
    object::{self, not_in_object},
    snapshot,
};

/// Programs in the kernel and what was read from them. Dropping it detaches the programs.
pub struct Counters {
    config: Config,
    folder: PathBuf,
    attached: Vec<Attached>,
    problems: Vec<Problem>,
    kernel: Ebpf,
    no_xdp: Option<String>,
    flows_map: FlowsMap,
    totals_map: TotalsMap,
    interfaces_map: Array<MapData, u64>,
    statistics_map: PerCpuArray<MapData, u64>,
    guard: Option<Guard>,
    reader: MapReader,
    flows: FlowTable,
    totals: TotalTable,
    /// Records of flows that were deleted because their interface is gone.
    deleted: u64,
    drained_at: KernelTime,
}

#[derive(Debug)]
struct Attached {
    interface: Interface,
    slot: u16,
    hook: Hook,
    guard: GuardHook,
    _counting: Attachment,
    _xdp: Option<XdpAttachment>,
}

/// What is attached, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether at least one interface is counted.
    pub up: bool,
    /// The interfaces that are counted.
    pub interfaces: Vec<InterfaceStatus>,
    /// What does not work, though it should.
    pub problems: Vec<Problem>,
    /// Mode of the guard.
    pub guard: GuardMode,
}

/// An interface that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index in the kernel.
    pub index: u32,
    /// What counts hangs on.
    pub hook: Hook,
    /// Where the guard judges.
    pub guard: GuardHook,
}

/// Something that does not work, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What.
    pub text: String,
    /// What a person can do.
    pub remedy: String,
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Counters {
    /// Loads the programs and attaches them to the interfaces that are there. That none is there yet is no error but a
    /// [`Problem`]: it may come.
    ///
    /// # Errors
    /// Why nothing can be counted, with a remedy. The machine is as it was.
    pub fn start(config: &Config, now: KernelTime) -> Result<Self, StartError> {
        Self::start_in(Path::new(interface::FOLDER), config, now)
    }

    fn start_in(folder: &Path, config: &Config, now: KernelTime) -> Result<Self, StartError> {
        let other = |attempt, source: Box<dyn std::error::Error + Send + Sync>| StartError::Other { attempt, source };
        let object::Loaded { mut kernel, no_xdp } = object::load(config)?;
        let mut take = |name| kernel.take_map(name).ok_or_else(|| not_in_object(name));
        let flows_map = FlowsMap::new(map::FLOWS, take(map::FLOWS)?)?;
        let totals_map = TotalsMap::new(map::TOTALS, take(map::TOTALS)?)?;
        let other_build = |error: MapError| StartError::Object(error.into());
        let interfaces_map = take(map::INTERFACES)?.try_into().map_err(other_build)?;
        let statistics_map = take(map::STATISTICS)?.try_into().map_err(other_build)?;
        let guard = match config.guard.mode {
            GuardMode::Off => None,
            GuardMode::DryRun | GuardMode::Enforce => Some(Guard::new(GuardMaps::take(&mut kernel)?, config)?),
        };
        let processors = aya::util::nr_cpus().map_err(|(_, error)| other("count the processors", error.into()))?;
        let mut counters = Self {
            config: config.clone(),
            folder: folder.to_owned(),
            attached: Vec::new(),
            problems: Vec::new(),
            kernel,
            no_xdp,
            flows_map,
            totals_map,
            interfaces_map,
            statistics_map,
            guard,
            reader: MapReader::new(processors),
            flows: FlowTable::new(2 * config.flows_max as usize),
            totals: TotalTable::default(),
            deleted: 0,
            drained_at: now,
        };
        counters.follow().map_err(|error| other("attach the programs", error.into()))?;
        Ok(counters)
    }

    /// Reads the kernel's counters, and follows interfaces that came or went.
    ///
    /// # Errors
    /// The kernel does not give them. What was read before is kept; the next drain may succeed.
    pub fn drain(&mut self, now: KernelTime) -> Result<Snapshot, DrainError> {
        let started = Instant::now();
        self.flows.start_drain();
        self.totals.start_drain();
        self.read(None)?;
        self.follow()?;
        let guard = self.guard_report(now)?;
        let interval_s = now.since(self.drained_at).as_secs_f64();
        self.drained_at = now;
        let mut health = self.health()?;
        let totals = snapshot::total_rows(&self.totals);
        let flows = self.flows.rows().filter_map(|flow| snapshot::flow_row(&flow)).collect();
        health.drain_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Snapshot { at: now, interval_s, totals, flows, health, guard })
    }

    /// What is attached, and what is wrong.
    pub fn status(&self) -> Status {
        let interfaces = self.attached.iter().map(|attached| InterfaceStatus {
            name: InterfaceName::new(&attached.interface.name).to_string(),
            index: attached.interface.index,
            hook: attached.hook,
            guard: attached.guard,
        });
        Status {
            up: !self.attached.is_empty(),
            interfaces: interfaces.collect(),
            problems: self.problems.clone(),
            guard: self.config.guard.mode,
        }
    }

    /// How flows are read: one by one where the kernel cannot do it otherwise.
    pub const fn read_method(&self) -> ReadMethod {
        self.reader.method()
    }

    /// Reads flows another way from now on.
    pub const fn set_read_method(&mut self, method: ReadMethod) {
        self.reader.set_method(method);
    }

    /// Takes a reading of everything; the keys of the flows of one interface are collected on the way.
    fn read(&mut self, mut collect: Option<(u32, &mut Vec<FlowKey>)>) -> Result<(), DrainError> {
        let failed = |map| move |source| DrainError::Read { map, source };
        let flows = &mut self.flows;
        flows.start_reading();
        self.reader
            .flows(&self.flows_map, self.config.flows_max, |key, counts| {
                if let Some((index, keys)) = &mut collect
                    && key.details.interface() == *index
                {
                    keys.push(key);
                }
                flows.take(key, counts);
            })
            .map_err(failed(map::FLOWS))?;
        let slots: Vec<u16> = self.totals.slots().collect();
        for slot in slots {
            let reading = self.read_slot(slot)?;
            self.totals.take(slot, &reading);
        }
        Ok(())
    }

    fn read_slot(&mut self, slot: u16) -> Result<SlotReading, DrainError> {
        let failed = |source| DrainError::Read { map: map::TOTALS, source };
        let mut reading: SlotReading = [Default::default(); TOTALS_PER_SLOT as usize];
        for (place, counts) in (0..).zip(reading.iter_mut()) {
            if TotalKey::at(place).is_some() {
                *counts =
                    self.reader.at(&self.totals_map, u32::from(slot) * TOTALS_PER_SLOT + place).map_err(failed)?;
            }
        }
        Ok(reading)
    }

    fn health(&self) -> Result<Health, DrainError> {
        let statistic = |statistic: Statistic| -> Result<u64, DrainError> {
            let values = self
                .statistics_map
                .get(&(statistic as u32), 0)
                .map_err(|error| DrainError::Read { map: map::STATISTICS, source: io_error(error) })?;
            Ok(values.iter().fold(0_u64, |sum, value| sum.wrapping_add(*value)))
        };
        let own = self.flows.statistics();
        let (made, live) = (statistic(Statistic::FlowsMade)?, self.flows.live() as u64);
        Ok(Health {
            flows_live: live,
            flows_tracked: self.flows.tracked() as u64,
            flows_max: self.config.flows_max.into(),
            flows_made: made,
            flows_not_made: statistic(Statistic::FlowsNotMade)?,
            evictions_estimated: made.saturating_sub(live).saturating_sub(self.deleted),
            flows_folded: own.folded,
            readings_deferred: own.deferred,
            unknown_interface_packets: statistic(Statistic::UnknownInterface)?,
            buckets_not_made: statistic(Statistic::BucketsNotMade)?,
            interfaces: self.attached.len() as u64,
            drain_us: 0,
        })
    }
}
