//! The sessions that messages are kept for: away at first, then back for all of them.
//!
//! Invariant: every message that arrives is acknowledged and counted, once for each time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::Filled;
use super::publishers::{COUNT, Publishers, topic};
use crate::client::Version;
use crate::client_packet::{self, Connect};
use crate::raw_mqtt;
use crate::siege::wire::{Target, Way, Wire, is_late};

/// How long one is listened to before the next.
const LISTEN: Duration = Duration::from_millis(1);
/// Longer than any run.
const EXPIRY_S: u32 = 86_400;

/// The sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    back: AtomicBool,
    received: Mutex<[Vec<u64>; COUNT]>,
}

impl Sessions {
    /// Makes them, subscribes, and leaves.
    pub(super) fn prepare(target: &Target) -> anyhow::Result<Self> {
        for session in 0..COUNT {
            let mut wire = Wire::connected(target, Way::Tcp, &connect(target, session))?;
            wire.send(&client_packet::subscribe(Version::V5, 1, &[], &[(&topic(session), 1)]))?;
            let suback = wire.receive()?;
            ensure!(suback.last() == Some(&1), "SUBSCRIBE is answered with {suback:02x?}");
            wire.send(&raw_mqtt::packet(0xE0, &[]))?;
            wire.until_closed()?;
        }
        Ok(Self::default())
    }

    /// Lets them come back.
    pub(super) fn come_back(&self) {
        self.back.store(true, Ordering::Relaxed);
    }

    /// Waits until they may come back, then takes what comes until `stop`.
    pub(super) fn receive(&self, target: &Target, stop: &AtomicBool) -> anyhow::Result<()> {
        while !self.back.load(Ordering::Relaxed) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            std::thread::sleep(LISTEN);
        }
        let mut wires = Vec::new();
        for session in 0..COUNT {
            let connect = connect(target, session).resuming();
            let (wire, connack) = Wire::greeted(target, Way::Tcp, &connect).context("bring a session back")?;
            ensure!(connack.get(2..4) == Some(&[1, 0]), "session {session} is not there any more: {connack:02x?}");
            wire.set_patience(LISTEN)?;
            wires.push(wire);
        }
        while !stop.load(Ordering::Relaxed) {
            for (session, wire) in wires.iter_mut().enumerate() {
                self.take(session, wire)?;
            }
        }
        Ok(())
    }

    /// How many acknowledged messages did not arrive.
    pub(super) fn missing(&self, publishers: &Publishers) -> usize {
        let missing = |session: usize| {
            let received: HashSet<u64> = self.lock()[session].iter().copied().collect();
            publishers.numbers(session).iter().filter(|number| !received.contains(number)).count()
        };
        (0..COUNT).map(missing).sum()
    }

    pub(super) fn book(&self, filled: &mut Filled, publishers: &Publishers) {
        filled.lost = self.missing(publishers) as u64;
        for (session, received) in self.lock().iter().enumerate() {
            let (mut seen, mut highest) = (HashSet::new(), None);
            for number in received {
                filled.duplicates += u64::from(!seen.insert(*number));
                filled.out_of_order += u64::from(highest.is_some_and(|highest| number < highest));
                highest = highest.max(Some(number));
            }
            let acknowledged: HashSet<u64> = publishers.numbers(session).into_iter().collect();
            filled.delivered += seen.len() as u64;
            filled.delivered_without_acknowledgement += seen.difference(&acknowledged).count() as u64;
        }
    }

    fn take(&self, session: usize, wire: &mut Wire) -> anyhow::Result<()> {
        loop {
            let packet = match wire.receive() {
                Ok(packet) => packet,
                Err(error) if is_late(&error) => return Ok(()),
                Err(error) => return Err(error.context("take what waits for a session")),
            };
            ensure!(packet[0] >> 4 == 3, "a session got {packet:02x?}");
            let (_, number) = packet.split_last_chunk::<8>().context("find a number in a message")?;
            let id = identifier(&packet).context("find an identifier in a message")?;
            self.lock()[session].push(u64::from_be_bytes(*number));
            wire.send(&client_packet::ack(0x40, id))?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Vec<u64>; COUNT]> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(target: &Target, session: usize) -> Connect {
    target.connect(5, &format!("full-disk-to-{session}")).session_expiry(EXPIRY_S)
}

/// Behind the fixed header and the topic.
fn identifier(packet: &[u8]) -> Option<u16> {
    let header = 2 + packet.iter().skip(1).take_while(|byte| *byte & 0x80 != 0).count();
    let (length, behind) = packet.get(header..)?.split_first_chunk::<2>()?;
    let id = behind.get(usize::from(u16::from_be_bytes(*length))..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_packet::Publish;

    #[test]
    fn the_identifier_of_a_message_is_found_behind_its_topic_whatever_its_length() {
        for payload in [8, 100, 200, 20_000] {
            let bytes = Publish::new("a/b", vec![0; payload]).qos(1, 0x1234).bytes(Version::V5);
            assert_eq!(identifier(&bytes), Some(0x1234), "{payload}");
        }
        assert_eq!(identifier(&[0x32, 3, 0, 9, 0]), None);
    }
}
