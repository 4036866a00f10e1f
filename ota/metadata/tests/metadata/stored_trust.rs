//! The document in which a device keeps its trust.

use crate::repository::{Repository, delegation, key, targets};
use selvedge_ota_metadata::Trust;
use serde_json::{Value, json};

fn trust() -> Trust {
    let mut repository = Repository::new();
    repository.targets.delegations = vec![delegation("a", &[&key(10)], &["a/*"])];
    repository.roles.insert("a", (targets(0, &[("a/1", 1)]), key(10)));
    repository.publish();
    repository.refreshed()
}

/// The document with a change, and a checksum that fits it again.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    use sha2::Digest as _;
    let mut document: Value = serde_json::from_slice(&trust().to_bytes()).unwrap();
    change(&mut document);
    document["sha256"] = json!("");
    let sum = sha2::Sha256::digest(selvedge_ota_metadata::canonical(&document).unwrap());
    document["sha256"] = json!(sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    Trust::from_bytes(&serde_json::to_vec(&document).unwrap())
        .map_or_else(|error| error.to_string(), |_| "taken".to_owned())
}

#[test]
fn a_trust_survives_being_stored() {
    let trust = trust();
    assert_eq!(Trust::from_bytes(&trust.to_bytes()).unwrap(), trust);
    let pinned = Repository::new().pinned();
    assert_eq!(Trust::from_bytes(&pinned.to_bytes()).unwrap(), pinned);
    assert_eq!(changed(|_| {}), "taken");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = trust().to_bytes();
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        let text = Trust::from_bytes(&damaged).unwrap_err().to_string();
        assert!(text.starts_with("the stored trust "), "{text}");
    }
}

#[test]
fn every_cut_is_noticed() {
    let bytes = trust().to_bytes();
    for length in (0..bytes.len()).step_by(7) {
        assert!(Trust::from_bytes(&bytes[..length]).is_err());
    }
}

#[test]
fn a_document_of_a_newer_program_is_not_taken_for_damage() {
    assert_eq!(
        changed(|document| document["format"] = json!(2)),
        "the stored trust has format 2, and this program reads format 1; run a newer program"
    );
}

#[test]
fn files_that_do_not_hang_on_the_root_are_refused_even_with_a_checksum() {
    let other = Repository::new();
    let hostile = |name: &str| {
        let mut file: Value = serde_json::from_slice(&other.files[name]).unwrap();
        file["signatures"] = json!([]);
        json!(file.to_string())
    };
    for (member, name, text) in [
        ("root", "1.root.json", "the stored trust is damaged: its root is refused: 0 of 1 trusted key"),
        ("timestamp", "timestamp.json", "the stored trust is damaged: its timestamp is refused: 0 of 1 trusted key"),
        ("snapshot", "1.snapshot.json", "the stored trust is damaged: its snapshot is refused: 0 of 1 trusted key"),
    ] {
        let refusal = changed(|document| document[member] = hostile(name));
        assert!(refusal.starts_with(text), "{refusal}");
    }
    assert_eq!(
        changed(|document| document["targets"]["a"] = hostile("1.targets.json")),
        "the stored trust is damaged: its the role \"a\" is refused: the snapshot does not list it"
    );
    assert_eq!(
        changed(|document| document["snapshot"] = json!(null)),
        "the stored trust is damaged: its targets is refused: the snapshot does not list it"
    );
    assert_eq!(
        changed(|document| document["targets"]["a"] = json!(1)),
        "the stored trust is damaged: invalid type: integer `1`, expected a string"
    );
}
