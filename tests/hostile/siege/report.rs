//! Figures of sieges as lines of a table.

use std::fmt::Write as _;

use selvedge_tests::siege::measure::{Latency, Round, STALL_MS_MAX, Siege, ratio};
use selvedge_tests::siege::processor::WakeUp;

/// What the 99th percentile may be of the undisturbed one.
const FACTOR_MAX: f64 = 2.0;

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

/// In how many attacks the 99th percentile stays within twice what it was before, and each message that came later than
/// [`STALL_MS_MAX`], beside what the machine did meanwhile.
pub fn judgement(sieges: &[Siege]) -> String {
    let measured = || sieges.iter().filter(|siege| siege.failed.is_none());
    let kept = |figure: fn(&Siege) -> f64| measured().filter(|siege| figure(siege) <= FACTOR_MAX).count();
    let mut text = format!(
        "\np99 at most {FACTOR_MAX} times that before, of {} attacks: {} in the median round, {} in the worst; \
         where the other node is attacked {} and {}\n",
        measured().count(),
        kept(|siege| siege.median(|round| ratio(round.attacked, round.undisturbed))),
        kept(|siege| siege.worst(|round| ratio(round.attacked, round.undisturbed))),
        kept(|siege| siege.median(|round| ratio(round.control, round.undisturbed))),
        kept(|siege| siege.worst(|round| ratio(round.control, round.undisturbed))),
    );
    let mut stalls = 0;
    let mut stood_still = Some(0.0_f64);
    for siege in measured() {
        for (number, round) in siege.rounds.iter().enumerate() {
            for (phase, latency) in round.phases() {
                stood_still = stood_still.zip(latency.standstill_ms).map(|(longest, this)| longest.max(this));
                if latency.max_ms > STALL_MS_MAX {
                    stalls += 1;
                    // Writing to a string does not fail.
                    let _ = writeln!(
                        text,
                        "stall of {:.1} ms, {phase}, round {}, {}; {}",
                        latency.max_ms,
                        number + 1,
                        siege.title,
                        still(latency.standstill_ms)
                    );
                }
            }
        }
    }
    let _ =
        writeln!(text, "messages later than {STALL_MS_MAX} ms: {stalls} phases; in all of them {}", still(stood_still));
    text
}

fn still(longest_ms: Option<f64>) -> String {
    longest_ms.map_or_else(
        || "whether the machine stood still is not known (CAP_SYS_NICE)".to_owned(),
        |longest| format!("a processor of this machine stood still for {longest:.1} ms at most"),
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
