//! Repositories that python-tuf made are read, and python-tuf reads ours.
//!
//! The first part replays what `tests/python_tuf.py make` wrote below `tests/fixtures/python_tuf`, with what python-tuf's own
//! client believed then. The second runs python-tuf itself, if `SELVEDGE_PYTHON_TUF` names a Python that has it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::random::Random;
use crate::repository::{DAY, NOW, Repository, attempt, delegation, key, key_set, path, targets};
use selvedge_ota_metadata::{
    Clock, Limits, PathPattern, Refreshed, Role, RoleName, Target, TargetPath, Trust, canonical,
};

const PYTHON: &str = "SELVEDGE_PYTHON_TUF";

/// One state of a repository, as a directory.
struct Stage {
    files: BTreeMap<String, Vec<u8>>,
    asked: Vec<String>,
    believed: Value,
}

fn read_stage(directory: &Path) -> Stage {
    let file = |name: &str| std::fs::read(directory.join(name)).unwrap();
    Stage {
        files: read_files(&directory.join("metadata")),
        asked: serde_json::from_slice(&file("ask.json")).unwrap(),
        believed: serde_json::from_slice(&file("believed.json")).unwrap(),
    }
}

fn read_files(metadata: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(metadata).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/python_tuf")
}

/// The files of every stage.
pub fn fixture_files() -> Vec<BTreeMap<String, Vec<u8>>> {
    (1..=3).map(|number| read_files(&fixtures().join(number.to_string()).join("metadata"))).collect()
}

fn refreshed(files: &BTreeMap<String, Vec<u8>>, trust: &Trust) -> Refreshed {
    attempt(files, trust, Clock::trusted(NOW), Limits::default()).outcome.unwrap()
}

/// What a device believes, in the words of the script.
fn believed(trust: &Trust, asked: &[String]) -> Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let targets: serde_json::Map<_, _> = asked
        .iter()
        .map(|text| {
            let found = trust.find(&path(text)).unwrap();
            let answer = found.map(|(_, target)| json!({ "length": target.length, "sha256": hex(&target.sha256) }));
            (text.clone(), json!(answer))
        })
        .collect();
    let versions: serde_json::Map<_, _> = trust
        .standings()
        .iter()
        .filter(|standing| !matches!(standing.role, Role::Delegated(_)))
        .map(|standing| (standing.role.name().to_owned(), json!(standing.version)))
        .collect();
    json!({ "versions": versions, "targets": targets })
}

#[test]
fn what_python_tuf_made_is_believed_as_python_tuf_believes_it() {
    follow(&fixtures());
}

/// A device that sees every stage, and one that slept until the last.
fn follow(directory: &Path) {
    let stages: Vec<_> = (1..=3).map(|number| read_stage(&directory.join(number.to_string()))).collect();
    let pinned = Trust::pin(&stages[0].files["1.root.json"]).unwrap();
    let mut trust = pinned.clone();
    for stage in &stages {
        let seen = refreshed(&stage.files, &trust);
        assert_eq!(seen.problems, []);
        trust = seen.trust;
        assert_eq!(believed(&trust, &stage.asked), stage.believed);
    }
    let slept = refreshed(&stages[2].files, &pinned).trust;
    assert_eq!(believed(&slept, &stages[2].asked), stages[2].believed);
}

#[test]
fn what_python_tuf_made_has_our_block_in_it() {
    let stage = read_stage(&fixtures().join("2"));
    let trust = refreshed(&stage.files, &Trust::pin(&stage.files["1.root.json"]).unwrap()).trust;
    let (_, target) = trust.find(&path("daemon/selvedge")).unwrap().unwrap();
    let kind = target.kind().unwrap();
    assert!(matches!(kind, Some(selvedge_ota_metadata::Kind::Daemon { version, .. }) if version == "2.0.0"));
}

/// The Python to run, or None after having said so.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    if python.is_none() {
        // Not `eprintln!`, which nobody sees of a test that passes.
        let _ = writeln!(
            std::io::stdout(),
            "SKIPPED beside python-tuf: {PYTHON} does not name a Python with `pip install tuf securesystemslib[crypto]`; `cargo xtask test` does"
        );
    }
    python
}

fn script(python: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python_tuf.py"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn live_what_python_tuf_makes_now_is_believed() {
    let Some(python) = python() else { return };
    eprintln!("{}", script(&python, &["versions"], "").trim());
    let directory = tempfile::tempdir().unwrap();
    script(&python, &["make", directory.path().to_str().unwrap()], "");
    follow(directory.path());
}

fn write(repository: &Repository, directory: &Path, asked: &[&str]) {
    for (name, bytes) in &repository.files {
        let place = directory.join("metadata").join(name);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, bytes).unwrap();
    }
    let all = std::iter::once(&repository.targets).chain(repository.roles.values().map(|(role, _)| role));
    for (path, target) in all.flat_map(|role| &role.targets) {
        let place = directory.join("targets").join(path.hashed_path(&target.sha256));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, content(path)).unwrap();
    }
    std::fs::write(directory.join("ask.json"), json!(asked).to_string()).unwrap();
}

fn content(path: &TargetPath) -> String {
    format!("the content of {path}")
}

fn real_target(text: &str) -> (TargetPath, Target) {
    let path = path(text);
    let bytes = content(&path);
    let custom = Some(json!({ "note": "é \" \\ \u{1}" }));
    let target = Target { length: bytes.len() as u64, sha256: Sha256::digest(&bytes).into(), custom };
    (path, target)
}

#[test]
fn live_python_tuf_believes_what_is_signed_here() {
    let Some(python) = python() else { return };
    let directory = tempfile::tempdir().unwrap();
    let client = directory.path().join("client");
    let asked = ["daemon/selvedge", "functions/a", "functions/b", "functions/extra", "nobody/knows"];
    // python-tuf takes the time from the clock.
    let far = NOW + 60 * 365 * DAY;

    let mut repository = Repository::new();
    repository.root.root = key_set(&[&key(1), &key(5), &key(6)], 2);
    repository.root_keys = vec![key(1), key(6)];
    repository.root.expires_unix_s = far;
    repository.publish_root();
    for expiry in [&mut repository.timestamp.expires_unix_s, &mut repository.snapshot.expires_unix_s] {
        *expiry = far;
    }
    repository.targets.expires_unix_s = far;
    repository.targets.targets = [real_target("daemon/selvedge")].into();
    repository.targets.delegations = vec![
        delegation("functions", &[&key(10), &key(11)], &["functions/?"]),
        delegation("more", &[&key(12)], &["functions/*"]),
    ];
    let (mut functions, mut more) = (targets(0, &[]), targets(0, &[]));
    (functions.expires_unix_s, more.expires_unix_s) = (far, far);
    functions.targets = [real_target("functions/a"), real_target("functions/extra")].into();
    more.targets = [real_target("functions/a"), real_target("functions/b")].into();
    repository.roles.insert("functions", (functions, key(11)));
    repository.roles.insert("more", (more, key(12)));
    repository.publish();

    let mut trust = repository.pinned();
    for round in 0..3_u8 {
        let place = directory.path().join(format!("round-{round}"));
        write(&repository, &place, &asked);
        let said = script(&python, &["client", place.to_str().unwrap(), client.to_str().unwrap()], "");
        trust = repository.refresh(&trust).unwrap().trust;
        let asked = asked.map(str::to_owned);
        assert_eq!(believed(&trust, &asked), serde_json::from_str::<Value>(&said).unwrap(), "round {round}");

        // The next one: new keys everywhere, and versions that go back, as after a theft of keys.
        let next = [key(101 + round), key(111 + round), key(121 + round), key(131 + round)];
        repository.root_keys.push(next[0].clone());
        repository.next_root(|root| {
            root.root = key_set(&[&key(1), &key(6), &next[0]], 2);
            root.timestamp = key_set(&[&next[1]], 1);
            root.snapshot = key_set(&[&next[2]], 1);
            root.targets = key_set(&[&next[3]], 1);
        });
        [repository.timestamp_key, repository.snapshot_key, repository.targets_key] =
            [1, 2, 3].map(|at| next[at].clone());
        (repository.timestamp.version, repository.snapshot.version) = (0, 0);
        repository.publish();
    }
}

#[test]
fn live_patterns_match_what_python_tuf_says() {
    let Some(python) = python() else { return };
    let mut random = Random::new(7);
    let mut text = |alphabet: &[char], length: usize| -> String {
        (0..=random.below(length)).map(|_| alphabet[random.below(alphabet.len())]).collect()
    };
    let mut cases = Vec::new();
    while cases.len() < 200_000 {
        let pattern = text(&['a', 'b', 'c', '*', '?', '[', ']', '!', '-', '/', '.', '^', '\\', 'é'], 9);
        let target = text(&['a', 'b', 'c', '-', '/', '!', '[', ']', '.', '^', 'é'], 6);
        if let (Ok(pattern), Ok(target)) = (PathPattern::new(pattern), TargetPath::new(target)) {
            cases.push((pattern, target));
        }
    }
    let input: String =
        cases.iter().map(|(pattern, target)| format!("{}\n", json!([pattern.as_str(), target.as_str()]))).collect();
    let answers = script(&python, &["match"], &input);
    let mut matching = 0;
    for ((pattern, target), answer) in cases.iter().zip(answers.lines()) {
        assert_eq!(pattern.matches(target).to_string(), answer, "{pattern:?} {target:?}");
        matching += usize::from(answer == "true");
    }
    assert_eq!(answers.lines().count(), cases.len());
    eprintln!("{} patterns and paths, {matching} of them match", cases.len());
    assert!(matching > 1_000);
}

#[test]
fn live_canonical_forms_are_those_of_securesystemslib() {
    let Some(python) = python() else { return };
    let mut random = Random::new(8);
    let values: Vec<_> = (0..20_000).map(|_| random.json(4)).collect();
    let input: String = values.iter().map(|value| format!("{value}\n")).collect();
    let answers = script(&python, &["canonical"], &input);
    for (value, answer) in values.iter().zip(answers.lines()) {
        let ours: String = canonical(value).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(ours, answer, "{value}");
    }
    assert_eq!(answers.lines().count(), values.len());
}

#[test]
fn a_role_with_a_slash_in_its_name_is_asked_for_by_one_name() {
    let role = Role::Delegated(RoleName::new("vendor/one").unwrap());
    assert!(fixture_files()[0].contains_key(&role.file_name(Some(1))));
}
