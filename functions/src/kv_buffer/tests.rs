use super::*;
use proptest::prelude::*;

fn nothing(_: &str) -> Result<Option<KvEntry>, HostError> {
    Ok(None)
}

fn stored_a(key: &str) -> Result<Option<KvEntry>, HostError> {
    Ok((key == "a").then(|| KvEntry { value: b"1".to_vec(), revision: 7 }))
}

fn buffer() -> KvBuffer {
    KvBuffer::new(5, 4, 1000)
}

#[test]
fn reads_see_own_writes() {
    let mut kv = buffer();
    let revision = kv.set("a", b"2".to_vec(), None, &stored_a).unwrap();
    assert_eq!(revision, 8);
    assert_eq!(kv.get("a", &stored_a).unwrap(), Some(KvEntry { value: b"2".to_vec(), revision: 8 }));
    kv.delete("a", &stored_a).unwrap();
    assert_eq!(kv.get("a", &stored_a).unwrap(), None);
}

#[test]
fn the_commit_checks_the_revision_seen_first_and_writes_each_key_once() {
    let mut kv = buffer();
    kv.get("b", &stored_a).unwrap();
    kv.set("a", b"2".to_vec(), Some(60), &stored_a).unwrap();
    kv.set("a", b"3".to_vec(), None, &stored_a).unwrap();
    let (reads, writes) = kv.into_effects();
    assert_eq!(reads, [KvRead { key: "b".into(), revision: None }]);
    let change = KvChange::Set { value: b"3".to_vec(), revision: 9, ttl_s: None };
    assert_eq!(writes, [KvWrite { key: "a".into(), expected: Some(7), change }]);
}

#[test]
fn compare_and_set_takes_the_current_revision_only() {
    let mut kv = buffer();
    assert_eq!(kv.cas("a", Some(6), vec![], &stored_a), Err(KvError::Conflict(7)));
    assert_eq!(kv.cas("a", None, vec![], &stored_a), Err(KvError::Conflict(7)));
    assert_eq!(kv.cas("b", Some(1), vec![], &stored_a), Err(KvError::Conflict(0)));
    assert_eq!(kv.cas("a", Some(7), vec![], &stored_a), Ok(8));
    assert_eq!(kv.cas("a", Some(7), vec![], &stored_a), Err(KvError::Conflict(8)));
    assert_eq!(kv.cas("b", None, vec![], &stored_a), Ok(5));
}

#[test]
fn a_key_made_again_does_not_repeat_a_revision() {
    let mut kv = KvBuffer::new(1_000, 4, 1000);
    assert_eq!(kv.set("a", vec![], None, &nothing), Ok(1_000));
    kv.delete("a", &nothing).unwrap();
    let (_, writes) = kv.into_effects();
    assert_eq!(writes[0].change, KvChange::Delete);
    assert_eq!(KvBuffer::new(2_000, 4, 1000).set("a", vec![], None, &nothing), Ok(2_000));
}

#[test]
fn increment_counts_in_decimal_and_refuses_what_is_no_number() {
    let mut kv = buffer();
    assert_eq!(kv.increment("a", 41, &stored_a), Ok(42));
    assert_eq!(kv.increment("new", -3, &stored_a), Ok(-3));
    assert_eq!(kv.get("new", &stored_a).unwrap().unwrap().value, b"-3");
    kv.set("text", b"abc".to_vec(), None, &nothing).unwrap();
    assert!(matches!(kv.increment("text", 1, &nothing), Err(KvError::Invalid(_))));
    kv.set("text", i64::MAX.to_string().into_bytes(), None, &nothing).unwrap();
    assert!(matches!(kv.increment("text", 1, &nothing), Err(KvError::Invalid(_))));
}

#[test]
fn list_merges_own_writes_and_deletes() {
    let stored_list = |after: Option<&str>, limit: usize| {
        let keys = ["p/a", "p/b", "p/c", "p/d"];
        Ok(keys
            .iter()
            .filter(|key| after.is_none_or(|after| **key > after))
            .take(limit)
            .map(|key| key.to_string())
            .collect())
    };
    let stored = |key: &str| Ok(key.starts_with("p/").then(|| KvEntry { value: vec![], revision: 1 }));
    let mut kv = buffer();
    kv.delete("p/b", &stored).unwrap();
    kv.set("p/bb", vec![], None, &nothing).unwrap();
    kv.set("q", vec![], None, &nothing).unwrap();
    assert_eq!(kv.list("p/", None, 3, &stored_list).unwrap(), ["p/a", "p/bb", "p/c"]);
    assert_eq!(kv.list("p/", Some("p/bb"), 9, &stored_list).unwrap(), ["p/c", "p/d"]);
    assert_eq!(kv.list("p/", None, 0, &stored_list).unwrap(), Vec::<String>::new());
}

#[test]
fn both_sides_of_the_limits_on_keys_and_bytes() {
    let mut kv = KvBuffer::new(1, 2, 10);
    kv.set("a", vec![0; 4], None, &nothing).unwrap();
    kv.set("b", vec![0; 4], None, &nothing).unwrap();
    assert!(matches!(kv.set("c", vec![], None, &nothing), Err(KvError::Quota(reason)) if reason.contains("kv_keys")));
    assert!(
        matches!(kv.set("b", vec![0; 5], None, &nothing), Err(KvError::Quota(reason)) if reason.contains("kv_bytes"))
    );
    assert_eq!(kv.get("b", &nothing).unwrap().unwrap().value, [0; 4], "a refused write changes nothing");
}

#[test]
fn keys_and_values_have_a_largest_size() {
    let mut kv = KvBuffer::new(1, 4, 1 << 20);
    assert!(kv.set(&"k".repeat(KEY_BYTES_MAX), vec![0; VALUE_BYTES_MAX], None, &nothing).is_ok());
    assert!(matches!(kv.set(&"k".repeat(KEY_BYTES_MAX + 1), vec![], None, &nothing), Err(KvError::Invalid(_))));
    assert!(matches!(kv.set("", vec![], None, &nothing), Err(KvError::Invalid(_))));
    assert!(matches!(kv.set("k", vec![0; VALUE_BYTES_MAX + 1], None, &nothing), Err(KvError::Invalid(_))));
    assert!(matches!(kv.set("k", vec![], Some(0), &nothing), Err(KvError::Invalid(_))));
}

#[test]
fn reads_are_bounded() {
    let mut kv = buffer();
    for number in 0..KEYS_READ_MAX {
        kv.get(&number.to_string(), &nothing).unwrap();
    }
    assert!(matches!(kv.get("one more", &nothing), Err(KvError::Quota(_))));
    assert_eq!(kv.get("0", &nothing), Ok(None), "a known key may be read again");
}

#[test]
fn deleting_what_is_not_there_writes_nothing() {
    let mut kv = buffer();
    kv.delete("x", &nothing).unwrap();
    let (reads, writes) = kv.into_effects();
    assert_eq!((reads.len(), writes.len()), (1, 0));
}

#[test]
fn a_host_that_cannot_read_is_passed_on() {
    let mut kv = buffer();
    let broken = |_: &str| Err(HostError::Unavailable("closed".into()));
    assert_eq!(kv.get("a", &broken), Err(KvError::Unavailable("closed".into())));
}

proptest! {
    /// The buffer against a map: after any writes, reads and the committed state agree with the map.
    #[test]
    fn any_sequence_of_writes_ends_as_in_a_map(steps in prop::collection::vec((0_u8..4, 0_u8..3, any::<u8>()), 0..40)) {
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::from([("k0".to_owned(), b"1".to_vec())]);
        let stored = |key: &str| Ok((key == "k0").then(|| KvEntry { value: b"1".to_vec(), revision: 3 }));
        let mut kv = KvBuffer::new(1, 100, 10_000);
        for (operation, key, value) in steps {
            let key = format!("k{key}");
            let text = value.to_string().into_bytes();
            match operation {
                0 => { kv.set(&key, text.clone(), None, &stored).unwrap(); model.insert(key, text); }
                1 => { kv.delete(&key, &stored).unwrap(); model.remove(&key); }
                2 => {
                    let sum = kv.increment(&key, i64::from(value), &stored).unwrap();
                    let number: i64 = model.get(&key).map_or(0, |text| std::str::from_utf8(text).unwrap().parse().unwrap());
                    prop_assert_eq!(sum, number + i64::from(value));
                    model.insert(key, sum.to_string().into_bytes());
                }
                _ => prop_assert_eq!(kv.get(&key, &stored).unwrap().map(|entry| entry.value), model.get(&key).cloned()),
            }
        }
        let mut state: BTreeMap<String, Vec<u8>> = BTreeMap::from([("k0".to_owned(), b"1".to_vec())]);
        for write in kv.into_effects().1 {
            match write.change {
                KvChange::Set { value, .. } => { state.insert(write.key, value); }
                KvChange::Delete => { state.remove(&write.key); }
            }
        }
        prop_assert_eq!(state, model);
    }
}
