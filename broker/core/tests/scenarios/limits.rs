//! Limits on what a client may ask for, each on both sides.

use selvedge_core::Config;

use crate::transcript::{check_with, quiet};

#[test]
fn topics_and_filters_are_bounded_in_bytes() {
    let config = Config { topic_bytes_max: 10, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT will=0123456789
        a < CONNACK Success
        a > PUBLISH 0123456789 q=1 id=1 "x"
        a < PUBACK 1 NoMatchingSubscribers
        a > PUBLISH 0123456789a q=1 id=2 "x"
        a < PUBACK 2 TopicNameInvalid "the topic name is too long"
        a > PUBLISH 0123456789a alias=1 "refused, but the alias is known"
        a > PUBLISH - alias=1 "refused"
        a > SUBSCRIBE 3 0123456789:0 0123456789a:0 $share/g/a:0 $share/gg/a:0
        a < SUBACK 3 Success TopicFilterInvalid Success TopicFilterInvalid
        b > CONNECT will=0123456789a
        b < CONNACK TopicNameInvalid
        b < CLOSED Refused
        c > CONNECT v3
        c < CONNACK Success
        c > PUBLISH 0123456789a q=1 id=1 "x"
        c < PUBACK 1
        node > STATISTICS refused_topic_bytes
        node < STATISTICS refused_topic_bytes=7
    "#,
    );
}

#[test]
fn a_will_is_bounded_in_bytes() {
    let config = Config { will_bytes_max: 4, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT will=w will-payload=four
        a < CONNACK Success
        b > CONNECT will=w will-payload=fives
        b < CONNACK QuotaExceeded
        b < CLOSED Refused
        c > CONNECT v3 will=w will-payload=fives
        c < CONNACK ServerUnavailable
        c < CLOSED Refused
        node > STATISTICS refused_wills
        node < STATISTICS refused_wills=2
    "#,
    );
}

#[test]
fn clients_without_a_user_cannot_take_all_sessions() {
    let config = Config { sessions_max: 4, anonymous_sessions_max: 2, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT
        a < CONNACK Success
        f > ATTACH t:1
        b > CONNECT expiry=60
        b < CONNACK Success
        c > CONNECT
        c < CONNACK QuotaExceeded
        c < CLOSED Refused
        d > CONNECT user=ann
        d < CONNACK Success
        a > LOST
        c > CONNECT
        c < CONNACK Success
        node > STATISTICS refused_sessions displaced_sessions
        node < STATISTICS refused_sessions=1 displaced_sessions=0
    "#,
    );
}

#[test]
fn the_anonymous_session_that_is_away_for_longest_gives_way_to_a_user() {
    let config = Config { sessions_max: 3, anonymous_sessions_max: 3, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT expiry=600
        a < CONNACK Success
        b > CONNECT expiry=600
        b < CONNACK Success
        c > CONNECT expiry=600
        c < CONNACK Success
        d > CONNECT user=ann
        d < CONNACK QuotaExceeded
        d < CLOSED Refused
        b > LOST
        a > LOST
        b > CONNECT expiry=600 resume
        b < CONNACK Success present
        b > LOST
        e > CONNECT
        e < CONNACK QuotaExceeded
        e < CLOSED Refused
        d > CONNECT user=ann
        d < CONNACK Success
        b > CONNECT expiry=600 resume
        b < CONNACK Success present
        g > CONNECT user=ann
        g < CONNACK QuotaExceeded
        g < CLOSED Refused
        node > STATISTICS refused_sessions displaced_sessions sessions
        node < STATISTICS refused_sessions=3 displaced_sessions=1 sessions=3
    "#,
    );
}

#[test]
fn the_filters_of_a_session_are_bounded_in_bytes() {
    let config = Config { subscriptions_max: 2, ..quiet() };
    let deep = |first: &str, levels: usize| format!("{first}{}", "/a".repeat(levels - 1));
    // Two subscriptions may take 8,192 bytes; a filter takes 288, each level 416, and its text.
    let fits = deep("x", 18);
    let does_not = deep("y", 2);
    check_with(
        config,
        &format!(
            r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 {fits}:0 {does_not}:0
        a < SUBACK 1 Success QuotaExceeded
        a > UNSUBSCRIBE 2 {fits}
        a < UNSUBACK 2 Success
        a > SUBSCRIBE 3 {does_not}:0 {fits}:0
        a < SUBACK 3 Success QuotaExceeded
        node > STATISTICS refused_subscribe subscriptions
        node < STATISTICS refused_subscribe=2 subscriptions=1
    "#
        ),
    );
}

#[test]
fn where_no_session_may_last_none_does() {
    let config = Config { session_expiry_max_s: 0, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success expiry=0
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        a > LOST
        node > PUBLISH t q=1 "nobody keeps it"
        a > CONNECT resume expiry=4294967295
        a < CONNACK Success expiry=0
        a > DISCONNECT expiry=100
        a < CLOSED ClientDisconnected
        b > CONNECT v3 resume
        b < CONNACK Success
        b > LOST
        node > STATISTICS sessions subscriptions queued_messages
        node < STATISTICS sessions=0 subscriptions=0 queued_messages=0
    "#,
    );
}
