//! The connect storm: so many connections, a bounded number under way, each closed as soon as it is accepted.
//! Invariant: a latency is counted from opening the socket to CONNACK.

use crate::entrance::Welcome;
use crate::error::RunError;
use crate::fleet::{Driver, Fault, Fleet};
use crate::frame::Incoming;
use crate::latency::Latency;
use crate::options::ConnectOptions;
use crate::packets::{self, Reply};
use crate::plan::{LIMITS, in_range};
use crate::report::{Report, Unit};
use crate::resources::Resources;
use crate::target::Target;

/// Connections in all; a storm beyond it would only run out of local ports.
const CONNECTIONS_MAX: u32 = 1_000_000;

/// Runs the storm.
pub(crate) fn run(options: &ConnectOptions, target: &Target, run_id: u32) -> Result<Report, RunError> {
    let total = in_range("connections", options.connections, 1, CONNECTIONS_MAX)?;
    let window = in_range("window", options.window, 1, LIMITS.clients)?.min(total);
    let mut fleet = Fleet::new(target, window)?;
    let mut storm = Storm {
        version: target.version,
        opened_ns: vec![0; window as usize],
        accepted: Vec::new(),
        done: 0,
        latency: Latency::new(),
    };
    let before = Resources::sample(target)?;
    let started_ns = fleet.now_ns();
    let (mut opened, mut seen, mut seen_ns) = (0, 0, started_ns);
    let mut free: Vec<usize> = (0..window as usize).collect();
    while storm.done < total {
        while opened < total
            && let Some(slot) = free.pop()
        {
            let name = format!("bench-{run_id:08x}-c{opened}");
            let hello = packets::connect(target, &name, packets::SessionWish::Transient)?;
            storm.opened_ns[slot] = fleet.now_ns();
            fleet.open(slot, name, &hello)?;
            opened += 1;
        }
        fleet.turn(&mut storm)?;
        for slot in storm.accepted.drain(..) {
            fleet.close(slot);
            free.push(slot);
        }
        let now_ns = fleet.now_ns();
        if storm.done != seen {
            (seen, seen_ns) = (storm.done, now_ns);
        } else if u128::from(now_ns - seen_ns) > target.patience.as_nanos() {
            let waiting_for = format!("accepting connections ({} of {total} were)", storm.done);
            return Err(RunError::TimedOut { address: target.address, waiting_for, after: target.patience });
        }
    }
    let elapsed_s = (fleet.now_ns() - started_ns) as f64 / 1e9;
    Ok(Report {
        scenario: "connect",
        broker: target.name.clone(),
        protocol: target.version.level(),
        load: format!("{total} connections, {window} at a time"),
        unit: Unit::Connection,
        count: u64::from(storm.done),
        elapsed_s,
        latency: storm.latency.summary(),
        delivery: None,
        acknowledgement: None,
        payload_bytes: 0,
        connections_lost: 0,
        resources: before.until_now(target)?,
    })
}

struct Storm {
    version: selvedge_codec::ProtocolVersion,
    opened_ns: Vec<u64>,
    accepted: Vec<usize>,
    done: u32,
    latency: Latency,
}

impl Driver for Storm {
    fn packet(&mut self, client: usize, packet: Incoming<'_>, _outbox: &mut Vec<u8>, now_ns: u64) -> Result<(), Fault> {
        let Incoming::Other(frame) = packet else { return Err(Fault::Unexpected("a message")) };
        match packets::reply(frame, self.version)? {
            Reply::Welcome(Welcome { .. }) => {
                self.latency.record(now_ns - self.opened_ns[client]);
                self.accepted.push(client);
                self.done += 1;
                Ok(())
            }
            Reply::Granted(_) | Reply::Pong => Err(Fault::Unexpected("an answer that nobody asked for")),
        }
    }
}
