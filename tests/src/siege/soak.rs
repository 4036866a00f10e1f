//! Mixed load for a long time: nothing that was acknowledged may be lost, and the node's memory may not creep.
//!
//! Every actor has connections of its own, checks what it gets itself, and says in the end what it counted. The first quarter of the
//! time is for caches and pools to fill; the memory after it is held against the memory at the end.

mod actors;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use super::footprint;
use super::fortress::{Fortress, Needs};
use super::wire::{Way, Wire};

/// Growth of allocated memory that is still flat: samples differ by buffers that come and go.
const GROWTH_KIB_MAX: f64 = 1024.0;
const SAMPLES: usize = 60;

/// What happened.
#[derive(Debug, Clone, Serialize)]
pub struct Soaked {
    /// How long, minutes.
    pub minutes: f64,
    /// Idle connections beside the actors.
    pub idle: usize,
    /// What each actor counted: messages or connections.
    pub counts: Vec<(String, u64)>,
    /// Memory that the node had allocated, KiB, at even distances.
    pub allocated_kib: Vec<u64>,
    /// Proportional set size at the end, KiB.
    pub pss_kib: u64,
    /// By how much the last quarter is above the second, KiB.
    pub growth_kib: f64,
    /// Fitted over all but the first quarter, KiB an hour.
    pub slope_kib_per_h: f64,
    /// Processor time of the node, in hundredths of one core.
    pub cpu_percent: f64,
}

/// Runs all actors for so many minutes.
///
/// # Errors
/// One of them lost something, or the memory grew.
pub fn soak(minutes: f64, idle: usize) -> anyhow::Result<Soaked> {
    footprint::raise_open_files(idle as u64 + 1_000)?;
    let limits = format!("connections_max = {}", idle + 1_000);
    let fortress = Fortress::start(&Needs { tls: true, users: true, limits, ..Needs::default() })?;
    let idle_wires = idle_connections(&fortress, idle)?;
    let duration = Duration::from_secs_f64(minutes * 60.0);
    let stop = AtomicBool::new(false);
    let (begun, cpu) = (Instant::now(), footprint::cpu(fortress.node.id())?);
    let mut allocated_kib = Vec::new();
    let counts = std::thread::scope(|scope| {
        let running: Vec<_> = actors::all()
            .into_iter()
            .map(|actor| {
                let (target, stop) = (&fortress.target, &stop);
                (actor.name.clone(), scope.spawn(move || (actor.run)(target, stop)))
            })
            .collect();
        for sample in 1..=SAMPLES {
            let due = begun + duration.mul_f64(sample as f64 / SAMPLES as f64);
            // An actor that has failed ends the soak at once.
            while Instant::now() < due && !running.iter().any(|(_, thread)| thread.is_finished()) {
                std::thread::sleep(Duration::from_millis(100).min(due.saturating_duration_since(Instant::now())));
            }
            match fortress.allocated_kib() {
                Ok(kib) => allocated_kib.push(kib),
                Err(_) => break,
            }
        }
        stop.store(true, Ordering::Relaxed);
        let ended = running.into_iter().map(|(name, thread)| match thread.join() {
            Ok(count) => Ok((name.clone(), count.with_context(|| format!("{name}\n{}", fortress.node.said()))?)),
            Err(_) => bail!("{name} panicked"),
        });
        ended.collect::<anyhow::Result<Vec<_>>>()
    })?;
    let cpu = footprint::cpu(fortress.node.id())? - cpu;
    let cpu_percent = 100.0 * cpu.as_secs_f64() / begun.elapsed().as_secs_f64();
    let pss_kib = fortress.pss_kib()?;
    drop(idle_wires);
    fortress.stop()?;
    let growth_kib = growth(&allocated_kib);
    let slope_kib_per_h = slope(&allocated_kib) * SAMPLES as f64 / (minutes / 60.0);
    let soaked = Soaked { minutes, idle, counts, allocated_kib, pss_kib, growth_kib, slope_kib_per_h, cpu_percent };
    ensure!(
        growth_kib <= GROWTH_KIB_MAX,
        "memory grew by {growth_kib:.0} KiB, {GROWTH_KIB_MAX:.0} are allowed: {soaked:?}"
    );
    Ok(soaked)
}

fn idle_connections(fortress: &Fortress, idle: usize) -> anyhow::Result<Vec<Wire>> {
    let mut wires = Vec::new();
    for number in 0..idle {
        let network = u8::try_from(number / 1_000 % 200).unwrap_or(0);
        let from = fortress.target.from([127, 0, 2, network + 1].into());
        let way = Way::ALL[number % Way::ALL.len()];
        wires.push(Wire::connected(&from, way, &from.connect(5, &format!("idle-{number}")))?);
    }
    Ok(wires)
}

/// The mean of the last quarter over the mean of the second.
fn growth(samples: &[u64]) -> f64 {
    let quarter = (samples.len() / 4).max(1);
    let mean = |samples: &[u64]| samples.iter().sum::<u64>() as f64 / samples.len().max(1) as f64;
    let second = samples.get(quarter..2 * quarter).unwrap_or(samples);
    mean(&samples[samples.len().saturating_sub(quarter)..]) - mean(second)
}

/// By least squares, KiB a sample, without the first quarter.
fn slope(samples: &[u64]) -> f64 {
    let samples = &samples[samples.len() / 4..];
    let count = samples.len() as f64;
    let (mean_x, mean_y) = ((count - 1.0) / 2.0, samples.iter().sum::<u64>() as f64 / count.max(1.0));
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in samples.iter().enumerate() {
        above += (x as f64 - mean_x) * (*y as f64 - mean_y);
        below += (x as f64 - mean_x).powi(2);
    }
    if below > 0.0 { above / below } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_creeps_is_seen_and_memory_that_fills_a_pool_first_is_not() {
        let creeping: Vec<u64> = (0..60).map(|minute| 10_000 + 50 * minute).collect();
        assert!((slope(&creeping) - 50.0).abs() < 0.001 && growth(&creeping) > 1_000.0);
        let filling: Vec<u64> = (0..60).map(|minute| if minute < 10 { 1_000 * minute } else { 10_000 }).collect();
        assert!(slope(&filling).abs() < 0.001 && growth(&filling).abs() < 0.001);
    }
}
