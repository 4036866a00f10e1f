//! Attacks of functions.

use crate::withstand::withstands;

#[test]
fn endless_loops_of_a_function_are_stopped() -> anyhow::Result<()> {
    withstands("fn-loop")?;
    withstands("fn-loop-host")
}

#[test]
fn a_function_that_takes_all_memory_or_all_stack_is_ended() -> anyhow::Result<()> {
    withstands("fn-grow")?;
    withstands("fn-stack")
}

#[test]
fn a_compile_bomb_meets_the_limits_of_the_compiler_and_is_not_deployed() -> anyhow::Result<()> {
    withstands("fn-compile")
}

#[test]
fn a_storm_of_traps_and_one_of_messages_end() -> anyhow::Result<()> {
    withstands("fn-trap")?;
    withstands("fn-storm")
}

#[test]
fn floods_of_output_log_lines_keys_and_random_bytes_are_bounded() -> anyhow::Result<()> {
    ["fn-huge-output", "fn-log-flood", "fn-kv-flood", "fn-random"].into_iter().try_for_each(withstands)
}
