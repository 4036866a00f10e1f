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
        let figures = [
            job::median::<core::Core>(writes, batch, rounds),
            job::median::<exchange::Exchange>(writes, batch, rounds),
            job::median::<automerge::Automerge>(writes, batch, rounds),
            job::median::<yrs::Yrs>(writes, batch, rounds),
        ];
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
