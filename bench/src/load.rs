//! The message scenarios: connect everybody, warm up, measure, account for every message.
//! Invariant: the warm-up has a run id of its own and ends before the first sample, so none of it is in the figures.

mod phase;

use std::time::Duration;

use crate::entrance::{Newcomer, Welcome, enter};
use crate::error::RunError;
use crate::fleet::Fleet;
use crate::packets::{self, SessionWish};
use crate::plan::{Amount, LoadPlan, SubscriberSessions};
use crate::report::{Delivery, Report, Unit};
use crate::resources::{Resources, ResourcesUsed};
use crate::target::Target;
use phase::Phase;

/// How long the run listens after its end for what should not come: duplicates.
const LINGER: Duration = Duration::from_millis(100);

/// How long a durable session may stay when the run does not get to ending it.
const SESSION_EXPIRY_S: u32 = 3_600;

/// Runs a message scenario.
pub(crate) fn run(plan: &LoadPlan, target: &Target, run_id: u32) -> Result<Report, RunError> {
    let topology = plan.topology;
    let mut fleet = Fleet::new(target, topology.publishers + topology.subscribers)?;
    let prefix = format!("bench/{run_id:08x}");
    let welcomes = connect_all(&mut fleet, plan, target, run_id, &prefix)?;

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
    if plan.sessions != SubscriberSessions::Transient {
        end_sessions(&mut fleet, plan, target, run_id)?;
    }
    Ok(report(plan, target, &phase, warmup_lost, used))
}

/// Subscriptions first, so that no message finds nobody; gives what the broker said to the publishers.
fn connect_all(
    fleet: &mut Fleet,
    plan: &LoadPlan,
    target: &Target,
    run_id: u32,
    prefix: &str,
) -> Result<Vec<Welcome>, RunError> {
    let topology = plan.topology;
    let session = match plan.sessions {
        SubscriberSessions::Transient => SessionWish::Transient,
        SubscriberSessions::Durable | SubscriberSessions::Offline => SessionWish::Begin { expiry_s: SESSION_EXPIRY_S },
    };
    let mut newcomers = Vec::new();
    for subscriber in 0..topology.subscribers {
        let filters = topology.filters(prefix, subscriber);
        let subscriptions = packets::subscribes(target.version, &filters, plan.qos)?;
        newcomers.push(Newcomer { name: subscriber_name(run_id, subscriber), subscriptions, qos: plan.qos, session });
    }
    enter(fleet, target, 0, newcomers)?;
    if plan.sessions == SubscriberSessions::Offline {
        (0..topology.subscribers as usize).for_each(|subscriber| fleet.close(subscriber));
    }
    let publishers = (0..topology.publishers).map(|publisher| Newcomer {
        name: format!("bench-{run_id:08x}-p{publisher}"),
        subscriptions: Default::default(),
        qos: plan.qos,
        session: SessionWish::Transient,
    });
    enter(fleet, target, topology.subscribers as usize, publishers.collect())
}

/// Takes the sessions away again by connecting once more without one.
fn end_sessions(fleet: &mut Fleet, plan: &LoadPlan, target: &Target, run_id: u32) -> Result<(), RunError> {
    let newcomers = (0..plan.topology.subscribers).map(|subscriber| Newcomer {
        name: subscriber_name(run_id, subscriber),
        subscriptions: Default::default(),
        qos: plan.qos,
        session: SessionWish::Transient,
    });
    enter(fleet, target, 0, newcomers.collect())?;
    (0..plan.topology.subscribers as usize).for_each(|subscriber| fleet.close(subscriber));
    Ok(())
}

fn subscriber_name(run_id: u32, subscriber: u32) -> String {
    format!("bench-{run_id:08x}-s{subscriber}")
}

fn report(plan: &LoadPlan, target: &Target, phase: &Phase, warmup_lost: u64, resources: ResourcesUsed) -> Report {
    let delivery = phase.delivery();
    let (unit, count) = match plan.sessions {
        SubscriberSessions::Offline => (Unit::Publication, phase.taken()),
        SubscriberSessions::Transient | SubscriberSessions::Durable => (Unit::Delivery, delivery.delivered),
    };
    Report {
        scenario: plan.name,
        broker: target.name.clone(),
        protocol: target.version.level(),
        load: plan.describe(),
        unit,
        count,
        elapsed_s: phase.elapsed().as_secs_f64(),
        latency: phase.latency(),
        acknowledgement: phase.acknowledgement(),
        payload_bytes: delivery.published * plan.payload_bytes as u64,
        delivery: Some(Delivery { warmup_lost, ..delivery }),
        connections_lost: 0,
        resources,
    }
}
