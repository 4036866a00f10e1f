//! Attacks on logins and access rules. They need a node with users.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::{Attack, elsewhere, fresh};
use crate::client::Version;
use crate::client_packet::{self, Publish, Will};
use crate::siege::wire::{Target, Way, Wire, abandon, is_end};

/// The attacks of this file.
pub const ATTACKS: &[Attack] = &[
    Attack::new("wrong-passwords", "wrong passwords as fast as they are refused, 8 addresses, 2 s", wrong_passwords)
        .against_users()
        .counted(&[r#"selvedge_logins_total{kind="password",result="bad_credentials"}"#]),
    Attack::new("forbidden-topics", "publish, subscribe and will where no rule allows it", forbidden_topics)
        .against_users()
        .counted(&[r#"selvedge_mqtt_refused_total{kind="publish"}"#]),
];

fn wrong_passwords(target: &Target) -> anyhow::Result<()> {
    let guess = |number: usize| -> anyhow::Result<u32> {
        let from = elsewhere(target);
        let begun = Instant::now();
        let mut guesses = 0;
        while begun.elapsed() < Duration::from_secs(2) {
            let connect =
                client_packet::Connect::v5(fresh("guess")).user("device").password(&guesses_bytes(number, guesses));
            let answered = Wire::greeted(&from, Way::Tcp, &connect);
            match answered {
                Ok((wire, connack)) => {
                    // Bad user name or password, not authorized, busy, or banned.
                    let refused = matches!(connack.get(3), Some(0x86 | 0x87 | 0x88 | 0x89 | 0x8A | 0x9F));
                    ensure!(refused, "a guess is answered with {connack:02x?}");
                    abandon(wire.socket());
                }
                Err(error) if is_end(&error) || error.to_string().contains("CONNACK") => {}
                Err(error) => return Err(error),
            }
            guesses += 1;
        }
        Ok(guesses)
    };
    std::thread::scope(|scope| {
        let guessing: Vec<_> = (0..8).map(|number| scope.spawn(move || guess(number))).collect();
        guessing.into_iter().try_for_each(|thread| match thread.join() {
            Ok(guesses) => guesses.map(drop),
            Err(_) => bail!("a guesser panicked"),
        })
    })
}

fn guesses_bytes(number: usize, guess: u32) -> Vec<u8> {
    format!("wrong-{number}-{guess}").into_bytes()
}

/// The rules of the node let its users write below `bystander/` and a few more, and nothing below `forbidden/`.
fn forbidden_topics(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("forbidden")))?;
    for _ in 0..1_000 {
        wire.send(&Publish::new("forbidden/t", b"x").qos(1, 1).bytes(Version::V5))?;
        let puback = wire.receive()?;
        ensure!(puback.get(4) == Some(&0x87), "a forbidden topic is answered with {puback:02x?}");
        wire.send(&client_packet::subscribe(Version::V5, 2, &[], &[("forbidden/#", 0), ("forbidden/+/t", 1)]))?;
        let suback = wire.receive()?;
        ensure!(suback.ends_with(&[0x87, 0x87]), "forbidden filters are answered with {suback:02x?}");
    }
    abandon(wire.socket());
    let connect = target.connect(5, &fresh("forbidden")).will(Will::new("forbidden/t", b"x"));
    let (wire, connack) = Wire::greeted(&target, Way::Tcp, &connect)?;
    ensure!(connack.get(3) == Some(&0x87), "a forbidden will is answered with {connack:02x?}");
    abandon(wire.socket());
    Ok(())
}
