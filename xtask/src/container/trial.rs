//! The image as an engine would start it: unpacked by `umoci`, run by `runc` in namespaces of its own, used through its own commands,
//! ended, and started again.
//!
//! Invariant: no container is left behind.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::process;

/// All are Debian packages of the same name.
const TOOLS: &[&str] = &["runc", "umoci"];
/// From the start to an answer.
const READY_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const STATUS: &[&str] = &["selvedge", "status"];
const PUBLISH: &[&str] = &["selvedge", "pub", "-t", "kept/1", "-m", "kept", "-q", "1", "-r"];
const SUBSCRIBE: &[&str] = &["selvedge", "sub", "-t", "kept/1", "-C", "1", "-W", "10"];

/// Tries it, or says why it cannot.
pub fn run(image: &Path, folder: &Path) -> anyhow::Result<()> {
    let missing: Vec<&str> = TOOLS.iter().copied().filter(|tool| process::find(&[tool]).is_none()).collect();
    if !missing.is_empty() {
        println!("SKIPPED container --try: apt-get install {}", missing.join(" "));
        return Ok(());
    }
    if process::output("id", &["-u"]).as_deref() != Some("0") {
        println!("SKIPPED container --try: only root starts containers without an engine");
        return Ok(());
    }
    let folder = folder.join("trial");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    let layout = folder.join("layout");
    fs::create_dir_all(&layout).with_context(|| format!("create {}", layout.display()))?;
    process::run("tar", &["-xf", &image.to_string_lossy(), "-C", &layout.to_string_lossy()])?;
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?).context("read the index")?;
    let version =
        index["manifests"][0]["annotations"][super::REFERENCE].as_str().context("the image has no version")?;
    let (bundle, name) = (folder.join("bundle"), format!("{}:{version}", layout.display()));
    process::run("umoci", &["unpack", "--image", &name, &bundle.to_string_lossy()])?;
    prepare(&bundle.join("config.json"))?;

    let started = Instant::now();
    let container = Container::start(&bundle)?;
    println!("  ok  the node answers after {:.1} s", started.elapsed().as_secs_f64());
    container.command(PUBLISH).context("publish in the container")?;
    container.stop()?;
    println!("  ok  it ends when it is asked to");
    let container = Container::start(&bundle)?;
    let kept = container.command(SUBSCRIBE).context("subscribe in the container")?;
    ensure!(kept.ends_with("kept"), "what was acknowledged is not there: {kept:?}");
    container.stop()?;
    println!("  ok  the next one has what was acknowledged");
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
}

/// Nobody sits in front of it, and its data stays in the bundle: `umoci` makes volumes empty file systems of root's.
fn prepare(config: &Path) -> anyhow::Result<()> {
    let text = fs::read(config).with_context(|| format!("read {}", config.display()))?;
    let mut value: Value = serde_json::from_slice(&text).with_context(|| format!("read {}", config.display()))?;
    value["process"]["terminal"] = json!(false);
    if let Some(mounts) = value["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["destination"] != format!("/{}", super::DATA).as_str());
    }
    fs::write(config, serde_json::to_vec(&value)?).with_context(|| format!("write {}", config.display()))
}

struct Container {
    name: String,
}

impl Container {
    fn start(bundle: &Path) -> anyhow::Result<Self> {
        let container = Self { name: format!("selvedge-xtask-{}", std::process::id()) };
        process::run("runc", &["run", "--detach", "--bundle", &bundle.to_string_lossy(), &container.name])?;
        let deadline = Instant::now() + READY_MAX;
        while container.command(STATUS).is_none() {
            if Instant::now() > deadline {
                bail!("the node in the container does not answer within {READY_MAX:?}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(container)
    }

    /// What a command in it prints, if it succeeds.
    fn command(&self, words: &[&str]) -> Option<String> {
        process::output("runc", &[&["exec", &self.name], words].concat())
    }

    fn stop(self) -> anyhow::Result<()> {
        process::run("runc", &["kill", &self.name, "TERM"])?;
        let deadline = Instant::now() + READY_MAX;
        loop {
            let state = process::output("runc", &["state", &self.name]).unwrap_or_default();
            let state: Value = serde_json::from_str(&state).context("ask for the state of the container")?;
            if state["status"] == "stopped" {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the container does not end: {state}");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = process::output("runc", &["delete", "--force", &self.name]);
    }
}
