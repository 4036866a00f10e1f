//! A disk that is full for two seconds, in the gate's version: the long one is `cargo xtask full-disk`.

use std::time::Duration;

use selvedge_tests::siege::full_disk::{Kind, Outcome, Plan, Relief, fill};

#[test]
fn on_a_full_disk_everybody_is_answered_and_once_there_is_room_everything_works_again() -> anyhow::Result<()> {
    let plan = Plan {
        kind: Kind::Tmpfs,
        size_mb: 32,
        relief: Relief::Filler,
        stay_full: Duration::from_secs(2),
        fill_max: Duration::from_secs(30),
    };
    match fill(&plan)? {
        Outcome::Done(filled) => println!("{filled}"),
        Outcome::Skipped(reason) => println!("SKIPPED full disk: {reason}"),
    }
    Ok(())
}
