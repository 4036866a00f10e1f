//! Topic aliases both ways (MQTT 5, 3.3.2.3.4).

use selvedge_core::Config;

use crate::transcript::{check, check_with, quiet};

#[test]
fn an_alias_of_the_client_stands_for_the_topic_last_given_with_it() {
    check(
        r#"
        a > CONNECT
        a < CONNACK Success
        b > CONNECT
        b < CONNACK Success
        b > SUBSCRIBE 1 +:0
        b < SUBACK 1 Success
        a > PUBLISH one alias=1 "1"
        b < PUBLISH one q=0 "1"
        a > PUBLISH - alias=1 "2"
        b < PUBLISH one q=0 "2"
        a > PUBLISH - alias=1 "3"
        b < PUBLISH one q=0 "3"
        a > PUBLISH two alias=1 "4"
        b < PUBLISH two q=0 "4"
        a > PUBLISH - alias=1 "5"
        b < PUBLISH two q=0 "5"
        a > PUBLISH - alias=2 "6"
        a < DISCONNECT ProtocolError "the topic alias was never set"
        a < CLOSED ProtocolViolation
    "#,
    );
}

#[test]
fn aliases_are_forgotten_with_the_connection_and_bounded() {
    let config = Config { topic_alias_max: 2, ..quiet() };
    check_with(
        config,
        r#"
        a > CONNECT expiry=60
        a < CONNACK Success
        a > PUBLISH one alias=2 "1"
        a > LOST
        a > CONNECT resume expiry=60
        a < CONNACK Success present
        a > PUBLISH - alias=2 "2"
        a < DISCONNECT ProtocolError "the topic alias was never set"
        a < CLOSED ProtocolViolation
        a > CONNECT resume
        a < CONNACK Success present
        a > PUBLISH one alias=3 "3"
        a < DISCONNECT TopicAliasInvalid "the topic alias is over the announced maximum"
        a < CLOSED ProtocolViolation
        a > CONNECT
        a < CONNACK Success
        a > PUBLISH - "neither"
        a < DISCONNECT ProtocolError "neither a topic name nor a topic alias"
        a < CLOSED ProtocolViolation
    "#,
    );
}

#[test]
fn a_client_that_offers_aliases_gets_as_many_as_it_offers() {
    check(
        r#"
        a > CONNECT aliases=1
        a < CONNACK Success
        a > SUBSCRIBE 1 +:1
        a < SUBACK 1 GrantedQoS1
        node > PUBLISH first "1"
        a < PUBLISH first q=0 alias=1 "1"
        node > PUBLISH first q=1 "2"
        a < PUBLISH - q=1 id=1 alias=1 "2"
        node > PUBLISH second "3"
        a < PUBLISH second q=0 "3"
    "#,
    );
}

#[test]
fn an_alias_never_makes_a_packet_larger_than_the_client_takes() {
    check(
        r#"
        a > CONNECT aliases=5 max=60
        a < CONNACK Success
        a > SUBSCRIBE 1 a:0
        a < SUBACK 1 Success
        node > PUBLISH a "1"
        a < PUBLISH a q=0 "1"
        node > PUBLISH a "x"*54
        a < PUBLISH a q=0 54 bytes
    "#,
    );
}

#[test]
fn each_topic_gets_an_alias_of_its_own() {
    check(
        r#"
        a > CONNECT aliases=2
        a < CONNACK Success
        a > SUBSCRIBE 1 +:0
        a < SUBACK 1 Success
        node > PUBLISH first "1"
        a < PUBLISH first q=0 alias=1 "1"
        node > PUBLISH second "2"
        a < PUBLISH second q=0 alias=2 "2"
        node > PUBLISH third "3"
        a < PUBLISH third q=0 "3"
        node > PUBLISH second "4"
        a < PUBLISH - q=0 alias=2 "4"
        node > PUBLISH first "5"
        a < PUBLISH - q=0 alias=1 "5"
    "#,
    );
}

#[test]
fn an_alias_is_established_only_where_there_is_room_for_it() {
    check(
        r#"
        a > CONNECT aliases=5 max=60
        a < CONNACK Success
        a > SUBSCRIBE 1 topic:0
        a < SUBACK 1 Success
        node > PUBLISH topic "x"*50
        a < PUBLISH topic q=0 50 bytes
        node > PUBLISH topic "x"*46
        a < PUBLISH topic q=0 alias=1 46 bytes
        node > PUBLISH topic "x"*50
        a < PUBLISH - q=0 alias=1 50 bytes
    "#,
    );
}
