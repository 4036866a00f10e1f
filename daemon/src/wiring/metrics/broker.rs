//! The broker's counts: protocol, listeners, handshakes, sockets.

use super::labelled;
use crate::http::Exposition;

const QOS: [&str; 3] = ["0", "1", "2"];

/// What the protocol counts.
pub fn protocol(out: &mut Exposition, core: &selvedge_core::Statistics) {
    out.gauge("selvedge_mqtt_connections", "Clients past CONNECT").value(core.connections);
    out.gauge("selvedge_mqtt_sessions", "Sessions, connected or not, those of the node itself included")
        .value(core.sessions);
    out.gauge("selvedge_mqtt_subscriptions", "Subscriptions").value(core.subscriptions);
    out.gauge("selvedge_mqtt_retained_messages", "Retained messages").value(core.retained_messages);
    out.gauge("selvedge_mqtt_retained_bytes", "Bytes of retained messages").value(core.retained_bytes);
    out.gauge("selvedge_mqtt_queued_messages", "Messages queued for sessions").value(core.queued_messages);
    out.gauge("selvedge_mqtt_queued_bytes", "Bytes queued for sessions").value(core.queued_bytes);
    out.gauge("selvedge_mqtt_memory_bytes", "Bytes that the node holds for clients, by its own account")
        .value(core.memory_bytes);
    labelled(
        &mut out.counter("selvedge_mqtt_connects_total", "CONNECT packets by outcome"),
        "outcome",
        &[("accepted", core.connects_accepted), ("refused", core.connects_refused)],
    );
    let mut received = out.counter("selvedge_mqtt_publishes_received_total", "PUBLISH packets from clients by QoS");
    for (qos, count) in QOS.iter().zip(core.publishes_received) {
        received.sample(&[("qos", qos)], count);
    }
    let mut sent = out.counter(
        "selvedge_mqtt_publishes_sent_total",
        "PUBLISH packets to clients and deliveries inside the node by effective QoS",
    );
    for (qos, count) in QOS.iter().zip(core.publishes_sent) {
        sent.sample(&[("qos", qos)], count);
    }
    out.counter("selvedge_mqtt_publishes_internal_total", "Messages published by the node itself")
        .value(core.publishes_internal);
    labelled(
        &mut out.counter("selvedge_mqtt_payload_bytes_total", "Payload bytes by direction"),
        "direction",
        &[("in", core.publish_bytes_received), ("out", core.publish_bytes_sent)],
    );
    out.gauge("selvedge_mqtt_held_messages", "Messages that functions look at now, before anybody gets them")
        .value(core.held);
    out.counter("selvedge_mqtt_held_total", "Messages that functions looked at before anybody got them")
        .value(core.publishes_held);
    labelled(
        &mut out.counter("selvedge_mqtt_held_ends_total", "Of those, messages with another end than to be published"),
        "end",
        &[("dropped", core.held_dropped), ("timed_out", core.held_timeouts), ("client_left", core.held_abandoned)],
    );
    labelled(
        &mut out.counter("selvedge_mqtt_dropped_total", "Messages dropped by reason"),
        "reason",
        &[
            ("queue_full", core.dropped_queue_full),
            ("offline", core.dropped_offline),
            ("expired", core.dropped_expired),
            ("too_large", core.dropped_too_large),
            ("unauthorized", core.dropped_unauthorized),
            ("memory", core.dropped_memory),
            ("disk", core.dropped_disk),
            ("priority", core.dropped_priority),
            ("lost_on_disk", core.lost_on_disk),
        ],
    );
    labelled(
        &mut out.counter("selvedge_mqtt_refused_total", "Requests refused by kind"),
        "kind",
        &[
            ("publish", core.refused_publish),
            ("subscribe", core.refused_subscribe),
            ("retained", core.refused_retained),
            ("retained_replay", core.cut_replays),
            ("memory", core.refused_memory),
            ("disk", core.refused_disk),
            ("session", core.refused_sessions),
            ("topic_length", core.refused_topic_bytes),
            ("will_size", core.refused_wills),
        ],
    );
    labelled(
        &mut out.counter("selvedge_mqtt_closed_total", "Connections ended by the node by cause"),
        "cause",
        &[
            ("keep_alive", core.closed_keep_alive),
            ("protocol", core.closed_protocol),
            ("quota", core.closed_quota),
            ("taken_over", core.closed_taken_over),
            ("unauthorized", core.closed_unauthorized),
        ],
    );
    labelled(
        &mut out.counter("selvedge_mqtt_revoked_total", "What ended because rules or credentials changed, by kind"),
        "kind",
        &[
            ("session", core.revoked_sessions),
            ("subscription", core.revoked_subscriptions),
            ("will", core.revoked_wills),
            ("credentials_expired", core.credentials_expired),
        ],
    );
    out.counter("selvedge_mqtt_sessions_displaced_total", "Sessions of anonymous clients that gave way to a user")
        .value(core.displaced_sessions);
    labelled(
        &mut out.counter("selvedge_mqtt_reauthentications_total", "Authentications of connected clients by outcome"),
        "outcome",
        &[("accepted", core.reauthentications), ("failed", core.reauthentications_failed)],
    );
    out.counter("selvedge_mqtt_wills_published_total", "Wills published").value(core.wills_published);
    labelled(
        &mut out.counter("selvedge_mqtt_topic_lookups_total", "Topic lookups by how they were answered"),
        "answered_by",
        &[("cache", core.match_cache_hits), ("tree", core.match_cache_misses)],
    );
}

/// What listeners, handshakes and sockets count.
pub fn sockets(out: &mut Exposition, shell: &selvedge_broker::Statistics) {
    out.gauge("selvedge_listener_half_open", "Connections that have not sent their CONNECT").value(shell.half_open);
    out.gauge("selvedge_listener_half_open_bytes", "Bytes of unfinished CONNECT packets").value(shell.half_open_bytes);
    out.counter("selvedge_listener_accepted_total", "Connections accepted").value(shell.accepted);
    labelled(
        &mut out.counter("selvedge_listener_refused_total", "Connections ended before their CONNECT by reason"),
        "reason",
        &[
            ("connections_max", shell.refused_connections_max),
            ("half_open_max", shell.refused_half_open),
            ("timeout", shell.handshake_timeouts),
            ("failure", shell.handshake_failures),
            ("upgrade", shell.upgrades_refused),
            ("connections_per_address", shell.refused_connections_per_address),
            ("connect_rate", shell.refused_connect_rate),
        ],
    );
    out.counter(
        "selvedge_listener_addresses_forgotten_total",
        "Addresses whose connect rate was forgotten, for want of room",
    )
    .value(shell.addresses_forgotten);
    encryption(out, shell);
    authentication(out, shell);
    out.counter("selvedge_listener_accept_errors_total", "Accept calls that failed").value(shell.accept_errors);
    labelled(
        &mut out.counter("selvedge_socket_bytes_total", "Bytes on MQTT sockets by direction"),
        "direction",
        &[("in", shell.bytes_in), ("out", shell.bytes_out)],
    );
    labelled(
        &mut out.counter("selvedge_socket_calls_total", "Reads and writes on MQTT sockets that moved bytes"),
        "call",
        &[("read", shell.reads), ("write", shell.writes)],
    );
    out.gauge("selvedge_socket_incomplete_bytes", "Bytes of packets that are not complete or not handled yet")
        .value(shell.incomplete_bytes);
    out.gauge("selvedge_socket_throttled", "Clients that are not read because of their publish rate")
        .value(shell.throttled);
    labelled(
        &mut out.counter("selvedge_socket_throttled_total", "Times that a client was not read by limit"),
        "limit",
        &[("publish_rate", shell.throttled_publish_rate), ("publish_bytes", shell.throttled_publish_bytes)],
    );
    labelled(
        &mut out.counter("selvedge_socket_incomplete_closed_total", "Clients disconnected within a packet by limit"),
        "limit",
        &[("incomplete_bytes", shell.closed_incomplete_bytes), ("packet_timeout", shell.packet_timeouts)],
    );
    out.gauge("selvedge_socket_unsent_bytes", "Bytes that wait for clients to take them").value(shell.outbox_bytes);
    out.counter("selvedge_socket_writes_blocked_total", "Writes that a socket did not take whole")
        .value(shell.writes_blocked);
    out.counter("selvedge_socket_congested_total", "Times that a client fell behind its high-water mark")
        .value(shell.congested);
    out.counter(
        "selvedge_socket_reads_paused_total",
        "Times that a client was not read because it did not take its answers",
    )
    .value(shell.reads_paused);
    out.counter(
        "selvedge_socket_reads_stalled_total",
        "Times that a client which publishes was not read because too much waited for the disk",
    )
    .value(shell.reads_stalled);
    out.counter(
        "selvedge_socket_close_timeouts_total",
        "Connections cut off because they did not take their last bytes",
    )
    .value(shell.close_timeouts);
    out.counter(
        "selvedge_websocket_violations_total",
        "WebSocket frames that break the protocol, are too large or text",
    )
    .value(shell.websocket_violations);
    out.gauge("selvedge_reactor_attachments", "Consumers inside the node").value(shell.attachments);
    out.counter("selvedge_reactor_turns_total", "Turns of the reactor in which something happened").value(shell.turns);
    out.counter("selvedge_reactor_commands_total", "Commands from other threads to the reactor").value(shell.commands);
    out.counter("selvedge_reactor_stalls_total", "Turns that took more than 50 ms").value(shell.stalls);
    out.gauge("selvedge_reactor_longest_turn_seconds", "Longest turn of the last ten to twenty seconds")
        .value(shell.longest_turn_us as f64 / 1e6);
    out.counter("selvedge_reactor_sinks_panicked_total", "Consumers inside the node dropped because they panicked")
        .value(shell.sinks_panicked);
}

fn encryption(out: &mut Exposition, shell: &selvedge_broker::Statistics) {
    labelled(
        &mut out.counter("selvedge_tls_handshakes_total", "TLS handshakes by outcome"),
        "outcome",
        &[
            ("full", shell.tls_handshakes.saturating_sub(shell.tls_handshakes_resumed)),
            ("resumed", shell.tls_handshakes_resumed),
            ("failed", shell.tls_handshake_failures),
            ("timeout", shell.tls_handshake_timeouts),
        ],
    );
    out.counter(
        "selvedge_tls_errors_total",
        "Encrypted connections that ended by a bad record or without announcement",
    )
    .value(shell.tls_errors);
    out.gauge("selvedge_tls_bytes", "Bytes that encrypted connections keep beside their keys").value(shell.tls_bytes);
}

fn authentication(out: &mut Exposition, shell: &selvedge_broker::Statistics) {
    out.gauge("selvedge_authentications_waiting", "Clients that wait for their password to be checked")
        .value(shell.authentications_waiting);
    out.counter("selvedge_authentications_checked_total", "Questions to the thread that checks passwords")
        .value(shell.authentications_checked);
    labelled(
        &mut out.counter("selvedge_authentications_refused_total", "Clients refused before the protocol by reason"),
        "reason",
        &[
            ("refused", shell.authentications_refused),
            ("busy", shell.authentications_busy),
            ("timeout", shell.authentication_timeouts),
            ("panic", shell.authenticator_panics),
        ],
    );
}
