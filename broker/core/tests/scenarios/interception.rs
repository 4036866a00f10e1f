//! Publications that somebody inside the node looks at before anybody gets them.

use crate::transcript::check;

/// A client `a`, a listener `l`, and somebody who looks at `in/#`, for 100 ms.
fn with_interceptor(end: &str, transcript: &str) {
    check(&format!(
        r#"
        node > INTERCEPTORS in/#:100:{end}
        l > CONNECT
        l < CONNACK Success
        l > SUBSCRIBE 1 #:2
        l < SUBACK 1 GrantedQoS2
        a > CONNECT expiry=100
        a < CONNACK Success
        {transcript}"#
    ));
}

#[test]
fn what_was_looked_at_is_routed_and_acknowledged_and_not_before() {
    with_interceptor(
        "passes",
        r#"
        a > PUBLISH other q=1 id=1 "1"
        l < PUBLISH other q=1 id=1 "1"
        a < PUBACK 1
        a > PUBLISH in/x q=1 id=2 "2"
        node < HELD 1 in/x "2"
        node > ANSWERS 1 pass
        l < PUBLISH in/x q=1 id=2 "2"
        a < PUBACK 2
        a < GO ON
        a > PUBLISH in/x q=0 "3"
        node < HELD 2 in/x "3"
        node > ANSWERS 2 pass
        l < PUBLISH in/x q=0 "3"
        a < GO ON
        a > PUBLISH in/x q=2 id=3 "4"
        node < HELD 3 in/x "4"
        node > ANSWERS 3 pass
        l < PUBLISH in/x q=2 id=3 "4"
        a < PUBREC 3
        a < GO ON
        a > PUBLISH in/x q=2 id=3 dup "4"
        a < PUBREC 3
        node > STATISTICS held publishes_held held_dropped
        node < STATISTICS held=0 publishes_held=3 held_dropped=0
    "#,
    );
}

#[test]
fn others_come_in_its_place_or_none() {
    with_interceptor(
        "passes",
        r#"
        a > PUBLISH in/x q=1 id=1 "1"
        node < HELD 1 in/x "1"
        node > ANSWERS 1 out/a in/b q=1 "new"
        l < PUBLISH out/a q=1 id=1 "new"
        l < PUBLISH in/b q=1 id=2 "new"
        a < PUBACK 1
        a < GO ON
        a > PUBLISH in/x q=2 id=2 "2"
        node < HELD 2 in/x "2"
        node > ANSWERS 2 drop
        a < PUBREC 2
        a < GO ON
        a > PUBLISH in/x q=1 id=3 "3"
        node < HELD 3 in/x "3"
        node > ANSWERS 3 refuse
        a < PUBACK 3 ImplementationSpecificError "not like this"
        a < GO ON
        node > STATISTICS held_dropped
        node < STATISTICS held_dropped=2
    "#,
    );
}

#[test]
fn what_comes_in_its_place_is_authorized_for_the_client_all_or_nothing() {
    with_interceptor(
        "passes",
        r#"
        node > RULES -:publish:secret/#
        a > PUBLISH in/x q=1 id=1 "1"
        node < HELD 1 in/x "1"
        node > ANSWERS 1 out/a secret/b q=1 "new"
        a < PUBACK 1 NotAuthorized "not allowed to publish to this topic"
        a < GO ON
        b > CONNECT v3
        b < CONNACK Success
        b > PUBLISH in/x q=1 id=1 "1"
        node < HELD 2 in/x "1"
        node > ANSWERS 2 $SYS/b q=1 "new"
        b < PUBACK 1
        b < GO ON
        node > STATISTICS refused_publish
        node < STATISTICS refused_publish=2
    "#,
    );
}

#[test]
fn nobody_waits_longer_than_the_time_and_late_answers_are_ignored() {
    with_interceptor(
        "passes",
        r#"
        a > PUBLISH in/x q=1 id=1 "1"
        node < HELD 1 in/x "1"
        wait 99ms
        wait 1ms
        l < PUBLISH in/x q=1 id=1 "1"
        a < PUBACK 1
        a < GO ON
        node > ANSWERS 1 out q=1 "late"
        node > STATISTICS held_timeouts held_dropped
        node < STATISTICS held_timeouts=1 held_dropped=0
    "#,
    );
    with_interceptor(
        "drops",
        r#"
        a > PUBLISH in/x q=1 id=1 "1"
        node < HELD 1 in/x "1"
        wait 100ms
        a < PUBACK 1 ImplementationSpecificError "a function that has to look at it did not answer in time"
        a < GO ON
        node > STATISTICS held_timeouts held_dropped
        node < STATISTICS held_timeouts=1 held_dropped=1
    "#,
    );
}

#[test]
fn one_publisher_waits_and_the_others_do_not() {
    with_interceptor(
        "passes",
        r#"
        a > PUBLISH in/x q=0 "1"
        node < HELD 1 in/x "1"
        b > CONNECT
        b < CONNACK Success
        b > PUBLISH other q=1 id=1 "2"
        l < PUBLISH other q=1 id=1 "2"
        b < PUBACK 1
        b > PUBLISH in/y q=1 id=2 "3"
        node < HELD 2 in/y "3"
        node > ANSWERS 2 pass
        l < PUBLISH in/y q=1 id=2 "3"
        b < PUBACK 2
        b < GO ON
        node > ANSWERS 1 pass
        l < PUBLISH in/x q=0 "1"
        a < GO ON
    "#,
    );
}

#[test]
fn of_a_client_that_is_gone_only_what_nobody_acknowledges_goes_on() {
    with_interceptor(
        "passes",
        r#"
        a > PUBLISH in/x q=1 id=1 "1"
        node < HELD 1 in/x "1"
        a > LOST
        node > ANSWERS 1 pass
        a > CONNECT resume expiry=100
        a < CONNACK Success present
        a > PUBLISH in/x q=1 id=1 dup "1"
        node < HELD 2 in/x "1"
        node > ANSWERS 2 pass
        l < PUBLISH in/x q=1 id=1 "1"
        a < PUBACK 1
        a < GO ON
        a > PUBLISH in/x q=2 id=2 "2"
        node < HELD 3 in/x "2"
        next > CONNECT id=a resume expiry=100
        a < DISCONNECT SessionTakenOver "another connection uses this client identifier"
        a < CLOSED TakenOver
        next < CONNACK Success present
        node > ANSWERS 3 pass
        next > PUBLISH in/x q=2 id=2 dup "2"
        node < HELD 4 in/x "2"
        node > ANSWERS 4 pass
        l < PUBLISH in/x q=2 id=2 "2"
        next < PUBREC 2
        next < GO ON
        next > PUBLISH in/x q=0 "3"
        node < HELD 5 in/x "3"
        next > LOST
        node > ANSWERS 5 pass
        l < PUBLISH in/x q=0 "3"
        node > STATISTICS held_abandoned
        node < STATISTICS held_abandoned=2
    "#,
    );
}

#[test]
fn the_silence_of_a_client_that_is_held_is_not_its_own() {
    check(
        r#"
        node > INTERCEPTORS in:60000:passes
        a > CONNECT keep=10
        a < CONNACK Success
        a > PUBLISH in q=1 id=1 "1"
        node < HELD 1 in "1"
        wait 40s
        node > ANSWERS 1 pass
        a < PUBACK 1 NoMatchingSubscribers
        a < GO ON
        wait 14s
        wait 1s
        a < DISCONNECT KeepAliveTimeout "nothing was heard for one and a half keep-alive intervals"
        a < CLOSED KeepAliveTimeout
    "#,
    );
}

#[test]
fn wills_are_looked_at_and_judged_as_wills() {
    with_interceptor(
        "drops",
        r#"
        b > CONNECT will=in/b
        b < CONNACK Success
        b > LOST
        node < HELD 1 in/b "gone"
        node > ANSWERS 1 pass
        l < PUBLISH in/b q=0 "gone"
        b > CONNECT will=in/b
        b < CONNACK Success
        node > RULES -:will:out
        b > LOST
        node < HELD 2 in/b "gone"
        node > ANSWERS 2 out "gone"
        b > CONNECT will=in/b
        b < CONNACK Success
        b > LOST
        node < HELD 3 in/b "gone"
        wait 100ms
        node > STATISTICS held refused_publish
        node < STATISTICS held=0 refused_publish=1
    "#,
    );
}

#[test]
fn a_retained_message_is_kept_as_it_comes_out() {
    with_interceptor(
        "passes",
        r#"
        a > PUBLISH in/x q=1 id=1 retain "1"
        node < HELD 1 in/x "1"
        node > ANSWERS 1 kept q=1 retain "new"
        l < PUBLISH kept q=1 id=1 "new"
        a < PUBACK 1
        a < GO ON
        b > CONNECT
        b < CONNACK Success
        b > SUBSCRIBE 1 #:1
        b < SUBACK 1 GrantedQoS1
        b < PUBLISH kept q=1 id=1 retain "new"
    "#,
    );
}

#[test]
fn what_the_node_publishes_itself_is_not_looked_at() {
    with_interceptor(
        "drops",
        r#"
        node > PUBLISH in/x q=1 "1"
        l < PUBLISH in/x q=1 id=1 "1"
        node > INTERCEPTORS
        a > PUBLISH in/x q=1 id=1 "2"
        l < PUBLISH in/x q=1 id=2 "2"
        a < PUBACK 1
    "#,
    );
}

#[test]
fn an_expiry_counts_while_it_is_held() {
    check(
        r#"
        node > INTERCEPTORS in:60000:passes
        l > CONNECT
        l < CONNACK Success
        l > SUBSCRIBE 1 in:1
        l < SUBACK 1 GrantedQoS1
        a > CONNECT
        a < CONNACK Success
        a > PUBLISH in q=1 id=1 expiry=5 "1"
        node < HELD 1 in "1"
        wait 3s
        node > ANSWERS 1 pass
        l < PUBLISH in q=1 id=1 expiry=2 "1"
        a < PUBACK 1
        a < GO ON
        a > PUBLISH in q=1 id=2 expiry=5 "2"
        node < HELD 2 in "2"
        wait 5s
        node > ANSWERS 2 pass
        a < PUBACK 2 NoMatchingSubscribers
        a < GO ON
    "#,
    );
}
