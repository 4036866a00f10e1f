//! Sessions: clean start, expiry, take-over, identifiers (MQTT 5, 3.1.2.4, 3.1.2.11.2, 3.1.3.1, 4.1).

use selvedge_core::Config;

use crate::transcript::{check, check_with, quiet};

#[test]
fn a_session_without_expiry_ends_with_its_connection() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 x:1
        a < SUBACK 1 GrantedQoS1
        a > LOST
        a > CONNECT resume
        a < CONNACK Success
        node > PUBLISH x q=1 "nobody asked any more"
    "#,
    );
}

#[test]
fn a_lasting_session_keeps_subscriptions_and_messages_until_it_expires() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 x:1
        a < SUBACK 1 GrantedQoS1
        a > LOST
        node > PUBLISH x q=1 "kept"
        node > PUBLISH x q=0 "not kept"
        wait 59s
        a > CONNECT resume expiry=60
        a < CONNACK Success present
        a < PUBLISH x q=1 id=1 "kept"
        a > PUBACK 1
        a > LOST
        wait 60s
        a > CONNECT resume expiry=60
        a < CONNACK Success
        node > PUBLISH x q=1 "forgotten"
    "#,
    );
}

#[test]
fn clean_start_discards_the_session() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 x:1
        a < SUBACK 1 GrantedQoS1
        a > LOST
        a > CONNECT expiry=60
        a < CONNACK Success
        node > PUBLISH x q=1 "nobody asked any more"
    "#,
    );
}

#[test]
fn a_3_1_1_session_lasts_unless_it_is_clean() {
    check(
        r#"
        a > CONNECT v3 resume
        a < CONNACK Success
        a > SUBSCRIBE 1 x:1
        a < SUBACK 1 GrantedQoS1
        a > DISCONNECT
        a < CLOSED ClientDisconnected
        node > PUBLISH x q=1 "kept"
        a > CONNECT v3 resume
        a < CONNACK Success present
        a < PUBLISH x q=1 id=1 "kept"
        a > DISCONNECT
        a < CLOSED ClientDisconnected
        a > CONNECT v3
        a < CONNACK Success
        a > DISCONNECT
        a < CLOSED ClientDisconnected
        a > CONNECT v3 resume
        a < CONNACK Success
    "#,
    );
}

#[test]
fn a_second_connection_takes_the_session_over() {
    check(
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > SUBSCRIBE 1 x:1
        a < SUBACK 1 GrantedQoS1
        node > PUBLISH x q=1 "one"
        a < PUBLISH x q=1 id=1 "one"
        b > CONNECT id=a resume expiry=60
        a < DISCONNECT SessionTakenOver "another connection uses this client identifier"
        a < CLOSED TakenOver
        b < CONNACK Success present
        b < PUBLISH x q=1 id=1 dup "one"
        b > PUBACK 1
        a > PUBLISH x "a dead connection is not heard"
        node > PUBLISH x q=1 "two"
        b < PUBLISH x q=1 id=2 "two"
    "#,
    );
}

#[test]
fn a_3_1_1_client_that_is_taken_over_is_just_closed() {
    check(
        r#"
        a > CONNECT v3
        a < CONNACK Success
        b > CONNECT v3 id=a
        a < CLOSED TakenOver
        b < CONNACK Success
    "#,
    );
}

#[test]
fn the_session_of_another_user_cannot_be_taken() {
    check(
        r#"
        a > CONNECT user=ann expiry=60
        a < CONNACK Success
        b > CONNECT id=a user=bob resume
        b < CONNACK NotAuthorized
        b < CLOSED Refused
        a > PINGREQ
        a < PINGRESP
    "#,
    );
}

#[test]
fn an_empty_client_identifier_is_replaced_where_the_version_can_tell() {
    check(
        r#"
        a > CONNECT id=
        a < CONNACK Success assigned=selvedge-63cbe1e459320dd7
        b > CONNECT v3 id=
        b < CONNACK Success
        c > CONNECT v3 id= resume
        c < CONNACK ClientIdentifierNotValid
        c < CLOSED Refused
    "#,
    );
}

#[test]
fn expiry_is_granted_up_to_the_limit_and_the_client_is_told() {
    let config = Config { session_expiry_max_s: 100, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT expiry=100
        a < CONNACK Success
        b > CONNECT expiry=101
        b < CONNACK Success expiry=100
    "#,
    );
}

#[test]
fn disconnect_may_change_the_expiry_but_not_from_zero() {
    check(
        r#"
        a > CONNECT expiry=5
        a < CONNACK Success
        a > DISCONNECT expiry=100
        a < CLOSED ClientDisconnected
        wait 99s
        a > CONNECT resume
        a < CONNACK Success present
        a > DISCONNECT expiry=1
        a < DISCONNECT ProtocolError "a session expiry at DISCONNECT where CONNECT had none"
        a < CLOSED ProtocolViolation
        b > CONNECT expiry=5
        b < CONNACK Success
        b > DISCONNECT expiry=0
        b < CLOSED ClientDisconnected
        b > CONNECT resume
        b < CONNACK Success
    "#,
    );
}

#[test]
fn no_more_sessions_than_configured() {
    let config = Config { sessions_max: 2, client_id_bytes_max: 4, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT
        a < CONNACK Success
        b > CONNECT id=bbbb
        b < CONNACK Success
        c > CONNECT
        c < CONNACK QuotaExceeded
        c < CLOSED Refused
        d > CONNECT id=ddddd
        d < CONNACK ClientIdentifierNotValid
        d < CLOSED Refused
        e > CONNECT id=a
        a < DISCONNECT SessionTakenOver "another connection uses this client identifier"
        a < CLOSED TakenOver
        e < CONNACK Success
    "#,
    );
}

#[test]
fn a_longer_keep_alive_than_the_node_grants_is_shortened_where_the_client_can_be_told() {
    let config = Config { keep_alive_max_s: 10, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT keep=10
        a < CONNACK Success
        b > CONNECT keep=11
        b < CONNACK Success keep=10
        c > CONNECT keep=0
        c < CONNACK Success keep=10
        d > CONNECT v3 keep=11
        d < CONNACK Success
        e > CONNECT v3 keep=0
        e < CONNACK Success
        wait 14999ms
        wait 1ms
        a < DISCONNECT KeepAliveTimeout "nothing was heard for one and a half keep-alive intervals"
        a < CLOSED KeepAliveTimeout
        b < DISCONNECT KeepAliveTimeout "nothing was heard for one and a half keep-alive intervals"
        b < CLOSED KeepAliveTimeout
        c < DISCONNECT KeepAliveTimeout "nothing was heard for one and a half keep-alive intervals"
        c < CLOSED KeepAliveTimeout
        wait 1499ms
        wait 1ms
        d < CLOSED KeepAliveTimeout
        wait 30d
        e > PINGREQ
        e < PINGRESP
    "#,
    );
}

#[test]
fn a_session_that_lasts_for_a_second_keeps_what_was_not_acknowledged_for_it() {
    check(
        r#"
        a > CONNECT expiry=1
        a < CONNACK Success
        a > SUBSCRIBE 1 x:1
        a < SUBACK 1 GrantedQoS1
        node > PUBLISH x q=1 "kept"
        a < PUBLISH x q=1 id=1 "kept"
        a > LOST
        wait 999ms
        a > CONNECT resume expiry=1
        a < CONNACK Success present
        a < PUBLISH x q=1 id=1 dup "kept"
        a > LOST
        wait 1s
        a > CONNECT resume
        a < CONNACK Success
    "#,
    );
}

#[test]
fn only_the_longest_expiry_is_never() {
    let config = Config { session_expiry_max_s: u32::MAX, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT expiry=4294967295
        a < CONNACK Success
        b > CONNECT expiry=4294967294
        b < CONNACK Success
        a > LOST
        b > LOST
        wait 4294967293s
        node > STATISTICS sessions
        node < STATISTICS sessions=2
        wait 1s
        node > STATISTICS sessions
        node < STATISTICS sessions=1
        wait 1s
        a > CONNECT resume
        a < CONNACK Success present
    "#,
    );
}
