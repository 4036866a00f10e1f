//! What a stretch of a run cost: CPU of the broker and of the generator, memory of the broker before and after, what it
//! wrote, and what it counted itself.
//! Invariant: memory and counters are read outside of the stretch whose CPU time is taken, because reading them is work.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::clock::own_cpu;
use crate::error::RunError;
use crate::exposition::Counters;
use crate::process::{CpuSample, MemorySample, WriteSample};
use crate::target::Target;

/// The start of a stretch.
pub(crate) struct Resources {
    broker: Option<(Option<MemorySample>, Option<WriteSample>, CpuSample)>,
    counters: Option<Counters>,
    generator: Duration,
}

/// The costs of a stretch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResourcesUsed {
    /// CPU time of the broker in microseconds, when it was measured (`--pid`).
    pub broker_cpu_us: Option<f64>,
    /// CPU time of the generator's thread in microseconds.
    pub generator_cpu_us: f64,
    /// Resident memory of the broker before, in bytes.
    pub rss_before_bytes: Option<u64>,
    /// Resident memory of the broker after, in bytes.
    pub rss_after_bytes: Option<u64>,
    /// Proportional memory of the broker before, in bytes, where the kernel shows it.
    pub pss_before_bytes: Option<u64>,
    /// Proportional memory of the broker after, in bytes, where the kernel shows it.
    pub pss_after_bytes: Option<u64>,
    /// Bytes that the broker gave to write(2) (`wchar` of proc_pid_io(5)), where the kernel shows it.
    pub written_bytes: Option<u64>,
    /// Bytes that the broker made the kernel write to a disk (`write_bytes`), where the kernel shows it.
    pub disk_bytes: Option<u64>,
    /// What grew among the broker's own counters (`--metrics`), by name and labels.
    pub counters: BTreeMap<String, f64>,
}

impl Resources {
    /// Starts a stretch.
    pub fn sample(target: &Target) -> Result<Self, RunError> {
        let counters = target.exposition.as_ref().map(|exposition| exposition.read()).transpose()?;
        let broker = match &target.meter {
            Some(meter) => {
                let (memory, writes) = (meter.memory()?, meter.writes());
                Some((memory, writes, meter.cpu()?))
            }
            None => None,
        };
        Ok(Self { broker, counters, generator: own_cpu() })
    }

    /// Ends the stretch.
    pub fn until_now(self, target: &Target) -> Result<ResourcesUsed, RunError> {
        let generator_cpu_us = (own_cpu() - self.generator).as_secs_f64() * 1e6;
        let mut used = ResourcesUsed { generator_cpu_us, ..ResourcesUsed::default() };
        if let (Some(meter), Some((memory_before, writes_before, cpu))) = (&target.meter, self.broker) {
            let cpu = meter.cpu()?.since(&cpu);
            let writes = writes_before.zip(meter.writes());
            let memory = meter.memory()?;
            used.broker_cpu_us = Some(cpu.as_secs_f64() * 1e6);
            used.rss_before_bytes = memory_before.map(|memory| memory.rss);
            used.rss_after_bytes = memory.map(|memory| memory.rss);
            used.pss_before_bytes = memory_before.and_then(|memory| memory.pss);
            used.pss_after_bytes = memory.and_then(|memory| memory.pss);
            used.written_bytes = writes.map(|(before, after)| after.calls.saturating_sub(before.calls));
            used.disk_bytes = writes.map(|(before, after)| after.disk.saturating_sub(before.disk));
        }
        if let (Some(exposition), Some(before)) = (&target.exposition, &self.counters) {
            used.counters = exposition.read()?.since(before);
        }
        Ok(used)
    }
}
