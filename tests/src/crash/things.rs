//! Twins: each thing reports a number that grows, and after a crash its twin has the last accepted one or a later one.
//!
//! Invariant: a number is sent once, so that the twin says which update it has seen.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::{Value, json};

use super::endpoint::{Endpoint, Event};
use super::report::{Breach, Kind, Report};
use crate::client::Version;

/// Things of a run.
const THINGS: usize = 2;
/// Updates of a thing that may be unanswered.
const WINDOW: u64 = 4;
/// Numbers of updates that no ledger knows.
const FIRST_ID: u64 = 1 << 40;
/// An answer takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A thing and its client.
#[derive(Debug)]
pub struct Thing {
    /// Its client, whose session does not last.
    pub endpoint: Endpoint,
    name: String,
    sent: u64,
    accepted: u64,
    /// Up to here nothing is answered any more: it was sent before a crash.
    given_up: u64,
    /// What a `get` has told.
    told: Option<u64>,
    /// Of its two filters, how many are acknowledged on this connection.
    subscribed: u8,
}

impl Thing {
    /// All things of a life.
    pub fn all(life: u64) -> Vec<Self> {
        let thing = |number| Self {
            endpoint: Endpoint::new(format!("thing-{number}-{life}"), Version::V5, false),
            name: format!("thing-{number}-{life}"),
            sent: 0,
            accepted: 0,
            given_up: 0,
            told: None,
            subscribed: 0,
        };
        (0..THINGS).map(thing).collect()
    }

    /// Takes what has come.
    pub fn pump(&mut self, report: &mut Report) {
        let events = match self.endpoint.exchange() {
            Ok(events) => events,
            Err(error) => {
                report.breach(Kind::Node, Breach::Wrong, || format!("{error:#}"));
                self.endpoint.close(false);
                return;
            }
        };
        for event in events {
            match event {
                Event::Connected { .. } => {
                    self.subscribed = 0;
                    self.endpoint.subscribe(&format!("$twin/{}/update/accepted", self.name), 1);
                    self.endpoint.subscribe(&format!("$twin/{}/get/+", self.name), 1);
                }
                Event::Subscribed(..) => self.subscribed += 1,
                Event::Delivered(publish) => {
                    let state: Value = serde_json::from_slice(&publish.payload).unwrap_or_default();
                    let number = state["state"]["reported"]["n"].as_u64().unwrap_or(0);
                    // Rejected is a twin that is not there.
                    if publish.topic.contains("/get/") {
                        self.told = Some(number);
                    } else {
                        self.accepted = self.accepted.max(number);
                    }
                }
                _ => {}
            }
        }
        self.endpoint.send_acks();
    }

    /// Connects, or reports the next number.
    pub fn step(&mut self, address: SocketAddr) {
        if !self.endpoint.is_open() {
            // Nothing listens while the broker is dead.
            self.endpoint.connect(address, true).ok();
        } else if self.subscribed == 2
            && self.endpoint.is_connected()
            && self.sent < self.accepted.max(self.given_up) + WINDOW
        {
            self.sent += 1;
            let update = json!({ "state": { "reported": { "n": self.sent } } }).to_string();
            let topic = format!("$twin/{}/update", self.name);
            self.endpoint.publish(FIRST_ID + self.sent, &topic, update.into_bytes(), 1, false);
        }
    }

    /// After a crash: compares the twin with what was accepted.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn check(&mut self, address: SocketAddr, report: &mut Report) -> anyhow::Result<()> {
        self.endpoint.close(false);
        self.told = None;
        if self.accepted == 0 {
            self.given_up = self.sent;
            return Ok(());
        }
        self.endpoint.connect(address, true)?;
        let deadline = Instant::now() + PATIENCE;
        let mut asked = false;
        let told = loop {
            self.pump(report);
            if self.subscribed == 2 && self.endpoint.is_connected() && !asked {
                asked = true;
                self.endpoint.publish(FIRST_ID, &format!("$twin/{}/get", self.name), Vec::new(), 1, false);
            }
            if let Some(told) = self.told {
                break told;
            }
            if Instant::now() > deadline {
                bail!("{} gets no answer about its twin", self.name);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        report.owed(Kind::Twin, 1);
        let (accepted, sent) = (self.accepted, self.sent);
        if told < accepted {
            report.breach(Kind::Twin, Breach::Lost, || format!("{} is at {told}, accepted was {accepted}", self.name));
        } else if told > sent {
            report.breach(Kind::Twin, Breach::Wrong, || format!("{} is at {told}, sent was {sent}", self.name));
        }
        // What the twin says is kept, so the next crash must not take it either.
        (self.accepted, self.given_up) = (told.max(accepted), sent);
        Ok(())
    }
}
