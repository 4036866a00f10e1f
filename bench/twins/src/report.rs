//! The tables. Ratios are to the first line: how many times less is done, or more is needed.

use std::time::Duration;

use crate::job::Figures;
use crate::overwrites::Sizes;

pub fn print_job(writes: usize, batch: usize, figures: &[Figures]) {
    let first = figures[0];
    println!("\n{writes} writes by each of two replicas, {batch} in a transaction; per CPU-second, in thousands\n");
    println!("| | write | write and tell | merge, both wrote | merge, others wrote | bytes per write |");
    println!("|---|---|---|---|---|---|");
    for found in figures {
        let rate = |time: Duration, first: Duration| {
            let ratio = time.as_secs_f64() / first.as_secs_f64();
            format!("{:.1} (÷ {ratio:.1})", 1e-3 / time.as_secs_f64())
        };
        println!(
            "| {} | {} | {} | {} | {} | {:.1} (× {:.1}) |",
            found.name,
            rate(found.write, first.write),
            rate(found.write_and_tell, first.write_and_tell),
            rate(found.merge, first.merge),
            rate(found.follow, first.follow),
            found.bytes,
            found.bytes / first.bytes,
        );
    }
}

pub fn print_sizes(batch: usize, sizes: &[Sizes]) {
    let first = sizes[0];
    println!("\n1,000 fields written 100 times each, {batch} in a transaction\n");
    println!("| | in memory, KiB | saved, KiB |");
    println!("|---|---|---|");
    for found in sizes {
        let kib =
            |bytes: usize, first: usize| format!("{:.1} (× {:.1})", bytes as f64 / 1024.0, bytes as f64 / first as f64);
        println!("| {} | {} | {} |", found.name, kib(found.memory, first.memory), kib(found.saved, first.saved));
    }
}
