//! The figures, for people and for programs.

use std::time::Duration;

use serde_json::Value;

use super::{Delivery, Measured, Size};

/// A line for each update.
pub fn print(measured: &[Measured]) -> String {
    let head = format!(
        "{:<5} {:<5} {:<5} {:>11} {:>10} {:>9} {:>10} {:>11} {:>10} {:>6} {:>5} {:>6} {:>8} {:>8} {:>5}",
        "round",
        "way",
        "size",
        "bytes",
        "publish s",
        "update s",
        "connect ms",
        "delivery ms",
        "puback ms",
        "acked",
        "lost",
        "twice",
        "ended",
        "refused",
        "gone",
    );
    let rows = measured.iter().map(|one| {
        format!(
            "{:<5} {:<5} {:<5} {:>11} {:>10.2} {:>9.2} {:>10.1} {:>11.1} {:>10.1} {:>6} {:>5} {:>6} {:>8} {:>8} {:>5}",
            one.round,
            way(one.delivery),
            size(one.size),
            one.bytes,
            one.publish.as_secs_f64(),
            one.update.as_secs_f64(),
            milliseconds(one.connect_gap),
            milliseconds(one.load.delivery_gap),
            milliseconds(one.load.puback_max),
            one.load.acknowledged,
            one.load.lost,
            one.load.twice,
            one.load.ended,
            one.load.refused,
            one.load.sessions_gone,
        )
    });
    let legend = "publish s: `ota publish` (and `ota bundle`); update s: from the push or the look to \"committed\", without the \
                  probation;\nconnect, delivery, puback ms: longest time between two good CONNACKs (one asked for every 5 ms), two \
                  deliveries, a PUBLISH and its PUBACK;\nended, refused, gone: connections that ended, attempts to come back that \
                  failed, sessions that were lost.";
    std::iter::once(head).chain(rows).chain([legend.to_owned()]).collect::<Vec<_>>().join("\n")
}

/// The same as JSON.
pub fn json(measured: &[Measured]) -> Value {
    measured
        .iter()
        .map(|one| {
            serde_json::json!({
                "round": one.round,
                "way": way(one.delivery),
                "size": size(one.size),
                "bytes": one.bytes,
                "publish_s": one.publish.as_secs_f64(),
                "update_s": one.update.as_secs_f64(),
                "connect_gap_ms": milliseconds(one.connect_gap),
                "connects_refused": one.connects_refused,
                "delivery_gap_ms": milliseconds(one.load.delivery_gap),
                "puback_max_ms": milliseconds(one.load.puback_max),
                "acknowledged": one.load.acknowledged,
                "lost": one.load.lost,
                "twice": one.load.twice,
                "connections_ended": one.load.ended,
                "connects_of_clients_refused": one.load.refused,
                "sessions_gone": one.load.sessions_gone,
            })
        })
        .collect()
}

fn way(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Push => "push",
        Delivery::Poll => "poll",
    }
}

fn size(size: Size) -> &'static str {
    match size {
        Size::Whole => "whole",
        Size::Patch => "patch",
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
