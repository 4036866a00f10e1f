//! What a broker costs when nothing happens.

use crate::client::{Client, TestBroker, V5};

#[test]
fn nothing_turns_when_nothing_happens() {
    let broker = TestBroker::start();
    let mut client = Client::connect(broker.tcp(), V5, "c");
    client.subscribe("t", selvedge_codec::QoS::AtLeastOnce);
    client.ping();
    let before = broker.statistics().shell;
    const QUESTIONS: u64 = 1_000;
    for _ in 0..QUESTIONS {
        broker.statistics();
    }
    let after = broker.statistics().shell;
    // Each question is a turn; a reactor that keeps itself awake makes many more.
    let turns = after.turns - before.turns;
    assert!((QUESTIONS..=QUESTIONS + 10).contains(&turns), "{turns} turns");
    assert_eq!((after.reads, after.writes), (before.reads, before.writes));
}
