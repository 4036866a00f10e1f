//! The backlog: sessions that are away, publishers that fill their queues, and the sessions that come back for what waits.
//!
//! Each phase can be run alone, so that the broker can be stopped, killed or filled in between.
//! Invariant: names, topics and numbers follow from the options only; no phase needs what another one remembers.

mod drain;
mod plan;
mod prepare;
mod publish;
mod report;

use crate::error::RunError;
use crate::options::{BacklogOptions, BacklogPhase};
use crate::target::Target;
use plan::BacklogPlan;
pub use report::{BacklogReport, Prepared};

/// Runs the phases that are asked for.
pub(crate) fn run(options: &BacklogOptions, target: &Target) -> Result<BacklogReport, RunError> {
    let plan = BacklogPlan::new(options)?;
    let mut report = BacklogReport { name: plan.name.clone(), prepare: None, publish: None, drain: None };
    let all = options.phase == BacklogPhase::All;
    if all || options.phase == BacklogPhase::Prepare {
        report.prepare = Some(prepare::run(&plan, target)?);
    }
    let mut refused = 0;
    if all || options.phase == BacklogPhase::Publish {
        let published = publish::run(&plan, target)?;
        refused = published.delivery.map_or(0, |delivery| delivery.refused);
        report.publish = Some(published);
    }
    if all || options.phase == BacklogPhase::Drain {
        report.drain = Some(drain::run(&plan, target, refused)?);
    }
    Ok(report)
}
