//! Flow control: receive maximum, packet size, queues, slow outboxes (MQTT 5, 4.9).

use selvedge_core::{Config, OverflowRule};

use crate::transcript::{check, check_with, quiet};

#[test]
fn the_receive_maximum_of_the_client_is_kept_and_order_too() {
    check(
        r#"
        a > CONNECT recv=2
        a < CONNACK Success
        a > SUBSCRIBE 1 t:2
        a < SUBACK 1 GrantedQoS2
        node > PUBLISH t q=1 "1"
        a < PUBLISH t q=1 id=1 "1"
        node > PUBLISH t q=2 "2"
        a < PUBLISH t q=2 id=2 "2"
        node > PUBLISH t q=1 "3"
        node > PUBLISH t q=0 "not counted"
        a < PUBLISH t q=0 "not counted"
        a > PUBREC 2
        a < PUBREL 2
        a > PUBACK 1
        a < PUBLISH t q=1 id=3 "3"
        node > PUBLISH t q=1 "4"
        a > PUBCOMP 2
        a < PUBLISH t q=1 id=4 "4"
    "#,
    );
}

#[test]
fn a_smaller_window_after_a_return_is_kept_when_messages_are_sent_again() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        node > PUBLISH t q=1 "1"
        a < PUBLISH t q=1 id=1 "1"
        node > PUBLISH t q=1 "2"
        a < PUBLISH t q=1 id=2 "2"
        node > PUBLISH t q=1 "3"
        a < PUBLISH t q=1 id=3 "3"
        a > LOST
        node > PUBLISH t q=1 "4"
        a > CONNECT resume recv=1 expiry=60
        a < CONNACK Success present
        a < PUBLISH t q=1 id=1 dup "1"
        node > PUBLISH t q=1 "5"
        a > PUBACK 1
        a < PUBLISH t q=1 id=2 dup "2"
        a > PUBACK 2
        a < PUBLISH t q=1 id=3 dup "3"
        a > PUBACK 3
        a < PUBLISH t q=1 id=4 "4"
        a > PUBACK 4
        a < PUBLISH t q=1 id=5 "5"
    "#,
    );
}

#[test]
fn packets_larger_than_the_client_takes_are_not_sent() {
    check(
        r#"
        a > CONNECT max=40
        a < CONNACK Success
        a > SUBSCRIBE 1 t:0
        a < SUBACK 1 Success
        node > PUBLISH t "x"*34
        a < PUBLISH t q=0 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        node > PUBLISH t "x"*35
        node > STATISTICS dropped_too_large
        node < STATISTICS dropped_too_large=1
    "#,
    );
}

#[test]
fn a_full_queue_drops_qos_0_first_and_then_the_oldest() {
    let config = Config { queue_messages_max: 2, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT expiry=60 recv=1
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        a > LOST
        node > PUBLISH t q=1 "1"
        node > PUBLISH t q=1 "2"
        node > PUBLISH t q=1 "3"
        a > CONNECT resume recv=1
        a < CONNACK Success present
        a < PUBLISH t q=1 id=1 "2"
        a > PUBACK 1
        a < PUBLISH t q=1 id=2 "3"
        a > PUBACK 2
        node > STATISTICS dropped_queue_full queued_messages queued_bytes
        node < STATISTICS dropped_queue_full=1 queued_messages=0 queued_bytes=0
    "#,
    );
}

#[test]
fn a_full_queue_ends_the_session_where_the_rule_says_so() {
    let config = Config { queue_messages_max: 1, overflow: OverflowRule::Disconnect, ..quiet() };
    check_with(
        config,
        r#"
        l > CONNECT
        l < CONNACK Success
        l > SUBSCRIBE 1 w:0
        l < SUBACK 1 Success
        a > CONNECT expiry=60 recv=1 will=w
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        node > PUBLISH t q=1 "1"
        a < PUBLISH t q=1 id=1 "1"
        node > PUBLISH t q=1 "2"
        node > PUBLISH t q=1 "3"
        a < DISCONNECT QuotaExceeded "the session's queue is full"
        a < CLOSED QueueOverflow
        l < PUBLISH w q=0 "gone"
        a > CONNECT resume
        a < CONNACK Success
        node > STATISTICS queued_messages queued_bytes subscriptions
        node < STATISTICS queued_messages=0 queued_bytes=0 subscriptions=1
    "#,
    );
}

#[test]
fn a_congested_client_gets_its_messages_when_its_outbox_has_drained() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        a > CONGESTED
        node > PUBLISH t q=0 "1"
        node > PUBLISH t q=1 "2"
        a > PINGREQ
        a < PINGRESP
        a > DRAINED
        a < PUBLISH t q=0 "1"
        a < PUBLISH t q=1 id=1 "2"
    "#,
    );
}

#[test]
fn a_long_queue_is_sent_in_parts() {
    let config = Config { share_payload_bytes: 1 << 20, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 t:0
        a < SUBACK 1 Success
        a > CONGESTED
        node > PUBLISH t "x"*40000
        node > PUBLISH t "x"*40001
        node > PUBLISH t "x"*40002
        a > DRAINED
        a < PUBLISH t q=0 40000 bytes
        a < PUBLISH t q=0 40001 bytes
        a < AWAITDRAIN
        a > DRAINED
        a < PUBLISH t q=0 40002 bytes
    "#,
    );
}

#[test]
fn what_is_sent_again_respects_a_smaller_maximum_packet_size() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        node > PUBLISH t q=1 "x"*200
        a < PUBLISH t q=1 id=1 200 bytes
        node > PUBLISH t q=1 "small"
        a < PUBLISH t q=1 id=2 "small"
        a > LOST
        a > CONNECT resume max=100 expiry=60
        a < CONNACK Success present
        a < PUBLISH t q=1 id=2 dup "small"
        node > STATISTICS dropped_too_large
        node < STATISTICS dropped_too_large=1
    "#,
    );
}

#[test]
fn what_waits_for_an_acknowledgement_is_bounded_in_bytes() {
    let config = Config { queue_bytes_max: 3000, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        node > PUBLISH t q=1 "x"*2000
        a < PUBLISH t q=1 id=1 2000 bytes
        node > PUBLISH t q=1 "x"*2001
        a < PUBLISH t q=1 id=2 2001 bytes
        node > PUBLISH t q=1 "x"*2002
        node > PUBLISH t q=1 "x"*4000
        a > PUBACK 1
        a < PUBLISH t q=1 id=3 2002 bytes
        node > STATISTICS dropped_queue_full queued_messages
        node < STATISTICS dropped_queue_full=1 queued_messages=0
    "#,
    );
}

#[test]
fn one_publication_does_not_fill_the_outbox_of_one_client_by_many_groups() {
    let groups: String = (0..40).map(|group| format!(" $share/g{group}/t:0")).collect();
    let granted = " Success".repeat(40);
    let sent = "a < PUBLISH t q=0 10000 bytes\n".repeat(27);
    let rest = "a < PUBLISH t q=0 10000 bytes\n".repeat(7);
    check(&format!(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1{groups}
        a < SUBACK 1{granted}
        node > PUBLISH t "x"*10000
        {sent}
        a < AWAITDRAIN
        a > DRAINED
        {rest}
        a < AWAITDRAIN
    "#
    ));
}

#[test]
fn a_client_that_cannot_take_the_connack_is_closed() {
    check(
        r#"
        a > CONNECT max=4
        a < CLOSED Refused
    "#,
    );
}
