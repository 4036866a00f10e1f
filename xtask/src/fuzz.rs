//! Fuzzing with libFuzzer on the stable toolchain: coverage instrumentation needs only codegen flags.
//!
//! Not the place of the corpus replay: ordinary tests of the crates do that.

use anyhow::{Context as _, bail};

use crate::{process, repository};

/// What `cargo fuzz` passes for coverage, without its sanitizers, which need nightly.
const COVERAGE_FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1";

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct FuzzArgs {
    /// How long to fuzz, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// A target, the name of a file in `fuzz/fuzz_targets/`
    target: String,
}

/// Builds one target and fuzzes it for the given time.
pub fn run(arguments: &FuzzArgs) -> anyhow::Result<()> {
    fuzz(&arguments.target, arguments.seconds)
}

/// Names of all fuzz targets, none when the repository has no `fuzz/`.
pub fn targets() -> anyhow::Result<Vec<String>> {
    let folder = repository::root().join("fuzz/fuzz_targets");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(stem) = path.file_stem()
        {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Fuzzes `target` for `seconds`; what it finds is kept below `target/fuzz`.
pub fn fuzz(target: &str, seconds: u32) -> anyhow::Result<()> {
    let known = targets()?;
    if !known.iter().any(|name| name == target) {
        bail!("there is no fuzz target {target}; there is {}", known.join(", "));
    }
    let host = process::output("rustc", &["--print", "host-tuple"]).context("ask rustc for the host")?;
    let build_folder = repository::target_folder().join("fuzz");
    let build_text = build_folder.to_string_lossy().into_owned();
    // With --target the flags do not reach build scripts and procedural macros.
    process::run_with(
        "cargo",
        &[
            "build",
            "--locked",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--release",
            "--target",
            &host,
            "--target-dir",
            &build_text,
            "--bin",
            target,
        ],
        &[("RUSTFLAGS", COVERAGE_FLAGS)],
    )?;
    let found = build_folder.join("found").join(target);
    let grown = build_folder.join("corpus").join(target);
    for folder in [&found, &grown] {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let binary = build_folder.join(&host).join("release").join(target);
    let seeds = repository::root().join("fuzz/corpus").join(target);
    let mut folders = vec![grown.to_string_lossy().into_owned()];
    if seeds.is_dir() {
        folders.push(seeds.to_string_lossy().into_owned());
    }
    let time = format!("-max_total_time={seconds}");
    let prefix = format!("-artifact_prefix={}/", found.display());
    let mut words = vec![
        time.as_str(),
        prefix.as_str(),
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-verbosity=0",
        "-print_final_stats=1",
    ];
    words.extend(folders.iter().map(String::as_str));
    process::run(&binary.to_string_lossy(), &words)
}
