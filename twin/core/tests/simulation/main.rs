//! Some nodes, a bad network, wrong clocks, power cuts, old backups and a person who expels nodes, from a seed. In the end
//! all that is left of the group must show the same, and what a list of all that was done says.
//!
//! `cargo run --release -p selvedge-twin-core --example twin_simulation -- --seeds 10000` runs many; the tests here run some.

mod chance;
mod keys;
mod network;
mod node;
mod oracle;
mod world;

/// Seeds of an ordinary test run; each takes a few milliseconds.
const SEEDS: u64 = 200;

#[test]
fn nodes_agree_with_each_other_and_with_a_list_of_all_that_was_done() {
    let seeds = std::env::var("SELVEDGE_TWIN_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let mut wrong = Vec::new();
    let mut total = world::Tally::default();
    for seed in 0..seeds {
        match world::run(seed) {
            Ok(tally) => total.add(&tally),
            Err(what) => wrong.push(format!("seed {seed}: {what}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {seeds} seeds:\n{}", wrong.len(), wrong.join("\n"));
    // What never happens in a simulation is not tested by it.
    assert!(total.is_broad(), "{total:?}");
}

#[test]
fn the_same_seed_twice_gives_the_same_run() {
    for seed in 0..5 {
        assert_eq!(world::run(seed), world::run(seed), "seed {seed}");
    }
}
