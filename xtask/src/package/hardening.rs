//! How much of the machine a broken node could reach, by `systemd-analyze security`: the figure, and why each thing that
//! raises it has to be.

use std::io::Write as _;

use serde_json::Value;

use crate::{process, repository};

/// Tenths; systemd calls up to 4.0 "OK", and a service without any of it has 9.6.
const EXPOSURE_MAX_TENTHS: u32 = 20;

/// What the service is not kept from, and the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("AmbientCapabilities=", "the node runs as a user of its own and needs the three capabilities below"),
    ("CapabilityBoundingSet=~CAP_BPF", "counting programs are brought into the kernel"),
    ("CapabilityBoundingSet=~CAP_NET_ADMIN", "and attached to interfaces"),
    ("CapabilityBoundingSet=~CAP_NET_(BIND_SERVICE|BROADCAST|RAW)", "ports below 1024, for MQTT at 443"),
    ("DeviceAllow=", "ProtectClock lets /dev/rtc be read; PrivateDevices has no such device"),
    ("IPAddressDeny=", "it serves the network; who may log in is its own business"),
    ("MemoryDenyWriteExecute=", "functions are native code: mapped, then made executable"),
    ("PrivateNetwork=", "it serves the network"),
    ("PrivateUsers=", "capabilities of a user namespace do not reach the network of the machine"),
    ("ProcSubset=", "the guard reads /proc/net/tcp, so that it locks no operator out"),
    ("RestrictAddressFamilies=~AF_(INET|INET6)", "it serves the network"),
    ("RestrictAddressFamilies=~AF_NETLINK", "interfaces, and where programs are attached to them"),
    ("RestrictAddressFamilies=~AF_UNIX", "the control socket, and the service manager's"),
    ("RootDirectory=/RootImage=", "the program may come from a slot below the state directory"),
    ("SystemCallFilter=~@privileged", "bpf, and nothing else of that group"),
    (
        "SystemCallFilter=~@resources",
        "functions and their compiler make way for the node: setpriority and sched_setattr, and nothing else of that group",
    ),
];

fn analyze(arguments: &[&str]) -> Option<(bool, String)> {
    if process::find(&["systemd-analyze"]).is_none() {
        // Not `println!`, which nobody sees of a test that passes.
        let _ = writeln!(
            std::io::stdout(),
            "SKIPPED hardening of the unit: systemd-analyze is not installed (Debian package systemd)"
        );
        return None;
    }
    let output = std::process::Command::new("systemd-analyze").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Some((output.status.success(), text))
}

fn unit() -> std::path::PathBuf {
    repository::root().join("systemd/selvedge.service")
}

#[test]
fn the_service_reaches_no_more_than_its_work_needs() {
    let unit = unit();
    let unit = unit.to_string_lossy();
    let threshold = format!("--threshold={EXPOSURE_MAX_TENTHS}");
    let Some((is_within, text)) = analyze(&["security", "--offline=yes", "--no-pager", &threshold, &unit]) else {
        return;
    };
    assert!(is_within, "more than {EXPOSURE_MAX_TENTHS} tenths:\n{text}");
    println!("{}", text.lines().last().unwrap_or_default());
}

#[test]
fn each_thing_that_exposes_the_service_is_explained() {
    let unit = unit();
    let Some((_, text)) = analyze(&["security", "--offline=yes", "--json=short", &unit.to_string_lossy()]) else {
        return;
    };
    let checks: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let exposing = checks.iter().filter(|check| check["set"] == false && !check["exposure"].is_null());
    let names: Vec<&str> = exposing.map(|check| check["name"].as_str().unwrap()).collect();
    let unexplained: Vec<&&str> =
        names.iter().filter(|name| EXCEPTIONS.iter().all(|(known, _)| known != *name)).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
    let needless: Vec<&str> = EXCEPTIONS.iter().map(|(name, _)| *name).filter(|name| !names.contains(name)).collect();
    assert!(needless.is_empty(), "no longer exposed: {needless:?}");
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let folder = std::env::temp_dir().join(format!("selvedge-xtask-unit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // The programs are not installed here.
    let text = std::fs::read_to_string(unit()).unwrap();
    let text = text
        .replace("/usr/lib/selvedge/selvedge-launch", "/bin/true")
        .replace("/usr/lib/selvedge/selvedge", "/bin/true");
    let copy = folder.join("selvedge.service");
    std::fs::write(&copy, text).unwrap();
    if let Some((is_good, said)) = analyze(&["verify", "--man=no", &copy.to_string_lossy()]) {
        assert!(is_good && !said.contains("selvedge.service"), "{said}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
