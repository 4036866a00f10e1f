//! Those who ask all the time: one who pings, and one who updates a twin, which needs the disk and may be refused.
//!
//! Invariant: a question is asked when the one before is answered; one without an answer in time is an error.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::{ANSWER_MAX, Filled, Latencies};
use crate::client::Version;
use crate::client_packet::{self, Publish};
use crate::siege::wire::{Target, Way, Wire};

/// Between two pings, and between two updates.
const PING_PACE: Duration = Duration::from_millis(10);
const TWIN_PACE: Duration = Duration::from_millis(50);
const TWIN: &str = "$twin/full-disk";

/// Pings.
#[derive(Debug, Default)]
pub(super) struct Pings {
    latencies_us: Mutex<Vec<u64>>,
}

impl Pings {
    /// Pings until `stop`.
    pub(super) fn watch(&self, target: &Target, stop: &AtomicBool) -> anyhow::Result<()> {
        let mut wire = Wire::connected(target, Way::Tcp, &target.connect(5, "full-disk-pings"))?;
        wire.set_patience(ANSWER_MAX)?;
        while !stop.load(Ordering::Relaxed) {
            let asked = Instant::now();
            wire.ping().context("a ping on a full disk")?;
            push(&self.latencies_us, asked.elapsed());
            std::thread::sleep(PING_PACE);
        }
        Ok(())
    }

    pub(super) fn latencies(&self) -> Latencies {
        Latencies::of(self.latencies_us.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Updates of a twin.
#[derive(Debug, Default)]
pub(super) struct Twins {
    accepted: AtomicU64,
    rejected: AtomicU64,
    latencies_us: Mutex<Vec<u64>>,
}

impl Twins {
    /// Updates until `stop`, then reads the twin, which has to be as the last accepted update left it.
    pub(super) fn watch(&self, target: &Target, stop: &AtomicBool) -> anyhow::Result<()> {
        let mut wire = Wire::connected(target, Way::Tcp, &target.connect(4, "full-disk-twins"))?;
        wire.set_patience(ANSWER_MAX)?;
        let answers = ["update/accepted", "update/rejected", "get/accepted"].map(|answer| format!("{TWIN}/{answer}"));
        let filters = answers.each_ref().map(|answer| (answer.as_str(), 0));
        wire.send(&client_packet::subscribe(Version::V311, 1, &[], &filters))?;
        wire.receive().context("receive a SUBACK")?;
        let (mut number, mut last) = (0_u64, 0);
        while !stop.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let request = format!("{{\"state\":{{\"reported\":{{\"number\":{number}}}}}}}");
            if ask(&mut wire, "update", &request)?.0.ends_with("accepted") {
                last = number;
                self.accepted.fetch_add(1, Ordering::Relaxed);
            } else {
                self.rejected.fetch_add(1, Ordering::Relaxed);
            }
            push(&self.latencies_us, asked.elapsed());
            number += 1;
            std::thread::sleep(TWIN_PACE);
        }
        let (_, state) = ask(&mut wire, "get", "")?;
        ensure!(state.contains(&format!("\"number\":{last}")), "the twin is {state}, and {last} was accepted last");
        Ok(())
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub(super) fn book(&self, filled: &mut Filled) {
        (filled.twins_accepted, filled.twins_rejected) = (self.accepted(), self.rejected());
        filled.twins = Latencies::of(self.latencies_us.lock().unwrap_or_else(PoisonError::into_inner).clone());
    }
}

/// Publishes a request and takes its answer: topic and payload.
fn ask(wire: &mut Wire, operation: &str, request: &str) -> anyhow::Result<(String, String)> {
    wire.send(&Publish::new(&format!("{TWIN}/{operation}"), request).bytes(Version::V311))?;
    let packet = wire.receive().with_context(|| format!("an answer to `{operation}` of a twin on a full disk"))?;
    ensure!(packet[0] >> 4 == 3, "a device got {packet:02x?}");
    let header = 2 + packet.iter().skip(1).take_while(|byte| *byte & 0x80 != 0).count();
    let body = packet.get(header..).and_then(|body| body.split_first_chunk::<2>());
    let Some((topic, payload)) =
        body.and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))))
    else {
        bail!("a message without a topic: {packet:02x?}");
    };
    Ok((String::from_utf8_lossy(topic).into_owned(), String::from_utf8_lossy(payload).into_owned()))
}

fn push(latencies_us: &Mutex<Vec<u64>>, latency: Duration) {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    latencies_us.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
}
