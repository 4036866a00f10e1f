//! What a client gets for breaking the protocol (MQTT 5, 4.13).

use crate::transcript::check;

#[test]
fn a_version_5_client_is_told_what_it_did_and_a_3_1_1_client_is_closed() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > PINGRESP
        a < DISCONNECT ProtocolError "a packet that only a server sends"
        a < CLOSED ProtocolViolation
        b > CONNECT v3
        b < CONNACK Success
        b > PINGRESP
        b < CLOSED ProtocolViolation
    "#,
    );
}

#[test]
fn without_problem_information_only_connack_and_disconnect_carry_a_reason_string() {
    check(
        r#"
        a > CONNECT no-problem-information
        a < CONNACK Success
        a > PUBLISH $SYS/x q=1 id=1 "x"
        a < PUBACK 1 NotAuthorized
        a > PINGRESP
        a < DISCONNECT ProtocolError "a packet that only a server sends"
        a < CLOSED ProtocolViolation
    "#,
    );
}

#[test]
fn enhanced_authentication_is_refused_by_name() {
    check(
        r#"
        a > CONNECT auth=SCRAM-SHA-256
        a < CONNACK BadAuthenticationMethod
        a < CLOSED Refused
    "#,
    );
}

#[test]
fn a_reason_string_that_would_not_fit_is_left_out() {
    check(
        r#"
        a > CONNECT max=20
        a < CONNACK Success
        a > PINGRESP
        a < DISCONNECT ProtocolError
        a < CLOSED ProtocolViolation
    "#,
    );
}

#[test]
fn shutdown_tells_version_5_clients_and_closes_all() {
    check(
        r#"
        a > CONNECT will=w
        a < CONNACK Success
        b > CONNECT v3
        b < CONNACK Success
        node > SHUTDOWN
        a < DISCONNECT ServerShuttingDown "the node is shutting down"
        a < CLOSED ShuttingDown
        b < CLOSED ShuttingDown
    "#,
    );
}

#[test]
fn a_client_that_sends_a_subscription_identifier_is_closed() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > PUBLISH t sid=1 "x"
        a < DISCONNECT ProtocolError "a subscription identifier in a client's PUBLISH"
        a < CLOSED ProtocolViolation
    "#,
    );
}

#[test]
fn a_second_connect_on_a_connection_ends_it() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > CONNECT again
        a < DISCONNECT ProtocolError "a second CONNECT"
        a < CLOSED ProtocolViolation
        b > CONNECT v3
        b < CONNACK Success
        b > CONNECT again v3
        b < CLOSED ProtocolViolation
    "#,
    );
}

#[test]
fn an_answer_that_would_not_fit_without_its_reason_string_either_is_not_sent() {
    check(
        r#"
        node > RULES bob:connect
        a > CONNECT user=bob max=5
        a < CONNACK NotAuthorized
        a < CLOSED Refused
        b > CONNECT user=bob max=4
        b < CLOSED Refused
    "#,
    );
}
