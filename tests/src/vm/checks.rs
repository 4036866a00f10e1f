//! What an owner does with a new gateway, from another machine: messages, a function, a twin, counters, its memory.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::Looked;
use super::board::Board;
use crate::client::{Transport, Version};
use crate::client_packet::{Connect, Publish};
use crate::crash::functions::FUNCTIONS;
use crate::peer::{Peer, Route};
use crate::raw_mqtt::{self, RawMqtt};
use crate::{PATIENCE, installed};

/// Ethernet, IPv4 and TCP without options: the emulator's network speaks no timestamps.
const HEADER_BYTES: u64 = 14 + 20 + 20;
/// Broker and kernel agree on a client within this time.
const AGREE_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After it, a node has given back what only its start needed.
const SETTLE: Duration = Duration::from_secs(30);
/// Samples of memory, as AWS takes them of its own daemon.
const SAMPLES: usize = 5;

/// Looks at everything, and goes on where something is wrong.
pub fn run(board: &Board, looked: &mut Looked<'_>) {
    looked.at("keys and settings of the boot partition are taken", || {
        board
            .shell("cmp /boot/selvedge.toml /etc/selvedge/selvedge.toml && uname -rm && cat /etc/hostname")
            .map(one_line)
    });
    looked.at("no unit of systemd has failed", || no_unit_failed(board));
    looked.at("the root is never written, and what is written to it is memory", || {
        board
            .shell(
                "test $(awk '$2 == \"/\" { print $3 }' /proc/mounts) = overlay && findmnt -no SOURCE,FSTYPE,SIZE /data",
            )
            .map(one_line)
    });
    looked.at("the data partition has taken the rest of the disk", || data_has_grown(board));
    looked.at("the box answers to its name by mDNS", || {
        let name = one_line(board.shell("cat /etc/hostname")?) + ".local";
        let address = board.lan().resolve(&name, PATIENCE)?;
        board.shell(&format!("ip -6 address show | grep -qw {address}/64"))?;
        Ok(format!("{name} is {address}"))
    });
    looked.at("a message of MQTT 3.1.1 and one of 5 go through it", || messages(board));
    looked.at("functions are compiled and deployed", || deploy(board));
    looked.at("a function answers", || function_answers(board));
    looked.at("a twin takes a change and tells it", || twin(board));
    looked.at("the kernel's counters are exact to the byte", || counters(board));
    looked.at("systemctl reload waits for the node", || {
        board.shell("systemctl reload selvedge && echo reloaded").map(one_line)
    });
    looked.at("memory of the node after all of this", || memory(board));
    looked.at("the node starts again with functions, twin and counters", || starts_again(board));
    looked.at("memory of the node then, idle with everything on", || memory(board));
}

fn one_line(text: String) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn no_unit_failed(board: &Board) -> anyhow::Result<String> {
    // Until the start is over a unit may fail yet: systemd says when it is, and has ten minutes for it. It ends with an error where a
    // unit failed, and the word says which case it is; without a word the time was over.
    let state = board.shell("timeout 600 systemctl is-system-running --wait || true").map(one_line)?;
    let failed = board.shell("systemctl list-units --failed --plain --no-legend")?;
    ensure!(failed.trim().is_empty(), "{failed}");
    ensure!(state == "running", "{state}");
    Ok(state)
}

fn data_has_grown(board: &Board) -> anyhow::Result<String> {
    let text = board.shell("df --output=size -m /data | tail -n 1; lsblk -bno SIZE /dev/vda | head -n 1")?;
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [data_mib, disk_bytes] = numbers[..] else { bail!("{text}") };
    ensure!(data_mib > 256, "{data_mib} MiB of {disk_bytes} bytes");
    Ok(format!("{data_mib} MiB of a disk of {} MiB", disk_bytes / 1024 / 1024))
}

fn peer(board: &Board, version: Version, name: &str) -> anyhow::Result<Peer> {
    let route = Route { address: board.mqtt(), transport: Transport::Tcp, patience: PATIENCE, must_say_why: false };
    Ok(Peer::connect(route, &Connect::new(version, name))?.0)
}

fn publish(peer: &mut Peer, topic: &str, payload: &str) -> anyhow::Result<()> {
    let id = peer.packet_id();
    peer.publish(&Publish::new(topic, payload).qos(1, id))
}

fn messages(board: &Board) -> anyhow::Result<String> {
    let mut said = Vec::new();
    for (version, name) in [(Version::V311, "vm-311"), (Version::V5, "vm-5")] {
        let mut peer = peer(board, version, name)?;
        peer.subscribe("vm/#", 1)?;
        let started = Instant::now();
        publish(&mut peer, "vm/hello", name)?;
        let payloads = peer.payloads()?;
        ensure!(payloads == [name], "{payloads:?}");
        said.push(format!("{name} in {} ms", started.elapsed().as_millis()));
    }
    Ok(said.join(", "))
}

fn deploy(board: &Board) -> anyhow::Result<String> {
    for (number, (manifest, component)) in FUNCTIONS.iter().enumerate() {
        let folder = format!("/run/function-{number}");
        let component = installed::repository_file(component);
        let name = component.file_name().context("a component has a name")?.to_string_lossy();
        board.put(&component, &format!("{folder}/{name}"))?;
        board.shell_with(&format!("cat >{folder}/function.toml"), manifest.as_bytes().to_vec())?;
        board.shell(&format!("selvedge fn deploy {folder}"))?;
    }
    board.shell("selvedge fn list").map(one_line)
}

fn function_answers(board: &Board) -> anyhow::Result<String> {
    let mut peer = peer(board, Version::V5, "vm-function")?;
    peer.subscribe("converted/vm/#", 1)?;
    publish(&mut peer, "sensors/vm/temperature", "{\"value\": 212, \"unit\": \"F\"}")?;
    let answer = next_payload(&mut peer)?;
    ensure!(answer["value"].as_f64().is_some_and(|value| (value - 100.0).abs() < 0.01), "{answer}");
    Ok(answer.to_string())
}

fn twin(board: &Board) -> anyhow::Result<String> {
    let mut peer = peer(board, Version::V5, "vm-twin")?;
    peer.subscribe("$twin/vm/update/+", 1)?;
    publish(&mut peer, "$twin/vm/update", &json!({ "state": { "reported": { "n": 7 } } }).to_string())?;
    let answer = next_payload(&mut peer)?;
    ensure!(answer["state"]["reported"]["n"] == 7, "{answer}");
    let told = board.shell("selvedge twin get vm")?;
    ensure!(told.contains('7'), "{told}");
    Ok(one_line(told))
}

/// The next message that comes.
fn next_payload(peer: &mut Peer) -> anyhow::Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(payload) = peer.payloads()?.into_iter().next() {
            return serde_json::from_str(&payload).with_context(|| format!("read {payload:?}"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("nothing came")
}

/// What a client sends and gets, as the broker and as the kernel counted it.
fn counters(board: &Board) -> anyhow::Result<String> {
    let mut last = Value::Null;
    // A segment that is sent again, on a machine that stands still for a while, is counted by the kernel and not by the broker.
    for attempt in 0..3 {
        let name = format!("vm-counted-{attempt}");
        let mut client = RawMqtt::open(board.mqtt())?;
        client.send(&raw_mqtt::connect(4, &name))?;
        client.receive()?;
        client.send(&raw_mqtt::subscribe("readings/#"))?;
        client.receive()?;
        for number in 0..50_u8 {
            client.send(&raw_mqtt::publish("readings/a", &vec![number; 100 * usize::from(number)]))?;
            client.receive()?;
        }
        let deadline = Instant::now() + AGREE_MAX / 3;
        while Instant::now() < deadline {
            let net: Value = serde_json::from_str(&board.shell("selvedge net top --once --json")?)?;
            ensure!(net["state"] == "counting", "{net}");
            let row = net["clients"].as_array().into_iter().flatten().find(|row| row["client_id"] == name.as_str());
            last = row.cloned().unwrap_or_default();
            if let Some((received, sent)) = agreed(&last) {
                ensure!(received > 122_500 && sent > 122_500, "{last}");
                return Ok(format!("{received} bytes in and {sent} out, by broker and kernel"));
            }
        }
    }
    bail!("broker and kernel do not agree: {last}")
}

/// Bytes that broker and kernel counted alike, received and sent.
fn agreed(row: &Value) -> Option<(u64, u64)> {
    let (broker, kernel) = (&row["broker"], &row["kernel"]);
    let payload = |counts: &Value| counts["bytes"].as_u64()?.checked_sub(HEADER_BYTES * counts["buffers"].as_u64()?);
    let received = (broker["received_bytes"].as_u64()?, payload(&kernel["received"])?);
    let sent = (broker["sent_bytes"].as_u64()?, payload(&kernel["sent"])?);
    (received.0 == received.1 && sent.0 == sent.1).then_some((received.0, sent.0))
}

/// From the start of the process until it says that it is ready, by systemd's clock.
fn starts_again(board: &Board) -> anyhow::Result<String> {
    let text = board.shell(
        "systemctl restart selvedge && systemctl show selvedge \
         --property ExecMainStartTimestampMonotonic --property ActiveEnterTimestampMonotonic",
    )?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        line.parse::<u64>().ok()
    };
    let (started, ready) = (of("ExecMainStartTimestampMonotonic"), of("ActiveEnterTimestampMonotonic"));
    let took_us =
        ready.zip(started).and_then(|(ready, started)| ready.checked_sub(started)).with_context(|| text.clone())?;
    function_answers(board)?;
    Ok(format!("ready after {} ms", took_us / 1000))
}

fn memory(board: &Board) -> anyhow::Result<String> {
    std::thread::sleep(SETTLE);
    let line = "cat /proc/$(systemctl show selvedge --property MainPID --value)/smaps_rollup";
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let text = board.shell(line)?;
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let sample = (of("Pss"), of("Pss_Anon"), of("Pss_File"));
        let (Some(all), Some(own), Some(files)) = sample else { bail!("{text}") };
        samples.push((all, own, files));
    }
    samples.sort_unstable();
    let (all, own, files) = samples[SAMPLES / 2];
    Ok(format!("PSS {all} KiB (median of {SAMPLES}): {own} its own, {files} of files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_and_kernel_agree_when_each_buffer_has_one_header() {
        let row = |bytes: u64| {
            json!({
                "broker": { "received_bytes": 100, "sent_bytes": 50 },
                "kernel": { "received": { "bytes": bytes, "buffers": 2 }, "sent": { "bytes": 104, "buffers": 1 } },
            })
        };
        assert_eq!(agreed(&row(208)), Some((100, 50)));
        assert_eq!(agreed(&row(209)), None);
        assert_eq!(agreed(&Value::Null), None);
    }
}
