//! Load generator for MQTT brokers: the library behind `selvedge bench`.
//!
//! One thread, one epoll, thin clients: connections cost a few hundred bytes and a message well under a microsecond, so that
//! on a small machine the broker is measured and not the generator, whose own CPU time is reported beside the broker's.
//! Not a client library: it speaks just enough MQTT 3.1.1 and 5 to load a broker, and trusts it to be one.
//!
//! Invariants: every payload carries a run id, a stream and a sequence number, so every message of a run is accounted for,
//! once; windowed runs never overrun a broker; warm-up is never part of a figure.

mod backlog;
mod clock;
mod connection;
mod encryption;
mod entrance;
mod error;
mod exposition;
mod fleet;
mod frame;
mod idle;
mod in_flight;
mod latency;
mod load;
mod options;
mod pace;
mod packet_id;
mod packets;
mod plan;
mod process;
mod relay;
mod report;
mod resources;
mod retained;
mod round_trip;
mod sequence;
mod stamp;
mod storm;
mod target;
mod template;
mod topology;

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

pub use backlog::{BacklogReport, Prepared};
pub use error::RunError;
pub use exposition::ExpositionError;
pub use latency::LatencySummary;
pub use options::{
    BacklogOptions, BacklogPhase, ConnectOptions, IdleOptions, LoadOptions, Options, RelayOptions, RetainedOptions,
    RoundTripOptions, Scenario, TargetOptions, WildcardOptions,
};
pub use plan::OptionsError;
pub use process::MeterError;
pub use relay::{Relay, RelayFaults, RelayThread};
pub use report::{Delivery, Report, Unit};
pub use resources::ResourcesUsed;

use plan::LoadPlan;
use target::Target;

/// What a run found.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Of a scenario that is one stretch.
    Stretch(Box<Report>),
    /// Of `backlog`, which has phases.
    Backlog(Box<BacklogReport>),
}

impl Outcome {
    /// Whether nothing was lost, doubled or reordered.
    ///
    /// # Errors
    /// [`RunError::Verdict`] with all complaints.
    pub fn verdict(&self) -> Result<(), RunError> {
        match self {
            Self::Stretch(report) => report.verdict(),
            Self::Backlog(report) => report.verdict(),
        }
    }

    fn text(&self, json: bool) -> String {
        match (self, json) {
            (Self::Stretch(report), true) => format!("{}\n", report.to_json()),
            (Self::Stretch(report), false) => report.to_string(),
            (Self::Backlog(report), true) => format!("{}\n", report.to_json()),
            (Self::Backlog(report), false) => report.to_string(),
        }
    }
}

/// Runs a scenario to its end. What it found wrong is in the outcome: see [`Outcome::verdict`].
///
/// `relay` serves instead and does not return unless it fails.
///
/// # Errors
/// The options make no sense, the broker cannot be reached or refuses, it goes away or stops answering, or its process
/// cannot be measured.
pub fn run(options: Options) -> Result<Outcome, RunError> {
    let run_id = run_id();
    let load = |options: &LoadOptions, plan: Result<LoadPlan, OptionsError>| {
        let plan = plan?;
        load::run(&plan, &Target::find(&options.target)?, run_id)
    };
    let report = match &options.scenario {
        Scenario::Pair(options) => load(options, LoadPlan::pair(options)),
        Scenario::Pairs(options) => load(options, LoadPlan::pairs(options)),
        Scenario::FanOut(options) => load(options, LoadPlan::fan_out(options)),
        Scenario::FanIn(options) => load(options, LoadPlan::fan_in(options)),
        Scenario::Wildcard(options) => load(&options.load, LoadPlan::wildcard(options)),
        Scenario::Connect(options) => storm::run(options, &Target::find(&options.target)?, run_id),
        Scenario::Idle(options) => idle::run(options, &Target::find(&options.target)?, run_id),
        Scenario::Retained(options) => retained::run(options, &Target::find(&options.target)?, run_id),
        Scenario::RoundTrip(options) => round_trip::run(options, &Target::find(&options.target)?, run_id),
        Scenario::Backlog(options) => {
            let report = backlog::run(options, &Target::find(&options.target)?)?;
            return Ok(Outcome::Backlog(Box::new(report)));
        }
        Scenario::Relay(options) => serve(options),
    };
    report.map(|report| Outcome::Stretch(Box::new(report)))
}

/// The whole command: runs, prints the report to standard output, and fails if anything was lost, doubled or reordered.
///
/// # Errors
/// As [`run`], and [`RunError::Verdict`].
pub fn command(options: Options) -> Result<(), RunError> {
    let json = options.scenario.json();
    let outcome = run(options)?;
    let printed = std::io::stdout().write_all(outcome.text(json).as_bytes());
    printed.map_err(|source| RunError::System { what: "print the report", source })?;
    outcome.verdict()
}

fn serve(options: &RelayOptions) -> Result<Report, RunError> {
    let listen = |source| RunError::Listen { address: options.listen, source };
    let relay = Relay::bind(options.listen, options.faults()).map_err(listen)?;
    let printed = writeln!(std::io::stdout(), "bare relay on {}", relay.address());
    printed.map_err(|source| RunError::System { what: "print the relay's address", source })?;
    match relay.serve() {
        Err(source) => Err(RunError::System { what: "serve as relay", source }),
        Ok(never) => match never {},
    }
}

/// Differs between runs that are near each other in time or side by side; even, because the warm-up takes the next one.
fn run_id() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Microseconds of about an hour, stirred with the process id.
    ((now.as_micros() as u32) ^ std::process::id().rotate_left(20)) & !1
}
