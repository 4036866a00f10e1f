//! Subscriptions: overlapping, shared, no-local, identifiers, `$` topics, limits (MQTT 5, 3.8, 4.7, 4.8).

use selvedge_core::Config;

use crate::transcript::{check, check_with, quiet};

#[test]
fn overlapping_subscriptions_deliver_once_with_all_identifiers() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 t/+:0 sid=1
        a < SUBACK 1 Success
        a > SUBSCRIBE 2 t/x:1 sid=2
        a < SUBACK 2 GrantedQoS1
        node > PUBLISH t/x q=2 "m"
        a < PUBLISH t/x q=1 id=1 sid=2 sid=1 "m"
        a > SUBSCRIBE 3 t/x:1
        a < SUBACK 3 GrantedQoS1
        node > PUBLISH t/x q=2 "m"
        a < PUBLISH t/x q=1 id=2 sid=1 "m"
    "#,
    );
}

#[test]
fn an_identifier_that_two_matching_subscriptions_have_is_told_twice() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 t/+:0 sid=7
        a < SUBACK 1 Success
        a > SUBSCRIBE 2 t/x:0 sid=7
        a < SUBACK 2 Success
        a > SUBSCRIBE 3 t/#:0 +/x:0
        a < SUBACK 3 Success Success
        node > PUBLISH t/x "m"
        a < PUBLISH t/x q=0 sid=7 sid=7 "m"
    "#,
    );
}

#[test]
fn no_local_keeps_a_client_from_hearing_itself() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 t:0:nl
        a < SUBACK 1 Success
        b > CONNECT
        b < CONNACK Success
        b > SUBSCRIBE 1 t:0
        b < SUBACK 1 Success
        a > PUBLISH t retain "from a"
        b < PUBLISH t q=0 "from a"
        b > PUBLISH t "from b"
        a < PUBLISH t q=0 "from b"
        b < PUBLISH t q=0 "from b"
        a > SUBSCRIBE 2 t:0:nl
        a < SUBACK 2 Success
        a > SUBSCRIBE 3 $share/g/t:0:nl
        a < DISCONNECT ProtocolError "no-local on a shared subscription"
        a < CLOSED ProtocolViolation
    "#,
    );
}

#[test]
fn a_shared_subscription_goes_round_those_who_can_take_it() {
    check(
        r#"
        a > CONNECT recv=1
        a < CONNACK Success
        a > SUBSCRIBE 1 $share/g/t:1
        a < SUBACK 1 GrantedQoS1
        b > CONNECT recv=1
        b < CONNACK Success
        b > SUBSCRIBE 1 $share/g/t:1
        b < SUBACK 1 GrantedQoS1
        c > CONNECT
        c < CONNACK Success
        c > SUBSCRIBE 1 $share/other/t:0
        c < SUBACK 1 Success
        node > PUBLISH t q=1 "1"
        a < PUBLISH t q=1 id=1 "1"
        c < PUBLISH t q=0 "1"
        node > PUBLISH t q=1 "2"
        b < PUBLISH t q=1 id=1 "2"
        c < PUBLISH t q=0 "2"
        b > PUBACK 1
        node > PUBLISH t q=1 "3, for a is full"
        b < PUBLISH t q=1 id=2 "3, for a is full"
        c < PUBLISH t q=0 "3, for a is full"
        b > UNSUBSCRIBE 2 $share/g/t
        b < UNSUBACK 2 Success
        b > UNSUBSCRIBE 3 t
        b < UNSUBACK 3 NoSubscriptionExisted
        node > PUBLISH t q=1 "4, waits for a"
        c < PUBLISH t q=0 "4, waits for a"
        a > PUBACK 1
        a < PUBLISH t q=1 id=2 "4, waits for a"
    "#,
    );
}

#[test]
fn a_shared_subscription_waits_for_a_member_that_is_away() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 $share/g/t:1
        a < SUBACK 1 GrantedQoS1
        a > LOST
        node > PUBLISH t q=1 "kept"
        a > CONNECT resume
        a < CONNACK Success present
        a < PUBLISH t q=1 id=1 "kept"
    "#,
    );
}

#[test]
fn wildcards_do_not_see_the_topics_of_the_server() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 #:0 +/x:0
        a < SUBACK 1 Success Success
        node > PUBLISH $SYS/x "hidden"
        a > SUBSCRIBE 2 $SYS/#:0
        a < SUBACK 2 Success
        node > PUBLISH $SYS/x "asked for"
        a < PUBLISH $SYS/x q=0 "asked for"
        a > PUBLISH $SYS/x q=1 id=1 "not yours"
        a < PUBACK 1 NotAuthorized "not allowed to publish to this topic"
        b > CONNECT v3
        b < CONNACK Success
        b > PUBLISH $SYS/x q=1 id=1 "not yours, but you cannot be told"
        b < PUBACK 1
    "#,
    );
}

#[test]
fn bad_filters_and_too_many_subscriptions_are_refused_one_by_one() {
    let config = Config { subscriptions_max: 2, topic_levels_max: 3, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 a/b/c:0 a/b/c/d:0 a#:0 a+/b:0 #/a:0 $share//a:0 $share/g:0
        a < SUBACK 1 Success TopicFilterInvalid TopicFilterInvalid TopicFilterInvalid TopicFilterInvalid TopicFilterInvalid TopicFilterInvalid
        a > SUBSCRIBE 2 b:0 c:0 b:1
        a < SUBACK 2 Success QuotaExceeded GrantedQoS1
        a > PUBLISH 1/2/3 q=1 id=1 "x"
        a < PUBACK 1 NoMatchingSubscribers
        a > PUBLISH 1/2/3/4 q=1 id=1 "x"
        a < PUBACK 1 TopicNameInvalid "the topic name has too many levels"
        b > CONNECT v3
        b < CONNACK Success
        b > SUBSCRIBE 1 a#:0 a:2
        b < SUBACK 1 UnspecifiedError GrantedQoS2
        b > UNSUBSCRIBE 2 a
        b < UNSUBACK 2
    "#,
    );
}

#[test]
fn an_unsubscribe_takes_each_of_its_filters_and_answers_each() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 one:0 two:0 three:0
        a < SUBACK 1 Success Success Success
        a > UNSUBSCRIBE 2 one two other
        a < UNSUBACK 2 Success Success NoSubscriptionExisted
        node > PUBLISH one "1"
        node > PUBLISH two "2"
        node > PUBLISH three "3"
        a < PUBLISH three q=0 "3"
    "#,
    );
}

#[test]
fn members_of_a_shared_subscription_take_turns() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 $share/g/t:0
        a < SUBACK 1 Success
        b > CONNECT
        b < CONNACK Success
        b > SUBSCRIBE 1 $share/g/t:0
        b < SUBACK 1 Success
        node > PUBLISH t "1"
        a < PUBLISH t q=0 "1"
        node > PUBLISH t "2"
        b < PUBLISH t q=0 "2"
        node > PUBLISH t "3"
        a < PUBLISH t q=0 "3"
    "#,
    );
}
