//! Figures of sieges as lines of a table.

use std::fmt::Write as _;

use selvedge_tests::siege::measure::{Latency, Round, STALL_MS_MAX, Siege, ratio};
use selvedge_tests::siege::processor::WakeUp;

const HEAD: &str = "\
| attack | p50 / p99 / max before, ms | attacked | control | after | p99 attacked / before | p99 control / before | p99 attacked / control | node's longest turn, ms | slowest newcomer, ms | CPU: attackers, node | memory, MB: before, peak, after |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// One line for each siege. Latencies are medians of the rounds, their maximum the worst; factors are the median round's, with the
/// worst in brackets.
pub fn table(sieges: &[Siege]) -> String {
    let mut table = HEAD.to_owned();
    for siege in sieges {
        // Writing to a string does not fail.
        let _ = writeln!(table, "{}", line(siege));
    }
    table
}

/// What the machine alone adds to a message, measured before and after.
pub fn machine(wake_ups: [WakeUp; 2]) -> String {
    let [before, after] = wake_ups.map(|WakeUp { p50_us, p99_us, p999_us, max_us }| {
        format!("{:.2} / {:.2} / {:.2} / {:.1}", p50_us / 1e3, p99_us / 1e3, p999_us / 1e3, max_us / 1e3)
    });
    format!(
        "\nTo wake a thread on this machine, without any node, takes p50 / p99 / p99.9 / max, ms: {before} before, {after} after. \
         A message needs at least two of them.\n"
    )
}

/// One siege.
pub fn line(siege: &Siege) -> String {
    if let Some(failed) = &siege.failed {
        return format!("| {} | FAILED: {} |", siege.title, failed.replace('\n', " "));
    }
    let phase = |latency: fn(&Round) -> Latency| {
        format!(
            "{:.2} / {:.2} / {:.1}",
            siege.median(|round| latency(round).p50_ms),
            siege.median(|round| latency(round).p99_ms),
            siege.worst(|round| latency(round).max_ms)
        )
    };
    let factor = |factor: fn(&Round) -> f64| format!("{:.1} ({:.1})", siege.median(factor), siege.worst(factor));
    let stall = siege.worst(|round| round.attacked.max_ms);
    let mb = |kib: u64| kib as f64 / 1024.0;
    format!(
        "| {} | {} | {}{} | {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.0} %, {:.0} % | {:.1}, {:.1}, {:.1} |",
        siege.title,
        phase(|round| round.undisturbed),
        phase(|round| round.attacked),
        if stall > STALL_MS_MAX { " (stall)" } else { "" },
        phase(|round| round.control),
        phase(|round| round.after),
        factor(|round| ratio(round.attacked, round.undisturbed)),
        factor(|round| ratio(round.control, round.undisturbed)),
        factor(|round| ratio(round.attacked, round.control)),
        siege.worst(|round| round.longest_turn_ms),
        siege.worst(|round| round.attacked.newcomer_max_ms),
        100.0 * siege.median(|round| round.attacker.cpu_s / round.attacker.wall_s),
        100.0 * siege.median(|round| round.node_cpu_s / round.attacker.wall_s),
        mb(siege.memory_kib[0]),
        mb(siege.memory_kib[1]),
        mb(siege.memory_kib[2]),
    )
}
