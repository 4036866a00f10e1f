//! Enhanced authentication after CONNECT, and credentials that end (MQTT 5, 4.12 and 3.15).

use selvedge_core::Config;

use crate::transcript::{check, check_with, quiet};

#[test]
fn a_method_is_accepted_only_where_the_shell_authenticated_by_it() {
    check(
        r#"
        a > CONNECT auth=SCRAM-SHA-256 by=SCRAM-SHA-256 data=v=proof user=ann
        a < CONNACK Success method=SCRAM-SHA-256 "v=proof"
        b > CONNECT auth=SCRAM-SHA-256
        b < CONNACK BadAuthenticationMethod
        b < CLOSED Refused
        c > CONNECT auth=OTHER by=SCRAM-SHA-256
        c < CONNACK BadAuthenticationMethod
        c < CLOSED Refused
        d > CONNECT by=SCRAM-SHA-256
        d < CONNACK BadAuthenticationMethod
        d < CLOSED Refused
    "#,
    );
}

#[test]
fn a_client_authenticates_again_while_other_traffic_goes_on() {
    check(
        r#"
        a > CONNECT auth=M by=M user=ann
        a < CONNACK Success method=M
        a > SUBSCRIBE 1 t:0
        a < SUBACK 1 Success
        a > AUTH reason=0x19 method=M "first"
        a < AUTHENTICATE Reauthenticate "first"
        node > PUBLISH t "meanwhile"
        a < PUBLISH t q=0 "meanwhile"
        a > PUBLISH t "from me"
        a < PUBLISH t q=0 "from me"
        node > AUTHENTICATED a continue "challenge"
        a < AUTH ContinueAuthentication method=M "challenge"
        a > AUTH reason=0x18 method=M "answer"
        a < AUTHENTICATE ContinueAuthentication "answer"
        node > AUTHENTICATED a success user=ann by=M data=done
        a < AUTH Success method=M "done"
        a > AUTH reason=0x19 method=M
        a < AUTHENTICATE Reauthenticate ""
        node > AUTHENTICATED a success user=ann
        a < AUTH Success method=M
        wait 1h
        a > PINGREQ
        a < PINGRESP
        node > STATISTICS reauthentications reauthentications_failed
        node < STATISTICS reauthentications=2 reauthentications_failed=0
    "#,
    );
}

#[test]
fn auth_without_a_method_or_with_another_or_out_of_turn_is_a_protocol_error() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        a > AUTH reason=0x19 method=M
        a < DISCONNECT ProtocolError "AUTH without an authentication method"
        a < CLOSED ProtocolViolation
        b > CONNECT auth=M by=M
        b < CONNACK Success method=M
        b > AUTH reason=0x19 method=N
        b < DISCONNECT ProtocolError "AUTH with another method than CONNECT"
        b < CLOSED ProtocolViolation
        c > CONNECT auth=M by=M
        c < CONNACK Success method=M
        c > AUTH reason=0x18 method=M
        c < DISCONNECT ProtocolError "AUTH out of turn"
        c < CLOSED ProtocolViolation
        d > CONNECT auth=M by=M
        d < CONNACK Success method=M
        d > AUTH reason=0x19 method=M
        d < AUTHENTICATE Reauthenticate ""
        d > AUTH reason=0x18 method=M
        d < DISCONNECT ProtocolError "AUTH out of turn"
        d < CLOSED ProtocolViolation
        node > AUTHENTICATED d success
        e > CONNECT auth=M by=M
        e < CONNACK Success method=M
        e > AUTH reason=0x00 method=M
        e < DISCONNECT ProtocolError "AUTH out of turn"
        e < CLOSED ProtocolViolation
        f > CONNECT auth=M by=M
        f < CONNACK Success method=M
        f > AUTH
        f < DISCONNECT ProtocolError "AUTH with another method than CONNECT"
        f < CLOSED ProtocolViolation
        g > CONNECT auth=M by=M
        g < CONNACK Success method=M
        g > AUTH reason=0x19 method=M
        g < AUTHENTICATE Reauthenticate ""
        node > AUTHENTICATED g continue
        g < AUTH ContinueAuthentication method=M
        g > AUTH reason=0x19 method=M
        g < DISCONNECT ProtocolError "AUTH out of turn"
        g < CLOSED ProtocolViolation
    "#,
    );
}

#[test]
fn a_failed_reauthentication_ends_the_connection_with_its_reason() {
    check(
        r#"
        a > CONNECT auth=M by=M user=ann expiry=60
        a < CONNACK Success method=M
        a > AUTH reason=0x19 method=M
        a < AUTHENTICATE Reauthenticate ""
        node > AUTHENTICATED a failure reason=0x86
        a < DISCONNECT NotAuthorized "re-authentication failed"
        a < CLOSED NotAuthorized
        a > CONNECT auth=M by=M user=ann resume
        a < CONNACK Success present method=M
        a > AUTH reason=0x19 method=M
        a < AUTHENTICATE Reauthenticate ""
        node > AUTHENTICATED a success user=bob
        a < DISCONNECT NotAuthorized "the session belongs to another user"
        a < CLOSED NotAuthorized
        node > STATISTICS reauthentications_failed closed_unauthorized
        node < STATISTICS reauthentications_failed=2 closed_unauthorized=2
    "#,
    );
}

#[test]
fn a_reauthentication_has_its_time_and_no_more() {
    let config = Config { reauthentication_timeout_s: 10, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT auth=M by=M
        a < CONNACK Success method=M
        a > AUTH reason=0x19 method=M
        a < AUTHENTICATE Reauthenticate ""
        wait 5s
        node > AUTHENTICATED a continue
        a < AUTH ContinueAuthentication method=M
        wait 4s
        a > AUTH reason=0x18 method=M
        a < AUTHENTICATE ContinueAuthentication ""
        wait 999ms
        wait 1ms
        a < DISCONNECT NotAuthorized "re-authentication took too long"
        a < CLOSED NotAuthorized
        node > AUTHENTICATED a success
    "#,
    );
}

#[test]
fn credentials_that_expire_end_the_connection_and_not_the_session() {
    check(
        r#"
        l > CONNECT
        l < CONNACK Success
        l > SUBSCRIBE 1 w:0
        l < SUBACK 1 Success
        a > CONNECT user=ann expires=60000 expiry=100 will=w
        a < CONNACK Success
        wait 59s
        a > PINGREQ
        a < PINGRESP
        wait 1s
        a < DISCONNECT NotAuthorized "the credentials have expired"
        a < CLOSED NotAuthorized
        l < PUBLISH w q=0 "gone"
        a > CONNECT user=ann expires=5000 v3 resume
        a < CONNACK Success present
        wait 5s
        a < CLOSED NotAuthorized
        node > STATISTICS credentials_expired closed_unauthorized revoked_sessions
        node < STATISTICS credentials_expired=2 closed_unauthorized=2 revoked_sessions=0
    "#,
    );
}

#[test]
fn a_reauthentication_prolongs_the_credentials() {
    check(
        r#"
        a > CONNECT auth=M by=M user=ann expires=10000
        a < CONNACK Success method=M
        wait 9s
        a > AUTH reason=0x19 method=M
        a < AUTHENTICATE Reauthenticate ""
        node > AUTHENTICATED a success user=ann expires=20000
        a < AUTH Success method=M
        wait 19s
        a > PINGREQ
        a < PINGRESP
        wait 1s
        a < DISCONNECT NotAuthorized "the credentials have expired"
        a < CLOSED NotAuthorized
    "#,
    );
}

#[test]
fn narrower_credentials_take_what_they_do_not_allow() {
    check(
        r#"
        a > CONNECT auth=M by=M user=ann
        a < CONNACK Success method=M
        a > SUBSCRIBE 1 t/a:0 t/b:0 $share/g/t/b:0
        a < SUBACK 1 Success Success Success
        a > AUTH reason=0x19 method=M
        a < AUTHENTICATE Reauthenticate ""
        node > AUTHENTICATED a success user=ann permit=t/a
        a < AUTH Success method=M
        node > PUBLISH t/b "not any more"
        node > PUBLISH t/a "still"
        a < PUBLISH t/a q=0 "still"
        a > UNSUBSCRIBE 2 t/a t/b $share/g/t/b
        a < UNSUBACK 2 Success NoSubscriptionExisted NoSubscriptionExisted
    "#,
    );
}
