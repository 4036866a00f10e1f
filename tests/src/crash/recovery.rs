//! After a crash: everybody comes back, finishes what was begun, and reads to the end; then the bill is presented.
//!
//! A reader has read to its end when a marker comes that was published to it after everything else: brokers deliver what they
//! queued in order. Invariant: all waiting has a deadline, and one that passes is a breach.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::endpoint::{Endpoint, Event};
use super::functions;
use super::ledger::{MessageId, Subscription};
use super::members::{Role, Session};
use super::report::{Breach, Kind};
use super::world::{MARKERS, World, message_id};
use crate::client::Version;

/// Of so many readers one stays away.
const ASLEEP: usize = 4;

/// Nothing comes one by one for longer.
const STRAGGLING_MAX: Duration = Duration::from_secs(600);

/// Who comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attendance {
    /// Most; some sessions stay alone for another crash.
    Some,
    /// All.
    All,
}

/// Everybody comes back and is given account.
///
/// # Errors
/// The broker does not serve.
pub fn recover(world: &mut World, attendance: Attendance) -> anyhow::Result<()> {
    let found = read_retained(world).context("read the retained messages")?;
    world.retained.compare(&found, &mut world.report);
    for thing in &mut world.things {
        thing.check(world.address, &mut world.report)?;
    }
    for index in 0..world.members.len() {
        let member = &mut world.members[index];
        let sleeps = matches!(member.role, Role::Reader(_)) && member.session == Session::Stands;
        member.asleep = sleeps && attendance == Attendance::Some && world.random.below(ASLEEP) == 0;
        // They come back when their wills were read.
        member.asleep |= member.role == Role::Mortal;
    }
    finish_handshakes(world);
    let found = read_retained(world).context("read the retained messages")?;
    world.retained.compare(&found, &mut world.report);
    read_to_the_end(world)?;
    for index in 0..world.members.len() {
        if !world.members[index].asleep {
            let name = world.members[index].name().to_owned();
            world.ledger.settle(&name, &mut world.report);
        }
    }
    world.ledger.forget_settled(world.round);
    if world.functions {
        world.counted =
            functions::check_count(world.address, world.counted, world.waits.stragglers, &mut world.report)?;
    }
    Ok(())
}

fn finish_handshakes(world: &mut World) {
    let finished = world.pump_until(world.waits.all, |world| {
        let mut finished = true;
        for index in 0..world.members.len() {
            let member = &mut world.members[index];
            if member.asleep {
                continue;
            }
            member.endpoint.send_acks();
            finished &= member.endpoint.is_connected() && member.endpoint.unfinished() == 0;
            if !member.endpoint.is_open() {
                world.connect(index);
            }
        }
        finished
    });
    if !finished {
        let unfinished: Vec<String> = world
            .members
            .iter()
            .filter(|member| !member.asleep)
            .map(|member| (member.name(), &member.endpoint))
            .filter(|(_, endpoint)| !endpoint.is_connected() || endpoint.unfinished() > 0)
            .map(|(name, endpoint)| {
                format!("{name} ({} of them, connected {})", endpoint.unfinished(), endpoint.is_connected())
            })
            .collect();
        world.report.breach(Kind::Node, Breach::Wrong, || format!("handshakes do not end: {}", unfinished.join(", ")));
    }
}

fn read_to_the_end(world: &mut World) -> anyhow::Result<()> {
    let marker = world.round + 1;
    let readers: Vec<usize> = (0..world.members.len())
        .filter(|index| world.members[*index].reads() && !world.members[*index].asleep)
        .collect();
    let mut herald = Herald::connect(world)?;
    for index in &readers {
        herald.publish(&world.members[*index].marker_topic(), marker);
    }
    let read = world.pump_until(world.waits.all, |world| {
        herald.pump();
        readers.iter().fold(true, |all, index| {
            let member = &mut world.members[*index];
            member.endpoint.send_acks();
            if !member.endpoint.is_open() {
                world.connect(*index);
                return false;
            }
            all && world.members[*index].marker >= marker
        })
    });
    if !read {
        for index in readers.iter().filter(|index| world.members[**index].marker < marker) {
            let (name, due) = (world.members[*index].name(), world.ledger.due(world.members[*index].name()));
            let standing = world.ledger.filters(name, Subscription::Stands);
            world.report.breach(Kind::Subscription, Breach::Lost, || {
                format!("{name} does not get its marker; due are {due} messages, subscriptions are {standing:?}")
            });
        }
    }
    // Functions work for themselves, so that their outputs may come after the marker.
    let (mut least, mut since, stragglers) = (usize::MAX, Instant::now(), world.waits.stragglers);
    world.pump_until(STRAGGLING_MAX, |world| {
        readers.iter().for_each(|index| world.members[*index].endpoint.send_acks());
        let due = readers.iter().map(|index| world.ledger.due(world.members[*index].name())).sum();
        if due < least {
            (least, since) = (due, Instant::now());
        }
        due == 0 || since.elapsed() > stragglers
    });
    Ok(())
}

/// A new client, which sees only what is retained.
fn read_retained(world: &mut World) -> anyhow::Result<BTreeMap<String, MessageId>> {
    let mut reader = Endpoint::new("retained-reader", Version::V5, false);
    reader.connect(world.address, true)?;
    let mut found = BTreeMap::new();
    let (deadline, marker) = (Instant::now() + world.waits.all, "sync/retained-reader");
    let mut subscribed = 0;
    loop {
        for event in reader.exchange()? {
            match event {
                Event::Connected { .. } => {
                    reader.subscribe(marker, 1);
                    reader.subscribe("r/#", 1);
                }
                Event::Subscribed(..) => {
                    subscribed += 1;
                    if subscribed == 2 {
                        reader.publish(1, marker, b"end".to_vec(), 1, false);
                    }
                }
                Event::Delivered(publish) if publish.topic == marker => {
                    reader.send_acks();
                    reader.close(true);
                    return Ok(found);
                }
                Event::Delivered(publish) => {
                    let id = message_id(&publish.payload).context("a retained message without a number")?;
                    found.insert(publish.topic, id);
                }
                Event::Closed | Event::Refused(_) => bail!("the connection was closed"),
                _ => {}
            }
        }
        reader.send_acks();
        if Instant::now() > deadline {
            bail!("nothing comes");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Who publishes markers.
struct Herald {
    endpoint: Endpoint,
    sent: u64,
}

impl Herald {
    fn connect(world: &World) -> anyhow::Result<Self> {
        let mut endpoint = Endpoint::new("herald", Version::V5, false);
        endpoint.connect(world.address, true)?;
        let deadline = Instant::now() + world.waits.all;
        while !endpoint.is_connected() {
            endpoint.exchange()?;
            if Instant::now() > deadline || !endpoint.is_open() {
                bail!("the herald is not connected");
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(Self { endpoint, sent: 0 })
    }

    fn publish(&mut self, topic: &str, marker: u64) {
        debug_assert!(topic.starts_with(MARKERS));
        self.sent += 1;
        self.endpoint.publish(self.sent, topic, marker.to_string().into_bytes(), 1, false);
    }

    fn pump(&mut self) {
        // Whether it is heard is seen in the markers.
        self.endpoint.exchange().ok();
    }
}
