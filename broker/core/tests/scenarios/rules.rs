//! Access rules: at the door, on the way, and when they change.

use selvedge_core::Config;

use crate::transcript::{check, check_with, quiet};

#[test]
fn who_may_not_connect_is_told_in_the_words_of_his_version() {
    check(
        r#"
        node > RULES bob:connect -:connect
        a > CONNECT user=ann
        a < CONNACK Success
        b > CONNECT user=bob
        b < CONNACK NotAuthorized
        b < CLOSED Refused
        c > CONNECT v3
        c < CONNACK NotAuthorized
        c < CLOSED Refused
        node > REVOKE card
        d > CONNECT user=ann credential=card
        d < CONNACK NotAuthorized
        d < CLOSED Refused
    "#,
    );
}

#[test]
fn each_action_is_judged_by_itself() {
    check(
        r#"
        node > RULES *:publish:p *:retain:r *:will:w *:subscribe:s
        a > CONNECT
        a < CONNACK Success
        a > PUBLISH p q=1 id=1 "x"
        a < PUBACK 1 NotAuthorized "not allowed to publish to this topic"
        a > PUBLISH r q=1 id=2 "x"
        a < PUBACK 2 NoMatchingSubscribers
        a > PUBLISH r q=2 id=3 retain "x"
        a < PUBREC 3 NotAuthorized "not allowed to publish to this topic"
        a > PUBLISH r retain "x"
        a > SUBSCRIBE 4 s:0 $share/g/s:0 r:0 p:0
        a < SUBACK 4 NotAuthorized NotAuthorized Success Success
        b > CONNECT will=w
        b < CONNACK NotAuthorized
        b < CLOSED Refused
        c > CONNECT will=p
        c < CONNACK Success
        c > LOST
        a < PUBLISH p q=0 "gone"
        node > STATISTICS refused_publish retained_messages
        node < STATISTICS refused_publish=3 retained_messages=0
    "#,
    );
}

#[test]
fn publishing_is_judged_by_new_rules_at_once() {
    check(
        r#"
        a > CONNECT user=ann
        a < CONNACK Success
        a > PUBLISH t q=1 id=1 "x"
        a < PUBACK 1 NoMatchingSubscribers
        node > RULES ann:publish:t
        a > PUBLISH t q=1 id=2 "x"
        a < PUBACK 2 NotAuthorized "not allowed to publish to this topic"
    "#,
    );
}

#[test]
fn who_may_not_connect_any_more_loses_connection_and_session() {
    check(
        r#"
        l > CONNECT
        l < CONNACK Success
        l > SUBSCRIBE 1 w:0
        l < SUBACK 1 Success
        a > CONNECT user=ann expiry=60 will=w
        a < CONNACK Success
        b > CONNECT user=bob v3 resume
        b < CONNACK Success
        c > CONNECT user=bob expiry=60
        c < CONNACK Success
        c > SUBSCRIBE 1 t:1
        c < SUBACK 1 GrantedQoS1
        c > LOST
        node > PUBLISH t q=1 "kept for c"
        d > CONNECT user=ann credential=card expiry=60
        d < CONNACK Success
        node > REVOKE card
        node > RULES bob:connect
        wait 1ms
        b < CLOSED NotAuthorized
        d < DISCONNECT NotAuthorized "not allowed to be connected any more"
        d < CLOSED NotAuthorized
        a > PINGREQ
        a < PINGRESP
        node > RULES ann:connect
        wait 1ms
        a < DISCONNECT NotAuthorized "not allowed to be connected any more"
        a < CLOSED NotAuthorized
        node > RULES
        c > CONNECT user=bob resume
        c < CONNACK Success
        node > STATISTICS revoked_sessions closed_unauthorized revoked_wills queued_messages sessions
        node < STATISTICS revoked_sessions=4 closed_unauthorized=3 revoked_wills=1 queued_messages=0 sessions=2
    "#,
    );
}

#[test]
fn forbidden_subscriptions_and_what_is_queued_for_them_go() {
    check(
        r#"
        a > CONNECT user=ann expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 secret/a:1 open:1 $share/g/secret/b:1
        a < SUBACK 1 GrantedQoS1 GrantedQoS1 GrantedQoS1
        a > LOST
        node > PUBLISH secret/a q=1 "1"
        node > PUBLISH open q=1 "2"
        node > PUBLISH secret/b q=1 "3"
        node > RULES ann:subscribe:secret/#
        wait 1ms
        node > PUBLISH secret/a q=1 "4"
        node > PUBLISH secret/b q=1 "5"
        node > STATISTICS revoked_subscriptions dropped_unauthorized queued_messages subscriptions
        node < STATISTICS revoked_subscriptions=2 dropped_unauthorized=2 queued_messages=1 subscriptions=1
        a > CONNECT user=ann resume
        a < CONNACK Success present
        a < PUBLISH open q=1 id=1 "2"
    "#,
    );
}

#[test]
fn what_was_sent_and_not_acknowledged_is_not_sent_again_where_it_is_forbidden_now() {
    check(
        r#"
        a > CONNECT user=ann expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 secret:1 open:1
        a < SUBACK 1 GrantedQoS1 GrantedQoS1
        node > PUBLISH secret q=1 "1"
        a < PUBLISH secret q=1 id=1 "1"
        node > PUBLISH open q=1 "2"
        a < PUBLISH open q=1 id=2 "2"
        node > RULES ann:subscribe:secret
        wait 1ms
        a > LOST
        a > CONNECT user=ann resume
        a < CONNACK Success present
        a < PUBLISH open q=1 id=2 dup "2"
        node > STATISTICS dropped_unauthorized
        node < STATISTICS dropped_unauthorized=1
    "#,
    );
}

#[test]
fn a_queue_that_was_not_judged_yet_is_judged_as_it_is_sent() {
    check(
        r#"
        a > CONNECT user=ann expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 secret:1 open:1
        a < SUBACK 1 GrantedQoS1 GrantedQoS1
        a > LOST
        node > PUBLISH secret q=1 "1"
        node > PUBLISH open q=1 "2"
        node > RULES ann:subscribe:secret
        a > CONNECT user=ann resume expiry=60
        a < CONNACK Success present
        a < PUBLISH open q=1 id=1 "2"
        a > LOST
        node > PUBLISH open q=1 "3"
        a > CONNECT user=ann resume permit=nothing
        a < CONNACK Success present
        node > STATISTICS dropped_unauthorized queued_messages subscriptions
        node < STATISTICS dropped_unauthorized=3 queued_messages=0 subscriptions=0
    "#,
    );
}

#[test]
fn forbidden_wills_are_dropped_also_one_that_waits_for_its_delay() {
    check(
        r#"
        l > CONNECT
        l < CONNACK Success
        l > SUBSCRIBE 1 w/#:0
        l < SUBACK 1 Success
        a > CONNECT user=ann will=w/a
        a < CONNACK Success
        b > CONNECT user=ann will=w/b will-delay=10 expiry=60
        b < CONNACK Success
        b > LOST
        c > CONNECT user=ann will=w/c
        c < CONNACK Success
        node > RULES ann:will:w/a ann:will:w/b
        wait 20s
        a > LOST
        c > LOST
        l < PUBLISH w/c q=0 "gone"
        node > STATISTICS revoked_wills wills_published
        node < STATISTICS revoked_wills=2 wills_published=1
    "#,
    );
}

#[test]
fn a_will_is_judged_again_when_it_is_due_even_before_its_session_was_looked_at() {
    check(
        r#"
        l > CONNECT
        l < CONNACK Success
        l > SUBSCRIBE 1 w:0
        l < SUBACK 1 Success
        a > CONNECT user=ann will=w
        a < CONNACK Success
        node > RULES ann:will:w
        a > LOST
        node > STATISTICS revoked_wills wills_published
        node < STATISTICS revoked_wills=1 wills_published=0
    "#,
    );
}

#[test]
fn consumers_inside_the_node_are_never_touched() {
    check(
        r#"
        f > ATTACH t:1
        node > PUBLISH t q=1 "1"
        f < DELIVER t q=1 id=1 "1"
        node > RULES *:connect *:subscribe:t
        wait 1ms
        node > PUBLISH t q=1 "2"
        f < DELIVER t q=1 id=2 "2"
    "#,
    );
}

#[test]
fn a_queue_longer_than_one_step_is_judged_to_its_end() {
    let queued: String =
        (0..400).map(|n| format!("node > PUBLISH secret q=1 \"s{n}\"\nnode > PUBLISH open q=1 \"o{n}\"\n")).collect();
    let config = Config { queue_messages_max: 1000, ..quiet() };
    check_with(
        config,
        &format!(
            r#"
        a > CONNECT user=ann expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 secret:1 open:1
        a < SUBACK 1 GrantedQoS1 GrantedQoS1
        a > LOST
        {queued}
        node > STATISTICS queued_messages
        node < STATISTICS queued_messages=800
        node > RULES ann:subscribe:secret
        wait 1ms
        node > STATISTICS queued_messages dropped_unauthorized
        node < STATISTICS queued_messages=400 dropped_unauthorized=400
        a > CONNECT user=ann resume recv=1
        a < CONNACK Success present
        a < PUBLISH open q=1 id=1 "o0"
        a > PUBACK 1
        a < PUBLISH open q=1 id=2 "o1"
    "#
        ),
    );
}
