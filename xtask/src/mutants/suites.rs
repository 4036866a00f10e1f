//! The suites that judge a mutant, and running one of them until its first failure.
//!
//! Invariant: a suite that hangs ends with its deadline, and nothing that it started outlives it.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::workshop::Workshop;
use crate::{process, repository};

/// A set of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Tests of `broker/codec`.
    Codec,
    /// Tests of `broker/core`: units, scenarios, and the model with fewer cases.
    Core,
    /// `tests/conformance` against the smallest broker there is.
    Conformance,
    /// Tests of `twin/core`: units, properties, and the simulation with fewer seeds.
    Twin,
}

/// How a suite ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ran {
    /// All tests passed.
    Passed,
    /// This test failed first, or the suite did not end.
    Failed(String),
    /// It does not compile; what the compiler said.
    NotBuilt(String),
}

/// Tests that are built and run together.
#[derive(Clone, Copy)]
struct Part {
    /// For `cargo test`.
    targets: &'static [&'static str],
    build: Build,
}

/// What a build is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Build {
    /// Tests that run for a moment only: what counts is how soon they are built.
    Quick,
    /// Tests that compute for seconds.
    Optimized,
}

const CODEC: &[Part] = &[
    Part { targets: &["--lib"], build: Build::Quick },
    // All files of tests.
    Part { targets: &["--test", "*"], build: Build::Quick },
];
const CORE: &[Part] = &[
    // They notice most of what is planted in the core.
    Part { targets: &["--test", "scenarios", "--test", "model"], build: Build::Quick },
    Part { targets: &["--lib"], build: Build::Optimized },
    Part { targets: &["--test", "*"], build: Build::Optimized },
];
const TWIN: &[Part] = &[
    Part { targets: &["--lib"], build: Build::Quick },
    Part { targets: &["--test", "simulation"], build: Build::Optimized },
];
/// Cases of each property test: a mutant that only a rare case shows is better shown by a test of its own.
const PROPERTY_CASES: &str = "64";
const MODEL_CASES: &str = "400";
const TWIN_SEEDS: &str = "600";
/// What a suite may take beyond a multiple of its time without a mutant.
const GRACE: Duration = Duration::from_secs(90);
/// Runs of the conformance suite in which no test fails twice.
const ATTEMPTS: usize = 3;
/// Without a known time.
const BASELINE_MAX: Duration = Duration::from_secs(1800);

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Codec => "codec",
            Self::Core => "core",
            Self::Conformance => "conformance",
            Self::Twin => "twin",
        })
    }
}

impl Suite {
    /// Whether a change of `file` can change its result.
    pub fn sees(self, file: &str) -> bool {
        match self {
            Self::Codec => file.starts_with("broker/codec/"),
            Self::Core => file.starts_with("broker/codec/") || file.starts_with("broker/core/"),
            Self::Conformance => file.starts_with("broker/"),
            Self::Twin => file.starts_with("twin/core/"),
        }
    }
}

impl Workshop {
    /// Builds and runs a suite; `baseline` is what it takes without a mutant.
    pub fn run(&self, suite: Suite, baseline: Option<Duration>) -> anyhow::Result<Ran> {
        let deadline = baseline.map_or(BASELINE_MAX, |took| took * 3 + GRACE);
        match suite {
            Suite::Codec => self.cargo_test("selvedge-codec", CODEC, deadline),
            Suite::Core => self.cargo_test("selvedge-core", CORE, deadline),
            Suite::Conformance => self.conformance(deadline),
            Suite::Twin => self.cargo_test("selvedge-twin-core", TWIN, deadline),
        }
    }

    /// Builds and runs one part after the other, until one fails.
    fn cargo_test(&self, package: &str, parts: &[Part], deadline: Duration) -> anyhow::Result<Ran> {
        for part in parts {
            let mut cargo = self.cargo(part.build);
            cargo.args(["test", "--offline", "--jobs", "1", "--package", package]).args(part.targets);
            match watch(cargo, deadline)? {
                Ran::Passed => {}
                other => return Ok(other),
            }
        }
        Ok(Ran::Passed)
    }

    fn conformance(&self, deadline: Duration) -> anyhow::Result<Ran> {
        // It serves a few hundred clients for some seconds.
        let mut cargo = self.cargo(Build::Quick);
        cargo.args(["build", "--offline", "--jobs", "1", "--package", "selvedge-broker", "--example", "serve"]);
        match watch(cargo, deadline)? {
            Ran::Passed => {}
            other => return Ok(other),
        }
        // A test that fails once and passes alone was unlucky, on a machine that does other things as well.
        for _ in 0..ATTEMPTS {
            let Ran::Failed(test) = watch(self.suite(&["--skip", "statements::"])?, deadline)? else {
                return Ok(Ran::Passed);
            };
            if watch(self.suite(&["--exact", &test])?, deadline)? != Ran::Passed {
                return Ok(Ran::Failed(test));
            }
        }
        Ok(Ran::Passed)
    }

    /// The conformance suite against the broker that was built, at ordinary priority: it waits for most of its time, and
    /// must not take the waiting for silence.
    fn suite(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let broker = self.build_output().join("debug/examples/serve");
        let mut suite = Command::new(self.conformance_binary()?);
        suite
            .args(arguments)
            .env("SELVEDGE_CONFORMANCE_TARGET", format!("serve:{}", broker.display()))
            .current_dir(repository::root().join("tests"));
        Ok(suite)
    }

    /// The suite as it is in the work tree, built by ordinary cargo, once in a run.
    fn conformance_binary(&self) -> anyhow::Result<&str> {
        if let Some(known) = self.conformance.get() {
            return Ok(known);
        }
        let arguments =
            ["test", "--package", "selvedge-tests", "--test", "conformance", "--no-run", "--message-format", "json"];
        let printed = process::output("cargo", &arguments).context("build the conformance suite")?;
        let executable = printed
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["target"]["name"] == "conformance")
            .find_map(|message| message["executable"].as_str().map(str::to_owned))
            .context("find the conformance suite among what cargo built")?;
        // A copy, so that a build in the work tree does not change the judge in the middle of a run.
        let copy = self.build_output().join("conformance");
        std::fs::copy(&executable, &copy).with_context(|| format!("copy {executable}"))?;
        Ok(self.conformance.get_or_init(|| copy.to_string_lossy().into_owned()))
    }

    fn cargo(&self, build: Build) -> Command {
        let mut cargo = low_priority("cargo");
        cargo
            .current_dir(self.tree())
            .env("CARGO_TARGET_DIR", self.build_output())
            // No debugger will look at it.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            // Deep generators of property tests need more than the default.
            .env("RUST_MIN_STACK", "33554432")
            .env("PROPTEST_CASES", PROPERTY_CASES)
            .env("SELVEDGE_MODEL_CASES", MODEL_CASES)
            .env("SELVEDGE_TWIN_SEEDS", TWIN_SEEDS)
            .env_remove("RUSTFLAGS");
        if build == Build::Quick {
            cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
        }
        cargo
    }
}

fn low_priority(program: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19", program]);
    command
}

/// Runs a command until it ends, a test fails, or the time is over.
fn watch(mut command: Command, deadline: Duration) -> anyhow::Result<Ran> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {shown}"))?;
    let (lines, received) = mpsc::channel();
    for stream in [child.stdout.take().map(boxed), child.stderr.take().map(boxed)].into_iter().flatten() {
        let lines = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
    }
    drop(lines);
    let end = Instant::now() + deadline;
    let mut said = Vec::new();
    let failed = loop {
        match received.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(test) = failed_test(&line) {
                    break Some(test.to_owned());
                }
                said.push(line);
            }
            Err(RecvTimeoutError::Timeout) => break Some("did not end".to_owned()),
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    if failed.is_some() {
        end_group(&child)?;
    }
    let status = child.wait().with_context(|| format!("wait for {shown}"))?;
    Ok(match failed {
        Some(test) => Ran::Failed(test),
        None if status.success() => Ran::Passed,
        None if said.iter().any(|line| line.contains("could not compile")) => Ran::NotBuilt(said.join("\n")),
        None => Ran::Failed(said.iter().rev().take(3).rev().cloned().collect::<Vec<_>>().join(" / ")),
    })
}

fn boxed(stream: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(stream)
}

/// The name in `test some::name ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    // Some harnesses pad the name.
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED").map(str::trim_end)
}

fn end_group(child: &Child) -> anyhow::Result<()> {
    let ended = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
    ensure!(ended.context("end a suite")?.success(), "a suite could not be ended");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_suite_ends_with_its_first_failed_test_or_with_its_deadline() {
        let minute = Duration::from_secs(60);
        assert_eq!(watch(shell("true"), minute).unwrap(), Ran::Passed);
        let failing = shell("echo 'test a ... ok'; echo 'test b::c    ... FAILED'; sleep 600");
        assert_eq!(watch(failing, minute).unwrap(), Ran::Failed("b::c".to_owned()));
        let broken = watch(shell("echo 'error: could not compile `x`' >&2; exit 101"), minute).unwrap();
        assert!(matches!(broken, Ran::NotBuilt(_)), "{broken:?}");
        assert!(matches!(watch(shell("exit 3"), minute).unwrap(), Ran::Failed(_)));
        let hanging = watch(shell("sleep 600"), Duration::from_millis(100)).unwrap();
        assert_eq!(hanging, Ran::Failed("did not end".to_owned()));
    }

    #[test]
    fn a_suite_judges_only_what_it_can_see() {
        assert!(Suite::Codec.sees("broker/codec/src/frame.rs") && !Suite::Codec.sees("broker/core/src/handle.rs"));
        assert!(Suite::Core.sees("broker/codec/src/frame.rs") && Suite::Core.sees("broker/core/src/handle.rs"));
        assert!(!Suite::Core.sees("broker/src/handshake.rs") && Suite::Conformance.sees("broker/src/handshake.rs"));
        assert!(Suite::Twin.sees("twin/core/src/cell.rs") && !Suite::Conformance.sees("twin/core/src/cell.rs"));
    }
}
