//! Attacks with client identifiers.

use crate::withstand::withstands;

#[test]
fn a_session_is_taken_over_a_thousand_times() -> anyhow::Result<()> {
    withstands("take-over")
}

#[test]
fn taking_over_while_subscribing_and_publishing_leaves_a_session_that_works() -> anyhow::Result<()> {
    withstands("take-over-race")
}

#[test]
fn client_ids_may_hold_slashes_and_no_nul() -> anyhow::Result<()> {
    withstands("odd-client-ids")
}
