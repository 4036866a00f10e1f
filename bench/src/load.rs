//! The message scenarios: connect everybody, warm up, measure, account for every message.
//! Invariant: the warm-up has a run id of its own and ends before the first sample, so none of it is in the figures.

mod phase;

use std::time::Duration;

use crate::entrance::{Newcomer, enter};
use crate::error::RunError;
use crate::fleet::Fleet;
use crate::packets;
use crate::plan::{Amount, LoadPlan};
use crate::report::{Delivery, Report, Unit};
use crate::resources::Resources;
use crate::target::Target;
use phase::Phase;

/// How long the run listens after its end for what should not come: duplicates.
const LINGER: Duration = Duration::from_millis(100);

/// Runs a message scenario.
pub(crate) fn run(plan: &LoadPlan, target: &Target, run_id: u32) -> Result<Report, RunError> {
    let topology = plan.topology;
    let mut fleet = Fleet::new(target, topology.publishers + topology.subscribers)?;
    let prefix = format!("bench/{run_id:08x}");
    let mut newcomers = Vec::new();
    for subscriber in 0..topology.subscribers {
        let filters = topology.filters(&prefix, subscriber);
        let subscriptions = packets::subscribes(target.version, &filters, plan.qos)?;
        newcomers.push(Newcomer { name: format!("bench-{run_id:08x}-s{subscriber}"), subscriptions, qos: plan.qos });
    }
    // Subscriptions first, so that no message finds nobody.
    enter(&mut fleet, target, 0, newcomers)?;
    let publishers = (0..topology.publishers).map(|publisher| Newcomer {
        name: format!("bench-{run_id:08x}-p{publisher}"),
        subscriptions: Default::default(),
        qos: plan.qos,
    });
    let welcomes = enter(&mut fleet, target, topology.subscribers as usize, publishers.collect())?;

    let mut warmup_lost = 0;
    if plan.warmup > 0 {
        let warmup = LoadPlan { amount: Amount::Messages(plan.warmup), ..*plan };
        let mut phase = Phase::new(warmup, target, run_id ^ 1, &prefix, &welcomes)?;
        phase.run(&mut fleet, target.patience)?;
        warmup_lost = phase.lost();
    }

    let mut phase = Phase::new(*plan, target, run_id, &prefix, &welcomes)?;
    let before = Resources::sample(target)?;
    phase.run(&mut fleet, target.patience)?;
    let used = before.until_now(target)?;
    phase.linger(&mut fleet, LINGER)?;
    for client in 0..(topology.publishers + topology.subscribers) as usize {
        fleet.close(client);
    }
    Ok(Report {
        scenario: plan.name,
        broker: target.name.clone(),
        protocol: target.version.level(),
        load: plan.describe(),
        unit: Unit::Delivery,
        count: phase.delivery().delivered,
        elapsed_s: phase.elapsed().as_secs_f64(),
        latency: phase.latency(),
        delivery: Some(Delivery { warmup_lost, ..phase.delivery() }),
        connections_lost: 0,
        resources: used,
    })
}
