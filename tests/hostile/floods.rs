//! Attacks by sheer number.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{self, Publish};
use selvedge_tests::siege::fortress::{Fortress, Needs};
use selvedge_tests::siege::wire::{Way, Wire, is_late, wait_until};

use crate::withstand::withstands;

#[test]
fn an_address_that_connects_too_fast_is_slowed_down() -> anyhow::Result<()> {
    withstands("connect-storm")
}

#[test]
fn a_hundred_thousand_retained_messages_are_kept_within_their_limits() -> anyhow::Result<()> {
    withstands("retained-flood")
}

#[test]
fn five_hundred_wills_at_once_are_delivered() -> anyhow::Result<()> {
    withstands("will-storm")
}

#[test]
fn publishing_as_fast_as_possible_stops_nobody() -> anyhow::Result<()> {
    withstands("publish-flood")
}

#[test]
fn a_flood_of_twin_updates_does_not_end_the_twins_where_full_queues_disconnect() -> anyhow::Result<()> {
    let limits = "overflow = \"disconnect\"\nqueue_messages_max = 50".to_owned();
    let fortress = Fortress::start(&Needs { limits, ..Needs::default() })?;
    let mut flood = Wire::connected(&fortress.target, Way::Tcp, &fortress.target.connect(4, "flood"))?;
    let update = |id: u16| Publish::new("$twin/t/update", br#"{"state":{"reported":{"n":1}}}"#).qos(1, id);
    for _ in 0..20 {
        let updates: Vec<u8> = (1..=1_000).flat_map(|id| update(id).bytes(Version::V311)).collect();
        flood.send(&updates)?;
        for _ in 0..1_000 {
            flood.receive()?;
        }
    }
    // A request gets an answer, whatever became of the others; at QoS 0 it may be dropped while the twins are behind.
    let mut asker = Wire::connected(&fortress.target, Way::Tcp, &fortress.target.connect(4, "asker"))?;
    asker.send(&client_packet::subscribe(Version::V311, 1, &[], &[("$twin/t/get/accepted", 0)]))?;
    asker.receive()?;
    asker.set_patience(Duration::from_secs(1))?;
    let mut answer = Vec::new();
    let asked = wait_until(
        "an answer of the twins",
        || {
            asker.send(&Publish::new("$twin/t/get", b"{}").bytes(Version::V311))?;
            match asker.receive() {
                Ok(packet) => answer = packet,
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
            Ok(!answer.is_empty())
        },
        || "asked once a second".to_owned(),
    );
    asked.with_context(|| fortress.node.said())?;
    ensure!(answer.first().is_some_and(|first| first >> 4 == 3), "expected the twin, got {answer:02x?}");
    fortress.stop()
}
