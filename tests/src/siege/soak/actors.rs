//! Who takes part in a soak. Each is a loop until `stop`, then an account; the first thing that is wrong ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::client::Version;
use crate::client_packet::{self, Publish, Will};
use crate::siege::attack::{elsewhere, fresh};
use crate::siege::wire::{Target, Way, Wire, abandon};

type Run = Box<dyn FnOnce(&Target, &AtomicBool) -> anyhow::Result<u64> + Send>;

pub(super) struct Actor {
    pub(super) name: String,
    pub(super) run: Run,
}

impl Actor {
    fn new(
        name: impl Into<String>,
        run: impl FnOnce(&Target, &AtomicBool) -> anyhow::Result<u64> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// All actors: a pair for each transport and QoS, and the others once.
pub(super) fn all() -> Vec<Actor> {
    let mut all = Vec::new();
    for way in Way::ALL {
        for qos in 0..=2 {
            all.push(Actor::new(format!("pair of QoS {qos} over {way:?}"), move |target, stop| {
                pair(target, stop, way, qos)
            }));
        }
    }
    all.push(Actor::new("subscriber that comes back", returning));
    all.push(Actor::new("retained messages", retained));
    all.push(Actor::new("wills", wills));
    all.push(Actor::new("newcomers", newcomers));
    all
}

/// Publishes one message and waits until it is done with.
fn publish(wire: &mut Wire, topic: &str, payload: &[u8], qos: u8, id: u16) -> anyhow::Result<()> {
    wire.send(&Publish::new(topic, payload).qos(qos, id).bytes(Version::V5))?;
    if qos == 1 {
        return expect(wire, 0x40);
    }
    if qos == 2 {
        expect(wire, 0x50)?;
        wire.send(&client_packet::ack(0x62, id))?;
        return expect(wire, 0x70);
    }
    Ok(())
}

fn expect(wire: &mut Wire, first: u8) -> anyhow::Result<()> {
    let packet = wire.receive()?;
    let refused = packet.get(4).is_some_and(|reason| *reason >= 0x80);
    ensure!(packet.first() == Some(&first) && !refused, "expected {first:#04x}, got {packet:02x?}");
    Ok(())
}

/// Takes the next message and acknowledges it; gives the number in its payload.
fn take(wire: &mut Wire) -> anyhow::Result<u64> {
    loop {
        let packet = wire.receive()?;
        match packet[0] >> 4 {
            3 => {
                let qos = packet[0] >> 1 & 3;
                let (head, payload) = packet.split_last_chunk::<8>().context("find a number in a message")?;
                if qos > 0 {
                    // In front of the empty properties, which stand in front of the payload.
                    let id = head.get(head.len().saturating_sub(3)..).and_then(|id| id.first_chunk::<2>());
                    let id = u16::from_be_bytes(*id.context("find an identifier")?);
                    wire.send(&client_packet::ack(if qos == 1 { 0x40 } else { 0x50 }, id))?;
                }
                return Ok(u64::from_be_bytes(*payload));
            }
            6 => {
                let id = packet.get(2..).and_then(|id| id.first_chunk::<2>()).context("find an identifier")?;
                wire.send(&client_packet::ack(0x70, u16::from_be_bytes(*id)))?;
            }
            _ => bail!("expected a message, got {packet:02x?}"),
        }
    }
}

fn subscriber(target: &Target, way: Way, topic: &str, qos: u8) -> anyhow::Result<Wire> {
    let mut wire = Wire::connected(target, way, &target.connect(5, &fresh("soak-to")))?;
    subscribe(&mut wire, topic, qos)?;
    Ok(wire)
}

fn subscribe(wire: &mut Wire, topic: &str, qos: u8) -> anyhow::Result<()> {
    wire.send(&client_packet::subscribe(Version::V5, 1, &[], &[(topic, qos)]))?;
    expect(wire, 0x90)
}

fn number_to_id(number: u64) -> u16 {
    u16::try_from(number % 60_000).unwrap_or(0) + 1
}

/// Every message arrives, once and in order.
fn pair(target: &Target, stop: &AtomicBool, way: Way, qos: u8) -> anyhow::Result<u64> {
    let topic = fresh("soak/pair");
    let mut to = subscriber(target, way, &topic, qos)?;
    let mut from = Wire::connected(target, way, &target.connect(5, &fresh("soak-from")))?;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        publish(&mut from, &topic, &u64::to_be_bytes(number), qos, number_to_id(number))?;
        let got = take(&mut to).with_context(|| format!("message {number}"))?;
        ensure!(got == number, "message {got} arrived where {number} was due");
        number += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(number)
}

/// A lasting session whose client breaks off or is taken over every second: each acknowledged message arrives in the end.
fn returning(target: &Target, stop: &AtomicBool) -> anyhow::Result<u64> {
    const LAST: u64 = u64::MAX;
    let topic = fresh("soak/returning");
    let connect = target.connect(5, &fresh("soak-returning")).session_expiry(100).resuming();
    let publish_all = || -> anyhow::Result<u64> {
        let mut from = Wire::connected(target, Way::Tcp, &target.connect(5, &fresh("soak-from")))?;
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            publish(&mut from, &topic, &u64::to_be_bytes(number), 1, number_to_id(number))?;
            number += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        publish(&mut from, &topic, &LAST.to_be_bytes(), 1, number_to_id(number))?;
        Ok(number)
    };
    std::thread::scope(|scope| {
        let mut wire = Wire::connected(target, Way::Tcp, &connect)?;
        subscribe(&mut wire, &topic, 1)?;
        let publisher = scope.spawn(publish_all);
        let (mut due, mut turns, mut turned) = (0, 0_u32, Instant::now());
        loop {
            let got = take(&mut wire).with_context(|| format!("message {due}"))?;
            if got == LAST {
                break;
            }
            // What was not acknowledged in time comes again, which is no loss; a gap is.
            ensure!(got <= due, "message {got} arrived where {due} was due");
            due = due.max(got + 1);
            if turned.elapsed() < Duration::from_secs(1) {
                continue;
            }
            (turns, turned) = (turns + 1, Instant::now());
            if turns.is_multiple_of(2) {
                abandon(wire.socket());
                drop(wire);
                wire = Wire::connected(target, Way::Tcp, &connect)?;
            } else {
                // Taken over: the old connection is still there.
                wire = Wire::connected(target, Way::Tcp, &connect)?;
            }
        }
        let sent = publisher.join().unwrap_or_else(|_| bail!("the publisher panicked"))?;
        ensure!(due == sent, "{due} of {sent} acknowledged messages arrived");
        Ok(due)
    })
}

/// Retained messages that change all the time; whoever comes gets all of them, none older than when it came.
fn retained(target: &Target, stop: &AtomicBool) -> anyhow::Result<u64> {
    const TOPICS: u64 = 200;
    let name = fresh("soak/retained");
    let mut from = Wire::connected(target, Way::Tls, &target.connect(5, &fresh("soak-retained")))?;
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) || !number.is_multiple_of(TOPICS) {
        let topic = format!("{name}/{}", number % TOPICS);
        from.send(
            &Publish::new(&topic, number.to_be_bytes()).qos(1, number_to_id(number)).retained().bytes(Version::V5),
        )?;
        expect(&mut from, 0x40)?;
        number += 1;
        if number.is_multiple_of(5 * TOPICS) {
            let mut reader = subscriber(target, Way::WebSocket, &format!("{name}/+"), 0)?;
            for _ in 0..TOPICS {
                let got = take(&mut reader)?;
                ensure!(got >= number - TOPICS, "retained message {got} is older than {}", number - TOPICS);
            }
            abandon(reader.socket());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    for topic in 0..TOPICS {
        from.send(&Publish::new(&format!("{name}/{topic}"), b"").retained().bytes(Version::V5))?;
    }
    from.ping()?;
    Ok(number)
}

/// Clients that die: each will is published.
fn wills(target: &Target, stop: &AtomicBool) -> anyhow::Result<u64> {
    let topic = fresh("soak/will");
    let mut mourner = subscriber(target, Way::SecureWebSocket, &topic, 1)?;
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let way = Way::ALL[usize::try_from(number).unwrap_or(0) % 4];
        let connect = target.connect(5, &fresh("soak-dying")).will(Will::new(&topic, &number.to_be_bytes()).qos(1));
        Wire::connected(target, way, &connect)?.cut();
        let got = take(&mut mourner).with_context(|| format!("will {number}"))?;
        ensure!(got == number, "will {got} arrived where {number} was due");
        number += 1;
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(number)
}

/// Clients that come, ask one question, and leave, over each transport.
fn newcomers(target: &Target, stop: &AtomicBool) -> anyhow::Result<u64> {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let way = Way::ALL[usize::try_from(number).unwrap_or(0) % 4];
        let from = elsewhere(target);
        let mut wire = Wire::connected(&from, way, &from.connect(4, &fresh("soak-new")))
            .with_context(|| format!("newcomer {number} over {way:?}"))?;
        wire.ping()?;
        abandon(wire.socket());
        number += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(number)
}
