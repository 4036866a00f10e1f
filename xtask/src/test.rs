//! `cargo xtask test`: every check and test that has to pass before a commit, one step after the other.
//!
//! Invariants: the first step that fails ends the run and names the command that repeats it; a step
//! that could not run is listed as SKIPPED with its reason, never silently.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::{fuzz, process, setup, tidy};

/// The node as the tests want it. With the tests, because what these want of a library is what it is built with: asked for alone, the
/// node would have the engine of functions built a second time.
pub const BUILT_TOGETHER: &[&str] = &["--workspace", "--exclude", "selvedge-tests", "--bins", "--tests"];
/// Seconds of fuzzing per target in a test run; long runs are `cargo xtask fuzz`.
const FUZZ_SMOKE_S: u32 = 5;

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct TestArgs {
    /// Run only the steps whose name contains this text
    #[arg(long)]
    only: Option<String>,
}

/// How a step ended when it did not fail.
enum Outcome {
    Passed,
    /// What of it could not run, and why.
    PassedWithout(Vec<String>),
    Skipped(String),
}

struct Step {
    name: &'static str,
    /// What a reader types to run the step alone.
    repeat: &'static str,
    run: fn() -> anyhow::Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step { name: "setup", repeat: "cargo xtask setup", run: || done(setup::install()) },
    Step {
        name: "format",
        repeat: "cargo fmt --all --check",
        run: || done(process::run("cargo", &["fmt", "--all", "--check"])),
    },
    Step { name: "tidy", repeat: "cargo xtask tidy", run: || done(tidy::run()) },
    Step {
        name: "clippy",
        repeat: "cargo clippy --workspace --all-targets -- -D warnings",
        run: || {
            done(process::run("cargo", &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))
        },
    },
    Step { name: "libraries", repeat: "cargo deny check licenses bans sources", run: libraries },
    Step {
        name: "build",
        repeat: "cargo build --workspace --exclude selvedge-tests --bins --tests",
        run: || done(process::run("cargo", &[&["build", "--locked"], BUILT_TOGETHER].concat())),
    },
    Step {
        name: "crates",
        repeat: "cargo test --workspace --exclude selvedge-tests",
        run: || {
            // Not there before `setup`: the tests beside it say SKIPPED then.
            let python = Some(setup::python()).filter(|python| python.is_file());
            let python = python.map(|python| python.to_string_lossy().into_owned());
            let environment: Vec<_> = python.iter().map(|python| ("SELVEDGE_PYTHON_TUF", python.as_str())).collect();
            tests(&["--quiet", "--workspace", "--exclude", "selvedge-tests"], &environment)
        },
    },
    Step {
        name: "whole process",
        repeat: "cargo test -p selvedge-tests",
        run: || tests(&["-p", "selvedge-tests"], &[("RUST_LIB_BACKTRACE", "0")]),
    },
    Step { name: "guests", repeat: "cargo xtask guests --check", run: || task_check("guests") },
    Step { name: "kernel programs", repeat: "cargo xtask ebpf --check", run: || task_check("ebpf") },
    Step { name: "fuzz smoke", repeat: "cargo xtask test --only fuzz", run: fuzz_smoke },
];

/// Runs the steps in order and prints what each took.
pub fn run(arguments: &TestArgs) -> anyhow::Result<()> {
    let chosen: Vec<&Step> =
        STEPS.iter().filter(|step| arguments.only.as_deref().is_none_or(|only| step.name.contains(only))).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("no step has that name; the steps are {}", names.join(", "));
    }
    let started = Instant::now();
    let mut summary = Vec::new();
    for step in &chosen {
        eprintln!("\n== {} ==", step.name);
        let step_started = Instant::now();
        let result = (step.run)();
        summary.push(summary_line(step.name, step_started.elapsed(), &result));
        if let Err(error) = result {
            print_summary(&summary, started.elapsed());
            bail!("step `{}`: {error:#}\nto repeat it: {}", step.name, step.repeat);
        }
    }
    print_summary(&summary, started.elapsed());
    Ok(())
}

fn done(result: anyhow::Result<()>) -> anyhow::Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

/// Tests, which print what of them this machine cannot run.
fn tests(which: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Outcome> {
    let lines = process::run_with_and_read("cargo", &[&["test", "--locked"], which].concat(), environment)?;
    let skipped = skipped_in(&lines);
    Ok(if skipped.is_empty() { Outcome::Passed } else { Outcome::PassedWithout(skipped) })
}

/// What these lines say was skipped, each once. It may stand behind the name of a test that goes on.
fn skipped_in(lines: &[String]) -> Vec<String> {
    let mut skipped = Vec::new();
    for told in lines.iter().filter_map(|line| Some(line.split_once("SKIPPED ")?.1)) {
        if !skipped.iter().any(|known| known == told) {
            skipped.push(told.to_owned());
        }
    }
    skipped
}

/// A task of its own process, because it prints why it is skipped.
fn task_check(task: &str) -> anyhow::Result<Outcome> {
    // This program by the name that stays right when a build has replaced its file meanwhile.
    let lines = process::run_and_read("/proc/self/exe", &[task, "--check"])?;
    let prefix = format!("SKIPPED {task}: ");
    let skipped = lines.iter().find_map(|line| line.strip_prefix(&prefix));
    Ok(skipped.map_or(Outcome::Passed, |reason| Outcome::Skipped(reason.to_owned())))
}

/// Vulnerabilities are not asked for: their list is a repository of its own, which not every machine reaches.
fn libraries() -> anyhow::Result<Outcome> {
    if !process::succeeds("cargo", &["deny", "--version"]) {
        return Ok(Outcome::Skipped("cargo-deny is not installed: cargo install --locked cargo-deny".to_owned()));
    }
    done(process::run("cargo", &["deny", "check", "licenses", "bans", "sources"]))
}

fn fuzz_smoke() -> anyhow::Result<Outcome> {
    let targets = fuzz::targets()?;
    if targets.is_empty() {
        return Ok(Outcome::Skipped("there is no fuzz target yet".to_owned()));
    }
    for target in targets {
        fuzz::fuzz(&target, FUZZ_SMOKE_S)?;
    }
    Ok(Outcome::Passed)
}

fn summary_line(name: &str, took: Duration, result: &anyhow::Result<Outcome>) -> String {
    let took_s = took.as_secs_f64();
    match result {
        Ok(Outcome::Passed) => format!("  {name:<14} passed   {took_s:>7.1} s"),
        Ok(Outcome::PassedWithout(skipped)) => {
            let skipped: String = skipped.iter().map(|what| format!("\n  {:<14} SKIPPED  {what}", "")).collect();
            format!("  {name:<14} passed   {took_s:>7.1} s{skipped}")
        }
        Ok(Outcome::Skipped(reason)) => format!("  {name:<14} SKIPPED  {took_s:>7.1} s  {reason}"),
        Err(_) => format!("  {name:<14} FAILED   {took_s:>7.1} s"),
    }
}

fn print_summary(summary: &[String], took: Duration) {
    println!("\nSummary");
    for line in summary {
        println!("{line}");
    }
    println!("  {:<14}          {:>7.1} s", "total", took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_step_is_shown_with_its_reason() {
        let line = summary_line("fuzz", Duration::from_millis(1500), &Ok(Outcome::Skipped("no compiler".to_owned())));
        assert!(line.contains("SKIPPED") && line.contains("1.5 s") && line.ends_with("no compiler"), "{line}");
    }

    #[test]
    fn what_tests_could_not_run_is_shown_below_their_step() {
        let printed =
            ["running 2 tests", "test a ... SKIPPED disk: no FUSE", "SKIPPED disk: no FUSE", "SKIPPED b: no B"];
        let skipped = skipped_in(&printed.map(str::to_owned));
        assert_eq!(skipped, ["disk: no FUSE", "b: no B"]);
        let shown = summary_line("crates", Duration::from_secs(1), &Ok(Outcome::PassedWithout(skipped)));
        let lines: Vec<&str> = shown.lines().map(str::trim).collect();
        assert!(lines[0].starts_with("crates") && lines[0].contains("passed"), "{shown}");
        assert_eq!(lines[1..], ["SKIPPED  disk: no FUSE", "SKIPPED  b: no B"]);
    }

    #[test]
    fn a_failed_step_is_not_shown_as_passed() {
        let line = summary_line("tidy", Duration::ZERO, &Err(anyhow::anyhow!("a file is too long")));
        assert!(line.contains("FAILED") && !line.contains("passed"), "{line}");
    }

    #[test]
    fn every_step_has_a_name_of_its_own() {
        for (position, step) in STEPS.iter().enumerate() {
            assert!(STEPS[..position].iter().all(|other| other.name != step.name), "{} is there twice", step.name);
        }
    }
}
