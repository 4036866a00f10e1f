//! Runs of the store's core on a simulated disk, repeatable by a seed: random work, a cut of the power after any
//! operation, and a model of what must be there afterwards. No thread and no clock in here; the state engine is a simple one
//! in memory, because sled does its own I/O.

mod disk;
pub(crate) mod engine;
mod flips;
mod model;
mod owner;
mod random;
mod world;

use disk::{Fault, Lie};
use rustix::io::Errno;
use world::{Plan, World};

/// How many seeds a run of the tests tries.
const SEEDS_VARIABLE: &str = "SELVEDGE_SIMULATION_SEEDS";
const SEEDS: u64 = 500;
/// A single seed to try, as a failure prints it.
const SEED_VARIABLE: &str = "SELVEDGE_SIMULATION_SEED";

const PLAN: Plan = Plan { lives: 4, steps: 120, cuts: true, full_disks: true };

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number(SEED_VARIABLE) {
        Some(seed) => seed..seed + 1,
        None => 0..number(SEEDS_VARIABLE).unwrap_or(SEEDS),
    }
}

fn run(seed: u64, lie: Lie) -> Result<World, String> {
    let mut world = World::new(seed, lie);
    world.run(&PLAN)?;
    Ok(world)
}

#[test]
fn what_was_acknowledged_is_there_whole_and_once_after_the_power_was_cut_anywhere() {
    let failed: Vec<String> = seeds()
        .filter_map(|seed| run(seed, Lie::None).err().map(|error| format!("{SEED_VARIABLE}={seed}: {error}")))
        .collect();
    assert!(failed.is_empty(), "{} failed, first {:#?}", failed.len(), &failed[..failed.len().min(5)]);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        let digest = || run(seed, Lie::None).map(|world| world.digest());
        assert_eq!(digest(), digest(), "{seed}");
    }
}

#[test]
fn the_runs_come_across_everything_that_may_happen() {
    let mut sums = [0; 7];
    for seed in 0..100 {
        let seen = run(seed, Lie::None).unwrap().seen();
        let counts = [
            seen.segments_cleaned,
            seen.messages_moved,
            seen.lazy_syncs,
            seen.torn_tails,
            seen.times_full,
            seen.rebuilds,
            seen.times_behind,
        ];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    assert!(sums.iter().all(|sum| *sum >= 20), "{sums:?}");
}

#[test]
fn a_disk_that_lies_about_fsync_is_found_out() {
    for lie in [Lie::FileSync, Lie::DirectorySync] {
        let found = (0..SEEDS).filter(|seed| run(*seed, lie).is_err()).count();
        assert!(found > 0, "{lie:?} was never noticed");
    }
}

#[test]
fn every_operation_may_fail_once_and_nothing_that_was_acknowledged_is_lost() {
    let plan = Plan { lives: 0, steps: 150, cuts: false, full_disks: false };
    for seed in 0..3 {
        let mut whole = World::new(seed, Lie::None);
        whole.run_with_fault(&plan).unwrap();
        for operation in 1..=whole.disk.operations() {
            for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT] {
                let mut world = World::new(seed, Lie::None);
                world.disk.set_fault(Some(Fault { operation, errno }));
                let result = world.run_with_fault(&plan);
                assert_eq!(result, Ok(()), "seed {seed}, operation {operation}, {errno}");
            }
        }
    }
}
