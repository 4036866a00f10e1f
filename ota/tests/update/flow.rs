//! What a node does with a repository when all is well, and what it leaves.

use std::io::{self, Read};

use selvedge_ota::publisher::{self, bundle};
use selvedge_ota::source::bundle::Bundle;
use selvedge_ota::source::folder::Folder;
use selvedge_ota::source::{FetchError, Opened, Source};
use selvedge_ota::{Event, Occasion, Restart};
use selvedge_ota_metadata::{Clock, Kind, Rollout};
use selvedge_ota_slots::{Outcome, Started};

use crate::fixture::{DAEMON, DAY, NOW, Node, Publisher, daemon, program};

fn function(version: &str) -> Kind {
    Kind::Function {
        name: "alarm".to_owned(),
        version: version.to_owned(),
        manifest: format!("version = {version:?}"),
        architecture: None,
        compiled_for: None,
        rollout: None,
        paused: false,
    }
}

fn file(version: &str) -> Kind {
    Kind::File { name: "settings".to_owned(), version: version.to_owned(), rollout: None, paused: false }
}

#[test]
fn a_release_is_fetched_tried_and_confirmed_and_the_next_one_comes_as_a_patch() {
    let publisher = Publisher::new();
    publisher.release(2);
    let mut node = Node::new(&publisher);
    let report = node.update(&publisher).expect("update");
    assert_eq!(report.installed, [(DAEMON.to_owned(), "2.0.0".to_owned())]);
    assert_eq!(report.restart, Restart::Needed);
    assert_eq!(node.restart(), program(2));
    // While it is on probation, nothing else is.
    publisher.release(3);
    assert_eq!(node.outcome(&publisher), [format!("{DAEMON}: waits for the end of the probation")]);
    node.commit();
    node.update(&publisher).expect("update");
    let fetched = node.fetched().expect("something");
    assert!(fetched.contains(".from."), "{fetched}");
    assert_eq!(node.restart(), program(3));
    node.commit();
    assert_eq!(node.outcome(&publisher), [format!("{DAEMON}: up to date")]);
}

#[test]
fn a_node_with_a_base_that_nobody_made_a_patch_for_takes_the_whole() {
    let publisher = Publisher::new();
    publisher.release(2);
    publisher.release(3);
    let mut node = Node::new(&publisher);
    node.host.running = Some(b"built by hand".to_vec());
    node.facts.running = Some(crate::fixture::content(b"built by hand"));
    node.update(&publisher).expect("update");
    assert!(node.fetched().expect("something").ends_with(".full"), "{:?}", node.fetched());
    assert_eq!(node.restart(), program(3));
}

#[test]
fn a_patch_for_a_base_that_has_changed_gives_way_to_the_whole() {
    let publisher = Publisher::new();
    publisher.release(1);
    publisher.release(2);
    let mut node = Node::new(&publisher);
    // The running program is not what it is taken for: a flipped bit in the old slot.
    node.host.running.as_mut().expect("running")[5] ^= 1;
    node.update(&publisher).expect("update");
    let fallbacks: Vec<String> = node
        .events
        .borrow()
        .iter()
        .filter_map(|event| match event {
            Event::Fallback { cause, .. } => Some(cause.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(fallbacks.len(), 1, "{fallbacks:?}");
    assert!(fallbacks[0].starts_with("what is here now is not the base of daemon/x86_64/selvedge."), "{fallbacks:?}");
    assert_eq!(node.restart(), program(2));
}

#[test]
fn functions_and_files_are_handed_to_the_node_once_and_patched_after() {
    let publisher = Publisher::new();
    publisher.add("functions/alarm.wasm", &program(10), function("1"));
    publisher.add("files/settings", b"colour = \"red\"", file("1"));
    publisher.publish();
    let node = Node::new(&publisher);
    assert_eq!(node.outcome(&publisher), ["files/settings 1", "functions/alarm.wasm 1"]);
    assert_eq!(node.outcome(&publisher), ["files/settings: up to date", "functions/alarm.wasm: up to date"]);
    publisher.add("functions/alarm.wasm", &program(11), function("2"));
    publisher.publish();
    assert_eq!(node.outcome(&publisher), ["functions/alarm.wasm 2", "files/settings: up to date"]);
    assert!(node.fetched().expect("something").contains(".from."), "{:?}", node.fetched());
    let placed = node.host.placed.borrow();
    assert_eq!(placed["function alarm version = \"2\""], ("2".to_owned(), program(11)));
    assert_eq!(placed["file settings"].1, b"colour = \"red\"");
}

#[test]
fn a_new_manifest_for_the_same_bytes_is_an_update() {
    let publisher = Publisher::new();
    publisher.add("functions/alarm.wasm", &program(10), function("1"));
    publisher.publish();
    let node = Node::new(&publisher);
    node.update(&publisher).expect("update");
    publisher.add("functions/alarm.wasm", &program(10), function("2"));
    publisher.publish();
    assert_eq!(node.outcome(&publisher), ["functions/alarm.wasm 2"]);
}

#[test]
fn what_the_node_refuses_fails_alone_and_is_tried_again() {
    let publisher = Publisher::new();
    publisher.add("files/settings", b"1", file("1"));
    publisher.add(
        "files/other",
        b"1",
        Kind::File { name: "other".into(), version: "1".into(), rollout: None, paused: false },
    );
    publisher.publish();
    let node = Node::new(&publisher);
    *node.host.refuses.borrow_mut() = Some("the command after it failed: exit status 3".to_owned());
    assert_eq!(
        node.outcome(&publisher),
        [
            "files/other: there is no [ota.files.other] in the configuration",
            "files/settings: the command after it failed: exit status 3"
        ]
    );
    *node.host.refuses.borrow_mut() = None;
    assert_eq!(node.outcome(&publisher)[0], "files/settings 1");
}

#[test]
fn a_program_that_does_not_run_here_is_not_put_on_trial_nor_tried_again() {
    let publisher = Publisher::new();
    publisher.release(2);
    let mut node = Node::new(&publisher);
    *node.host.refuses.borrow_mut() = Some("it wants a newer libc".to_owned());
    assert_eq!(
        node.outcome(&publisher),
        [format!("{DAEMON}: the new program does not run here: it wants a newer libc")]
    );
    assert_eq!(node.start().started, Started::Package);
    *node.host.refuses.borrow_mut() = None;
    let refused =
        format!("{DAEMON}: not tried again, because it did not hold: it wants a newer libc (`selvedge ota retry`)");
    assert_eq!(node.outcome(&publisher), [refused]);
    node.occasion = Occasion::Operator;
    assert_eq!(node.outcome(&publisher), [format!("{DAEMON} 2.0.0")]);
}

#[test]
fn a_program_that_was_rolled_back_is_not_tried_again_by_itself() {
    let publisher = Publisher::new();
    publisher.release(2);
    let node = Node::new(&publisher);
    node.update(&publisher).expect("update");
    node.start();
    node.agent().slots().roll_back("MQTT does not answer", 5).expect("roll back");
    let lines = node.outcome(&publisher);
    assert!(lines[0].ends_with("did not hold: MQTT does not answer (`selvedge ota retry`)"), "{lines:?}");
    publisher.release(3);
    assert_eq!(node.outcome(&publisher), [format!("{DAEMON} 3.0.0")]);
}

#[test]
fn what_the_operator_lets_be_tried_again_stays_so_until_it_fails_again() {
    let publisher = Publisher::new();
    publisher.release(2);
    let mut node = Node::new(&publisher);
    // By a clock that is not known the second trial ends when the first did.
    for at_unix_s in [5, 0, 0] {
        assert_eq!(node.outcome(&publisher), [format!("{DAEMON} 2.0.0")]);
        node.restart();
        node.agent().recover().expect("recover on trial");
        assert!(node.agent().state().expect("state").refused.is_empty(), "it is on trial");
        node.agent().slots().roll_back("MQTT does not answer", at_unix_s).expect("roll back");
        node.restart();
        for _ in 0..2 {
            node.agent().recover().expect("recover");
            assert_eq!(node.agent().state().expect("state").refused.len(), 1);
        }
        node.agent().change_state(|state| state.refused.clear()).expect("retry");
        for _ in 0..2 {
            node.agent().recover().expect("recover after a restart");
            assert!(node.agent().state().expect("state").refused.is_empty(), "it may be tried again");
        }
    }
}

#[test]
fn pauses_windows_and_roll_outs_hold_back_what_comes_by_itself() {
    let publisher = Publisher::new();
    publisher.release(2);
    let mut node = Node::new(&publisher);
    node.agent().change_state(|state| state.paused = true).expect("pause");
    assert_eq!(node.outcome(&publisher), [format!("{DAEMON}: updates are paused (`selvedge ota resume`)")]);
    node.agent().change_state(|state| state.paused = false).expect("resume");
    // It is 8 o'clock.
    node.facts.windows = vec!["02:00-04:00".parse().expect("window")];
    assert_eq!(node.outcome(&publisher), [format!("{DAEMON}: waits for the maintenance window")]);
    node.facts.windows = Vec::new();
    publisher.open().stage("targets", DAEMON, None, Some(true)).expect("pause");
    publisher.publish();
    assert_eq!(node.outcome(&publisher), [format!("{DAEMON}: paused by the publisher")]);
    publisher.open().stage("targets", DAEMON, Some(Rollout::new(0, "spring")), Some(false)).expect("stage");
    publisher.publish();
    let lines = node.outcome(&publisher);
    assert_eq!(lines, [format!("{DAEMON}: rolled out to 0 % of the nodes, and this one is not among them")]);
    node.occasion = Occasion::Operator;
    assert_eq!(node.outcome(&publisher), [format!("{DAEMON} 2.0.0")]);
}

#[test]
fn below_the_floor_or_the_data_format_nothing_goes_even_for_the_operator() {
    let publisher = Publisher::new();
    publisher.release(2);
    let mut node = Node::new(&publisher);
    node.occasion = Occasion::Operator;
    node.agent().change_state(|state| state.security_floor = 3).expect("floor");
    let lines = node.outcome(&publisher);
    assert_eq!(lines, [format!("{DAEMON}: its security floor 0 is below 3, that of a version that ran here")]);
    node.agent().change_state(|state| (state.security_floor, state.data_format) = (0, 2)).expect("format");
    let lines = node.outcome(&publisher);
    assert_eq!(lines, [format!("{DAEMON}: it reads data format 1, and the data of this node has 2")]);
}

#[test]
fn a_confirmed_program_raises_floor_and_format() {
    let publisher = Publisher::new();
    let kind = Kind::Daemon {
        version: "2".into(),
        architecture: selvedge_ota_metadata::Architecture::X86_64,
        data_format: 4,
        security_floor: 9,
        rollout: None,
        paused: false,
    };
    publisher.add(DAEMON, &program(2), kind);
    publisher.publish();
    let mut node = Node::new(&publisher);
    node.update(&publisher).expect("update");
    node.restart();
    node.agent().recover().expect("recover");
    assert_eq!(node.agent().state().expect("state").data_format, 1, "not while it is on probation");
    node.commit();
    node.agent().recover().expect("recover");
    let state = node.agent().state().expect("state");
    assert_eq!((state.data_format, state.security_floor), (4, 9));
}

#[test]
fn a_bundle_brings_the_same() {
    let publisher = Publisher::new();
    publisher.release(1);
    publisher.release(2);
    let file = publisher.folder.path().join("update.selvedge");
    let base = crate::fixture::content(&program(1)).sha256.map(|byte| format!("{byte:02x}")).concat();
    let with_patch = bundle(&publisher.open(), &file, &[], &[base[..12].to_owned()]).expect("bundle");
    let mut node = Node::new(&publisher);
    node.update_from(&mut Bundle::open(&file).expect("open")).expect("update");
    assert_eq!(node.restart(), program(2));
    let whole = bundle(&publisher.open(), &file, &[], &[]).expect("bundle");
    assert!(
        with_patch.targets[0].1.contains(".from.") && whole.targets[0].1.ends_with(".full"),
        "{with_patch:?} {whole:?}"
    );
    assert!(whole.bytes > with_patch.bytes, "{whole:?} {with_patch:?}");
    let mut node = Node::new(&publisher);
    node.update_from(&mut Bundle::open(&file).expect("open")).expect("update");
    assert_eq!(node.restart(), program(2));
    let error = bundle(&publisher.open(), &file, &["daemon/arm".to_owned()], &[]).expect_err("none");
    assert_eq!(error.to_string(), "there is no target daemon/arm");
}

#[test]
fn a_replayed_bundle_changes_nothing() {
    let publisher = Publisher::new();
    publisher.release(2);
    let file = publisher.folder.path().join("update.selvedge");
    bundle(&publisher.open(), &file, &[], &[]).expect("bundle");
    publisher.release(3);
    let mut node = Node::new(&publisher);
    node.update(&publisher).expect("update");
    node.restart();
    node.commit();
    let error = node.update_from(&mut Bundle::open(&file).expect("open")).expect_err("older");
    let text = crate::fixture::with_causes(&error);
    assert!(text.starts_with("timestamp.json of ") && text.contains("version"), "{text}");
    assert_eq!(node.restart(), program(3));
}

/// Breaks off after some bytes of each payload, once for each number.
struct Flaky {
    inner: Folder,
    breaks: Vec<u64>,
    asked: Vec<(String, u64)>,
}

impl Source for Flaky {
    fn open(&mut self, path: &str, from: u64, bytes_max: u64) -> Result<Option<Opened<'_>>, FetchError> {
        let is_payload = path.starts_with("targets/");
        if is_payload {
            self.asked.push((path.to_owned(), from));
        }
        let limit = if is_payload { self.breaks.pop() } else { None };
        let Some(opened) = self.inner.open(path, from, bytes_max)? else { return Ok(None) };
        let starts_at = opened.starts_at;
        let reader: Box<dyn Read> = match limit {
            Some(limit) => Box::new(opened.reader.take(limit).chain(Broken)),
            None => opened.reader,
        };
        Ok(Some(Opened { reader, starts_at }))
    }

    fn name(&self) -> String {
        "a bad link".to_owned()
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let publisher = Publisher::new();
    publisher.release(2);
    let mut node = Node::new(&publisher);
    let mut source = Flaky { inner: Folder::new(&publisher.repository()), breaks: vec![1000, 4000], asked: vec![] };
    for expected in ["stopped coming after 4000 of ", "stopped coming after 5000 of "] {
        let report = node.update_from(&mut source).expect("the rest is well");
        let text = report.failed[0].2.to_string();
        assert!(text.contains(expected), "{text}");
    }
    node.update_from(&mut source).expect("update");
    let from: Vec<u64> = source.asked.iter().map(|(_, from)| *from).collect();
    assert_eq!(from, [0, 4000, 5000]);
    assert_eq!(node.restart(), program(2));
}

#[test]
fn a_node_that_slept_for_years_follows_the_roots() {
    let mut publisher = Publisher::new();
    let node = Node::new(&publisher);
    let mut now = NOW;
    for year in 1..=4_u8 {
        now += 360 * DAY;
        let key =
            publisher::keys::make(&publisher.keys_folder(), &format!("root-{year}"), &publisher.seed()).expect("key");
        let old: Vec<String> =
            publisher.open().root().root.keys.iter().map(|key| key.id().as_str().to_owned()).collect();
        let change = publisher
            .open()
            .rotate(
                &selvedge_ota_metadata::Role::Root,
                (vec![key.public().clone()], &old),
                None,
                &publisher.keys(),
                (now, &publisher::Days { root: 400, ..Default::default() }),
            )
            .expect("rotate");
        assert_eq!(change, crate::fixture::RootChange::Published { version: u64::from(year) + 1 });
        publisher.publish_at(now);
    }
    publisher.add(DAEMON, &program(2), daemon("2.0.0"));
    publisher.publish_at(now);
    let node = Node { clock: Clock::trusted(now), ..node };
    node.update(&publisher).expect("update");
    assert_eq!(node.agent().trust().expect("read").expect("trusted").root().version, 5);
    assert_eq!(node.agent().slots().record().expect("record").ended.map(|ended| ended.outcome), None::<Outcome>);
}
