//! Functions whose effects can be counted: one makes an output of each input, one counts its inputs in a key.
//!
//! Both take their inputs with QoS 2. Invariant: at rest the count is the number of inputs whose handshakes are finished.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::endpoint::{Endpoint, Event};
use super::report::{Breach, Kind, Report};
use super::world::COUNTED;
use crate::client::Version;
use crate::installed;
use crate::node::Node;

/// How long is waited for an answer until the question is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

const CONVERTER: &str = "\
name = \"unit-alarm\"\ncomponent = \"unit-alarm.wasm\"\n[[trigger]]\nmqtt = \"sensors/+/temperature\"\nqos = 2\n\
[limits]\nmemory_bytes = \"4MiB\"\ntimeout_ms = 30000\n\
[grants]\npublish = [\"converted/+/temperature\", \"alarms/+\"]\ntwin_write = [\"*\"]\n\
[config]\nthreshold-celsius = \"1e15\"\ndefault-unit = \"C\"\n";
const COUNTER: &str = "\
name = \"counter\"\ncomponent = \"hostile.wasm\"\n[[trigger]]\nmqtt = \"counter/in\"\nqos = 2\n\
[limits]\nmemory_bytes = \"8MiB\"\ntimeout_ms = 30000\n[grants]\npublish = [\"hostile/reply\"]\n";

/// A function: its manifest, and the file of its component in the repository.
pub type Deployed = (&'static str, &'static str);

const CONVERTER_COMPONENT: &str = "examples/unit-alarm/unit-alarm.wasm";
const COUNTER_COMPONENT: &str = "functions/tests/guests/hostile/hostile.wasm";

/// The one that makes an output of each input; it also reads and writes a key, and patches a twin.
pub const CONVERTS: Deployed = (CONVERTER, CONVERTER_COMPONENT);
/// Both.
pub const FUNCTIONS: [Deployed; 2] = [CONVERTS, (COUNTER, COUNTER_COMPONENT)];

/// Deploys both.
///
/// # Errors
/// The node refuses.
pub fn deploy(node: &Node) -> anyhow::Result<()> {
    FUNCTIONS.into_iter().try_for_each(|(manifest, component)| give(node, "deploy", manifest, component))
}

/// Publishes a second version of each, which runs several messages at once, and a third one of the converter that also raises an
/// alarm each time.
///
/// # Errors
/// The node refuses.
pub fn publish_more(node: &Node) -> anyhow::Result<()> {
    let recorded = "[recording]\nper_s = 1000\n";
    for (manifest, component) in FUNCTIONS {
        let several = manifest.replace("[limits]\n", "[limits]\nconcurrency = 4\nconcurrency_min = 2\n");
        give(node, "publish", &format!("{several}{recorded}"), component)?;
    }
    let alarming = CONVERTER.replace("1e15", "-1000");
    give(node, "publish", &format!("{alarming}{recorded}"), CONVERTER_COMPONENT)
}

/// Hands a manifest and the component that it names to `fn VERB`.
///
/// # Errors
/// The node refuses.
pub fn give(node: &Node, verb: &str, manifest: &str, component: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("make a folder for a function")?;
    let component = installed::repository_file(component);
    let name = component.file_name().context("a component has a name")?;
    std::fs::copy(&component, folder.path().join(name)).with_context(|| format!("copy {}", component.display()))?;
    std::fs::write(folder.path().join("function.toml"), manifest).context("write a manifest")?;
    node.cli_succeeds(&["fn", verb, path(folder.path())?]).map(drop)
}

/// Waits until the count is `expected`, which it must not exceed, or stands still for `patience`; gives what it is.
///
/// # Errors
/// The broker does not answer.
pub fn check_count(address: SocketAddr, expected: u64, patience: Duration, report: &mut Report) -> anyhow::Result<u64> {
    if expected == 0 {
        return Ok(0);
    }
    let mut asker = Endpoint::new("count-asker", Version::V5, false);
    asker.connect(address, true)?;
    let (mut subscribed, mut asked, mut found) = (false, None::<Instant>, 0);
    let mut moved = Instant::now();
    report.owed(Kind::Function, 1);
    while moved.elapsed() < patience && found < expected {
        for event in asker.exchange()? {
            match event {
                Event::Connected { .. } => asker.subscribe("hostile/reply", 1),
                Event::Subscribed(..) => subscribed = true,
                Event::Delivered(publish) => {
                    let count = count(&publish.payload).unwrap_or(found);
                    if count != found {
                        (found, moved) = (count, Instant::now());
                    }
                }
                Event::Closed => bail!("the connection that asks for the count was closed"),
                _ => {}
            }
        }
        asker.send_acks();
        if subscribed && asker.in_flight() == 0 && asked.is_none_or(|asked| asked.elapsed() > ASK_AGAIN) {
            asked = Some(Instant::now());
            asker.publish(1, COUNTED, b"get total".to_vec(), 1, false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if found != expected {
        let breach = if found < expected { Breach::Lost } else { Breach::Twice };
        report.breach(Kind::Function, breach, || format!("{found} inputs were counted of {expected}"));
    }
    Ok(found)
}

/// The answer to `get` is the revision and the value; that to `add` is one word, and not asked for.
fn count(payload: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some("none"), None) => Some(0),
        (Some(_revision), Some(value)) => value.parse().ok(),
        _ => None,
    }
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a folder's name is text")
}
