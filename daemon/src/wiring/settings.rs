//! The one configuration tree, cut into what each part takes.

use std::path::Path;

use crate::config::durability::{DurabilityMode, ListenerDurability, PriorityLevel, TopicDurability};
use crate::config::limits::Overflow;
use crate::config::parts::MemoryProfile;
use crate::config::{Config, Period};

/// Limits of the protocol.
pub fn core(config: &Config) -> selvedge_core::Config {
    let limits = &config.limits;
    selvedge_core::Config {
        packet_bytes_max: saturated(limits.packet_bytes_max.0),
        receive_maximum: limits.receive_maximum,
        in_flight_max: limits.in_flight_max,
        queue_messages_max: limits.queue_messages_max as usize,
        queue_bytes_max: limits.queue_bytes_max.as_usize(),
        queue_memory_bytes_max: limits.queue_memory_bytes_max.as_usize(),
        overflow: match limits.overflow {
            Overflow::DropOldest => selvedge_core::OverflowRule::DropOldest,
            Overflow::Disconnect => selvedge_core::OverflowRule::Disconnect,
        },
        session_expiry_max_s: seconds(limits.session_expiry_max),
        sessions_max: limits.sessions_max as usize,
        keep_alive_max_s: u16::try_from(seconds(limits.keep_alive_max)).unwrap_or(u16::MAX),
        topic_alias_max: limits.topic_alias_max,
        topic_alias_out_max: limits.topic_alias_max,
        subscriptions_max: limits.subscriptions_per_client_max as usize,
        topic_levels_max: limits.topic_levels_max as usize,
        client_id_bytes_max: limits.client_id_bytes_max.as_usize(),
        retained_messages_max: limits.retained_messages_max as usize,
        retained_bytes_max: limits.retained_bytes_max.as_usize(),
        sys_interval_s: seconds(limits.sys_interval),
        memory_bytes_max: limits.memory_bytes_max.as_usize(),
        anonymous_sessions_max: limits.anonymous_sessions_max as usize,
        topic_bytes_max: limits.topic_bytes_max.as_usize(),
        will_bytes_max: limits.will_bytes_max.as_usize(),
        reauthentication_timeout_s: seconds(limits.reauthentication_timeout),
        durability: durability(config),
        ..selvedge_core::Config::default()
    }
}

/// How safe messages are kept.
fn durability(config: &Config) -> selvedge_core::DurabilityRules {
    let topics = &config.durability.topics;
    selvedge_core::DurabilityRules {
        default: mode(config.durability.mode),
        topics: topics.iter().map(topic_rule).collect(),
        listeners: [
            config.mqtt.durability,
            config.mqtts.durability,
            config.websocket.durability,
            config.secure_websocket.durability,
        ]
        .into_iter()
        .filter_map(listener_durability)
        .collect(),
    }
}

fn topic_rule(topic: &TopicDurability) -> selvedge_core::TopicRule {
    selvedge_core::TopicRule {
        filter: topic.filter.clone(),
        durability: topic.mode.map(mode),
        priority: match topic.priority {
            PriorityLevel::Low => selvedge_core::Priority::Low,
            PriorityLevel::Normal => selvedge_core::Priority::Normal,
            PriorityLevel::High => selvedge_core::Priority::High,
        },
        time_to_live_s: topic.time_to_live.map(seconds),
    }
}

fn mode(mode: DurabilityMode) -> selvedge_core::Durability {
    match mode {
        DurabilityMode::Fsync => selvedge_core::Durability::Fsync,
        DurabilityMode::Interval => selvedge_core::Durability::Interval,
        DurabilityMode::Memory => selvedge_core::Durability::Memory,
    }
}

/// How safe a listener wants its messages kept; `None` is as the node does.
pub fn listener_durability(durability: ListenerDurability) -> Option<selvedge_core::Durability> {
    match durability {
        ListenerDurability::Default => None,
        ListenerDurability::Fsync => Some(selvedge_core::Durability::Fsync),
        ListenerDurability::Interval => Some(selvedge_core::Durability::Interval),
        ListenerDurability::Memory => Some(selvedge_core::Durability::Memory),
    }
}

/// Limits of sockets and buffers.
pub fn broker(config: &Config) -> selvedge_broker::Config {
    let limits = &config.limits;
    selvedge_broker::Config {
        connections_max: limits.connections_max as usize,
        half_open_max: limits.half_open_max as usize,
        handshake_timeout: limits.handshake_timeout.0,
        connect_bytes_max: saturated(limits.connect_bytes_max.0),
        outbox_total_bytes: limits.unsent_bytes_max.as_usize(),
        websocket_path: config.websocket.path.clone(),
        connections_per_address_max: limits.connections_per_address_max as usize,
        connect_rate_per_address_per_s: limits.connect_rate_per_address_per_s,
        connect_burst_per_address: limits.connect_burst_per_address,
        addresses_remembered_max: limits.addresses_remembered_max as usize,
        incomplete_bytes_max: limits.incomplete_bytes_max.as_usize(),
        packet_timeout: limits.packet_timeout.0,
        publish_rate_per_client_per_s: limits.publish_rate_per_client_per_s,
        publish_burst_per_client: limits.publish_burst_per_client,
        publish_bytes_per_client_per_s: saturated(limits.publish_bytes_per_client_per_s.0),
        authentications_waiting_max: limits.authentications_waiting_max as usize,
        ..selvedge_broker::Config::default()
    }
}

/// The store.
pub fn store(config: &Config) -> selvedge_store::Config {
    let store = &config.store;
    selvedge_store::Config {
        cache_bytes: store.cache_bytes.0,
        queue_bytes_max: store.queue_bytes_max.as_usize(),
        ballast_bytes: store.ballast_bytes.0,
        free_bytes_min: store.free_bytes_min.0,
        quarantines_max: store.quarantines_max as usize,
        segment_bytes: store.segment_bytes.0,
        slack_bytes: store.slack_bytes.0,
        checkpoint_bytes: store.checkpoint_bytes.0,
        gather_ms: milliseconds(config.durability.gather),
        lazy_sync_ms: milliseconds(config.durability.interval),
        disk_bytes_max: store.disk_bytes_max.0,
    }
}

/// The twins.
pub fn twins(config: &Config) -> selvedge_twin::Config {
    let twins = &config.twins;
    selvedge_twin::Config {
        section_bytes_max: twins.section_bytes_max.as_usize(),
        request_bytes_max: twins.request_bytes_max.as_usize(),
        depth_max: twins.depth_max as usize,
        fields_max: twins.fields_max as usize,
        path_bytes_max: twins.path_bytes_max.as_usize(),
        twins_max: twins.twins_max,
        tombstones_max: twins.tombstones_max as usize,
        deleted_twins_max: twins.deleted_twins_max as usize,
        history_changes_max: twins.history_changes_max as usize,
        history_bytes_max: twins.history_bytes_max.as_usize(),
        cache_bytes_max: twins.cache_bytes_max.as_usize(),
        clock_ahead_max_ms: milliseconds(twins.clock_ahead_max),
        ..selvedge_twin::Config::default()
    }
}

/// The functions.
pub fn functions(config: &Config) -> selvedge_functions::Config {
    let functions = &config.functions;
    selvedge_functions::Config {
        workers: functions.workers as usize,
        stuck_workers_max: functions.stuck_workers_max as usize,
        slice_ms: milliseconds(functions.slice),
        functions_max: functions.functions_max as usize,
        loaded_max: functions.loaded_max as usize,
        versions_max: functions.versions_max as usize,
        queue_messages_max: functions.queue_messages_max as usize,
        queue_bytes_max: functions.queue_bytes_max.as_usize(),
        commits_in_flight_max: functions.commits_in_flight_max as usize,
        depth_max: functions.depth_max,
        log_lines_kept: functions.log_lines_kept as usize,
        log_line_bytes_max: functions.log_line_bytes_max.as_usize(),
        recording_bytes_max: functions.recording_bytes_max.as_usize(),
        component_bytes_max: functions.component_bytes_max.as_usize(),
        memory_bytes_max: functions.memory_bytes_max.as_usize(),
        kept_instances_max: functions.kept_instances_max as usize,
        memory_total_bytes: functions.memory_total_bytes.as_usize(),
        timeout_ms_max: milliseconds(functions.timeout_max),
        intercept_timeout_ms_max: milliseconds(functions.intercept_timeout_max),
        compile_timeout_ms: milliseconds(functions.compile_timeout),
        compile_memory_bytes: functions.compile_memory_bytes.0,
        memory_profile: match functions.memory_profile {
            MemoryProfile::Probe => selvedge_functions::MemoryProfile::Probe,
            MemoryProfile::Pooled => selvedge_functions::MemoryProfile::Pooled,
            MemoryProfile::OnDemand => selvedge_functions::MemoryProfile::OnDemand,
        },
    }
}

/// The compiler: this program again, as a child with limits of its own. The name by which the kernel knows the running file
/// stays right when an update replaces it.
pub fn compile_child() -> selvedge_functions::CompileChild {
    let own = Path::new("/proc/self/exe");
    let executable = if own.exists() { own.to_owned() } else { std::env::current_exe().unwrap_or_default() };
    selvedge_functions::CompileChild { executable, args: vec!["internal-compile".to_owned()] }
}

fn seconds(period: Period) -> u32 {
    u32::try_from(period.0.as_secs()).unwrap_or(u32::MAX)
}

pub fn milliseconds(period: Period) -> u64 {
    u64::try_from(period.0.as_millis()).unwrap_or(u64::MAX)
}

fn saturated(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Surroundings;
    use crate::config::checks::violations;
    use crate::config::quantity::ByteSize;

    #[test]
    fn the_defaults_of_the_configuration_are_the_defaults_of_the_parts() {
        let config = Config::default();
        assert_eq!(core(&config), selvedge_core::Config::default());
        assert_eq!(broker(&config), selvedge_broker::Config::default());
        assert_eq!(store(&config), selvedge_store::Config::default());
        assert_eq!(twins(&config), selvedge_twin::Config::default());
        assert_eq!(functions(&config), selvedge_functions::Config::default());
    }

    #[test]
    fn what_the_configuration_lets_through_the_twins_accept() {
        let mut config = Config::default();
        config.twins.section_bytes_max = ByteSize(64_511);
        config.twins.request_bytes_max = ByteSize::mib(1);
        config.twins.depth_max = 30;
        config.twins.fields_max = 4096;
        config.twins.path_bytes_max = ByteSize(256);
        config.twins.tombstones_max = 4096;
        config.twins.deleted_twins_max = 100_000;
        assert_eq!(violations(&config, &Surroundings::default()), []);
        assert_eq!(twins(&config).check(), Ok(()));
        config.twins.depth_max = 31;
        assert_eq!(violations(&config, &Surroundings::default()).len(), 1);
        assert!(twins(&config).check().is_err());
    }
}
