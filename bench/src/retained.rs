//! Retained messages: leaves many, lets subscribers ask for all of them one after the other, takes them away again.
//! Invariant: only the time and cost of subscribing is reported; and the broker is left as it was found, unless a run fails.

mod keeper;

use crate::entrance::{Newcomer, enter};
use crate::error::RunError;
use crate::fleet::Fleet;
use crate::options::RetainedOptions;
use crate::packets;
use crate::plan::{LIMITS, in_range, payload_bytes};
use crate::report::{Report, Unit};
use crate::resources::Resources;
use crate::target::Target;
use keeper::{Keeper, PUBLISHER};

/// Runs the scenario.
pub(crate) fn run(options: &RetainedOptions, target: &Target, run_id: u32) -> Result<Report, RunError> {
    let messages = in_range("messages", options.messages, 1, LIMITS.filters)?;
    let subscribers = in_range("subscribers", options.subscribers, 1, LIMITS.clients)?;
    let payload = payload_bytes(options.payload_bytes)?;
    let prefix = format!("bench/{run_id:08x}");
    let mut fleet = Fleet::new(target, subscribers + 1)?;
    let newcomers = (0..=subscribers).map(|client| Newcomer {
        name: format!("bench-{run_id:08x}-r{client}"),
        subscriptions: Default::default(),
        qos: options.qos,
        session: packets::SessionWish::Transient,
    });
    let welcomes = enter(&mut fleet, target, PUBLISHER, newcomers.collect())?;
    let receive_maximum = welcomes.first().map_or(u16::MAX, |welcome| welcome.receive_maximum);
    let mut keeper = Keeper::new(target, run_id, messages, options.qos, receive_maximum);
    keeper.publish_all(&mut fleet, &prefix, payload)?;

    let subscribe = packets::subscribes(target.version, &[format!("{prefix}/#")], options.qos)?
        .into_iter()
        .flatten()
        .collect::<Vec<u8>>();
    let before = Resources::sample(target)?;
    let started_ns = fleet.now_ns();
    for subscriber in 1..=subscribers as usize {
        keeper.ask(&mut fleet, subscriber, &subscribe)?;
    }
    let elapsed_s = (fleet.now_ns() - started_ns) as f64 / 1e9;
    let resources = before.until_now(target)?;
    for client in 1..=subscribers as usize {
        fleet.close(client);
    }
    keeper.publish_all(&mut fleet, &prefix, 0)?;
    fleet.close(PUBLISHER);
    let delivery = keeper.delivery();
    Ok(Report {
        scenario: "retained",
        broker: target.name.clone(),
        protocol: target.version.level(),
        load: format!("{messages} messages to {subscribers} subscribers, QoS {}, {payload} bytes", options.qos),
        unit: Unit::Delivery,
        count: delivery.delivered,
        elapsed_s,
        latency: keeper.latency(),
        delivery: Some(delivery),
        acknowledgement: None,
        payload_bytes: 0,
        connections_lost: 0,
        resources,
    })
}
