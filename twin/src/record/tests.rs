use std::collections::BTreeSet;

use proptest::prelude::*;
use selvedge_twin_core::cell::Pen;

use super::node::{State, decode_state, encode_state};
use super::*;
use crate::clock::NodeId;

fn pen(node: u64, time: u64) -> Pen {
    let (time, policy) = (HybridTime(time), PolicyVersion(0));
    Pen { origin: Origin::first(NodeId(node)), next_seq: time.0 * 100, time, policy }
}

/// What two nodes come to that write, remove, count and hear of each other.
fn any_document() -> impl Strategy<Value = Document> {
    let path = prop::sample::select(vec!["/a", "/a/b", "/a/b/c", "/a-b", "/e"]);
    let step = (0_usize..2, path, 0_u8..6, any::<bool>());
    proptest::collection::vec(step, 0..12).prop_map(|steps| {
        let mut nodes = [Document::default(), Document::default()];
        for (time, (node, path, deed, hears)) in (1..).zip(steps) {
            if hears {
                let other = nodes[1 - node].clone();
                nodes[node].join_all(&other);
            }
            let (mut pen, path) = (pen(node as u64, time), Path::parse(path).unwrap());
            let document = &mut nodes[node];
            match deed {
                0 => document.write(&path, Body::Object, &mut pen),
                1 => drop(document.remove(&path, &mut pen)),
                2 => document.add(&path, &Part::Latest("1".into()), &mut pen),
                3 => document.count(&path, -3, &mut pen).unwrap(),
                _ => document.write(&path, Body::Json(time.to_string().into()), &mut pen),
            }
        }
        let [mut one, two] = nodes;
        one.join_all(&two);
        one
    })
}

fn any_state() -> impl Strategy<Value = State> {
    (any::<u64>(), any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(time, twins, incarnation, last_seq)| {
        let floor = [Origin::first(NodeId(twins)).dot(last_seq.max(1))].into_iter().collect();
        let known = [Origin::first(NodeId(time)).dot(twins.max(1))].into_iter().collect();
        State { time: HybridTime(time), twins, incarnation, last_seq, floor, known, ..State::default() }
    })
}

/// Everything that is stored of a document, read back.
fn stored(document: &Document, spread: Spread) -> Document {
    let mut found = Document::default();
    for bytes in spread.buckets().filter_map(|bucket| encode_bucket(document, spread, bucket)) {
        for (path, part, event) in decode_bucket(&bytes).unwrap() {
            found.join(&path, &part, event);
        }
    }
    found
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(document in any_document(), state in any_state(), version: u64, exists: bool) {
        for spread in [1, 4, BUCKETS_MAX] {
            prop_assert_eq!(&stored(&document, Spread(spread)), &document);
        }
        let updated = Stamp { time: state.time, node: NodeId(state.twins) };
        let newest = [Origin::first(NodeId(version)).dot(version.max(1))].into_iter().collect();
        let sums = Some(Sums { digest: version, removals: version, newest });
        let header = Header { exists, version, updated, sums };
        prop_assert_eq!(decode_header(&encode_header(&header)), Some(header));
        prop_assert_eq!(decode_state(&encode_state(&state)), Some(state));
    }

    #[test]
    fn keys_give_back_what_they_were_made_of(time: u64, bucket: u8) {
        let key = bucket_key("pump-7", Section::Reported, Bucket(bucket));
        let rest = key.strip_prefix(&cells_prefix("pump-7")[..]).unwrap();
        prop_assert_eq!(section_of_bucket(rest), Some(Section::Reported));
        prop_assert_eq!(thing_of_bucket(&key), Some("pump-7"));
        let key = deleted_key(HybridTime(time), "pump-7");
        prop_assert_eq!(decode_deleted_key(&key), Some((HybridTime(time), "pump-7")));
        let key = header_key("pump-7");
        prop_assert_eq!(thing_of_header(&key), Some("pump-7"));
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), version in 0_u8..4) {
        if let Some(first) = bytes.first_mut() { *first = version; }
        let _ = (decode_bucket(&bytes), decode_header(&bytes), decode_state(&bytes));
        let _ = (section_of_bucket(&bytes), decode_deleted_key(&bytes), thing_of_header(&bytes).is_some());
    }
}

#[test]
fn another_version_and_trailing_bytes_are_not_taken() {
    let mut bytes = encode_state(&State::default());
    bytes.push(0);
    assert_eq!(decode_state(&bytes), None);
    bytes.pop();
    bytes[0] = 3;
    assert_eq!(decode_state(&bytes), None);
}

#[test]
fn a_section_gets_buckets_by_its_size_and_its_paths_use_them_all() {
    let mut document = Document::default();
    assert_eq!(Spread::of(&document), Spread(1));
    let mut pen = pen(1, 1);
    for index in 0..400 {
        let body = Body::Json(index.to_string().into());
        document.write(&Path::root_member(&format!("field-{index}")), body, &mut pen);
    }
    let spread = Spread::of(&document);
    assert_eq!(spread, Spread(8));
    let buckets = spread.buckets().map(|bucket| encode_bucket(&document, spread, bucket));
    let sizes: Vec<usize> = buckets.map(|bytes| bytes.map_or(0, |bytes| bytes.len())).collect();
    assert!(sizes.iter().all(|bytes| (1..2 * BUCKET_BYTES).contains(bytes)), "{sizes:?}");
}

#[test]
fn the_bucket_of_a_path_is_what_it_was_when_it_was_written() {
    let paths = ["/a", "/temperature", "/a/b~1c", "/"].map(|text| Path::parse(text).unwrap());
    let buckets: Vec<u8> = paths.iter().map(|path| Spread(BUCKETS_MAX).bucket(path).0).collect();
    assert_eq!(buckets, BUCKETS_OF_FORMAT_1);
    let distinct: BTreeSet<u8> = buckets.into_iter().collect();
    assert_eq!(distinct.len(), 4);
}

const BUCKETS_OF_FORMAT_1: [u8; 4] = [255, 19, 247, 82];
