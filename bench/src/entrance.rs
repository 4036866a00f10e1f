//! Brings clients in: connects them, a bounded number at a time, and makes their subscriptions, one packet after the other.
//! Invariant: when it returns, every client is connected and every subscription granted with the quality that was asked for.

use std::collections::VecDeque;

use crate::error::RunError;
use crate::fleet::{Driver, Fault, Fleet};
use crate::frame::Incoming;
use crate::packets::{self, Reply, SessionWish};
use crate::target::Target;

/// Connections under way at once; below the listen backlog of every broker.
const UNDER_WAY_MAX: usize = 64;

/// A client that wants to come in.
pub(crate) struct Newcomer {
    pub name: String,
    /// SUBSCRIBE packets, sent one after the other.
    pub subscriptions: VecDeque<Vec<u8>>,
    pub qos: u8,
    pub session: SessionWish,
}

/// What the server said to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// QoS 1 and 2 messages that the server takes unacknowledged.
    pub receive_maximum: u16,
    /// Whether it goes on with a session that was there.
    pub session_present: bool,
}

/// Connects and subscribes all; client n of the fleet is newcomer n of the list, counted from `first`.
pub(crate) fn enter(
    fleet: &mut Fleet,
    target: &Target,
    first: usize,
    newcomers: Vec<Newcomer>,
) -> Result<Vec<Welcome>, RunError> {
    let count = newcomers.len();
    let mut entrance = Entrance { first, newcomers, welcomes: vec![None; count], done: 0, version: target.version };
    let mut opened = 0;
    let (mut seen, mut seen_at) = (0, fleet.now_ns());
    while entrance.done < count {
        while opened < count && opened - entrance.done < UNDER_WAY_MAX {
            let name = entrance.newcomers[opened].name.clone();
            let hello = packets::connect(target, &name, entrance.newcomers[opened].session)?;
            fleet.open(first + opened, name, &hello)?;
            opened += 1;
        }
        fleet.turn(&mut entrance)?;
        if entrance.progress() != seen {
            (seen, seen_at) = (entrance.progress(), fleet.now_ns());
        } else if u128::from(fleet.now_ns() - seen_at) > target.patience.as_nanos() {
            let waiting_for = format!("clients connect and subscribe ({} of {count} are in)", entrance.done);
            return Err(RunError::TimedOut { address: target.address, waiting_for, after: target.patience });
        }
    }
    Ok(entrance.welcomes.into_iter().flatten().collect())
}

struct Entrance {
    first: usize,
    newcomers: Vec<Newcomer>,
    welcomes: Vec<Option<Welcome>>,
    done: usize,
    version: selvedge_codec::ProtocolVersion,
}

impl Entrance {
    /// Changes with every packet that brings a client further.
    fn progress(&self) -> usize {
        self.done + self.welcomes.iter().flatten().count()
    }
}

impl Driver for Entrance {
    fn packet(&mut self, client: usize, packet: Incoming<'_>, outbox: &mut Vec<u8>, _now_ns: u64) -> Result<(), Fault> {
        let Incoming::Other(frame) = packet else {
            // A message of another run's retained topic, or of a publisher that was faster.
            return Ok(());
        };
        let index = client.wrapping_sub(self.first);
        let Some(newcomer) = self.newcomers.get_mut(index) else { return Ok(()) };
        match packets::reply(frame, self.version)? {
            Reply::Welcome(welcome) => self.welcomes[index] = Some(welcome),
            Reply::Granted(granted) => {
                if let Some(&lower) = granted.iter().find(|code| **code != newcomer.qos) {
                    return Err(Fault::Denied { packet: "SUBSCRIBE", reason: lower });
                }
            }
            Reply::Pong => return Ok(()),
        }
        match newcomer.subscriptions.pop_front() {
            Some(subscribe) => outbox.extend_from_slice(&subscribe),
            None => self.done += 1,
        }
        Ok(())
    }
}
