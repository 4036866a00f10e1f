//! What a stretch of a run cost: CPU of the broker and of the generator, memory of the broker before and after.
//! Invariant: memory is read outside of the stretch whose CPU time is taken, because reading it makes the kernel work.

use std::time::Duration;

use serde::Serialize;

use crate::clock::own_cpu;
use crate::error::RunError;
use crate::process::{CpuSample, MemorySample};
use crate::target::Target;

/// The start of a stretch.
pub(crate) struct Resources {
    broker: Option<(Option<MemorySample>, CpuSample)>,
    generator: Duration,
}

/// The costs of a stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
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
}

impl Resources {
    /// Starts a stretch.
    pub fn sample(target: &Target) -> Result<Self, RunError> {
        let broker = match &target.meter {
            Some(meter) => {
                let memory = meter.memory()?;
                Some((memory, meter.cpu()?))
            }
            None => None,
        };
        Ok(Self { broker, generator: own_cpu() })
    }

    /// Ends the stretch.
    pub fn until_now(self, target: &Target) -> Result<ResourcesUsed, RunError> {
        let generator_cpu_us = (own_cpu() - self.generator).as_secs_f64() * 1e6;
        let (Some(meter), Some((before, cpu))) = (&target.meter, self.broker) else {
            return Ok(ResourcesUsed { generator_cpu_us, ..ResourcesUsed::default() });
        };
        let used = meter.cpu()?.since(&cpu);
        let after = meter.memory()?;
        Ok(ResourcesUsed {
            broker_cpu_us: Some(used.as_secs_f64() * 1e6),
            generator_cpu_us,
            rss_before_bytes: before.map(|memory| memory.rss),
            rss_after_bytes: after.map(|memory| memory.rss),
            pss_before_bytes: before.and_then(|memory| memory.pss),
            pss_after_bytes: after.and_then(|memory| memory.pss),
        })
    }
}
