//! Who has signed, and how many of them: distinct keys with good signatures under their own fingerprints.

use crate::repository::{NOW, Repository, key, key_set, short_id, signed};
use selvedge_ota_metadata::sign;
use selvedge_ota_metadata::{Clock, Key, KeySet, Trust};
use serde_json::{Value, json};

/// A timestamp that 2 of the keys 21, 22, 23 must sign.
fn two_of_three() -> Repository {
    let mut repository = Repository::new();
    repository.next_root(|root| root.timestamp = key_set(&[&key(21), &key(22), &key(23)], 2));
    repository
}

fn with_timestamp(repository: &Repository, change: impl FnOnce(&mut Value)) -> Repository {
    let file = signed(sign::timestamp(&repository.timestamp).unwrap(), &[&key(21)]);
    let mut file: Value = serde_json::from_slice(&file).unwrap();
    change(&mut file);
    let mut repository = repository.clone();
    repository.files.insert("timestamp.json".to_owned(), serde_json::to_vec(&file).unwrap());
    repository
}

fn one_of_two_needed() -> String {
    let ids = [short_id(21), short_id(22), short_id(23)].join(", ");
    format!("timestamp.json is refused: 1 of 3 trusted keys ({ids}) have signed it, and 2 must")
}

#[test]
fn arbitrary_metadata_is_refused() {
    let mut repository = Repository::new();
    let stranger = key(99);
    for name in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut hostile = repository.clone();
        hostile.timestamp_key = if name == "timestamp.json" { stranger.clone() } else { hostile.timestamp_key };
        hostile.snapshot_key = if name == "1.snapshot.json" { stranger.clone() } else { hostile.snapshot_key };
        hostile.targets_key = if name == "1.targets.json" { stranger.clone() } else { hostile.targets_key };
        hostile.snapshot.version = 0;
        hostile.targets.version = 0;
        hostile.publish();
        let refusal = hostile.refusal(&hostile.pinned());
        assert!(refusal.starts_with(&format!("{name} is refused: 0 of 1 trusted key (")), "{refusal}");
        assert!(refusal.ends_with(") have signed it, and 1 must"), "{refusal}");
    }
    for (bytes, text) in [
        (
            &b""[..],
            "timestamp.json is refused: it is not JSON that can be signed: EOF while parsing a value at line 1 column 0",
        ),
        (b"\xff", "timestamp.json is refused: it is not JSON that can be signed: byte 0 is not UTF-8 text"),
        (b"[]", "timestamp.json is refused: it is no JSON object"),
        (
            b"{\"signed\":[],\"signatures\":[]}",
            "timestamp.json is refused: it is no object of `signed` and `signatures`",
        ),
        (
            b"{\"signed\":{},\"signatures\":{}}",
            "timestamp.json is refused: it is no object of `signed` and `signatures`",
        ),
        (
            b"{\"signed\":{},\"signatures\":[[1]]}",
            "timestamp.json is refused: one of its signatures is no object of `keyid` and `sig`",
        ),
        (
            b"{\"signed\":{},\"signed\":{},\"signatures\":[]}",
            "timestamp.json is refused: it is not JSON that can be signed: the key \"signed\" appears twice at line 1 column 21",
        ),
        (
            b"{\"signed\":{\"a\":0.5},\"signatures\":[]}",
            "timestamp.json is refused: it is not JSON that can be signed: the number 0.5 is not a whole number of 64 bits at line 1 column 18",
        ),
    ] {
        repository.files.insert("timestamp.json".to_owned(), bytes.to_vec());
        assert_eq!(repository.refusal(&repository.pinned()), text);
    }
}

#[test]
fn an_html_page_in_the_place_of_a_file_is_refused_with_words() {
    let mut repository = Repository::new();
    repository.files.insert("timestamp.json".to_owned(), b"<html>please log in</html>".to_vec());
    assert_eq!(
        repository.refusal(&repository.pinned()),
        "timestamp.json is refused: it is not JSON that can be signed: expected value at line 1 column 1"
    );
}

#[test]
fn fewer_stolen_keys_than_the_threshold_are_not_enough() {
    let repository = with_timestamp(&two_of_three(), |_| {});
    assert_eq!(repository.refusal(&repository.pinned()), one_of_two_needed());
    let mut honest = two_of_three();
    let file = signed(sign::timestamp(&honest.timestamp).unwrap(), &[&key(21), &key(23)]);
    honest.files.insert("timestamp.json".to_owned(), file);
    assert!(honest.refresh(&honest.pinned()).is_ok());
}

#[test]
fn a_signature_given_twice_is_refused() {
    let repository = with_timestamp(&two_of_three(), |file| {
        let signature = file["signatures"][0].clone();
        file["signatures"].as_array_mut().unwrap().push(signature);
    });
    assert_eq!(
        repository.refusal(&repository.pinned()),
        format!("timestamp.json is refused: it has two signatures for the key {}", key(21).public().id())
    );
}

#[test]
fn a_signature_repeated_under_another_keys_id_counts_once() {
    let repository = with_timestamp(&two_of_three(), |file| {
        let signature = file["signatures"][0]["sig"].clone();
        let id = key(22).public().id().to_string();
        file["signatures"].as_array_mut().unwrap().push(json!({ "keyid": id, "sig": signature }));
    });
    assert_eq!(repository.refusal(&repository.pinned()), one_of_two_needed());
}

/// The same key under an id of its own, which is the right one for what is written.
fn second_id_of(number: u8) -> Key {
    let mut content = key(number).public().content().clone();
    content["keyval"]["note"] = json!("the same key");
    let named = selvedge_ota_metadata::canonical(&content).unwrap();
    let id = sha256_hex(&named);
    Key::listed(&id, content).unwrap()
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn two_ids_of_one_key_count_once() {
    let second = second_id_of(21);
    let mut repository = Repository::new();
    let keys = KeySet { keys: vec![key(21).public().clone(), second.clone(), key(22).public().clone()], threshold: 2 };
    repository.next_root(|root| root.timestamp = keys);
    let repository = with_timestamp(&repository, |file| {
        let signature = file["signatures"][0]["sig"].clone();
        file["signatures"].as_array_mut().unwrap().push(json!({ "keyid": second.id().to_string(), "sig": signature }));
    });
    let refusal = repository.refusal(&repository.pinned());
    assert!(refusal.starts_with("timestamp.json is refused: 1 of 3 trusted keys ("), "{refusal}");
    assert!(refusal.ends_with("have signed it, and 2 must"), "{refusal}");
}

#[test]
fn a_good_signature_under_a_wrong_fingerprint_is_refused() {
    let mut repository = Repository::new();
    repository.next_root(|_| {});
    let mut file: Value = serde_json::from_slice(&repository.files["2.root.json"]).unwrap();
    let (right, wrong) = (key(2).public().id().to_string(), "ab".repeat(32));
    let text = file["signed"].to_string().replace(&right, &wrong);
    file["signed"] = serde_json::from_str(&text).unwrap();
    // The root is signed again, so that only the fingerprint is wrong.
    file["signatures"] = json!([]);
    let mut tampered =
        selvedge_ota_metadata::SignedFile::read(&serde_json::to_vec(&file).unwrap(), 1 << 20, &Default::default())
            .unwrap();
    tampered.sign(&key(1));
    repository.files.insert("2.root.json".to_owned(), tampered.to_bytes());
    assert_eq!(
        repository.refusal(&repository.pinned()),
        format!(
            "2.root.json is refused: the key {wrong} in it has the wrong fingerprint: its content has the id {right}"
        )
    );
}

#[test]
fn a_weak_key_in_a_root_is_refused() {
    let repository = Repository::new();
    let weak = "0100000000000000000000000000000000000000000000000000000000000000";
    let mut file: Value = serde_json::from_slice(&repository.files["1.root.json"]).unwrap();
    let content = json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": weak } });
    let id = sha256_hex(&selvedge_ota_metadata::canonical(&content).unwrap());
    file["signed"]["keys"][&id] = content;
    assert_eq!(
        Trust::pin(&serde_json::to_vec(&file).unwrap()).unwrap_err().to_string(),
        format!(
            "the root to be trusted is refused: the key {id} in it is a weak ed25519 key, under which anybody can sign"
        )
    );
}

#[test]
fn a_signature_in_a_second_form_does_not_count() {
    // S with the order of the group added: the equation holds, but the form is not the one.
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10_u8,
    ];
    let mut repository = Repository::new();
    let mut file: Value = serde_json::from_slice(&repository.files["timestamp.json"]).unwrap();
    let sig = file["signatures"][0]["sig"].as_str().unwrap().to_owned();
    let mut carry = 0;
    let second: String = (32..64)
        .map(|at| {
            let sum = u16::from_str_radix(&sig[2 * at..2 * at + 2], 16).unwrap() + u16::from(order[at - 32]) + carry;
            carry = sum >> 8;
            format!("{:02x}", sum & 0xff)
        })
        .collect();
    file["signatures"][0]["sig"] = json!(format!("{}{second}", &sig[..64]));
    repository.files.insert("timestamp.json".to_owned(), serde_json::to_vec(&file).unwrap());
    let refusal = repository.refusal(&repository.pinned());
    assert_eq!(
        refusal,
        format!("timestamp.json is refused: 0 of 1 trusted key ({}) have signed it, and 1 must", short_id(2))
    );
}

#[test]
fn signatures_of_strangers_and_of_other_kinds_do_no_harm() {
    let mut repository = Repository::new();
    let mut file: Value = serde_json::from_slice(&repository.files["timestamp.json"]).unwrap();
    file["signatures"].as_array_mut().unwrap().extend([
        json!({ "keyid": "stranger", "sig": "00" }),
        json!({ "keyid": key(3).public().id().to_string(), "sig": "", "method": "x" }),
    ]);
    repository.files.insert("timestamp.json".to_owned(), serde_json::to_vec_pretty(&file).unwrap());
    assert!(repository.refresh(&repository.pinned()).is_ok());
}

#[test]
fn the_signature_of_one_role_is_not_that_of_another() {
    let mut repository = Repository::new();
    repository.timestamp_key = key(4);
    repository.publish_timestamp(|_| {});
    assert_eq!(
        repository.refresh_at(&repository.pinned(), Clock::trusted(NOW)).unwrap_err().to_string(),
        format!("timestamp.json is refused: 0 of 1 trusted key ({}) have signed it, and 1 must", short_id(2))
    );
}

#[test]
fn a_file_of_another_role_is_refused_even_with_the_right_key() {
    let mut repository = Repository::new();
    let file = signed(sign::snapshot(&repository.snapshot).unwrap(), &[&key(2)]);
    repository.files.insert("timestamp.json".to_owned(), file);
    assert_eq!(
        repository.refusal(&repository.pinned()),
        "timestamp.json is refused: it is of type \"snapshot\", and \"timestamp\" was expected"
    );
}

#[test]
fn a_changed_byte_of_what_is_signed_is_refused() {
    let mut repository = Repository::new();
    let text = String::from_utf8(repository.files["timestamp.json"].clone()).unwrap();
    repository.files.insert("timestamp.json".to_owned(), text.replace("\"version\":1}", "\"version\":9}").into_bytes());
    assert!(repository.refusal(&repository.pinned()).starts_with("timestamp.json is refused: 0 of 1 trusted key"));
}
