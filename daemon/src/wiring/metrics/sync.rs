//! The exchange of twins with other nodes.

use super::labelled;
use crate::http::Exposition;
use crate::wiring::exchange::{SyncReadings, refusals};

/// How the group stands, what was taken and refused.
pub fn exchange(out: &mut Exposition, sync: &SyncReadings) {
    out.gauge("selvedge_sync_enabled", "Whether the node takes part in a group").value(sync.is_on);
    if !sync.is_on {
        return;
    }
    let counters = &sync.counters;
    out.gauge("selvedge_sync_connected", "Whether the way to the other nodes is open").value(sync.connected);
    out.gauge("selvedge_sync_members", "Members of the group, this node included").value(sync.members);
    out.gauge("selvedge_sync_lacking", "Writes that other members have told of and this node has not")
        .value(sync.lacking);
    out.gauge("selvedge_sync_held", "Writes of clocks far ahead that are held").value(sync.held);
    out.counter("selvedge_sync_connections_total", "Connections to the broker of the group").value(sync.connections);
    out.counter("selvedge_sync_joined_total", "Writes of other nodes that were taken in").value(counters.joined);
    out.counter("selvedge_sync_given_total", "Writes that were given to other nodes").value(counters.given);
    out.counter("selvedge_sync_left_out_total", "Messages that found no room in the outbox").value(sync.left_out);
    labelled(
        &mut out.counter("selvedge_sync_refused_total", "Messages and writes that were refused"),
        "cause",
        &refusals(counters),
    );
    out.counter("selvedge_sync_gaps_total", "Writes before which others were missing").value(counters.gap);
    out.counter("selvedge_sync_turned_away_total", "Writes of clocks far ahead that found no room")
        .value(counters.turned_away);
    labelled(
        &mut out.counter("selvedge_sync_removals_forgotten_total", "Removals that were forgotten"),
        "because",
        &[("seen_by_all", counters.collected), ("too_many", counters.capped)],
    );
    labelled(
        &mut out.counter("selvedge_sync_transfers_total", "Transfers that began"),
        "what",
        &[("new", counters.pulls[0]), ("whole", counters.pulls[1]), ("repair", counters.pulls[2])],
    );
    out.counter("selvedge_sync_renewed_total", "Times that this node went on under another name")
        .value(counters.renewed);
}
