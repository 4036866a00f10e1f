//! Bounds that the kind of a value does not express, and rules between keys. The lower bounds keep the protocol working, the
//! upper ones keep a typing error from taking the memory of the box.

mod access;
mod net;
mod ota;
mod sync;

use std::time::Duration;

use super::quantity::{ByteSize, Period};
use super::{Config, Surroundings};

/// A value that its key does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Dotted key.
    pub key: &'static str,
    /// The value, as configuration writes it.
    pub value: String,
    /// What is allowed, as a sentence.
    pub allowed: String,
}

/// Everything in `config` that is out of bounds, or cannot work in these surroundings.
pub fn violations(config: &Config, around: &Surroundings) -> Vec<Violation> {
    let mut found = Found(Vec::new());
    access::listeners(config, around, &mut found);
    access::tls(config, around, &mut found);
    access::access(config, &mut found);
    websocket(config, &mut found);
    http(config, &mut found);
    limits(config, &mut found);
    durability(config, &mut found);
    parts(config, &mut found);
    ota::ota(config, &mut found);
    net::net(config, &mut found);
    sync::sync(config, &mut found);
    found.0
}

struct Found(Vec<Violation>);

impl Found {
    fn refuse(&mut self, key: &'static str, value: impl ToString, allowed: impl Into<String>) {
        self.0.push(Violation { key, value: value.to_string(), allowed: allowed.into() });
    }

    fn number(&mut self, key: &'static str, value: impl Into<u64>, min: u64, max: u64) {
        let value = value.into();
        if !(min..=max).contains(&value) {
            self.refuse(key, value, format!("expected a number from {min} to {max}"));
        }
    }

    fn size(&mut self, key: &'static str, value: ByteSize, min: ByteSize, max: ByteSize) {
        if !(min..=max).contains(&value) {
            self.refuse(key, quoted(value), format!("expected a size from \"{min}\" to \"{max}\""));
        }
    }

    fn period(&mut self, key: &'static str, value: Period, min: Period, max: Period) {
        if !(min..=max).contains(&value) {
            self.refuse(key, quoted(value), format!("expected a duration from \"{min}\" to \"{max}\""));
        }
    }

    /// MQTT counts these in whole seconds.
    fn whole_seconds(&mut self, key: &'static str, value: Period) {
        if value.0.subsec_nanos() != 0 {
            self.refuse(key, quoted(value), "expected whole seconds");
        }
    }
}

fn quoted(value: impl ToString) -> String {
    format!("\"{}\"", value.to_string())
}

fn websocket(config: &Config, found: &mut Found) {
    let path = &config.websocket.path;
    let path_fits = path.starts_with('/')
        && path.len() <= 256
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    if !path_fits {
        found.refuse(
            "websocket.path",
            quoted(path),
            "expected a path such as \"/mqtt\": a slash, then visible ASCII without ? and #",
        );
    }
}

fn http(config: &Config, found: &mut Found) {
    let http = &config.http;
    found.number("http.connections_max", http.connections_max, 1, 10_000);
    found.size("http.header_bytes_max", http.header_bytes_max, ByteSize::kib(8), ByteSize::mib(1));
    found.size("http.body_bytes_max", http.body_bytes_max, ByteSize::kib(1), ByteSize::mib(256));
    found.size("http.function_body_bytes_max", http.function_body_bytes_max, ByteSize::kib(1), ByteSize::mib(16));
    found.period("http.request_timeout", http.request_timeout, Period::milliseconds(100), Period::seconds(3600));
}

fn limits(config: &Config, found: &mut Found) {
    let limits = &config.limits;
    let day = Duration::from_secs(24 * 3600);
    found.number("limits.connections_max", limits.connections_max, 1, 1_000_000);
    found.number("limits.connections_per_address_max", limits.connections_per_address_max, 0, 1_000_000);
    found.number("limits.connect_rate_per_address_per_s", limits.connect_rate_per_address_per_s, 0, 1_000_000);
    found.number("limits.connect_burst_per_address", limits.connect_burst_per_address, 1, 1_000_000);
    found.number("limits.addresses_remembered_max", limits.addresses_remembered_max, 16, 1_000_000);
    found.number("limits.half_open_max", limits.half_open_max, 1, 100_000);
    found.period("limits.handshake_timeout", limits.handshake_timeout, Period::milliseconds(100), Period::seconds(300));
    found.number("limits.authentications_waiting_max", limits.authentications_waiting_max, 1, 100_000);
    found.period(
        "limits.reauthentication_timeout",
        limits.reauthentication_timeout,
        Period::seconds(1),
        Period::seconds(3600),
    );
    found.whole_seconds("limits.reauthentication_timeout", limits.reauthentication_timeout);
    // The largest packet of MQTT is 5 bytes of fixed header and 268,435,455 of the rest.
    found.size("limits.connect_bytes_max", limits.connect_bytes_max, ByteSize::kib(1), ByteSize::mib(1));
    found.size("limits.incomplete_bytes_max", limits.incomplete_bytes_max, ByteSize::kib(64), ByteSize(64 << 30));
    found.period("limits.packet_timeout", limits.packet_timeout, Period::milliseconds(100), Period::seconds(3600));
    found.size("limits.unsent_bytes_max", limits.unsent_bytes_max, ByteSize::mib(1), ByteSize(64 << 30));
    found.size("limits.memory_bytes_max", limits.memory_bytes_max, ByteSize::mib(8), ByteSize(1 << 40));
    found.size("limits.packet_bytes_max", limits.packet_bytes_max, ByteSize::kib(1), ByteSize(268_435_460));
    found.number("limits.publish_rate_per_client_per_s", limits.publish_rate_per_client_per_s, 0, 100_000_000);
    found.number("limits.publish_burst_per_client", limits.publish_burst_per_client, 1, 100_000_000);
    found.size(
        "limits.publish_bytes_per_client_per_s",
        limits.publish_bytes_per_client_per_s,
        ByteSize(0),
        ByteSize(u32::MAX as u64),
    );
    found.number("limits.receive_maximum", limits.receive_maximum, 1, 65_535);
    found.number("limits.in_flight_max", limits.in_flight_max, 1, 65_535);
    found.number("limits.queue_messages_max", limits.queue_messages_max, 1, 100_000_000);
    found.size("limits.queue_bytes_max", limits.queue_bytes_max, ByteSize::kib(1), ByteSize(64 << 30));
    found.size("limits.queue_memory_bytes_max", limits.queue_memory_bytes_max, ByteSize::kib(1), ByteSize(1 << 30));
    found.number("limits.sessions_max", limits.sessions_max, 1, 10_000_000);
    found.number("limits.anonymous_sessions_max", limits.anonymous_sessions_max, 0, 10_000_000);
    found.period("limits.session_expiry_max", limits.session_expiry_max, Period::seconds(0), Period(day * 36_500));
    found.whole_seconds("limits.session_expiry_max", limits.session_expiry_max);
    found.period("limits.keep_alive_max", limits.keep_alive_max, Period::seconds(0), Period::seconds(65_535));
    found.whole_seconds("limits.keep_alive_max", limits.keep_alive_max);
    found.number("limits.subscriptions_per_client_max", limits.subscriptions_per_client_max, 1, 10_000_000);
    found.number("limits.topic_levels_max", limits.topic_levels_max, 1, 32_768);
    found.size("limits.topic_bytes_max", limits.topic_bytes_max, ByteSize(16), ByteSize(65_535));
    // A server must take 23 bytes [MQTT-3.1.3-5]; no string of MQTT is longer than 65,535.
    found.size("limits.client_id_bytes_max", limits.client_id_bytes_max, ByteSize(23), ByteSize(65_535));
    found.size("limits.will_bytes_max", limits.will_bytes_max, ByteSize(0), ByteSize::mib(1));
    found.number("limits.retained_messages_max", limits.retained_messages_max, 0, 100_000_000);
    found.size("limits.retained_bytes_max", limits.retained_bytes_max, ByteSize(0), ByteSize(64 << 30));
    found.period("limits.sys_interval", limits.sys_interval, Period::seconds(0), Period(day));
    found.whole_seconds("limits.sys_interval", limits.sys_interval);
}

fn durability(config: &Config, found: &mut Found) {
    let durability = &config.durability;
    found.period("durability.interval", durability.interval, Period::milliseconds(1), Period::seconds(3600));
    found.period("durability.gather", durability.gather, Period::milliseconds(0), Period::seconds(1));
    for topic in &durability.topics {
        if selvedge_codec::topic::validate_filter(&topic.filter).is_err() {
            found.refuse("durability.topics", quoted(&topic.filter), "expected topic filters such as \"telemetry/#\"");
        }
        if let Some(time_to_live) = topic.time_to_live {
            let key = "durability.topics.time_to_live";
            found.period(key, time_to_live, Period::seconds(1), Period::seconds(u64::from(u32::MAX)));
            found.whole_seconds(key, time_to_live);
        }
    }
    let store = &config.store;
    found.size("store.segment_bytes", store.segment_bytes, ByteSize::kib(64), ByteSize(1 << 30));
    found.size("store.slack_bytes", store.slack_bytes, ByteSize::kib(64), ByteSize(64 << 30));
    found.size("store.checkpoint_bytes", store.checkpoint_bytes, ByteSize::kib(64), ByteSize(1 << 30));
    if store.disk_bytes_max.0 != 0 && store.disk_bytes_max < ByteSize::mib(8) {
        found.refuse(
            "store.disk_bytes_max",
            quoted(store.disk_bytes_max),
            "expected \"0B\" or a size of at least \"8MiB\"",
        );
    }
}

fn parts(config: &Config, found: &mut Found) {
    log(config, found);
    store(config, found);
    twins(config, found);
    functions(config, found);
}

fn store(config: &Config, found: &mut Found) {
    let store = &config.store;
    found.size("store.cache_bytes", store.cache_bytes, ByteSize::kib(256), ByteSize(4 << 30));
    found.size("store.queue_bytes_max", store.queue_bytes_max, ByteSize::kib(64), ByteSize(1 << 30));
    found.size("store.ballast_bytes", store.ballast_bytes, ByteSize(0), ByteSize(1 << 30));
    found.size("store.free_bytes_min", store.free_bytes_min, ByteSize(0), ByteSize(64 << 30));
    found.number("store.quarantines_max", store.quarantines_max, 0, 100);
}

fn twins(config: &Config, found: &mut Found) {
    let twins = &config.twins;
    // Sizes and depths that a record and a key of the store can hold; `wiring::settings` tests that the twins agree.
    found.size("twins.section_bytes_max", twins.section_bytes_max, ByteSize(2), ByteSize(64_511));
    found.size("twins.request_bytes_max", twins.request_bytes_max, ByteSize(64), ByteSize::mib(1));
    found.number("twins.depth_max", twins.depth_max, 1, 30);
    found.number("twins.fields_max", twins.fields_max, 1, 4096);
    found.size("twins.path_bytes_max", twins.path_bytes_max, ByteSize(2), ByteSize(256));
    found.number("twins.twins_max", twins.twins_max, 1, 100_000_000);
    found.number("twins.tombstones_max", twins.tombstones_max, 0, 4096);
    found.number("twins.deleted_twins_max", twins.deleted_twins_max, 0, 100_000);
    found.number("twins.history_changes_max", twins.history_changes_max, 0, 1024);
    found.size("twins.history_bytes_max", twins.history_bytes_max, ByteSize::kib(1), ByteSize::mib(1));
    found.size("twins.cache_bytes_max", twins.cache_bytes_max, ByteSize(0), ByteSize(1 << 30));
    found.period("twins.clock_ahead_max", twins.clock_ahead_max, Period::seconds(0), Period::seconds(365 * 24 * 3600));
    found.number("twins.requests_in_flight_max", twins.requests_in_flight_max, 1, 65_535);
}

fn functions(config: &Config, found: &mut Found) {
    let functions = &config.functions;
    found.number("functions.workers", functions.workers, 1, 64);
    found.number("functions.stuck_workers_max", functions.stuck_workers_max, 0, 64);
    found.period("functions.slice", functions.slice, Period::milliseconds(10), Period::seconds(60));
    found.number("functions.functions_max", functions.functions_max, 1, 10_000);
    found.number("functions.loaded_max", functions.loaded_max, 1, 10_000);
    found.number("functions.versions_max", functions.versions_max, 1, 256);
    found.number("functions.in_flight_max", functions.in_flight_max, 1, 65_535);
    found.number("functions.queue_messages_max", functions.queue_messages_max, 1, 1_000_000);
    found.size("functions.queue_bytes_max", functions.queue_bytes_max, ByteSize::kib(1), ByteSize(1 << 30));
    found.number("functions.commits_in_flight_max", functions.commits_in_flight_max, 1, 65_535);
    found.number("functions.depth_max", functions.depth_max, 1, 1000);
    found.number("functions.log_lines_kept", functions.log_lines_kept, 0, 100_000);
    found.size("functions.log_line_bytes_max", functions.log_line_bytes_max, ByteSize(64), ByteSize::kib(64));
    found.size("functions.recording_bytes_max", functions.recording_bytes_max, ByteSize(0), ByteSize(1 << 30));
    found.size("functions.component_bytes_max", functions.component_bytes_max, ByteSize::kib(1), ByteSize::mib(256));
    found.size("functions.memory_bytes_max", functions.memory_bytes_max, ByteSize::kib(64), ByteSize(2 << 30));
    found.number("functions.kept_instances_max", functions.kept_instances_max, 0, 64);
    found.size(
        "functions.memory_total_bytes",
        functions.memory_total_bytes,
        functions.memory_bytes_max,
        ByteSize(64 << 30),
    );
    found.period(
        "functions.intercept_timeout_max",
        functions.intercept_timeout_max,
        Period::milliseconds(1),
        Period::seconds(60),
    );
    found.period("functions.timeout_max", functions.timeout_max, Period::milliseconds(1), Period::seconds(3600));
    found.period("functions.compile_timeout", functions.compile_timeout, Period::seconds(1), Period::seconds(3600));
    found.size("functions.compile_memory_bytes", functions.compile_memory_bytes, ByteSize::mib(64), ByteSize(64 << 30));
    if config.http.body_bytes_max < functions.component_bytes_max {
        found.refuse(
            "http.body_bytes_max",
            quoted(config.http.body_bytes_max),
            format!("expected at least functions.component_bytes_max, \"{}\"", functions.component_bytes_max),
        );
    }
}

fn log(config: &Config, found: &mut Found) {
    if let Err(error) = crate::telemetry::parse_directives(&config.log.level) {
        found.refuse("log.level", quoted(&config.log.level), error.to_string());
    }
}
