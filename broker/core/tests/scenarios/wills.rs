//! Wills (MQTT 5, 3.1.2.5 and 3.1.3.2).

use crate::transcript::check;

/// The listener that each scenario has.
fn with_listener(transcript: &str) {
    check(&format!(
        r#"
        l > CONNECT
        l < CONNACK Success
        l > SUBSCRIBE 1 w/#:1
        l < SUBACK 1 GrantedQoS1
        {transcript}"#
    ));
}

#[test]
fn a_lost_connection_publishes_the_will_and_a_normal_end_does_not() {
    with_listener(
        r#"
        a > CONNECT will=w/a will-qos=1
        a < CONNACK Success
        a > LOST
        l < PUBLISH w/a q=1 id=1 "gone"
        a > CONNECT will=w/a
        a < CONNACK Success
        a > DISCONNECT
        a < CLOSED ClientDisconnected
        a > CONNECT will=w/a
        a < CONNACK Success
        a > DISCONNECT reason=0x04
        a < CLOSED ClientDisconnected
        l < PUBLISH w/a q=0 "gone"
    "#,
    );
}

#[test]
fn a_delayed_will_waits_and_is_called_off_by_a_return() {
    with_listener(
        r#"
        a > CONNECT expiry=100 will=w/a will-delay=10 will-expiry=30
        a < CONNACK Success
        a > LOST
        wait 9s
        a > CONNECT resume expiry=100 will=w/a will-delay=10 will-expiry=30
        a < CONNACK Success present
        wait 20s
        a > LOST
        wait 9s
        wait 1s
        l < PUBLISH w/a q=0 expiry=30 "gone"
        wait 200s
    "#,
    );
}

#[test]
fn a_delayed_will_does_not_outlive_the_session() {
    with_listener(
        r#"
        a > CONNECT expiry=5 will=w/a will-delay=10
        a < CONNACK Success
        a > LOST
        wait 5s
        l < PUBLISH w/a q=0 "gone"
        b > CONNECT expiry=60 will=w/b will-delay=10
        b < CONNACK Success
        b > LOST
        b > CONNECT
        b < CONNACK Success
        l < PUBLISH w/b q=0 "gone"
    "#,
    );
}

#[test]
fn a_take_over_publishes_the_will_unless_the_session_goes_on_before_its_delay() {
    with_listener(
        r#"
        a > CONNECT expiry=60 will=w/a
        a < CONNACK Success
        b > CONNECT id=a resume expiry=60 will=w/b will-delay=5
        a < DISCONNECT SessionTakenOver "another connection uses this client identifier"
        a < CLOSED TakenOver
        b < CONNACK Success present
        l < PUBLISH w/a q=0 "gone"
        c > CONNECT id=a resume expiry=60
        b < DISCONNECT SessionTakenOver "another connection uses this client identifier"
        b < CLOSED TakenOver
        c < CONNACK Success present
        wait 10s
    "#,
    );
}

#[test]
fn silence_beyond_the_keep_alive_ends_the_connection_and_publishes_the_will() {
    with_listener(
        r#"
        a > CONNECT keep=10 will=w/a
        a < CONNACK Success
        wait 14s
        a > PINGREQ
        a < PINGRESP
        wait 14s
        wait 1s
        a < DISCONNECT KeepAliveTimeout "nothing was heard for one and a half keep-alive intervals"
        a < CLOSED KeepAliveTimeout
        l < PUBLISH w/a q=0 "gone"
        b > CONNECT keep=0
        b < CONNACK Success
        wait 30d
        b > PINGREQ
        b < PINGRESP
    "#,
    );
}

#[test]
fn a_will_may_be_retained_and_must_be_allowed() {
    with_listener(
        r#"
        a > CONNECT will=w/a will-retain
        a < CONNACK Success
        a > LOST
        l < PUBLISH w/a q=0 "gone"
        a > CONNECT
        a < CONNACK Success
        a > SUBSCRIBE 1 w/a:0
        a < SUBACK 1 Success
        a < PUBLISH w/a q=0 retain "gone"
        b > CONNECT will=$SYS/x
        b < CONNACK NotAuthorized
        b < CLOSED Refused
    "#,
    );
}

#[test]
fn a_will_is_published_with_its_properties() {
    with_listener(
        r#"
        a > CONNECT will=w/a will-content=text will-expiry=30
        a < CONNACK Success
        a > LOST
        l < PUBLISH w/a q=0 expiry=30 content=text "gone"
    "#,
    );
}

#[test]
fn a_client_that_is_closed_for_what_it_did_leaves_its_will() {
    with_listener(
        r#"
        a > CONNECT will=w/a
        a < CONNACK Success
        a > PINGRESP
        a < DISCONNECT ProtocolError "a packet that only a server sends"
        a < CLOSED ProtocolViolation
        l < PUBLISH w/a q=0 "gone"
        b > CONNECT v3 will=w/b
        b < CONNACK Success
        b > BROKEN
        b < CLOSED ProtocolViolation
        l < PUBLISH w/b q=0 "gone"
    "#,
    );
}
