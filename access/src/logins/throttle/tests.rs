//! Floods of wrong passwords, in virtual time.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000;

fn v4(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(number))
}

fn throttle(addresses_max: usize) -> Throttle {
    Throttle::new(LoginLimits { addresses_max, ..LoginLimits::default() })
}

fn fail(throttle: &mut Throttle, address: IpAddr, times: u32, now_ms: u64) {
    (0..times).for_each(|_| throttle.failed(address, None, now_ms));
}

#[test]
fn ten_failures_in_a_minute_are_one_too_many() {
    let mut throttle = throttle(10);
    fail(&mut throttle, v4(1), 9, 0);
    assert_eq!(throttle.refused_for_ms(v4(1), None, 0), None);
    fail(&mut throttle, v4(1), 1, 59_999);
    assert_eq!(throttle.refused_for_ms(v4(1), None, 59_999), Some(MINUTE));
    assert_eq!(throttle.refused_for_ms(v4(1), None, 59_999 + MINUTE - 1), Some(1));
    assert_eq!(throttle.refused_for_ms(v4(1), None, 59_999 + MINUTE), None);
    assert_eq!(throttle.refused_for_ms(v4(2), None, 59_999), None);
}

#[test]
fn ten_failures_in_more_than_a_minute_are_not() {
    let mut throttle = throttle(10);
    fail(&mut throttle, v4(1), 9, 0);
    fail(&mut throttle, v4(1), 9, MINUTE);
    assert_eq!(throttle.refused_for_ms(v4(1), None, MINUTE), None);
}

#[test]
fn the_penalty_doubles_up_to_fifteen_minutes_and_is_forgotten_after_as_long() {
    let mut throttle = throttle(10);
    let mut now_ms = 0;
    for minutes in [1, 2, 4, 8, 15, 15] {
        fail(&mut throttle, v4(1), 10, now_ms);
        assert_eq!(throttle.refused_for_ms(v4(1), None, now_ms), Some(minutes * MINUTE));
        now_ms += minutes * MINUTE;
    }
    fail(&mut throttle, v4(1), 10, now_ms + 15 * MINUTE - 1);
    now_ms += 15 * MINUTE - 1;
    assert_eq!(throttle.refused_for_ms(v4(1), None, now_ms), Some(15 * MINUTE));
    now_ms += 30 * MINUTE;
    fail(&mut throttle, v4(1), 10, now_ms);
    assert_eq!(throttle.refused_for_ms(v4(1), None, now_ms), Some(MINUTE));
}

#[test]
fn a_success_forgives_nothing() {
    let mut throttle = throttle(10);
    fail(&mut throttle, v4(1), 9, 0);
    throttle.succeeded(v4(1), "alice");
    fail(&mut throttle, v4(1), 1, 0);
    assert_eq!(throttle.refused_for_ms(v4(1), None, 0), Some(MINUTE));
    assert_eq!(throttle.refused_for_ms(v4(1), Some("bob"), 0), Some(MINUTE));
}

#[test]
fn a_user_who_was_right_from_there_before_is_not_locked_out_with_the_others() {
    let mut throttle = throttle(10);
    throttle.succeeded(v4(1), "alice");
    (0..10).for_each(|_| throttle.failed(v4(1), Some("bob"), 0));
    assert_eq!(throttle.refused_for_ms(v4(1), Some("alice"), 0), None);
    assert_eq!(throttle.refused_for_ms(v4(1), Some("carol"), 0), Some(MINUTE));
    assert_eq!(throttle.refused_for_ms(v4(2), Some("alice"), 0), None);
}

#[test]
fn guesses_at_a_known_user_are_counted_like_others() {
    let mut throttle = throttle(10);
    throttle.succeeded(v4(1), "alice");
    (0..10).for_each(|_| throttle.failed(v4(1), Some("alice"), 0));
    assert_eq!(throttle.refused_for_ms(v4(1), Some("alice"), 0), Some(MINUTE));
    assert_eq!(throttle.refused_for_ms(v4(1), Some("bob"), 0), None);
}

#[test]
fn all_addresses_of_a_subscriber_count_together_and_others_apart() {
    let mut throttle = throttle(10);
    let v6 = |first: u16, last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, first, 0, 0, 0, last));
    (0..10).for_each(|last| throttle.failed(v6(1, last), None, 0));
    assert!(throttle.refused_for_ms(v6(1, 999), None, 0).is_some());
    assert!(throttle.refused_for_ms(v6(2, 0), None, 0).is_none());

    let mapped = IpAddr::V6(Ipv4Addr::from_bits(7).to_ipv6_mapped());
    fail(&mut throttle, mapped, 10, 0);
    assert!(throttle.refused_for_ms(v4(7), None, 0).is_some() && throttle.refused_for_ms(v4(8), None, 0).is_none());
}

#[test]
fn loopback_is_no_exception() {
    let mut throttle = throttle(10);
    fail(&mut throttle, IpAddr::V4(Ipv4Addr::LOCALHOST), 10, 0);
    assert!(throttle.refused_for_ms(IpAddr::V4(Ipv4Addr::LOCALHOST), None, 0).is_some());
}

#[test]
fn when_the_table_is_full_penalties_stay_and_single_failures_go() {
    let mut throttle = throttle(100);
    fail(&mut throttle, v4(0), 10, 0);
    (1..1000).for_each(|address| fail(&mut throttle, v4(address), 1, u64::from(address)));
    assert_eq!(throttle.accounts.len(), 100);
    assert_eq!(throttle.order.len(), 100);
    assert_eq!(throttle.evicted(), 900);
    assert!(throttle.refused_for_ms(v4(0), None, 1000).is_some());
}

#[test]
fn a_table_full_of_penalties_takes_new_ones_and_lets_the_oldest_go() {
    let mut throttle = throttle(100);
    (0..101).for_each(|address| fail(&mut throttle, v4(address), 10, u64::from(address)));
    assert_eq!(throttle.accounts.len(), 100);
    assert!(throttle.refused_for_ms(v4(0), None, 101).is_none());
    assert!(
        throttle.refused_for_ms(v4(1), None, 101).is_some() && throttle.refused_for_ms(v4(100), None, 101).is_some()
    );
}

#[test]
fn what_was_forgotten_in_time_does_not_count_as_evicted() {
    let mut throttle = throttle(1);
    fail(&mut throttle, v4(1), 1, 0);
    fail(&mut throttle, v4(2), 1, MINUTE);
    assert_eq!((throttle.evicted(), throttle.accounts.len()), (0, 1));
    fail(&mut throttle, v4(3), 1, MINUTE);
    assert_eq!((throttle.evicted(), throttle.accounts.len()), (1, 1));
}

#[test]
fn known_users_are_bounded_and_the_one_who_was_away_longest_goes() {
    let mut throttle = throttle(2);
    throttle.succeeded(v4(1), "a");
    throttle.succeeded(v4(1), "b");
    throttle.succeeded(v4(1), "a");
    throttle.succeeded(v4(1), "c");
    let known = |name| throttle.is_known(v4(1), Some(name));
    assert!(known("a") && known("c") && !known("b"));
    assert_eq!((throttle.known.used.len(), throttle.known.order.len()), (2, 2));
}

#[test]
fn endless_names_are_not_kept() {
    let mut throttle = throttle(2);
    let name = "x".repeat(OUTSIDE_NAME_BYTES_MAX + 1);
    throttle.succeeded(v4(1), &name);
    assert!(!throttle.is_known(v4(1), Some(&name)));
    throttle.succeeded(v4(1), &name[1..]);
    assert!(throttle.is_known(v4(1), Some(&name[1..])));
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Fail(u32),
    Succeed(u32),
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let address = 0u32..6;
    let event = prop_oneof![
        6 => address.clone().prop_map(Event::Fail),
        1 => address.prop_map(Event::Succeed),
        1 => (1u64..200_000).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 0..300)
}

proptest! {
    #[test]
    fn the_tables_agree_and_stay_in_bounds(events in events(), addresses_max in 1usize..4) {
        let mut throttle = throttle(addresses_max);
        let mut now_ms = 0;
        for event in events {
            match event {
                Event::Fail(address) => throttle.failed(v4(address), Some("user"), now_ms),
                Event::Succeed(address) => throttle.succeeded(v4(address), "user"),
                Event::Wait(ms) => now_ms += ms,
            }
            prop_assert!(throttle.accounts.len() <= addresses_max && throttle.known.used.len() <= addresses_max);
            prop_assert_eq!(throttle.order.len(), throttle.accounts.len());
            for (forget_at_ms, account) in &throttle.order {
                prop_assert_eq!(*forget_at_ms, throttle.accounts[account].forget_at_ms);
            }
        }
    }

    #[test]
    fn nobody_guesses_faster_than_the_limit(pauses in prop::collection::vec(0u64..20_000, 1..400)) {
        let mut throttle = throttle(10);
        let (mut now_ms, mut guesses, mut window) = (0, 0u32, Vec::new());
        for pause in pauses {
            now_ms += pause;
            if throttle.refused_for_ms(v4(1), None, now_ms).is_none() {
                throttle.failed(v4(1), None, now_ms);
                guesses += 1;
                window.push(now_ms);
            }
            window.retain(|at| at + MINUTE > now_ms);
            // Two windows that begin anywhere can touch one minute.
            prop_assert!(window.len() <= 19, "{} guesses in a minute", window.len());
        }
        prop_assert!(u64::from(guesses) <= 10 + now_ms / MINUTE * 19 + 19);
    }
}
