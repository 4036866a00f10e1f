//! Makes the sessions: new, subscribed, and away again.
//! Invariant: when it returns, nothing of an earlier run waits in any of them.

use super::plan::BacklogPlan;
use super::report::Prepared;
use crate::entrance::{Newcomer, enter};
use crate::error::RunError;
use crate::fleet::Fleet;
use crate::packets::{self, SessionWish};
use crate::target::Target;
use selvedge_codec::ProtocolVersion;

/// Makes every session.
pub(super) fn run(plan: &BacklogPlan, target: &Target) -> Result<Prepared, RunError> {
    let mut fleet = Fleet::new(target, plan.sessions)?;
    let started_ns = fleet.now_ns();
    if target.version == ProtocolVersion::V311 {
        // Only a clean session ends an old one there, and a clean one does not stay.
        end_sessions(plan, target, &mut fleet)?;
    }
    let session = SessionWish::Begin { expiry_s: plan.expiry_s };
    let mut newcomers = Vec::new();
    for number in 0..plan.sessions {
        let subscriptions = packets::subscribes(target.version, &[plan.filter(number)], 1)?;
        newcomers.push(Newcomer { name: plan.session_name(number), subscriptions, qos: 1, session });
    }
    enter(&mut fleet, target, 0, newcomers)?;
    close_all(plan, &mut fleet);
    Ok(Prepared { sessions: plan.sessions, elapsed_s: (fleet.now_ns() - started_ns) as f64 / 1e9 })
}

/// Takes every session away by connecting once more without one.
pub(super) fn end_sessions(plan: &BacklogPlan, target: &Target, fleet: &mut Fleet) -> Result<(), RunError> {
    let newcomers = (0..plan.sessions).map(|number| Newcomer {
        name: plan.session_name(number),
        subscriptions: Default::default(),
        qos: 1,
        session: SessionWish::Transient,
    });
    enter(fleet, target, 0, newcomers.collect())?;
    close_all(plan, fleet);
    Ok(())
}

fn close_all(plan: &BacklogPlan, fleet: &mut Fleet) {
    (0..plan.sessions as usize).for_each(|session| fleet.close(session));
}
