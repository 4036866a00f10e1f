//! The counts of all parts under the names by which Prometheus knows them.

mod access;
mod broker;
mod net;
mod ota;
mod sync;

use std::time::Duration;

use selvedge_broker::Snapshot;
use selvedge_functions::{CompileCounts, FunctionCounters, FunctionState, FunctionStatus, VersionStatus};
use selvedge_store::Space;

use super::exchange::SyncReadings;
use super::function_intercepts::InterceptCounts;
use super::function_lines::LineCounts;
use super::net::NetReadings;
use super::updates::OtaReadings;
use crate::http::Exposition;
pub use access::AccessReadings;

/// Everything that is counted, at one moment.
pub struct Readings {
    /// Since the start.
    pub uptime: Duration,
    /// None when the broker does not answer.
    pub broker: Option<Snapshot>,
    /// The store.
    pub store: selvedge_store::Metrics,
    /// Whether it takes changes.
    pub store_is_good: bool,
    /// The twins.
    pub twins: selvedge_twin::Metrics,
    /// Requests that found no room.
    pub twin_requests_dropped: u64,
    /// The functions.
    pub functions: Vec<FunctionStatus>,
    /// How compilations of functions ended.
    pub compilations: CompileCounts,
    /// What the wiring counts of each, in the same order.
    pub lines: Vec<LineCounts>,
    /// Logins, their files, the clock.
    pub access: AccessReadings,
    /// Updates.
    pub ota: OtaReadings,
    /// Packets, counted in the kernel.
    pub net: NetReadings,
    /// The exchange of twins with other nodes.
    pub sync: SyncReadings,
}

/// All of it as text.
pub fn exposition(readings: &Readings) -> Exposition {
    let mut out = Exposition::default();
    out.gauge("selvedge_build_info", "Version of the program, always 1")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1u64);
    out.gauge("selvedge_uptime_seconds", "Seconds since the node started").value(readings.uptime.as_secs_f64());
    process(&mut out);
    out.gauge("selvedge_broker_up", "Whether the broker answers").value(readings.broker.is_some());
    if let Some(snapshot) = &readings.broker {
        broker::protocol(&mut out, &snapshot.core);
        broker::sockets(&mut out, &snapshot.shell);
    }
    store(&mut out, readings);
    twins(&mut out, readings);
    functions(&mut out, readings);
    access::logins(&mut out, &readings.access);
    ota::updates(&mut out, &readings.ota);
    net::packets(&mut out, &readings.net);
    sync::exchange(&mut out, &readings.sync);
    out
}

/// One sample of a family with a single label.
type Labelled = (&'static str, u64);

fn labelled(family: &mut crate::http::exposition::Family<'_>, label: &'static str, samples: &[Labelled]) {
    for (name, value) in samples {
        family.sample(&[(label, name)], *value);
    }
}

fn store(out: &mut Exposition, readings: &Readings) {
    let store = &readings.store;
    out.gauge("selvedge_store_good", "Whether the store takes changes").value(readings.store_is_good);
    labelled(
        &mut out.counter("selvedge_store_commits_total", "Batches by outcome"),
        "outcome",
        &[("durable", store.commits), ("failed", store.commits_failed)],
    );
    out.counter("selvedge_store_groups_total", "Groups of batches that were answered together").value(store.groups);
    out.counter("selvedge_store_fsyncs_total", "Fsyncs of the journal that succeeded").value(store.fsyncs);
    out.counter("selvedge_store_lazy_syncs_total", "Of those, for what nobody waited for").value(store.lazy_syncs);
    out.counter("selvedge_store_fsync_seconds_total", "Seconds spent in fsync").value(store.fsync_us as f64 / 1e6);
    out.counter("selvedge_store_written_bytes_total", "Bytes of keys and values made durable")
        .value(store.bytes_written);
    out.counter("selvedge_store_waits_total", "Times that a change had to wait for room").value(store.waits);
    out.counter("selvedge_store_reads_corrupt_total", "Stored values that could not be understood")
        .value(store.reads_corrupt);
    out.gauge("selvedge_store_queue_bytes", "Bytes that wait for the disk").value(store.queue_bytes);
    journal(out, store);
    let mut keys = out.gauge("selvedge_store_keys", "Stored keys by kind");
    for space in Space::ALL {
        let name = match space {
            Space::Twin => "twin",
            Space::KeyValue => "key_value",
            Space::Function => "function",
            Space::Node => "node",
        };
        keys.sample(&[("kind", name)], store.keys.get(space.index()).copied().unwrap_or_default());
    }
}

fn journal(out: &mut Exposition, store: &selvedge_store::Metrics) {
    out.counter("selvedge_store_journal_written_bytes_total", "Bytes written to the journal: what wears the disk")
        .value(store.journal_bytes_written);
    out.gauge("selvedge_store_journal_bytes", "Bytes of the journal").value(store.journal_bytes);
    out.gauge("selvedge_store_journal_live_bytes", "About how many of them are needed").value(store.journal_live_bytes);
    out.gauge("selvedge_store_journal_segments", "Files of the journal").value(store.segments);
    out.gauge("selvedge_store_messages", "Messages that are kept").value(store.messages_live);
    out.counter("selvedge_store_segments_cleaned_total", "Files of the journal that were removed")
        .value(store.segments_cleaned);
    out.counter("selvedge_store_messages_moved_total", "Messages written again so that a file could go")
        .value(store.messages_moved);
    out.counter("selvedge_store_messages_damaged_total", "Kept messages that could not be read")
        .value(store.messages_damaged);
    out.counter("selvedge_store_checkpoints_total", "Times that the database was made durable")
        .value(store.checkpoints);
    out.gauge("selvedge_store_recovery_dropped_bytes", "Bytes that were dropped or set aside at the start")
        .value(store.recovery_bytes_dropped);
}

fn twins(out: &mut Exposition, readings: &Readings) {
    let twins = &readings.twins;
    out.gauge("selvedge_twins", "Twins").value(twins.twins);
    out.gauge("selvedge_twins_deleted", "Deleted twins that are remembered").value(twins.deleted);
    out.gauge("selvedge_twins_cached", "Twins in memory").value(twins.cached);
    labelled(
        &mut out.counter("selvedge_twin_requests_total", "Requests by outcome"),
        "outcome",
        &[("accepted", twins.accepted), ("rejected", twins.rejected), ("dropped", readings.twin_requests_dropped)],
    );
    out.counter("selvedge_twin_records_damaged_total", "Stored records that were left out because they are damaged")
        .value(twins.damaged);
}

/// Name, help, and where the count is.
type FunctionCounter = (&'static str, &'static str, fn(&FunctionCounters) -> u64);

const FUNCTION_COUNTERS: [FunctionCounter; 13] = [
    ("selvedge_function_runs_total", "Runs, attempts of one message counted each", |counters| counters.invocations),
    ("selvedge_function_runs_reused_total", "Runs by an instance that had run before", |counters| counters.reused),
    ("selvedge_function_published_total", "Messages published", |counters| counters.published),
    ("selvedge_function_commits_failed_total", "Commits that conflicted or failed", |counters| counters.commit_failed),
    ("selvedge_function_overloaded_total", "Messages not taken because the queue was full", |counters| {
        counters.overloaded
    }),
    ("selvedge_function_abandoned_total", "Messages not run or stopped because nobody waited any more", |counters| {
        counters.abandoned
    }),
    ("selvedge_function_dead_letters_total", "Messages that were given up and became dead letters", |counters| {
        counters.dead_letters
    }),
    (
        "selvedge_function_static_replies_total",
        "Messages answered with the static reply of an open circuit",
        |counters| counters.static_replies,
    ),
    ("selvedge_function_circuit_opened_total", "Times that a circuit opened", |counters| counters.circuit_opened),
    ("selvedge_function_rate_waits_total", "Times that a message waited for the function's rate", |counters| {
        counters.rate_waits
    }),
    ("selvedge_function_canaries_promoted_total", "Versions on trial that went live", |counters| {
        counters.canaries_promoted
    }),
    ("selvedge_function_canaries_rolled_back_total", "Versions on trial that went back", |counters| {
        counters.canaries_rolled_back
    }),
    ("selvedge_function_log_lines_dropped_total", "Log lines not kept", |counters| counters.log_lines_dropped),
];

/// A gauge of one function.
type FunctionGauge = (&'static str, &'static str, fn(&FunctionStatus) -> f64);

const FUNCTION_GAUGES: [FunctionGauge; 6] = [
    ("selvedge_function_queued_messages", "Messages waiting", |function| function.queued as f64),
    ("selvedge_function_ready", "Whether it can run", |function| {
        f64::from(u8::from(function.state == FunctionState::Ready))
    }),
    ("selvedge_function_circuits_open", "Circuits that are open or tried again", |function| {
        function.circuits_open as f64
    }),
    ("selvedge_function_recordings", "Messages that are recorded now", |function| function.recordings as f64),
    ("selvedge_function_run_p99_seconds", "99th percentile of instantiate and call", |function| {
        function.counters.run_p99_us as f64 / 1e6
    }),
    ("selvedge_function_memory_peak_bytes", "Greatest memory of an instance so far", |function| {
        function.counters.memory_peak_bytes as f64
    }),
];

fn functions(out: &mut Exposition, readings: &Readings) {
    let functions = &readings.functions;
    out.gauge("selvedge_functions", "Deployed functions").value(functions.len());
    let CompileCounts { ok, invalid, timed_out, out_of_memory, failed } = readings.compilations;
    labelled(
        &mut out.counter("selvedge_function_compilations_total", "Compilations by how they ended"),
        "outcome",
        &[
            ("ok", ok),
            ("invalid", invalid),
            ("timed_out", timed_out),
            ("out_of_memory", out_of_memory),
            ("failed", failed),
        ],
    );
    if functions.is_empty() {
        return;
    }
    for (name, help, count) in FUNCTION_COUNTERS {
        let mut family = out.counter(name, help);
        for function in functions {
            family.sample(&[("function", &function.name)], count(&function.counters));
        }
    }
    let mut ends = out.counter("selvedge_function_ends_total", "Runs and messages by how they ended");
    for function in functions {
        let counters = &function.counters;
        let outcomes = [
            ("ok", counters.ok),
            ("failed", counters.failed),
            ("trapped", counters.trapped),
            ("timed_out", counters.timed_out),
            ("over_limit", counters.over_limit),
            ("dropped", counters.dropped),
        ];
        for (outcome, count) in outcomes {
            ends.sample(&[("function", &function.name), ("outcome", outcome)], count);
        }
    }
    let mut run_time = out.counter("selvedge_function_run_seconds_total", "Time of all runs, instantiate and call");
    for function in functions {
        run_time.sample(&[("function", &function.name)], function.counters.run_us_total as f64 / 1e6);
    }
    let mut refused = out.counter(
        "selvedge_function_recordings_refused_total",
        "Messages not recorded: no room, or too much was asked of the node",
    );
    for function in functions {
        refused.sample(&[("function", &function.name)], function.recordings_refused);
    }
    for (name, help, value) in FUNCTION_GAUGES {
        let mut family = out.gauge(name, help);
        for function in functions {
            family.sample(&[("function", &function.name)], value(function));
        }
    }
    versions(out, functions);
    let mut waiting = out.gauge("selvedge_function_deliveries_waiting", "Deliveries that wait to be tried again");
    for (function, line) in functions.iter().zip(&readings.lines) {
        waiting.sample(&[("function", &function.name)], line.waiting);
    }
    http_answers(out, readings);
    intercepts(out, readings);
    let mut dropped = out.counter(
        "selvedge_function_deliveries_dropped_total",
        "QoS 0 deliveries dropped because the function was behind",
    );
    for (function, line) in functions.iter().zip(&readings.lines) {
        dropped.sample(&[("function", &function.name)], line.dropped);
    }
}

/// What requests over HTTP were answered with. No family without samples.
fn http_answers(out: &mut Exposition, readings: &Readings) {
    let functions = readings.functions.iter().zip(&readings.lines);
    let called: Vec<_> = functions.filter(|(_, line)| line.http_answers != [0; 4]).collect();
    if called.is_empty() {
        return;
    }
    let mut answers =
        out.counter("selvedge_function_http_answers_total", "Answers to requests for a function by class of status");
    for (function, line) in called {
        for (class, count) in ["2xx", "3xx", "4xx", "5xx"].into_iter().zip(line.http_answers) {
            answers.sample(&[("function", &function.name), ("class", class)], count);
        }
    }
}

/// What messages came to at functions in their way. No family without samples.
fn intercepts(out: &mut Exposition, readings: &Readings) {
    let functions = readings.functions.iter().zip(&readings.lines);
    let asked: Vec<_> = functions.filter(|(_, line)| line.intercepts != InterceptCounts::default()).collect();
    if asked.is_empty() {
        return;
    }
    let mut intercepts = out.counter(
        "selvedge_function_intercepts_total",
        "Messages that a function looked at first, by what came of them",
    );
    for (function, line) in asked {
        let InterceptCounts { passed, changed, rejected, failed } = line.intercepts;
        for (outcome, count) in [("passed", passed), ("changed", changed), ("rejected", rejected), ("failed", failed)] {
            intercepts.sample(&[("function", &function.name), ("outcome", outcome)], count);
        }
    }
}

/// What each live version came to. No family without samples: functions may all be idle.
fn versions(out: &mut Exposition, functions: &[FunctionStatus]) {
    let live: Vec<(&str, String, &VersionStatus)> = functions
        .iter()
        .flat_map(|function| {
            let numbered = |version: &'_ VersionStatus| version.version.to_string();
            function.versions.iter().map(move |version| (function.name.as_str(), numbered(version), version))
        })
        .collect();
    if live.is_empty() {
        return;
    }
    let mut weights = out.gauge("selvedge_function_version_weight", "Weight of a version in the alias live");
    for (function, version, status) in &live {
        weights.sample(&[("function", function), ("version", version)], u64::from(status.weight));
    }
    let mut ends =
        out.counter("selvedge_function_version_ends_total", "Runs and messages of a live version by how they ended");
    for (function, version, status) in &live {
        let counters = &status.counters;
        let failed = counters.failed + counters.trapped + counters.timed_out + counters.over_limit;
        for (outcome, count) in [("ok", counters.ok), ("failed", failed), ("dropped", counters.dropped)] {
            ends.sample(&[("function", function), ("version", version), ("outcome", outcome)], count);
        }
    }
    let mut p99 = out.gauge("selvedge_function_version_run_p99_seconds", "99th percentile of a live version's runs");
    for (function, version, status) in &live {
        p99.sample(&[("function", function), ("version", version)], status.counters.run_p99_us as f64 / 1e6);
    }
}

/// This process, as far as /proc tells.
fn process(out: &mut Exposition) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in parentheses that may hold anything; the third begins after the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or_else(Vec::new, |(_, rest)| rest.split(' ').collect());
    let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1) as f64;
    out.counter("selvedge_process_cpu_seconds_total", "Processor time, user and system")
        .value((field(14) + field(15)) as f64 / ticks_per_second);
    out.gauge("selvedge_process_resident_bytes", "Memory of the process in RAM")
        .value(field(24) * rustix::param::page_size() as u64);
    out.gauge("selvedge_process_threads", "Threads").value(field(20));
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    out.gauge("selvedge_process_open_files", "Open file descriptors").value(descriptors);
}

#[cfg(test)]
mod tests {
    use selvedge_access::LoginStatistics;

    use super::*;
    use crate::http::exposition::strict_parser::parse;

    fn readings() -> Readings {
        let function = |name: &str, state| FunctionStatus {
            recordings: 0,
            recordings_refused: 0,
            shadow: None,
            canary: None,
            name: name.to_owned(),
            version: "1".to_owned(),
            digest: "d".to_owned(),
            world: None,
            state,
            live: Vec::new(),
            sticky: None,
            versions: vec![VersionStatus {
                version: "v3".parse().unwrap(),
                weight: 90,
                counters: FunctionCounters { ok: 7, ..FunctionCounters::default() },
            }],
            triggers: Some(Vec::new()),
            queued: 3,
            running: 0,
            circuit: selvedge_functions::CircuitState::Open,
            circuits_open: 2,
            counters: FunctionCounters { invocations: 5, run_p99_us: 1500, ..FunctionCounters::default() },
        };
        let counts = LineCounts {
            waiting: 4,
            dropped: 5,
            http_answers: [6, 0, 0, 1],
            intercepts: InterceptCounts { rejected: 3, ..InterceptCounts::default() },
        };
        let mut broker = Snapshot::default();
        broker.core.publishes_received = [1, 2, 3];
        broker.shell.bytes_in = u64::MAX;
        Readings {
            uptime: Duration::from_millis(1500),
            broker: Some(broker),
            store: selvedge_store::Metrics {
                fsync_us: 2_500_000,
                keys: [1, 2, 3, 4],
                ..selvedge_store::Metrics::default()
            },
            store_is_good: true,
            twins: selvedge_twin::Metrics::default(),
            twin_requests_dropped: 9,
            functions: vec![
                function("a", FunctionState::Ready),
                function("b", FunctionState::Broken { reason: "no".to_owned() }),
            ],
            compilations: CompileCounts { timed_out: 5, ..CompileCounts::default() },
            lines: vec![counts, LineCounts::default()],
            ota: OtaReadings::default(),
            net: NetReadings::default(),
            sync: SyncReadings::default(),
            access: AccessReadings {
                logins: vec![("password", "accepted", 3)],
                statistics: LoginStatistics::default(),
                problems: 1,
                certificate_ends_s: Some(7),
                clock_is_trusted: true,
            },
        }
    }

    #[test]
    fn a_strict_parser_reads_everything_and_every_name_is_ours() {
        let families = parse(&exposition(&readings()).into_text()).unwrap();
        assert!(families.len() > 50, "{}", families.len());
        for (name, family) in &families {
            assert!(name.starts_with("selvedge_"), "{name}");
            assert!(!family.samples.is_empty(), "{name}");
        }
    }

    #[test]
    fn counts_appear_under_their_labels() {
        let families = parse(&exposition(&readings()).into_text()).unwrap();
        let value = |name: &str, label: &str, wanted: &str| {
            families[name]
                .samples
                .iter()
                .find(|sample| sample.labels.get(label).is_some_and(|value| value == wanted))
                .unwrap()
                .value
        };
        assert_eq!(value("selvedge_mqtt_publishes_received_total", "qos", "2"), 3.0);
        assert_eq!(value("selvedge_store_keys", "kind", "node"), 4.0);
        assert_eq!(value("selvedge_function_ready", "function", "b"), 0.0);
        assert_eq!(value("selvedge_function_run_p99_seconds", "function", "a"), 0.0015);
        assert_eq!(value("selvedge_function_circuits_open", "function", "a"), 2.0);
        assert_eq!(value("selvedge_function_version_weight", "version", "v3"), 90.0);
        assert_eq!(value("selvedge_function_deliveries_waiting", "function", "a"), 4.0);
        assert_eq!(value("selvedge_function_compilations_total", "outcome", "timed_out"), 5.0);
        assert_eq!(value("selvedge_function_intercepts_total", "outcome", "rejected"), 3.0);
        assert_eq!(value("selvedge_function_http_answers_total", "class", "5xx"), 1.0);
        assert_eq!(value("selvedge_twin_requests_total", "outcome", "dropped"), 9.0);
        assert_eq!(families["selvedge_store_fsync_seconds_total"].samples[0].value, 2.5);
    }

    #[test]
    fn a_silent_broker_and_no_functions_leave_a_whole_text() {
        let readings = Readings { broker: None, functions: Vec::new(), lines: Vec::new(), ..readings() };
        let families = parse(&exposition(&readings).into_text()).unwrap();
        assert_eq!(families["selvedge_broker_up"].samples[0].value, 0.0);
        assert_eq!(families["selvedge_functions"].samples[0].value, 0.0);
        assert!(!families.contains_key("selvedge_mqtt_connections"));
    }

    #[test]
    fn the_process_knows_itself() {
        let families = parse(&exposition(&readings()).into_text()).unwrap();
        assert!(families["selvedge_process_resident_bytes"].samples[0].value > 1e6);
        assert!(families["selvedge_process_threads"].samples[0].value >= 1.0);
        assert!(families["selvedge_process_open_files"].samples[0].value >= 3.0);
    }
}
