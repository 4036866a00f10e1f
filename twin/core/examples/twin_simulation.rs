//! Runs many seeds of the simulation and says what happened: `--seeds N` (10,000), `--first SEED` (0), `--verbose`.

#[path = "../tests/simulation/chance.rs"]
mod chance;
#[path = "../tests/simulation/keys.rs"]
mod keys;
#[path = "../tests/simulation/network.rs"]
mod network;
#[path = "../tests/simulation/node.rs"]
mod node;
#[path = "../tests/simulation/oracle.rs"]
mod oracle;
#[path = "../tests/simulation/world.rs"]
mod world;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let (seeds, first) = (argument("--seeds").unwrap_or(10_000), argument("--first").unwrap_or(0));
    let started = Instant::now();
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let runs: Vec<_> = (0..workers)
        .map(|worker| {
            std::thread::spawn(move || {
                let (mut total, mut wrong) = (world::Tally::default(), Vec::new());
                for seed in (first + worker..first + seeds).step_by(workers as usize) {
                    match world::run(seed) {
                        Ok(tally) => total.add(&tally),
                        Err(what) => wrong.push((seed, what)),
                    }
                }
                (total, wrong)
            })
        })
        .collect();
    let (mut total, mut wrong) = (world::Tally::default(), Vec::new());
    for run in runs {
        let (tally, more) = run.join().expect("a seed panicked; its message is above");
        total.add(&tally);
        wrong.extend(more);
    }
    println!("{seeds} seeds in {:.1} s, {} diverged", started.elapsed().as_secs_f64(), wrong.len());
    println!("{total:#?}\neverything happened: {}", total.is_broad());
    wrong.sort();
    for (seed, what) in wrong.iter().take(20) {
        println!("seed {seed}: {what}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next()?.parse().ok()
}
