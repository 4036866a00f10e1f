//! The publisher's side.

use crate::repository::{DAY, NOW, Repository, delegation, key, key_set, path, signed, targets};
use selvedge_ota_metadata::sign::{self, SigningKey};
use selvedge_ota_metadata::{Architecture, Content, Kind, Limits, Rollout, SignedFile, Target, Trust};

#[test]
fn a_key_comes_back_from_its_seed() {
    let key = key(7);
    assert_eq!(SigningKey::from_seed(&key.seed()).public(), key.public());
    assert!(!format!("{key:?}").contains("7, 7, 7") && !format!("{key:?}").contains("070707"));
}

#[test]
fn an_offline_root_is_signed_by_one_after_the_other() {
    let mut repository = Repository::new();
    repository.root.root = key_set(&[&key(1), &key(5), &key(6)], 2);
    let unsigned = sign::root(&repository.root).unwrap().to_bytes();
    let keys = &repository.root.root;
    let carry = |bytes: &[u8], number: u8| {
        let mut file = SignedFile::read(bytes, 1 << 20, &Limits::default()).unwrap();
        file.sign(&key(number));
        (file.signed_by(keys).len(), file.to_bytes())
    };
    let (count, first) = carry(&unsigned, 5);
    assert_eq!(count, 1);
    assert!(Trust::pin(&first).unwrap_err().to_string().contains("1 of 3 trusted keys"));
    assert_eq!(carry(&first, 5), (1, first.clone()));
    assert_eq!(carry(&first, 66).0, 1);
    let (count, second) = carry(&first, 6);
    assert_eq!(count, 2);
    assert!(Trust::pin(&second).is_ok());
}

#[test]
fn what_was_published_can_be_read_to_publish_the_next() {
    let mut repository = Repository::new();
    repository.targets.delegations = vec![delegation("a", &[&key(10)], &["a/*"])];
    repository.publish();
    let read = |name: &str| SignedFile::read(&repository.files[name], 1 << 20, &Limits::default()).unwrap();
    assert_eq!(read("1.root.json").root().unwrap(), repository.root);
    assert_eq!(read("timestamp.json").timestamp().unwrap(), repository.timestamp);
    assert_eq!(read("2.snapshot.json").snapshot().unwrap(), repository.snapshot);
    assert_eq!(read("2.targets.json").targets().unwrap(), repository.targets);
}

#[test]
fn what_a_target_is_comes_out_as_it_went_in() {
    let kind = Kind::Daemon {
        version: "1.2.3".to_owned(),
        architecture: Architecture::Aarch64,
        data_format: 3,
        security_floor: 2,
        rollout: Rollout::new(10, "1.2.3"),
        paused: false,
    };
    let patch = Kind::Patch {
        base: Some(Content { length: 1, sha256: [1; 32] }),
        result: Content { length: 2, sha256: [2; 32] },
    };
    let mut repository = Repository::new();
    for (name, kind) in [("daemon/new", &kind), ("patches/1-2", &patch)] {
        let custom = Some(kind.to_custom().unwrap());
        repository.targets.targets.insert(path(name), Target { length: 2, sha256: [2; 32], custom });
    }
    repository.publish();
    let trust = repository.refreshed();
    let (_, daemon) = trust.find(&path("daemon/new")).unwrap().unwrap();
    assert_eq!(daemon.kind(), Ok(Some(kind)));
    let (_, found) = trust.find(&path("patches/1-2")).unwrap().unwrap();
    let Ok(Some(Kind::Patch { result, .. })) = found.kind() else { panic!() };
    assert_eq!(result, daemon.content());
}

#[test]
fn what_devices_would_refuse_is_not_made() {
    let repository = Repository::new();
    let mut root = repository.root.clone();
    root.timestamp = key_set(&[&key(1), &key(1)], 2);
    assert_eq!(
        sign::root(&root).unwrap_err().to_string(),
        "timestamp is to be signed by 2 keys and has 1 different ones"
    );
    root.timestamp = key_set(&[&key(1)], 0);
    assert_eq!(
        sign::root(&root).unwrap_err().to_string(),
        "devices would refuse the root: it lets timestamp go unsigned (threshold 0)"
    );
    root.timestamp = key_set(&[&key(1)], 1);
    root.expires_unix_s = i64::MAX;
    assert_eq!(sign::root(&root).unwrap_err().to_string(), "the root is to expire outside of the years 0 to 9999");
    root.expires_unix_s = NOW + DAY;
    root.version = 0;
    assert_eq!(
        sign::root(&root).unwrap_err().to_string(),
        "devices would refuse the root: its version is 0, and the first is 1"
    );

    let mut custom = targets(1, &[("a", 1)]);
    custom.targets.values_mut().for_each(|target| target.custom = Some(serde_json::json!({ "ratio": 0.5 })));
    assert_eq!(
        sign::targets(&custom).unwrap_err().to_string(),
        "devices would refuse the targets: 0.5 cannot be signed; only whole numbers of 64 bits can, write it as a text"
    );
    let mut delegating = targets(1, &[]);
    delegating.delegations = vec![delegation("a/../b", &[&key(1)], &["*"])];
    assert_eq!(
        sign::targets(&delegating).unwrap_err().to_string(),
        "the role \"a/../b\" cannot be the name of a file; use letters, digits, '-', '_' and '.', and begin with a letter or digit"
    );
    delegating.delegations = vec![delegation("a", &[], &["*"])];
    assert_eq!(
        sign::targets(&delegating).unwrap_err().to_string(),
        "the role \"a\" is to be signed by 1 keys and has 0 different ones"
    );
}

#[test]
fn a_file_too_large_for_devices_is_not_made() {
    let names: Vec<_> = (0..4097).map(|number| (format!("{number}"), 1)).collect();
    let entries: Vec<_> = names.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    assert!(sign::targets(&targets(1, &entries[..4096])).is_ok());
    assert_eq!(
        sign::targets(&targets(1, &entries)).unwrap_err().to_string(),
        "devices would refuse the targets: it has 4097 targets, and 4096 are the most"
    );
}

#[test]
fn files_are_json_that_everybody_reads_with_keys_in_order() {
    let mut content = targets(1, &[("b", 1), ("a", 1)]);
    // In the canonical form this is a bare line feed, which JSON does not allow.
    content.targets.values_mut().for_each(|target| target.custom = Some(serde_json::json!({ "note": "a\nb" })));
    let file = signed(sign::targets(&content).unwrap(), &[&key(1)]);
    let value: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    assert_eq!(sorted.to_string().into_bytes(), file);
    assert_eq!(value["signed"]["targets"]["a"]["custom"]["note"], "a\nb");
}
