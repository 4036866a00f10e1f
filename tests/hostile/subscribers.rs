//! Attacks of subscribers.

use crate::withstand::withstands;

#[test]
fn a_subscriber_that_never_reads_costs_the_publisher_nothing() -> anyhow::Result<()> {
    withstands("deaf-subscriber")
}

#[test]
fn filters_beyond_the_limit_are_refused_one_by_one() -> anyhow::Result<()> {
    withstands("many-filters")
}

#[test]
fn filters_full_of_wildcards_stop_nobody() -> anyhow::Result<()> {
    withstands("wildcard-bomb")
}

#[test]
fn share_filters_that_are_none_are_refused() -> anyhow::Result<()> {
    withstands("malformed-shares")
}

#[test]
fn retained_messages_asked_for_again_and_again_stay_bounded() -> anyhow::Result<()> {
    withstands("retained-replays")
}
