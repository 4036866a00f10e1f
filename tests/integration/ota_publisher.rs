//! `selvedge ota …` on the publisher's machine: every command, and what a person is told who makes a mistake.

use anyhow::{Context as _, ensure};
use selvedge_tests::node::Place;
use serde_json::Value;

/// Where the programs of these tests are, which are scripts.
const PROGRAM: &str = "daemon/aarch64/selvedge";

/// A publisher's machine, with a repository and its keys.
struct Publisher {
    place: Place,
}

impl Publisher {
    fn new() -> anyhow::Result<Self> {
        let publisher = Self { place: Place::new()? };
        publisher.succeeds(&["init", "repository", "--keys", "keys"])?;
        Ok(publisher)
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
        let output = self.place.command(&[&["ota"], arguments].concat())?.output().context("run selvedge")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code().context("it was not killed")?, text(&output.stdout), text(&output.stderr)))
    }

    fn succeeds(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (code, stdout, stderr) = self.run(arguments)?;
        ensure!(code == 0, "`selvedge ota {}` ended with {code}\n{stdout}{stderr}", arguments.join(" "));
        Ok(stdout)
    }

    fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let printed = self.succeeds(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&printed).with_context(|| format!("read {printed}"))
    }

    /// What a person is told when the command fails; it has to be one line.
    fn refusal(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (code, stdout, stderr) = self.run(arguments)?;
        ensure!(code == 1, "`selvedge ota {}` ended with {code}\n{stdout}{stderr}", arguments.join(" "));
        ensure!(stderr.starts_with("selvedge ota: ") && stderr.lines().count() == 1, "{stderr}");
        Ok(stderr)
    }

    fn write(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let path = self.place.folder().join(name);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(&path, content).with_context(|| format!("write {name}"))
    }

    /// Adds a program whose versions are alike, as versions are.
    fn add(&self, version: &str) -> anyhow::Result<()> {
        let lines = (0..20_000_u64).map(|line| format!("echo {}\n", line.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let program = format!("#!/bin/sh\n{}echo {version}\n", lines.collect::<String>());
        self.write("program", program.as_bytes())?;
        self.succeeds(&["add", "repository", "program", "--daemon", "aarch64", "--version", version]).map(|_| ())
    }

    fn publish(&self) -> anyhow::Result<Value> {
        self.json(&["publish", "repository", "--keys", "keys", "--level", "3"])
    }

    fn list(&self) -> anyhow::Result<Value> {
        self.json(&["list", "repository"])
    }

    fn key_id(&self, role: &str) -> anyhow::Result<String> {
        let list = self.list()?;
        let mut roles = list["roles"].as_array().context("roles")?.iter();
        let role = roles.find(|row| row["role"] == role).with_context(|| format!("no role {role}"))?;
        Ok(role["keys"][0].as_str().context("a key id")?.to_owned())
    }

    fn function(&self, manifest: &str) -> anyhow::Result<()> {
        self.write("alarm/function.toml", manifest.as_bytes())?;
        self.write("alarm/alarm.wasm", b"\0asm a component")
    }
}

const ALARM: &str = "name = \"alarm\"\nversion = \"0.3.0\"\n[[trigger]]\nmqtt = \"a/#\"\n";

#[test]
fn a_release_and_the_next_one_are_published_with_a_patch_between_them() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    publisher.add("1.0.0")?;
    let list = publisher.list()?;
    ensure!(list["targets"] == Value::Array(Vec::new()) && list["waits"][0]["change"] == "added", "{list}");
    publisher.publish()?;
    let first = publisher.list()?["targets"][0]["sha256"].as_str().context("a hash")?.to_owned();
    publisher.add("1.0.1")?;
    let rehearsed = publisher.json(&["publish", "repository", "--keys", "keys", "--level", "3", "--dry-run"])?;
    ensure!(rehearsed["published"] == false && publisher.list()?["targets"][0]["version"] == "1.0.0", "{rehearsed}");
    let published = publisher.publish()?;
    let (size, patch) = (&published["targets"][0], &published["targets"][0]["patches"][0]);
    ensure!(published["published"] == true && size == &rehearsed["targets"][0], "{published}");
    let number = |value: &Value| value.as_u64().context("a number");
    ensure!(patch["from"] == first.as_str() && number(&patch["bytes"])? * 4 < number(&size["compressed"])?, "{size}");
    let target = &publisher.list()?["targets"][0];
    ensure!(
        target["version"] == "1.0.1" && target["payloads"].as_array().is_some_and(|all| all.len() == 2),
        "{target}"
    );
    Ok(())
}

#[test]
fn a_bundle_takes_the_patch_for_those_who_have_its_base() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    publisher.add("1.0.0")?;
    publisher.publish()?;
    let first = publisher.list()?["targets"][0]["sha256"].as_str().context("a hash")?.to_owned();
    publisher.add("1.0.1")?;
    publisher.write("site.conf", b"colour = blue")?;
    publisher.succeeds(&["add", "repository", "site.conf", "--file", "site", "--version", "7"])?;
    publisher.publish()?;
    let whole = publisher.json(&["bundle", "repository", "all.selvedge"])?;
    ensure!(whole["targets"].as_array().is_some_and(|all| all.len() == 2), "{whole}");
    let from = first.get(..8).context("a hash")?;
    let small = publisher.json(&["bundle", "repository", "u.selvedge", "--only", PROGRAM, "--from", from])?;
    ensure!(small["targets"].as_array().is_some_and(|all| all.len() == 1), "{small}");
    ensure!(small["targets"][0]["payload"].as_str().is_some_and(|payload| payload.contains(".from.")), "{small}");
    let length = std::fs::metadata(publisher.place.folder().join("u.selvedge"))?.len();
    ensure!(small["bytes"] == length && whole["bytes"].as_u64() > small["bytes"].as_u64(), "{small} {whole}");
    let said = publisher.refusal(&["bundle", "repository", "x", "--only", "daemon/none"])?;
    ensure!(said.contains("there is no target daemon/none"), "{said}");
    let said = publisher.refusal(&["bundle", "repository", "x", "--from", "v1.0"])?;
    ensure!(said.contains("6 to 64 digits of a SHA-256"), "{said}");
    Ok(())
}

#[test]
fn a_program_for_another_machine_is_not_added() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(18, 0);
    publisher.write("x86", &[&header[..], &[62, 0], &[7; 100]].concat())?;
    let add = ["add", "repository", "x86", "--version", "1", "--daemon"];
    let said = publisher.refusal(&[&add[..], &["aarch64"]].concat())?;
    ensure!(said.contains("x86 is a program for x86_64, not for aarch64"), "{said}");
    publisher.succeeds(&[&add[..], &["x86_64"]].concat())?;
    let (code, _, said) = publisher.run(&[&add[..], &["riscv64"]].concat())?;
    ensure!(code == 2 && said.contains("[possible values: aarch64, x86_64]"), "{said}");
    Ok(())
}

#[test]
fn what_is_added_has_to_be_there_and_of_its_kind() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    publisher.function("name = \"alarm\"\n[[trigger]]\nmqtt = \"a/#\"\n")?;
    let cases: [(&[&str], &str); 6] = [
        (&["gone", "--daemon", "aarch64", "--version", "1"], "there is no file gone"),
        (&["alarm", "--file", "alarm", "--version", "1"], "alarm is a directory; a function is added with --function"),
        (&["keys", "--function"], "there is no keys/function.toml: with --function, name the directory of a function"),
        (&["alarm", "--function"], "alarm/function.toml has no version; write one there, or say --version VERSION"),
        (&["alarm/alarm.wasm", "--file", "a/b", "--version", "1"], "has the name \"a/b\""),
        (&["alarm/alarm.wasm", "--file", "a", "--version", "1", "--path", "../a"], "../a"),
    ];
    for (arguments, words) in cases {
        let said = publisher.refusal(&[&["add", "repository"], arguments].concat())?;
        ensure!(said.contains(words), "{arguments:?}: {said}");
    }
    publisher.write("alarm/function.toml", b"name = 7")?;
    let said = publisher.refusal(&["add", "repository", "alarm", "--function"])?;
    ensure!(said.contains("in alarm: function.toml line 1: "), "{said}");
    publisher.function(ALARM)?;
    std::fs::remove_file(publisher.place.folder().join("alarm/alarm.wasm"))?;
    let said = publisher.refusal(&["add", "repository", "alarm", "--function"])?;
    ensure!(said.contains("there is no alarm/alarm.wasm (selvedge fn build makes it)"), "{said}");
    ensure!(publisher.list()?["waits"] == Value::Array(Vec::new()), "a mistake leaves nothing that waits");
    Ok(())
}

#[test]
fn a_target_is_staged_paused_resumed_and_removed() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    publisher.add("1.0.0")?;
    publisher.publish()?;
    let stage = |more: &[&str]| publisher.json(&[&["stage", "repository", PROGRAM], more].concat());
    let first = stage(&["--percent", "5"])?;
    ensure!(first["rollout"]["percent"] == 5 && first["rollout"]["salt"] == format!("{PROGRAM} 1.0.0"), "{first}");
    publisher.publish()?;
    let named = stage(&["--percent", "20", "--salt", "blue"])?;
    let more = stage(&["--percent", "50", "--pause"])?;
    ensure!(named["rollout"]["salt"] == "blue" && more["rollout"]["salt"] == "blue", "the same nodes, and others");
    ensure!(more["paused"] == true && stage(&["--resume"])?["rollout"]["percent"] == 50, "{more}");
    let all = stage(&["--everybody"])?;
    ensure!(all["rollout"].is_null() && all["paused"] == false, "{all}");
    let (code, _, said) = publisher.run(&["stage", "repository", PROGRAM, "--percent", "101"])?;
    ensure!(code == 2 && said.contains("0..=100"), "{said}");
    let (code, _, said) = publisher.run(&["stage", "repository", PROGRAM])?;
    ensure!(code == 2 && said.contains("--percent") && said.contains("--pause"), "{said}");
    let said = publisher.refusal(&["stage", "repository", "daemon/none", "--pause"])?;
    ensure!(said.contains("there is no target daemon/none"), "{said}");
    publisher.succeeds(&["remove", "repository", PROGRAM])?;
    let said = publisher.refusal(&["remove", "repository", PROGRAM])?;
    ensure!(said.contains("there is no target"), "{said}");
    publisher.publish()?;
    ensure!(publisher.list()?["targets"] == Value::Array(Vec::new()), "it is gone, with its payloads");
    Ok(())
}

#[test]
fn a_delegated_role_signs_what_it_may_with_a_key_of_its_own() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    publisher.succeeds(&["key", "new", "team", "--keys", "team-keys"])?;
    let delegate = ["delegate", "repository", "functions", "--paths", "functions/*", "--key", "team-keys/team.pub"];
    let said = publisher.refusal(&[&delegate[..], &["--threshold", "2"]].concat())?;
    ensure!(said.contains("is to be signed by 2 keys and has 1 different ones"), "{said}");
    publisher.succeeds(&delegate)?;
    let said = publisher.refusal(&["publish", "repository", "--keys", "keys"])?;
    ensure!(said.contains("0 of the 1 keys that must sign functions are in keys"), "{said}");
    for ending in ["key", "pub"] {
        let folder = publisher.place.folder();
        std::fs::copy(folder.join(format!("team-keys/team.{ending}")), folder.join(format!("keys/team.{ending}")))?;
    }
    publisher.publish()?;
    publisher.function(ALARM)?;
    let added = publisher.json(&["add", "repository", "alarm", "--function", "--role", "functions"])?;
    ensure!(added["path"] == "functions/alarm.wasm" && added["version"] == "0.3.0", "{added}");
    publisher.publish()?;
    ensure!(publisher.list()?["targets"][0]["role"] == "functions", "{}", publisher.list()?);
    let outside = ["add", "repository", "alarm/alarm.wasm", "--file", "a", "--version", "1", "--role"];
    let said = publisher.refusal(&[&outside[..], &["functions"]].concat())?;
    ensure!(said.contains("the role functions may not sign files/a: it is for functions/*"), "{said}");
    let said = publisher.refusal(&[&outside[..], &["fun"]].concat())?;
    ensure!(said.contains("there is no role fun; the repository has targets, functions"), "{said}");
    Ok(())
}

#[test]
fn keys_are_replaced_and_a_slip_removes_none() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    let old = publisher.key_id("timestamp")?;
    publisher.succeeds(&["key", "new", "timestamp-2", "--keys", "keys"])?;
    let rotate = ["rotate", "repository", "timestamp", "--keys", "keys"];
    let said = publisher.refusal(&[&rotate[..], &["--remove", "zz"]].concat())?;
    ensure!(said.contains("timestamp has no key \"zz\"; it has ") && said.contains(&old[..8]), "{said}");
    let said = publisher.refusal(&[&rotate[..], &["--remove", ""]].concat())?;
    ensure!(said.contains("timestamp has no key \"\""), "{said}");
    let said = publisher.refusal(&[&rotate[..], &["--remove", &old[..8]]].concat())?;
    ensure!(said.contains("is to be signed by 1 keys and has 0 different ones"), "{said}");
    let said = publisher.refusal(&[&rotate[..], &["--add", "keys/timestamp.key"]].concat())?;
    ensure!(said.contains("keys/timestamp.key"), "{said}");
    let said = publisher.refusal(&["rotate", "repository", "functions", "--keys", "keys"])?;
    ensure!(
        said.contains("there is no role functions; the repository has root, targets, snapshot, timestamp"),
        "{said}"
    );
    let change = [&rotate[..], &["--add", "keys/timestamp-2.pub", "--remove", &old[..8]]].concat();
    ensure!(publisher.json(&change)?["version"] == 2, "the second root");
    publisher.publish()?;
    ensure!(publisher.key_id("timestamp")? != old, "{}", publisher.list()?);
    Ok(())
}

#[test]
fn a_root_waits_until_enough_of_its_keys_have_signed_it() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    publisher.succeeds(&["key", "new", "ann", "--keys", "ann"])?;
    let said = publisher.refusal(&["sign", "repository", "--keys", "keys"])?;
    ensure!(said.contains("no root waits for signatures"), "{said}");
    let rotate = ["rotate", "repository", "root", "--keys", "keys", "--add", "ann/ann.pub", "--threshold"];
    let said = publisher.refusal(&[&rotate[..], &["3"]].concat())?;
    ensure!(said.contains("is to be signed by 3 keys and has 2 different ones"), "{said}");
    let waits = publisher.json(&[&rotate[..], &["2"]].concat())?;
    ensure!(waits["published"] == false && waits["keys_after"]["have"] == 1, "{waits}");
    let draft = waits["draft"].as_str().context("a draft")?.to_owned();
    ensure!(publisher.list()?["waiting_root"] == draft.as_str(), "{}", publisher.list()?);
    let said = publisher.refusal(&[&rotate[..], &["1"]].concat())?;
    ensure!(said.contains("waits for signatures (selvedge ota sign); remove that file to begin again"), "{said}");
    // On a machine that has the other key and no repository.
    std::fs::copy(publisher.place.folder().join(&draft), publisher.place.folder().join("2.root.json"))?;
    ensure!(publisher.json(&["sign", "2.root.json", "--keys", "ann"])?["signatures"] == 1, "one key");
    std::fs::copy(publisher.place.folder().join("2.root.json"), publisher.place.folder().join(&draft))?;
    let published = publisher.json(&["sign", "repository", "--keys", "keys"])?;
    ensure!(published["published"] == true && published["version"] == 2, "{published}");
    let list = publisher.list()?;
    ensure!(list["roles"][0]["threshold"] == 2 && list["waiting_root"].is_null(), "{list}");
    let said = publisher.refusal(&["sign", "gone.json", "--keys", "keys"])?;
    ensure!(said.contains("gone.json is neither a repository nor a metadata file"), "{said}");
    let said = publisher.refusal(&["sign", "ann/ann.pub", "--keys", "keys"])?;
    ensure!(said.contains("ann/ann.pub makes no sense"), "{said}");
    Ok(())
}

#[test]
fn nothing_is_made_over_what_is_there_and_nothing_is_found_where_nothing_is() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    let before = publisher.json(&["key", "list", "--keys", "keys"])?;
    ensure!(before.as_array().is_some_and(|keys| keys.len() == 4), "{before}");
    let cases: [(&[&str], &str); 7] = [
        (
            &["init", "repository", "--keys", "keys"],
            "repository is not empty; a new repository needs a folder of its own",
        ),
        (&["init", "other", "--keys", "keys"], "keys/root.key is there already; a new key needs another name"),
        (&["key", "new", "root", "--keys", "keys"], "keys/root.key is there already; a new key needs another name"),
        (&["key", "new", "../a", "--keys", "keys"], "\"../a\" cannot name a key; use letters, digits, '-' and '_'"),
        (&["key", "list", "--keys", "gone"], "read keys from gone: "),
        (&["publish", "gone", "--keys", "keys"], "gone is no repository: it has no metadata/1.root.json"),
        (&["list", "keys"], "keys is no repository: it has no metadata/1.root.json (`selvedge ota init` makes one)"),
    ];
    for (arguments, words) in cases {
        let said = publisher.refusal(arguments)?;
        ensure!(said.contains(words), "{arguments:?}: {said}");
    }
    ensure!(publisher.json(&["key", "list", "--keys", "keys"])? == before, "the keys are what they were");
    std::fs::remove_file(publisher.place.folder().join("keys/snapshot.key"))?;
    publisher.add("1.0.0")?;
    let said = publisher.refusal(&["publish", "repository", "--keys", "keys", "--level", "3"])?;
    ensure!(said.contains("0 of the 1 keys that must sign snapshot are in keys; missing are "), "{said}");
    ensure!(publisher.list()?["roles"][1]["version"] == 1, "nodes see what they saw before");
    Ok(())
}

#[test]
fn every_command_explains_itself_with_examples() -> anyhow::Result<()> {
    let place = Place::new()?;
    let commands = ["init", "key", "add", "remove", "stage", "delegate", "publish", "rotate", "sign", "bundle", "list"];
    let mut all: Vec<Vec<&str>> = commands.iter().map(|command| vec!["ota", command, "--help"]).collect();
    all.extend([vec!["ota", "key", "new", "--help"], vec!["ota", "key", "list", "--help"]]);
    for words in all {
        let output = place.command(&words)?.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && said.contains("Examples:\n  selvedge ota "), "{words:?}: {said}");
        // `key` has the flag in its two commands.
        ensure!(said.contains("--json") || words == ["ota", "key", "--help"], "{words:?}: {said}");
    }
    let output = place.command(&["ota", "--help"])?.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(commands.iter().all(|command| said.contains(&format!("\n  {command} "))), "{said}");
    Ok(())
}
