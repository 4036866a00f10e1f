//! Consumers inside the node: the same sessions, without bytes.

use selvedge_core::{Config, OverflowRule};

use crate::transcript::{check, check_with, quiet};

#[test]
fn a_consumer_gets_messages_within_its_window_and_acknowledges_them() {
    check(
        r#"
        f > ATTACH recv=1 in/#:1
        a > CONNECT
        a < CONNACK Success
        a > PUBLISH in/x q=1 id=1 "1"
        f < DELIVER in/x q=1 id=1 "1"
        a < PUBACK 1
        a > PUBLISH in/x q=2 id=2 "2"
        a < PUBREC 2
        f > ACKNOWLEDGE 1
        f < DELIVER in/x q=1 id=2 "2"
        f > ACKNOWLEDGE 2
        f > ACKNOWLEDGE 2
        node > STATISTICS connections sessions
        node < STATISTICS connections=1 sessions=2
    "#,
    );
}

#[test]
fn a_consumer_that_comes_again_gets_what_it_had_not_acknowledged() {
    check(
        r#"
        f > ATTACH recv=10 in:1
        node > PUBLISH in q=1 "1"
        f < DELIVER in q=1 id=1 "1"
        f > LOST
        node > PUBLISH in q=1 "2"
        f > ATTACH recv=10 in:1
        f < DELIVER in q=1 id=1 dup "1"
        f < DELIVER in q=1 id=2 "2"
        f > DETACH
        node > PUBLISH in q=1 "3"
        node > STATISTICS sessions subscriptions queued_messages
        node < STATISTICS sessions=0 subscriptions=0 queued_messages=0
    "#,
    );
}

/// It has no socket that could drain, so that nothing would ever tell it to go on.
#[test]
fn a_consumer_that_comes_again_gets_all_its_window_takes_at_once() {
    check(
        r#"
        f > ATTACH recv=10 in:1
        f > LOST
        node > PUBLISH in q=1 "1"*40000
        node > PUBLISH in q=1 "2"*40001
        node > PUBLISH in q=1 "3"*40002
        f > ATTACH recv=10 in:1
        f < DELIVER in q=1 id=1 40000 bytes
        f < DELIVER in q=1 id=2 40001 bytes
        f < DELIVER in q=1 id=3 40002 bytes
    "#,
    );
}

#[test]
fn a_client_cannot_take_the_identifier_of_a_consumer() {
    check(
        r#"
        f > ATTACH in:1
        a > CONNECT id=$node/f
        a < CONNACK ClientIdentifierNotValid
        a < CLOSED Refused
        b > CONNECT id=$node/not-deployed-yet
        b < CONNACK ClientIdentifierNotValid
        b < CLOSED Refused
    "#,
    );
}

#[test]
fn a_consumer_holds_no_more_bytes_than_configured_and_one_message() {
    let config = Config { consumer_in_flight_bytes_max: 2000, ..quiet() };
    check_with(
        config,
        r#"
        f > ATTACH recv=10 in:1
        node > PUBLISH in q=1 "x"*1500
        f < DELIVER in q=1 id=1 1500 bytes
        node > PUBLISH in q=1 "x"*1501
        f < DELIVER in q=1 id=2 1501 bytes
        node > PUBLISH in q=1 "x"*1502
        node > PUBLISH in q=0 "not counted"
        f < DELIVER in q=0 "not counted"
        f > ACKNOWLEDGE 1
        f < DELIVER in q=1 id=3 1502 bytes
        f > ACKNOWLEDGE 3
        f > ACKNOWLEDGE 2
        node > STATISTICS queued_messages
        node < STATISTICS queued_messages=0
    "#,
    );
}

#[test]
fn no_client_can_end_a_consumer_by_flooding_its_queue_where_that_disconnects_clients() {
    let config = Config { queue_messages_max: 1, overflow: OverflowRule::Disconnect, ..quiet() };
    check_with(
        config,
        r#"
        f > ATTACH recv=1 in:1
        node > PUBLISH in q=1 "1"
        f < DELIVER in q=1 id=1 "1"
        node > PUBLISH in q=1 "2"
        node > PUBLISH in q=1 "3"
        f > ACKNOWLEDGE 1
        f < DELIVER in q=1 id=2 "3"
        f > ACKNOWLEDGE 2
        node > PUBLISH in q=1 "4"
        f < DELIVER in q=1 id=3 "4"
    "#,
    );
}

#[test]
fn a_shared_subscription_of_a_consumer_leaves_nothing_behind() {
    check(
        r#"
        f > ATTACH recv=10 $share/g/in/#:1
        node > PUBLISH in/x q=1 "1"
        f < DELIVER in/x q=1 id=1 "1"
        f > DETACH
        node > PUBLISH in/x q=1 "2"
        node > STATISTICS sessions subscriptions queued_messages
        node < STATISTICS sessions=0 subscriptions=0 queued_messages=0
    "#,
    );
}

#[test]
fn a_consumer_keeps_of_its_subscriptions_those_that_it_names() {
    check(
        r#"
        f > ATTACH recv=10 one:1 two:1 three:1
        f > KEEP two other
        node > PUBLISH one q=1 "1"
        node > PUBLISH two q=1 "2"
        f < DELIVER two q=1 id=1 "2"
        node > PUBLISH three q=1 "3"
        node > STATISTICS subscriptions
        node < STATISTICS subscriptions=1
    "#,
    );
}

#[test]
fn of_the_consumers_only_those_end_that_nobody_has_claimed() {
    check(
        r#"
        f > ATTACH recv=10 in:1
        g > ATTACH recv=10 in:1
        a > CONNECT expiry=60
        a < CONNACK Success
        a > LOST
        f > LOST
        node > END
        node > PUBLISH in q=1 "1"
        g < DELIVER in q=1 id=1 "1"
        node > STATISTICS sessions queued_messages
        node < STATISTICS sessions=2 queued_messages=0
    "#,
    );
}
