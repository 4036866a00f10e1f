//! The publisher's side: keys, drafts, thresholds, delegations.

use std::os::unix::fs::PermissionsExt;

use selvedge_ota::publisher::{self, Addition, Days, Keys, PublishError, PublishOptions, Rehearsal, Repository, keys};
use selvedge_ota_metadata::{KeySet, Kind, PathPattern, Role};

use crate::fixture::{DAEMON, DAY, NOW, Node, Publisher, RootChange, daemon, program};

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_is_seen_before_it_is_published() {
    let publisher = Publisher::new();
    let before = names(&publisher.repository().join("metadata"));
    publisher.add(DAEMON, &program(2), daemon("2.0.0"));
    assert_eq!(names(&publisher.repository().join("metadata")), before);
    let options = PublishOptions { rehearsal: Rehearsal::Yes, level: 3, ..PublishOptions::default() };
    let rehearsed = publisher.open().publish(&publisher.keys(), &options, NOW, &mut |_| {}).expect("rehearse");
    assert_eq!((rehearsed.sizes.len(), rehearsed.sizes[0].plain), (1, program(2).len() as u64));
    assert_eq!(names(&publisher.repository().join("metadata")), before);
    let published = publisher.publish();
    assert_eq!(published.sizes, rehearsed.sizes);
    assert!(publisher.open().drafts().expect("drafts").is_empty());
    assert!(publisher.open().targets()[&Role::Targets].targets.len() >= 2);
}

#[test]
fn sizes_say_what_each_way_costs() {
    let publisher = Publisher::new();
    publisher.release(1);
    publisher.release(2);
    let published = publisher.release(3);
    let size = &published.sizes[0];
    assert_eq!(size.patches.len(), 2, "{size:?}");
    let (full, patch) = (size.compressed.unwrap_or(size.plain), size.patches[0].1);
    assert!(patch * 4 < full && full <= size.plain, "{size:?}");
}

#[test]
fn without_changes_only_the_timestamp_is_signed_until_more_runs_out() {
    let publisher = Publisher::new();
    publisher.release(2);
    let roles = |now| publisher.publish_at(now).roles.into_iter().map(|(role, _)| role).collect::<Vec<_>>();
    assert_eq!(roles(NOW + DAY), ["timestamp"]);
    assert_eq!(roles(NOW + 60 * DAY), ["snapshot", "timestamp"]);
    assert_eq!(roles(NOW + 200 * DAY), ["targets", "snapshot", "timestamp"]);
}

#[test]
fn missing_keys_are_named() {
    let publisher = Publisher::new();
    publisher.add(DAEMON, &program(2), daemon("2.0.0"));
    std::fs::remove_file(publisher.keys_folder().join("targets.key")).expect("remove");
    let options = PublishOptions { level: 1, ..PublishOptions::default() };
    let error = publisher.open().publish(&publisher.keys(), &options, NOW, &mut |_| {}).expect_err("no key");
    let id = publisher.open().root().targets.keys[0].id().as_str().to_owned();
    let text = error.to_string();
    assert!(text.starts_with("0 of the 1 keys that must sign targets are in ") && text.ends_with(&id), "{text}");
    Node::new(&publisher).update(&publisher).expect("nodes see what they saw before");
}

#[test]
fn key_files_are_for_their_owner() {
    let publisher = Publisher::new();
    let path = publisher.keys_folder().join("root.key");
    assert_eq!(std::fs::metadata(&path).expect("key").permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("open it");
    let text = Keys::read(&publisher.keys_folder()).expect_err("open").to_string();
    assert!(text.contains("can be read by others: chmod 600 it"), "{text}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("close it");
    std::fs::write(&path, "{}").expect("damage");
    let text = Keys::read(&publisher.keys_folder()).expect_err("damaged").to_string();
    assert!(text.contains("is no key file (`selvedge ota key new` makes them)"), "{text}");
}

#[test]
fn a_key_or_a_repository_is_never_overwritten() {
    let mut publisher = Publisher::new();
    let seed = publisher.seed();
    let error = keys::make(&publisher.keys_folder(), "root", &seed).expect_err("there is one");
    assert!(error.to_string().ends_with("is there already; a new key needs another name"), "{error}");
    assert!(keys::make(&publisher.keys_folder(), "../root", &seed).is_err());
    let other = publisher.folder.path().join("other");
    let error =
        publisher::create(&publisher.repository(), &other, &Days::default(), NOW, &mut || seed).expect_err("in use");
    assert!(error.to_string().contains("is not empty"), "{error}");
    let error = Repository::open(&other).expect_err("none");
    assert!(error.to_string().contains("is no repository: it has no metadata/1.root.json"), "{error}");
}

#[test]
fn a_root_with_a_threshold_waits_for_its_signatures() {
    let mut publisher = Publisher::new();
    let vault = publisher.folder.path().join("vault");
    let seed = publisher.seed();
    let second = keys::make(&vault, "root-2", &seed).expect("key");
    let (online, now) = (publisher.keys(), (NOW, &Days::default()));
    let change = publisher
        .open()
        .rotate(&Role::Root, (vec![second.public().clone()], &[]), Some(2), &online, now)
        .expect("rotate");
    let RootChange::Waits { draft, before, own } = change else { panic!("one key is missing: {change:?}") };
    assert_eq!((before, own), ((1, 1), (1, 2)));
    Node::new(&publisher).update(&publisher).expect("nodes do not see it");
    // Signed where the key is, then published where the repository is.
    let vault = Keys::read(&vault).expect("vault");
    assert_eq!(publisher::sign_file(&draft, &vault).expect("sign"), 1);
    let change = publisher.open().sign_waiting_root(&online).expect("publish");
    assert_eq!(change, RootChange::Published { version: 2 });
    let node = Node::new(&publisher);
    node.update(&publisher).expect("update");
    assert_eq!(node.agent().trust().expect("read").expect("trusted").root().root.threshold, 2);
}

#[test]
fn a_stolen_timestamp_key_is_replaced() {
    let mut publisher = Publisher::new();
    publisher.release(2);
    let node = Node::new(&publisher);
    let seed = publisher.seed();
    let stolen = publisher.open().root().timestamp.keys[0].id().as_str().to_owned();
    let fresh = keys::make(&publisher.keys_folder(), "timestamp-2", &seed).expect("key");
    let keys = publisher.keys();
    let change = publisher
        .open()
        .rotate(
            &Role::Timestamp,
            (vec![fresh.public().clone()], &[stolen[..12].to_owned()]),
            None,
            &keys,
            (NOW, &Days::default()),
        )
        .expect("rotate");
    assert_eq!(change, RootChange::Published { version: 2 });
    std::fs::remove_file(publisher.keys_folder().join("timestamp.key")).expect("gone");
    publisher.publish();
    node.update(&publisher).expect("update");
}

#[test]
fn a_delegated_role_signs_its_paths_and_no_others() {
    let mut publisher = Publisher::new();
    let (folder, seed) = (publisher.keys_folder(), publisher.seed());
    let key = keys::make(&folder, "functions", &seed).expect("key");
    let set = KeySet { keys: vec![key.public().clone()], threshold: 1 };
    let patterns = vec![PathPattern::new("functions/*").expect("pattern")];
    publisher.open().delegate("functions", set, patterns, NOW, 365).expect("delegate");
    publisher.publish();
    let file = publisher.folder.path().join("content");
    std::fs::write(&file, program(10)).expect("write");
    let kind = Kind::Function {
        name: "alarm".into(),
        version: "1".into(),
        manifest: String::new(),
        architecture: None,
        compiled_for: None,
        rollout: None,
        paused: false,
    };
    let addition = Addition { file: &file, path: "functions/alarm.wasm", kind, role: "functions" };
    publisher.open().add(&addition).expect("add");
    publisher.publish();
    assert_eq!(Node::new(&publisher).outcome(&publisher), ["functions/alarm.wasm 1"]);
    let outside = Addition { path: DAEMON, kind: daemon("2.0.0"), ..addition.clone() };
    let error = publisher.open().add(&outside).expect_err("outside");
    assert_eq!(error.to_string(), format!("the role functions may not sign {DAEMON}: it is for functions/*"));
    let error = publisher.open().add(&Addition { role: "fun", ..addition }).expect_err("no role");
    assert!(matches!(error, PublishError::NoRole { .. }), "{error}");
    assert_eq!(error.to_string(), "there is no role fun; the repository has targets, functions");
}

#[test]
fn what_stolen_keys_have_signed_is_signed_again() {
    for role in [Role::Targets, Role::Snapshot] {
        let mut publisher = Publisher::new();
        publisher.release(2);
        let node = Node::new(&publisher);
        let root = publisher.open().root().clone();
        let set = if role == Role::Targets { &root.targets } else { &root.snapshot };
        let stolen = set.keys[0].id().as_str().to_owned();
        let seed = publisher.seed();
        let fresh = keys::make(&publisher.keys_folder(), "fresh", &seed).expect("key");
        let change = (vec![fresh.public().clone()], &[stolen][..]);
        let keys = publisher.keys();
        publisher.open().rotate(&role, change, None, &keys, (NOW, &Days::default())).expect("rotate");
        std::fs::remove_file(publisher.keys_folder().join(format!("{}.key", role.name()))).expect("gone");
        let roles: Vec<String> = publisher.publish().roles.into_iter().map(|(role, _)| role).collect();
        assert!(roles.iter().any(|signed| signed == role.name()), "{role}: {roles:?}");
        node.update(&publisher).expect("update");
    }
}
