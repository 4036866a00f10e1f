//! Idle connections: what each costs the broker in memory, and all of them in CPU while nothing happens.
//! Invariant: the CPU time is that of holding; memory is compared between before the first and after the last connection.

use std::time::Duration;

use crate::connection::Broken;
use crate::entrance::{Newcomer, enter};
use crate::error::RunError;
use crate::fleet::{Driver, Fault, Fleet};
use crate::frame::Incoming;
use crate::options::IdleOptions;
use crate::packets::SessionWish;
use crate::plan::{LIMITS, in_range};
use crate::report::{Report, Unit};
use crate::resources::Resources;
use crate::target::Target;

/// Connects all, holds them, closes them.
pub(crate) fn run(options: &IdleOptions, target: &Target, run_id: u32) -> Result<Report, RunError> {
    let connections = in_range("connections", options.connections, 1, LIMITS.clients)?;
    let length = Duration::from_secs_f64(in_range("seconds", options.seconds, 0.0, LIMITS.seconds)?);
    let mut fleet = Fleet::new(target, connections)?;
    let empty = Resources::sample(target)?;
    let newcomers = (0..connections).map(|connection| Newcomer {
        name: format!("bench-{run_id:08x}-c{connection}"),
        subscriptions: Default::default(),
        qos: 0,
        session: SessionWish::Transient,
    });
    enter(&mut fleet, target, 0, newcomers.collect())?;
    let full = Resources::sample(target)?;
    let started_ns = fleet.now_ns();
    let end_ns = started_ns + length.as_nanos() as u64;
    let mut holding = Holding { lost: 0 };
    while fleet.now_ns() < end_ns {
        fleet.turn(&mut holding)?;
    }
    let held = full.until_now(target)?;
    let elapsed_s = (fleet.now_ns() - started_ns) as f64 / 1e9;
    let whole = empty.until_now(target)?;
    for client in 0..connections as usize {
        fleet.close(client);
    }
    Ok(Report {
        scenario: "idle",
        broker: target.name.clone(),
        protocol: target.version.level(),
        load: format!("{connections} connections held for {} s", length.as_secs_f64()),
        unit: Unit::Connection,
        count: u64::from(connections),
        elapsed_s,
        latency: None,
        delivery: None,
        acknowledgement: None,
        payload_bytes: 0,
        connections_lost: holding.lost,
        resources: crate::resources::ResourcesUsed {
            broker_cpu_us: held.broker_cpu_us,
            generator_cpu_us: held.generator_cpu_us,
            ..whole
        },
    })
}

struct Holding {
    lost: u64,
}

impl Driver for Holding {
    fn packet(
        &mut self,
        _client: usize,
        _packet: Incoming<'_>,
        _outbox: &mut Vec<u8>,
        _now_ns: u64,
    ) -> Result<(), Fault> {
        // A goodbye is followed by the end of the connection, which is counted.
        Ok(())
    }

    fn broken(&mut self, _client: usize, _broken: Broken) -> Result<(), Fault> {
        self.lost += 1;
        Ok(())
    }
}
