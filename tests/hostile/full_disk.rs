//! A disk that is full for two seconds, in the gate's version: the long one is `cargo xtask full-disk`.

use std::time::Duration;

use selvedge_tests::siege::full_disk::{Kind, Outcome, Plan, Relief, fill};

fn filled(relief: Relief) -> anyhow::Result<()> {
    let plan = Plan {
        kind: Kind::Tmpfs,
        size_mb: 32,
        relief,
        stay_full: Duration::from_secs(2),
        fill_max: Duration::from_secs(30),
    };
    match fill(&plan)? {
        Outcome::Done(filled) => println!("{filled}"),
        Outcome::Skipped(reason) => println!("SKIPPED full disk: {reason}"),
    }
    Ok(())
}

#[test]
fn on_a_full_disk_everybody_is_answered_and_once_there_is_room_everything_works_again() -> anyhow::Result<()> {
    filled(Relief::Filler)
}

#[test]
fn a_disk_that_is_full_of_messages_has_room_again_when_they_are_read() -> anyhow::Result<()> {
    filled(Relief::Drain)
}
