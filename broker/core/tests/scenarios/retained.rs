//! Retained messages (MQTT 5, 3.3.1.3 and 3.8.3.1).

use selvedge_core::Config;

use crate::transcript::{check, check_with, quiet};

#[test]
fn the_last_retained_message_is_sent_to_new_subscriptions() {
    check(
        r#"
        node > PUBLISH a/b q=1 retain "old"
        node > PUBLISH a/b q=1 retain "new"
        node > PUBLISH a/c q=0 retain "c"
        c > CONNECT
        c < CONNACK Success
        c > SUBSCRIBE 1 a/+:2 sid=9
        c < SUBACK 1 GrantedQoS2
        c < PUBLISH a/b q=1 id=1 retain sid=9 "new"
        c < PUBLISH a/c q=0 retain sid=9 "c"
        node > PUBLISH a/b retain ""
        c < PUBLISH a/b q=0 sid=9 ""
        d > CONNECT v3
        d < CONNACK Success
        d > SUBSCRIBE 1 a/#:0
        d < SUBACK 1 Success
        d < PUBLISH a/c q=0 retain "c"
    "#,
    );
}

#[test]
fn retain_handling_decides_what_a_repeated_subscription_gets() {
    check(
        r#"
        node > PUBLISH t retain "r"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 t:0:never
        a < SUBACK 1 Success
        a > SUBSCRIBE 2 t:0:new
        a < SUBACK 2 Success
        a > SUBSCRIBE 3 t:0
        a < SUBACK 3 Success
        a < PUBLISH t q=0 retain "r"
        a > UNSUBSCRIBE 4 t
        a < UNSUBACK 4 Success
        a > SUBSCRIBE 5 t:0:new
        a < SUBACK 5 Success
        a < PUBLISH t q=0 retain "r"
        a > SUBSCRIBE 6 $share/g/t:0
        a < SUBACK 6 Success
    "#,
    );
}

#[test]
fn the_retain_flag_of_live_messages_follows_retain_as_published() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 t:0:rap
        a < SUBACK 1 Success
        b > CONNECT
        b < CONNACK Success
        b > SUBSCRIBE 1 t:0
        b < SUBACK 1 Success
        node > PUBLISH t retain "r"
        a < PUBLISH t q=0 retain "r"
        b < PUBLISH t q=0 "r"
        node > PUBLISH t "live"
        a < PUBLISH t q=0 "live"
        b < PUBLISH t q=0 "live"
    "#,
    );
}

#[test]
fn a_retained_message_expires() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > PUBLISH t expiry=10 retain "r"
        wait 4s
        b > CONNECT
        b < CONNACK Success
        b > SUBSCRIBE 1 t:0
        b < SUBACK 1 Success
        b < PUBLISH t q=0 retain expiry=6 "r"
        wait 6s
        b > SUBSCRIBE 2 t:0
        b < SUBACK 2 Success
        node > STATISTICS retained_messages retained_bytes
        node < STATISTICS retained_messages=0 retained_bytes=0
    "#,
    );
}

#[test]
fn no_more_retained_messages_than_configured() {
    let config = Config { retained_messages_max: 1, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT
        a < CONNACK Success
        a > PUBLISH one q=1 id=1 retain "x"
        a < PUBACK 1 NoMatchingSubscribers
        a > PUBLISH one q=1 id=2 retain "y"
        a < PUBACK 2 NoMatchingSubscribers
        a > PUBLISH two q=1 id=3 retain "x"
        a < PUBACK 3 QuotaExceeded "no room for another retained message"
        a > PUBLISH one q=1 id=4 retain ""
        a < PUBACK 4 NoMatchingSubscribers
        a > PUBLISH two q=2 id=5 retain "x"
        a < PUBREC 5 NoMatchingSubscribers
        a > PUBLISH three q=2 id=6 retain "x"
        a < PUBREC 6 QuotaExceeded "no room for another retained message"
        a > PUBREL 6
        a < PUBCOMP 6 PacketIdentifierNotFound
        b > CONNECT v3
        b < CONNACK Success
        b > PUBLISH four q=1 id=1 retain "x"
        b < CLOSED QuotaExceeded
    "#,
    );
}

#[test]
fn more_retained_messages_than_a_queue_holds_all_arrive() {
    let config = Config { queue_messages_max: 1, ..quiet() };
    check_with(
        config,
        r#"
        node > PUBLISH r/1 q=1 retain "1"
        node > PUBLISH r/2 q=1 retain "2"
        node > PUBLISH r/3 q=1 retain "3"
        a > CONNECT recv=1
        a < CONNACK Success
        a > SUBSCRIBE 1 r/+:1
        a < SUBACK 1 GrantedQoS1
        a < PUBLISH r/1 q=1 id=1 retain "1"
        a > PUBACK 1
        a < PUBLISH r/2 q=1 id=2 retain "2"
        a > PUBACK 2
        a < PUBLISH r/3 q=1 id=3 retain "3"
    "#,
    );
}

#[test]
fn a_filter_that_is_repeated_is_answered_once_and_filters_are_bounded() {
    let (filters, granted) = (" t:0".repeat(1000), " Success".repeat(1000));
    check(&format!(
        r#"
        node > PUBLISH t retain "r"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1{filters} t:1
        a < PAUSE
        wait 1ms
        a < SUBACK 1{granted} QuotaExceeded
        a < PUBLISH t q=0 retain "r"
        a < GO ON
    "#
    ));
}

#[test]
fn an_unretainable_qos_0_message_does_not_leave_an_older_one_to_be_found() {
    let config = Config { retained_bytes_max: 1000, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT
        a < CONNACK Success
        a > PUBLISH t retain "old"
        a > PUBLISH t retain "x"*900
        a > SUBSCRIBE 1 t:0
        a < SUBACK 1 Success
    "#,
    );
}

#[test]
fn a_live_qos_0_message_waits_behind_retained_ones() {
    check(
        r#"
        node > PUBLISH r/1 q=1 retain "1"
        node > PUBLISH r/2 q=1 retain "2"
        a > CONNECT recv=1
        a < CONNACK Success
        a > SUBSCRIBE 1 r/+:1
        a < SUBACK 1 GrantedQoS1
        a < PUBLISH r/1 q=1 id=1 retain "1"
        node > PUBLISH r/2 q=0 "newer"
        a > PUBACK 1
        a < PUBLISH r/2 q=1 id=2 retain "2"
        a < PUBLISH r/2 q=0 "newer"
    "#,
    );
}
