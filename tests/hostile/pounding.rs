//! Random and mutated packets; `cargo xtask pound` sends millions of them.

use anyhow::{Context as _, ensure};
use selvedge_tests::siege::bystanders::Bystanders;
use selvedge_tests::siege::fortress::{Fortress, Needs};
use selvedge_tests::siege::pound::{self, Plan};
use selvedge_tests::siege::wire::Way;

#[test]
fn twenty_thousand_random_and_mutated_packets_stop_nobody() -> anyhow::Result<()> {
    let fortress = Fortress::start(&Needs { tls: true, ..Needs::default() })?;
    let floor_kib = fortress.floor_kib()?;
    let bystanders = Bystanders::start(&fortress.target)?;
    let plan = Plan { packets: 20_000, seed: 1, threads: 4, ways: Way::ALL.to_vec() };
    let pounded = pound::pound(&fortress.target, &plan).with_context(|| fortress.node.said())?;
    ensure!(pounded.packets >= 20_000 && pounded.mutated > 100, "{pounded:?}");
    let account = bystanders.finish().with_context(|| fortress.node.said())?;
    account.nothing_lost()?;
    fortress.memory_returns(floor_kib)?;
    fortress.stop()
}
