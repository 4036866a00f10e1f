//! Message expiry (MQTT 5, 3.3.2.3.3).

use crate::transcript::check;

#[test]
fn waiting_time_is_taken_off_and_what_expired_is_not_sent() {
    check(
        r#"
        a > CONNECT expiry=100
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        b > CONNECT
        b < CONNACK Success
        b > PUBLISH t q=1 id=1 expiry=50 "at once"
        a < PUBLISH t q=1 id=1 expiry=50 "at once"
        b < PUBACK 1
        a > PUBACK 1
        a > LOST
        b > PUBLISH t q=1 id=2 expiry=10 "too late"
        b < PUBACK 2
        b > PUBLISH t q=1 id=3 expiry=50 "in time"
        b < PUBACK 3
        wait 10s
        a > CONNECT resume
        a < CONNACK Success present
        a < PUBLISH t q=1 id=2 expiry=40 "in time"
        node > STATISTICS dropped_expired queued_messages
        node < STATISTICS dropped_expired=1 queued_messages=0
    "#,
    );
}

#[test]
fn of_the_last_second_that_a_message_has_left_a_part_counts_as_a_whole() {
    check(
        r#"
        a > CONNECT expiry=100
        a < CONNACK Success
        a > SUBSCRIBE 1 t:1
        a < SUBACK 1 GrantedQoS1
        b > CONNECT
        b < CONNACK Success
        a > LOST
        b > PUBLISH t q=1 id=1 expiry=10 "1"
        b < PUBACK 1
        wait 8999ms
        a > CONNECT resume expiry=100
        a < CONNACK Success present
        a < PUBLISH t q=1 id=1 expiry=2 "1"
        a > LOST
        wait 1ms
        a > CONNECT resume expiry=100
        a < CONNACK Success present
        a < PUBLISH t q=1 id=1 dup expiry=1 "1"
        a > LOST
        wait 999ms
        a > CONNECT resume
        a < CONNACK Success present
        a < PUBLISH t q=1 id=1 dup expiry=1 "1"
    "#,
    );
}
