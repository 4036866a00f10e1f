//! One attack on one node, with bystanders.

use anyhow::Context as _;
use selvedge_tests::siege::attack;
use selvedge_tests::siege::bystanders::Bystanders;
use selvedge_tests::siege::fortress::{Fortress, Needs};
use selvedge_tests::siege::wire::wait_until;

/// Attacks a node, and fails unless the attacker saw what it should, the bystanders lost nothing and were served all the
/// time, the limit that was met is counted, the memory is given back, and the node stops properly in the end.
pub fn withstands(name: &str) -> anyhow::Result<()> {
    let attack = attack::find(name).with_context(|| format!("find the attack {name}"))?;
    let needs = Needs::from(attack);
    let fortress = Fortress::start(&needs)?;
    let floor_kib = fortress.floor_kib()?;
    let before = fortress.metrics()?;
    let bystanders = Bystanders::start(&fortress.target)?;
    let attacked = (attack.run)(&fortress.target);
    let account = bystanders.finish();
    attacked.with_context(|| format!("{name}\n{}", fortress.node.said()))?;
    account.and_then(|account| account.nothing_lost()).with_context(|| fortress.node.said())?;

    let mut after = fortress.metrics()?;
    wait_until(
        "everything counted that the attack is to be counted by",
        || {
            after = fortress.metrics()?;
            Ok(attack.counters.iter().all(|counter| after.grew(&before, counter) > 0.0))
        },
        || format!("{:?} are to grow", attack.counters),
    )
    .with_context(|| fortress.metrics().map_or_else(|error| error.to_string(), |now| now.difference(&before)))?;
    wait_until(
        "all connections gone",
        || Ok(fortress.metrics()?.get("selvedge_mqtt_connections") == 0.0),
        || fortress.node.said(),
    )?;
    fortress.memory_returns(floor_kib).with_context(|| after.difference(&before))?;
    fortress.stop()
}
