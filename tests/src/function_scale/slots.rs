//! A burst that takes every place an instance can have: what the node holds before, in it, and when it has come to rest.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use super::{Rest, rest};
use crate::client::Version;
use crate::client_packet::Publish;
use crate::node::{Node, Place};
use crate::siege::wire::{Target, Way, Wire, wait_until};
use crate::{http, installed};

/// The guest that does as it is told, and how much memory it is told to fill.
const GUEST: &str = "functions/tests/guests/hostile/hostile.wasm";
const FILL: &str = "grow 8";
/// Places of the default configuration: `workers` and `stuck_workers_max`, and `kept_instances_max`.
const RUNNING: usize = 2 + 4;
const KEPT: usize = 8;
/// How long a kept instance waits for its next message, seconds.
const KEPT_S: u64 = 5;
/// Until kept instances have gone, and memory has been given back as often as it is: nothing tells of that, and a look before would
/// measure what is on its way out.
const REST: Duration = Duration::from_secs(40);

/// Memory of a node whose every place for instances is taken, and afterwards.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Slots {
    /// Places.
    pub slots: usize,
    /// Deployed, at rest, nothing has run.
    pub before: Rest,
    /// With all of them taken.
    pub taken: Rest,
    /// At rest again.
    pub after: Rest,
}

/// Measures on a node of its own.
pub(super) fn measure() -> anyhow::Result<Slots> {
    let place = Place::with_configuration("")?;
    let node = place.start()?;
    let folder = tempfile::tempdir().context("make a folder for functions")?;
    let kept: Vec<String> = (0..KEPT).map(|number| format!("kept-{number}")).collect();
    let running: Vec<String> = (0..RUNNING).map(|number| format!("fresh-{number}")).collect();
    for name in &kept {
        let isolation = format!("[reuse]\nage_s = {KEPT_S}\n");
        deploy(&node, folder.path(), name, ("isolation = \"reuse\"\n", &isolation))?;
    }
    for name in &running {
        deploy(&node, folder.path(), name, ("", ""))?;
    }
    node.stop()?;
    let node = place.start()?;
    std::thread::sleep(REST);
    let before = rest(&node)?;
    let target = Target::of(&node);
    let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, "slots"))?;
    let all = || kept.iter().chain(&running);
    tell(&mut wire, all(), FILL)?;
    until(&node, "every function to run", |functions| all().all(|name| counter(functions, name, "/counters/ok") >= 1))?;
    tell(&mut wire, running.iter(), "loop")?;
    until(&node, "every place to be taken", |functions| {
        running.iter().map(|name| counter(functions, name, "/running")).sum::<u64>() >= RUNNING as u64
    })?;
    let taken = rest(&node)?;
    std::thread::sleep(REST);
    let after = rest(&node)?;
    node.stop()?;
    Ok(Slots { slots: RUNNING + KEPT, before, taken, after })
}

fn deploy(node: &Node, folder: &Path, name: &str, (key, table): (&str, &str)) -> anyhow::Result<()> {
    let source = installed::repository_file(GUEST);
    std::fs::copy(&source, folder.join("guest.wasm")).with_context(|| format!("copy {}", source.display()))?;
    let manifest = format!(
        "name = \"{name}\"\ncomponent = \"guest.wasm\"\n{key}[[trigger]]\nmqtt = \"slot/{name}\"\n\
         [limits]\nmemory_bytes = \"16MiB\"\ntimeout_ms = 3000\n[retry]\nattempts = 1\n{table}\
         [grants]\npublish = [\"hostile/reply\"]\n"
    );
    std::fs::write(folder.join("function.toml"), manifest).context("write a manifest")?;
    node.cli_succeeds(&["fn", "deploy", &folder.to_string_lossy()]).with_context(|| format!("deploy {name}")).map(drop)
}

fn tell<'a>(wire: &mut Wire, names: impl Iterator<Item = &'a String>, what: &str) -> anyhow::Result<()> {
    let packets: Vec<u8> =
        names.flat_map(|name| Publish::new(&format!("slot/{name}"), what).bytes(Version::V5)).collect();
    wire.send(&packets)
}

fn until(node: &Node, what: &str, is_so: impl Fn(&[Value]) -> bool) -> anyhow::Result<()> {
    let holds = || {
        let answer = http::over_socket(&node.place().socket(), "GET", "/v1/functions", "")?;
        let functions: Vec<Value> = serde_json::from_str(&answer.body).context("read the functions")?;
        Ok(is_so(&functions))
    };
    wait_until(what, holds, || node.said())
}

fn counter(functions: &[Value], name: &str, pointer: &str) -> u64 {
    let function = functions.iter().find(|function| function["name"] == name);
    function.and_then(|function| function.pointer(pointer)?.as_u64()).unwrap_or(0)
}
