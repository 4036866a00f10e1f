//! Attacks of publishers.

use crate::withstand::withstands;

#[test]
fn sixty_thousand_unreleased_publications_end_at_the_receive_maximum() -> anyhow::Result<()> {
    withstands("unreleased-qos-2")
}

#[test]
fn a_topic_of_65535_levels_is_refused() -> anyhow::Result<()> {
    withstands("deep-topics")
}

#[test]
fn a_topic_that_begins_with_an_accented_letter_is_delivered() -> anyhow::Result<()> {
    withstands("non-ascii-topic")
}

#[test]
fn three_hundred_incomplete_packets_are_bounded_together() -> anyhow::Result<()> {
    withstands("incomplete-packets")
}

#[test]
fn topic_aliases_out_of_range_are_refused() -> anyhow::Result<()> {
    withstands("alias-abuse")
}

#[test]
fn wills_that_are_not_allowed_are_refused_with_their_connect() -> anyhow::Result<()> {
    withstands("bad-wills")
}
