//! Attacks with WebSocket frames.

use crate::withstand::withstands;

#[test]
fn frames_that_the_standard_forbids_end_their_connection() -> anyhow::Result<()> {
    withstands("bad-frames")
}

#[test]
fn a_packet_in_200000_fragments_is_read() -> anyhow::Result<()> {
    withstands("tiny-fragments")
}

#[test]
fn pings_whose_answers_nobody_takes_are_no_longer_read() -> anyhow::Result<()> {
    withstands("ping-flood")
}
