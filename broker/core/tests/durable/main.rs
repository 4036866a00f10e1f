//! Crashes in virtual time: clients publish and subscribe at all qualities of service against a core whose journal is a list in
//! memory, of which a crash leaves a prefix that covers at least what was said to be durable. Whatever the seed, in the end every
//! message that was acknowledged is there, those of QoS 2 once, in the order in which they were published.
//!
//! `SELVEDGE_DURABLE_SEEDS` sets how many runs there are.

mod device;
mod journal;
mod node;
mod random;
mod restart;
mod room;
mod world;

use random::Random;
use world::World;

const STEPS: usize = 250;

fn seeds() -> u64 {
    std::env::var("SELVEDGE_DURABLE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1_500)
}

fn run(seed: u64, crashes: bool) -> World {
    let mut random = Random(seed);
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step(&mut random, crashes);
    }
    world.settle();
    world
}

#[test]
fn whatever_crashes_when_nothing_acknowledged_is_lost_and_nothing_comes_twice_that_must_not() {
    let (mut crashes, mut delivered, mut from_disk, mut images) = (0, 0, 0, 0);
    for seed in 1..=seeds() {
        let world = run(seed, true);
        world.check();
        crashes += world.crashes;
        delivered += world.delivered();
        from_disk += world.fetched;
        images += world.images;
    }
    println!(
        "{} runs: {crashes} crashes, {delivered} messages delivered, {from_disk} from disk, {images} images",
        seeds()
    );
    assert!(crashes > 0 && delivered > 0 && from_disk > 0 && images > 0, "the runs are about something");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 77] {
        assert_eq!(run(seed, true).log(), run(seed, true).log());
    }
}

#[test]
fn a_journal_that_forgets_what_it_called_durable_is_noticed() {
    let mut noticed = 0;
    for seed in 1..=40 {
        let mut random = Random(seed);
        let mut world = World::new(seed);
        world.journal.forgets = true;
        let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                world.step(&mut random, true);
            }
            world.settle();
            world.check();
        }));
        noticed += u64::from(lost.is_err());
    }
    assert!(noticed >= 10, "only {noticed} of 40 runs noticed");
}
