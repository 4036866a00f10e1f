//! Attacks by sheer number.

use crate::withstand::withstands;

#[test]
fn an_address_that_connects_too_fast_is_slowed_down() -> anyhow::Result<()> {
    withstands("connect-storm")
}

#[test]
fn a_hundred_thousand_retained_messages_are_kept_within_their_limits() -> anyhow::Result<()> {
    withstands("retained-flood")
}

#[test]
fn five_hundred_wills_at_once_are_delivered() -> anyhow::Result<()> {
    withstands("will-storm")
}

#[test]
fn publishing_as_fast_as_possible_stops_nobody() -> anyhow::Result<()> {
    withstands("publish-flood")
}
