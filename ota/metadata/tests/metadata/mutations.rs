//! Genuine repositories with one file changed at random: no panic, and nothing believed that was not signed.
//!
//! 20,000 changes in an ordinary run, as many as `SELVEDGE_METADATA_MUTATIONS` says otherwise.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::python_tuf::fixture_files;
use crate::random::Random;
use crate::repository::{NOW, Repository, attempt, delegation, key, key_set, targets};
use selvedge_ota_metadata::{Clock, Limits, Refresh, Role, Trust, Want, canonical};

type Files = BTreeMap<String, Vec<u8>>;

/// A device before each of the files that it takes, and what is genuine.
struct Scene {
    files: Files,
    /// The refresh at the moment when this file is wanted.
    moments: Vec<(String, Refresh)>,
    document: Value,
    genuine: Vec<Value>,
}

fn scene(files: &Files, trust: &Trust) -> Scene {
    let mut refresh = trust.begin(Clock::trusted(NOW), Limits::default());
    let mut moments = Vec::new();
    while let Want::File { path, .. } = refresh.wants() {
        match files.get(&path) {
            Some(bytes) => {
                moments.push((path, refresh.clone()));
                refresh.give(bytes).unwrap();
            }
            None => refresh.absent().unwrap(),
        }
    }
    let document = serde_json::from_slice(&refresh.finish().unwrap().trust.to_bytes()).unwrap();
    let mut genuine: Vec<_> = files.values().map(|bytes| signed_part(std::str::from_utf8(bytes).unwrap())).collect();
    genuine.extend(roles(trust).iter().filter_map(|role| trust.file(role)).map(signed_part));
    Scene { files: files.clone(), moments, document, genuine }
}

/// What is signed, read by another reader than the one under test.
fn signed_part(text: &str) -> Value {
    serde_json::from_str::<Value>(text).unwrap()["signed"].take()
}

fn roles(trust: &Trust) -> Vec<Role> {
    trust.standings().into_iter().map(|standing| standing.role).collect()
}

fn scenes() -> Vec<Scene> {
    let stages = fixture_files();
    let pinned = Trust::pin(&stages[0]["1.root.json"]).unwrap();
    let second = attempt(&stages[1], &pinned, Clock::trusted(NOW), Limits::default()).outcome.unwrap().trust;
    let mut ours = Repository::new();
    ours.root_keys.push(key(5));
    ours.next_root(|root| root.root = key_set(&[&key(1), &key(5)], 2));
    ours.targets.delegations = vec![delegation("a", &[&key(10)], &["a/*"])];
    ours.roles.insert("a", (targets(0, &[("a/1", 1)]), key(10)));
    ours.publish();
    // Without hashes, only signatures are left to notice a change.
    let mut unhashed = ours.clone();
    unhashed.publish_snapshot(|snapshot| {
        snapshot.meta.values_mut().for_each(|listed| (listed.length, listed.sha256) = (None, None));
    });
    unhashed.publish_timestamp(|timestamp| (timestamp.snapshot.length, timestamp.snapshot.sha256) = (None, None));
    vec![
        scene(&stages[0], &pinned),
        scene(&stages[2], &pinned),
        scene(&stages[2], &second),
        scene(&ours.files, &ours.pinned()),
        scene(&unhashed.files, &unhashed.pinned()),
        scene(&unhashed.files, &ours.refreshed()),
    ]
}

/// Bytes that are almost those of a file.
fn mutate(random: &mut Random, genuine: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    match random.below(8) {
        0 => flip(random, &mut bytes),
        1 => bytes.truncate(random.below(bytes.len())),
        2 => {
            // A piece of another file, or of the same.
            let from = random.below(other.len());
            let piece = &other[from..(from + 1 + random.below(80)).min(other.len())];
            let at = random.below(bytes.len());
            let end = (at + random.below(80)).min(bytes.len());
            bytes.splice(at..end, piece.iter().copied());
        }
        3 => {
            let at = random.below(bytes.len());
            bytes.insert(at, *random.pick(b"{}[]\",:0123456789abcdef\\ \n\0\xff"));
        }
        _ => return edit_json(random, genuine, other),
    }
    bytes
}

fn flip(random: &mut Random, bytes: &mut [u8]) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }
}

fn edit_json(random: &mut Random, genuine: &[u8], other: &[u8]) -> Vec<u8> {
    let mut file: Value = serde_json::from_slice(genuine).unwrap();
    let other: Value = serde_json::from_slice(other).unwrap();
    // None at all in one of four: another layout of the same.
    for _ in 0..random.below(4) {
        let pointer = random.pick(&pointers(&file)).clone();
        let replacement = match random.below(4) {
            0 => random.json(2),
            1 => {
                let place = random.pick(&pointers(&other)).clone();
                other.pointer(&place).cloned().unwrap_or_default()
            }
            _ => nearly(random, file.pointer(&pointer).unwrap_or(&Value::Null)),
        };
        if let Some(place) = file.pointer_mut(&pointer) {
            *place = replacement;
        }
    }
    match random.below(4) {
        0 => serde_json::to_vec_pretty(&file).unwrap(),
        // A member twice.
        1 => {
            let text = file.to_string();
            let objects: Vec<_> = text.match_indices('{').map(|(at, _)| at + 1).collect();
            let member = *random.pick(&["\"signed\":{},", "\"version\":1,", "\"signatures\":[],", "\"keyids\":[],"]);
            let at = objects.get(random.below(objects.len().max(1))).copied().unwrap_or_default();
            format!("{}{member}{}", &text[..at], &text[at..]).into_bytes()
        }
        _ => file.to_string().into_bytes(),
    }
}

/// Places of a document, those near the root as often as those below.
fn pointers(value: &Value) -> Vec<String> {
    fn add(value: &Value, prefix: &str, all: &mut Vec<String>) {
        all.push(prefix.to_owned());
        let children: Vec<_> = match value {
            Value::Object(members) => {
                members.iter().map(|(name, member)| (name.replace('~', "~0").replace('/', "~1"), member)).collect()
            }
            Value::Array(items) => items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
            _ => Vec::new(),
        };
        for (name, child) in children {
            add(child, &format!("{prefix}/{name}"), all);
        }
    }
    let mut all = Vec::new();
    add(value, "", &mut all);
    all
}

fn nearly(random: &mut Random, value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or_default();
            match random.below(5) {
                0 => json!(number.wrapping_add(1)),
                1 => json!(number.wrapping_sub(1)),
                2 => json!(u64::MAX),
                3 => json!(0),
                _ => json!(1.0),
            }
        }
        Value::String(text) => {
            let mut characters: Vec<_> = text.chars().collect();
            if !characters.is_empty() {
                let at = random.below(characters.len());
                match random.below(3) {
                    0 => characters[at] = *random.pick(&['0', 'f', 'Z', '*', '.', '/', 'é']),
                    1 => drop(characters.remove(at)),
                    _ => characters[at] = characters[at].to_ascii_uppercase(),
                }
            }
            json!(characters.into_iter().collect::<String>())
        }
        Value::Array(items) => {
            let mut items = items.clone();
            match random.below(3) {
                0 => items.extend(items.first().cloned()),
                1 => drop(items.pop()),
                _ => items.reverse(),
            }
            items.into()
        }
        Value::Object(members) => {
            let mut members = members.clone();
            let names: Vec<_> = members.keys().cloned().collect();
            if let Some(name) = names.get(random.below(names.len().max(1))) {
                let member = members.shift_remove(name);
                if random.below(2) == 0 {
                    members.insert(format!("{name}x"), member.unwrap_or_default());
                }
            }
            members.into()
        }
        Value::Bool(flag) => json!(!flag),
        Value::Null => json!({}),
    }
}

#[derive(Default)]
struct Tally {
    refused: u64,
    same_content: u64,
    documents_refused: u64,
    documents_taken: u64,
}

/// Everything believed must have been signed in these very words.
fn assert_genuine(scene: &Scene, trust: &Trust, what: &dyn std::fmt::Debug) {
    for role in roles(trust) {
        let believed = signed_part(trust.file(&role).unwrap());
        assert!(scene.genuine.contains(&believed), "{role} was forged: {what:?}");
    }
}

fn change_a_file(random: &mut Random, scene: &Scene, tally: &mut Tally) {
    let (name, moment) = random.pick(&scene.moments);
    let (other, _) = random.pick(&scene.moments);
    let bytes = mutate(random, &scene.files[name], &scene.files[other]);
    let mut refresh = moment.clone();
    let taken = refresh.give(&bytes).is_ok();
    if !taken {
        tally.refused += 1;
        assert_genuine(scene, refresh.trust_so_far(), &String::from_utf8_lossy(&bytes));
        return;
    }
    tally.same_content += 1;
    while let Want::File { path, .. } = refresh.wants() {
        let _refused = match scene.files.get(&path) {
            Some(bytes) => refresh.give(bytes),
            None => refresh.absent(),
        };
    }
    assert_genuine(scene, refresh.trust_so_far(), &String::from_utf8_lossy(&bytes));
}

/// A stored trust with a change and a checksum that fits: flash does not do that, but the files in it are checked all the same.
fn change_a_document(random: &mut Random, scene: &Scene, tally: &mut Tally) {
    let mut document = scene.document.clone();
    let places: Vec<_> = pointers(&document).into_iter().filter(|place| !place.is_empty()).collect();
    let place = random.pick(&places);
    let changed = match document.pointer(place) {
        Some(Value::String(text)) if text.starts_with('{') => {
            let (other, _) = random.pick(&scene.moments);
            let bytes = mutate(random, text.as_bytes(), &scene.files[other]);
            json!(String::from_utf8_lossy(&bytes))
        }
        Some(value) => nearly(random, value),
        None => Value::Null,
    };
    if let Some(place) = document.pointer_mut(place) {
        *place = changed;
    }
    document["sha256"] = json!("");
    let sum = canonical(&document).map(Sha256::digest).unwrap_or_default();
    document["sha256"] = json!(sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    match Trust::from_bytes(document.to_string().as_bytes()) {
        Ok(trust) => {
            tally.documents_taken += 1;
            assert_genuine(scene, &trust, &document);
        }
        Err(_) => tally.documents_refused += 1,
    }
}

#[test]
fn nothing_is_believed_that_was_not_signed() {
    let count: u64 = std::env::var("SELVEDGE_METADATA_MUTATIONS").map_or(20_000, |count| count.parse().unwrap());
    let scenes = scenes();
    let mut random = Random::new(count);
    let mut tally = Tally::default();
    for number in 0..count {
        let scene = random.pick(&scenes);
        if number % 10 == 0 {
            change_a_document(&mut random, scene, &mut tally);
        } else {
            change_a_file(&mut random, scene, &mut tally);
        }
    }
    println!(
        "{count} changes, 0 panics, 0 forgeries believed: files refused {}, taken with the same signed content {}; stored trusts \
         refused {}, taken with the same signed content {}",
        tally.refused, tally.same_content, tally.documents_refused, tally.documents_taken
    );
    assert!(tally.refused > count / 2);
    assert!(tally.same_content > count / 100 && tally.documents_taken > 0 && tally.documents_refused > count / 50);
}
