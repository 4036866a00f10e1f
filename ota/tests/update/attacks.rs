//! The attacks of the TUF specification and some more, as a node meets them: each refused, with what a person sees.

use std::cell::Cell;

use selvedge_ota::{AgentLimits, Restart};
use selvedge_ota_metadata::Clock;

use crate::fixture::{Change, DAEMON, DAY, NOW, Node, Publisher, Tampered, content, program, with_causes};

/// What a person sees when the node is told `change` of each file; the node goes on with what it had.
fn refusal(publisher: &Publisher, node: &Node, change: Change<'_>) -> String {
    let text = match node.update_from(&mut Tampered::new(publisher, change)) {
        Err(error) => with_causes(&error),
        Ok(report) => {
            assert_eq!(report.restart, Restart::NotNeeded, "{report:?}");
            let failed = report.failed.first().map(|(_, _, error)| with_causes(error));
            failed.or_else(|| report.problems.first().cloned()).unwrap_or_default()
        }
    };
    assert!(!text.is_empty(), "nothing was refused");
    assert_eq!(node.agent().slots().record().expect("record").candidate, None, "{text}");
    text
}

fn as_is(_: &str, bytes: Vec<u8>) -> Option<Vec<u8>> {
    if bytes.is_empty() { None } else { Some(bytes) }
}

#[test]
fn arbitrary_software() {
    let publisher = Publisher::new();
    publisher.release(2);
    let text = refusal(&publisher, &Node::new(&publisher), &|path, bytes| match as_is(path, bytes) {
        Some(bytes) if path.starts_with("targets/") => Some(vec![0x7f; bytes.len()]),
        other => other,
    });
    assert!(
        text.contains(" of the mirror is not what was signed: ")
            || text.contains("is not what was signed: its sha256 is "),
        "{text}"
    );
}

#[test]
fn arbitrary_metadata() {
    let publisher = Publisher::new();
    publisher.release(2);
    let other = Publisher::new();
    other.release(3);
    // Another publisher's files: well made, by keys that nobody here trusts. All seeds are the same, so one key differs by one.
    let forged = std::fs::read_to_string(publisher.repository().join("metadata/timestamp.json")).expect("read");
    let forged = forged.replacen("\"version\":2", "\"version\":9", 1);
    let text = refusal(&publisher, &Node::new(&publisher), &|path, bytes| {
        if path.ends_with("timestamp.json") { Some(forged.clone().into_bytes()) } else { as_is(path, bytes) }
    });
    assert!(text.starts_with("timestamp.json of the mirror is refused: ") && text.contains("signed"), "{text}");
}

#[test]
fn endless_data() {
    let publisher = Publisher::new();
    publisher.release(2);
    let node = Node::new(&publisher);
    let text = refusal(&publisher, &node, &|path, bytes| {
        if path.ends_with("timestamp.json") { Some(vec![b' '; 1 << 20]) } else { as_is(path, bytes) }
    });
    assert!(text.contains("metadata/timestamp.json of the mirror has more than the "), "{text}");
    let text = refusal(&publisher, &node, &|path, bytes| match as_is(path, bytes) {
        Some(mut bytes) if path.starts_with("targets/") => {
            bytes.extend(vec![0; 1 << 20]);
            Some(bytes)
        }
        other => other,
    });
    assert!(text.contains("is not what was signed: it has more than "), "{text}");
}

#[test]
fn extraneous_dependencies_are_not_asked_for() {
    let publisher = Publisher::new();
    publisher.release(2);
    let node = Node::new(&publisher);
    let asked = Cell::new(0);
    let change = |path: &str, bytes: Vec<u8>| {
        if path.starts_with("targets/") {
            asked.set(asked.get() + 1);
            assert!(path.starts_with("targets/daemon/x86_64/"), "{path}");
        }
        as_is(path, bytes)
    };
    node.update_from(&mut Tampered::new(&publisher, &change)).expect("update");
    assert_eq!(asked.get(), 1);
}

#[test]
fn freeze() {
    let publisher = Publisher::new();
    publisher.release(2);
    let node = Node { clock: Clock::trusted(NOW + 31 * DAY), ..Node::new(&publisher) };
    let text = refusal(&publisher, &node, &as_is);
    assert!(text.starts_with("timestamp.json of the mirror is refused: ") && text.contains("expired"), "{text}");
}

#[test]
fn a_clock_that_was_set_back_does_not_thaw() {
    let publisher = Publisher::new();
    publisher.release(2);
    let old = publisher.fork();
    publisher.publish_at(NOW + 40 * DAY);
    let mut node = Node { clock: Clock::trusted(NOW + 40 * DAY), ..Node::new(&publisher) };
    node.update(&publisher).expect("update");
    for clock in [Clock::trusted(NOW), Clock::trusted(0), Clock::unknown()] {
        node.clock = clock;
        let text = refusal_after(&old, &node);
        assert!(text.contains("version") || text.contains("expired"), "{text}");
    }
}

/// The same for a node with a program on trial.
fn refusal_after(publisher: &Publisher, node: &Node) -> String {
    with_causes(&node.update(publisher).expect_err("refused"))
}

#[test]
fn a_clock_at_1970_is_no_reason_to_refuse_nor_to_believe() {
    let publisher = Publisher::new();
    publisher.release(2);
    let node = Node { clock: Clock::unknown().built_at(NOW - DAY), ..Node::new(&publisher) };
    node.update(&publisher).expect("update");
    let node = Node { clock: Clock::unknown().built_at(NOW + 31 * DAY), ..Node::new(&publisher) };
    let text = refusal(&publisher, &node, &as_is);
    assert!(text.contains("expired"), "{text}");
}

#[test]
fn malicious_mirror_without_the_newest_files() {
    let publisher = Publisher::new();
    publisher.release(2);
    let node = Node::new(&publisher);
    for name in ["snapshot.json", "targets.json", "timestamp.json"] {
        let text = refusal(&publisher, &node, &|path, bytes| {
            if path.ends_with(name) && path.starts_with("metadata/") { None } else { as_is(path, bytes) }
        });
        assert!(text.contains(name) && text.contains("the mirror"), "{name}: {text}");
    }
    let text =
        refusal(&publisher, &node, &|path, bytes| if path.starts_with("targets/") { None } else { as_is(path, bytes) });
    assert!(text.contains("is not in the mirror"), "{text}");
}

#[test]
fn mix_and_match() {
    let publisher = Publisher::new();
    publisher.release(2);
    let old = std::fs::read(publisher.repository().join("metadata/2.targets.json")).expect("read");
    publisher.release(3);
    let text = refusal(&publisher, &Node::new(&publisher), &|path, bytes| {
        if path == "metadata/3.targets.json" { Some(old.clone()) } else { as_is(path, bytes) }
    });
    assert!(text.starts_with("3.targets.json of the mirror is refused: "), "{text}");
}

#[test]
fn roll_back() {
    let publisher = Publisher::new();
    publisher.release(2);
    let old = publisher.fork();
    publisher.release(3);
    let node = Node::new(&publisher);
    node.update(&publisher).expect("update");
    let text = refusal_after(&old, &node);
    assert!(text.starts_with("timestamp.json of ") && text.contains("version 2") && text.contains("3"), "{text}");
}

#[test]
fn wrong_software_under_a_signed_name() {
    let publisher = Publisher::new();
    publisher.release(2);
    // A mirror answers with another signed content, of another target.
    publisher.add(
        "files/settings",
        &program(9),
        selvedge_ota_metadata::Kind::File {
            name: "settings".into(),
            version: "1".into(),
            rollout: None,
            paused: false,
        },
    );
    publisher.publish();
    let node = Node::new(&publisher);
    let other = program(9);
    let change = |path: &str, bytes: Vec<u8>| {
        if path.starts_with("targets/daemon") { Some(other.clone()) } else { as_is(path, bytes) }
    };
    let report = node.update_from(&mut Tampered::new(&publisher, &change)).expect("the file is well");
    assert_eq!(report.installed[0].0, "files/settings");
    let (path, _, error) = &report.failed[0];
    assert_eq!(path, DAEMON);
    assert!(with_causes(error).contains("is not what was signed"), "{error}");
}

#[test]
fn a_decompression_bomb_stops_at_the_signed_length() {
    let publisher = Publisher::new();
    publisher.release(2);
    let node = Node::new(&publisher);
    // A payload whose header is right and whose stream is endless; only its hash in the metadata is forged with it, by a
    // publisher who has lost his mind.
    let bomb = selvedge_ota_patch::make_full(&vec![0; 8 << 20], &selvedge_ota_patch::Options::default(), &mut |_| {})
        .expect("bomb");
    let repository = publisher.repository();
    let custom = selvedge_ota_metadata::Kind::Patch { base: None, result: content(&program(2)) };
    publisher.add("daemon/x86_64/selvedge.bomb", &bomb.bytes, custom);
    publisher.publish();
    assert!(repository.join("metadata/timestamp.json").exists());
    let report = node.update(&publisher).expect("update");
    assert_eq!(report.restart, Restart::Needed, "the next way was taken");
    let fallback = node.events.borrow().iter().find_map(|event| match event {
        selvedge_ota::Event::Fallback { cause, .. } => Some(cause.clone()),
        _ => None,
    });
    let text = fallback.expect("the bomb was the shortest way");
    assert!(text.starts_with("daemon/x86_64/selvedge.bomb cannot be used: "), "{text}");
}

#[test]
fn a_content_beyond_the_limit_is_not_fetched() {
    let publisher = Publisher::new();
    publisher.release(2);
    let node = Node::new(&publisher);
    let length = program(2).len() as u64;
    for (allowed, taken) in [(length - 1, false), (length, true)] {
        let limits = AgentLimits { content_bytes_max: allowed, ..AgentLimits::default() };
        let agent = selvedge_ota::Agent::new(
            std::sync::Arc::new(node.disk.copy()),
            std::path::Path::new(crate::fixture::FOLDER),
            limits,
        );
        let mut source = selvedge_ota::source::folder::Folder::new(&publisher.repository());
        let report = agent
            .update(&mut selvedge_ota::Run {
                source: &mut source,
                host: &node.host,
                facts: node.facts.clone(),
                occasion: node.occasion,
                clock: node.clock,
                events: &mut |_| {},
            })
            .expect("update");
        assert_eq!(report.restart == Restart::Needed, taken);
        if !taken {
            assert_eq!(
                report.failed[0].2.to_string(),
                format!("it has {length} bytes, and ota.content_bytes_max allows {allowed}")
            );
        }
    }
}

#[test]
fn without_a_pinned_root_nobody_is_believed() {
    let publisher = Publisher::new();
    publisher.release(2);
    let node =
        Node::on(selvedge_ota_slots::simulation::SimulatedDisk::new(std::path::Path::new(crate::fixture::FOLDER)));
    let text = refusal_after(&publisher, &node);
    assert!(text.starts_with("no root is trusted yet: set ota.root"), "{text}");
    assert!(node.agent().pin(b"{}").is_err());
}
