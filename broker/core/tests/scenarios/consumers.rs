//! Consumers inside the node: the same sessions, without bytes.

use crate::transcript::check;

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
