//! Attacks on logins and rules.

use crate::withstand::withstands;

#[test]
fn a_flood_of_wrong_passwords_lets_nobody_in_and_keeps_nobody_out() -> anyhow::Result<()> {
    withstands("wrong-passwords")
}

#[test]
fn publishing_subscribing_and_wills_end_at_the_rules() -> anyhow::Result<()> {
    withstands("forbidden-topics")
}

#[test]
fn sessions_of_strangers_do_not_keep_users_out() -> anyhow::Result<()> {
    withstands("sessions-filled")
}
