//! QoS 0, 1 and 2 both ways, and the rules for packet identifiers (MQTT 5, 4.3 and 4.4).

use selvedge_core::Config;

use crate::transcript::{check, check_with, quiet};

#[test]
fn effective_qos_is_the_smaller_of_both() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 zero:0 one:1 two:2
        a < SUBACK 1 Success GrantedQoS1 GrantedQoS2
        node > PUBLISH zero q=2 "0"
        a < PUBLISH zero q=0 "0"
        node > PUBLISH one q=2 "1"
        a < PUBLISH one q=1 id=1 "1"
        node > PUBLISH two q=2 "2"
        a < PUBLISH two q=2 id=2 "2"
        node > PUBLISH two q=1 "1"
        a < PUBLISH two q=1 id=3 "1"
    "#,
    );
}

#[test]
fn qos_1_is_acknowledged_after_it_was_passed_on() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        b > CONNECT v3
        b < CONNACK Success
        b > SUBSCRIBE 9 t:0
        b < SUBACK 9 Success
        a > PUBLISH t q=1 id=5 "x"
        b < PUBLISH t q=0 "x"
        a < PUBACK 5
        a > PUBLISH nobody q=1 id=6 "x"
        a < PUBACK 6 NoMatchingSubscribers
        b > PUBLISH nobody q=1 id=7 "x"
        b < PUBACK 7
    "#,
    );
}

#[test]
fn an_incoming_qos_2_message_is_published_once() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        b > CONNECT
        b < CONNACK Success
        b > SUBSCRIBE 1 t:2
        b < SUBACK 1 GrantedQoS2
        a > PUBLISH t q=2 id=5 "x"
        b < PUBLISH t q=2 id=1 "x"
        a < PUBREC 5
        a > PUBLISH t q=2 id=5 dup "x"
        a < PUBREC 5
        a > LOST
        a > CONNECT resume expiry=60
        a < CONNACK Success present
        a > PUBLISH t q=2 id=5 dup "x"
        a < PUBREC 5
        a > PUBREL 5
        a < PUBCOMP 5
        a > PUBREL 5
        a < PUBCOMP 5 PacketIdentifierNotFound
        a > PUBLISH t q=2 id=5 "a new one"
        b < PUBLISH t q=2 id=2 "a new one"
        a < PUBREC 5
    "#,
    );
}

#[test]
fn an_outgoing_qos_2_exchange_goes_on_where_it_stopped() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 t:2
        a < SUBACK 1 GrantedQoS2
        node > PUBLISH t q=2 "one"
        a < PUBLISH t q=2 id=1 "one"
        node > PUBLISH t q=2 "two"
        a < PUBLISH t q=2 id=2 "two"
        a > PUBREC 1
        a < PUBREL 1
        a > LOST
        a > CONNECT resume expiry=60
        a < CONNACK Success present
        a < PUBREL 1
        a < PUBLISH t q=2 id=2 dup "two"
        a > PUBCOMP 1
        a > PUBREC 2
        a < PUBREL 2
        a > PUBCOMP 2
        a > LOST
        a > CONNECT resume expiry=60
        a < CONNACK Success present
    "#,
    );
}

#[test]
fn unknown_identifiers_are_answered_or_ignored() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > PUBACK 1
        a > PUBCOMP 1
        a > PUBREC 1
        a < PUBREL 1 PacketIdentifierNotFound
        a > PUBREL 1
        a < PUBCOMP 1 PacketIdentifierNotFound
    "#,
    );
}

#[test]
fn a_refused_qos_2_message_is_over_with_its_pubrec() {
    check(
        r#"
        a > CONNECT recv=1
        a < CONNACK Success
        a > SUBSCRIBE 1 t:2
        a < SUBACK 1 GrantedQoS2
        node > PUBLISH t q=2 "one"
        a < PUBLISH t q=2 id=1 "one"
        node > PUBLISH t q=2 "two"
        a > PUBREC 1 reason=0x97
        a < PUBLISH t q=2 id=2 "two"
    "#,
    );
}

#[test]
fn more_unreleased_qos_2_messages_than_the_receive_maximum_end_the_connection() {
    let config = Config { receive_maximum: 2, ..quiet() };
    check_with(
        config.clone(),
        r#"
        a > CONNECT
        a < CONNACK Success
        a > PUBLISH t q=2 id=1 "x"
        a < PUBREC 1 NoMatchingSubscribers
        a > PUBLISH t q=2 id=2 "x"
        a < PUBREC 2 NoMatchingSubscribers
        a > PUBREL 1
        a < PUBCOMP 1
        a > PUBLISH t q=2 id=3 "x"
        a < PUBREC 3 NoMatchingSubscribers
        a > PUBLISH t q=2 id=4 "x"
        a < DISCONNECT ReceiveMaximumExceeded "more unreleased QoS 2 publications than the receive maximum"
        a < CLOSED QuotaExceeded
    "#,
    );
    check_with(
        config,
        r#"
        a > CONNECT v3
        a < CONNACK Success
        a > PUBLISH t q=2 id=1 "x"
        a < PUBREC 1
        a > PUBLISH t q=2 id=2 "x"
        a < PUBREC 2
        a > PUBLISH t q=2 id=3 "x"
        a < CLOSED QuotaExceeded
    "#,
    );
}

#[test]
fn qos_0_that_waits_for_a_congested_client_goes_with_its_connection() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        a > CONGESTED
        node > PUBLISH t q=0 "1"
        node > PUBLISH t q=1 "2"
        a > LOST
        node > STATISTICS dropped_offline queued_messages
        node < STATISTICS dropped_offline=1 queued_messages=1
        a > CONNECT resume expiry=60
        a < CONNACK Success present
        a < PUBLISH t q=1 id=1 "2"
    "#,
    );
}

#[test]
fn what_is_sent_again_carries_what_it_carried_the_first_time() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 t:2:rap sid=7
        a < SUBACK 1 GrantedQoS2
        b > CONNECT
        b < CONNACK Success
        b > PUBLISH t q=1 id=1 expiry=50 content=text retain "1"
        a < PUBLISH t q=1 id=1 retain expiry=50 content=text sid=7 "1"
        b < PUBACK 1
        node > PUBLISH t q=2 "2"
        a < PUBLISH t q=2 id=2 sid=7 "2"
        a > LOST
        b > PUBLISH t q=1 id=2 content=text retain "3"
        b < PUBACK 2
        wait 10s
        a > CONNECT resume expiry=60
        a < CONNACK Success present
        a < PUBLISH t q=1 id=1 dup retain expiry=40 content=text sid=7 "1"
        a < PUBLISH t q=2 id=2 dup sid=7 "2"
        a < PUBLISH t q=1 id=3 retain content=text sid=7 "3"
    "#,
    );
}

#[test]
fn only_a_puback_ends_a_qos_1_exchange() {
    check(
        r#"
        a > CONNECT recv=1
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        node > PUBLISH t q=1 "1"
        a < PUBLISH t q=1 id=1 "1"
        node > PUBLISH t q=1 "2"
        a > PUBREC 1
        a < PUBREL 1 PacketIdentifierNotFound
        a > PUBCOMP 1
        a > PUBREC 1 reason=0x97
        a > PUBACK 1
        a < PUBLISH t q=1 id=2 "2"
    "#,
    );
}
