//! Twins' core beside automerge and yrs: writing, merging, bytes between nodes and size of the state, the same job in the
//! same run. Prints two tables with ratios to the core.
//!
//! `cargo run --release --manifest-path bench/twins/Cargo.toml`, then the number of writes of each replica (10,000) and the
//! number of rounds (3), of which the median counts.
//!
//! All is done on one thread and timed by the CPU time of the process. Every replica that should be equal in the end is
//! compared, so no contender can win by doing less.

mod automerge;
mod contender;
mod core;
mod cpu;
mod exchange;
mod heap;
mod job;
mod overwrites;
mod report;
mod yrs;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// Writes in one transaction, and so in one delta.
const BATCHES: [usize; 2] = [1, 100];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let (writes, rounds) = (arguments.next().unwrap_or(10_000), arguments.next().unwrap_or(3));
    for batch in BATCHES {
        // In turn, so that what else the machine does meets all alike.
        let runs: Vec<[job::Figures; 4]> = (0..rounds.max(1))
            .map(|_| {
                [
                    job::run::<core::Core>(writes, batch),
                    job::run::<exchange::Exchange>(writes, batch),
                    job::run::<automerge::Automerge>(writes, batch),
                    job::run::<yrs::Yrs>(writes, batch),
                ]
            })
            .collect();
        let figures = [0, 1, 2, 3].map(|contender| job::median(&runs, contender));
        report::print_job(writes, batch, &figures);
    }
    for batch in [1, overwrites::KEYS] {
        let sizes = [
            overwrites::measure::<core::Core>(batch),
            overwrites::measure::<exchange::Exchange>(batch),
            overwrites::measure::<automerge::Automerge>(batch),
            overwrites::measure::<yrs::Yrs>(batch),
        ];
        report::print_sizes(batch, &sizes);
    }
}
