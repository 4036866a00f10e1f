use proptest::prelude::*;

use super::*;
use crate::journal::locator::Locator;
use crate::journal::moved::MOVED_OVERHEAD_BYTES;
use crate::journal::operations::OPERATION_OVERHEAD_BYTES;

fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), length)
}

fn encoded(operations: &[Operation], messages: &[Range<u32>], moved: &[(u64, Vec<u8>)], records: &[u8]) -> Vec<u8> {
    let operation_bytes = |operation: &Operation| {
        OPERATION_OVERHEAD_BYTES + operation.tree_key.len() + operation.value.as_ref().map_or(0, Vec::len)
    };
    let sizes = Sizes {
        operations: operations.iter().map(operation_bytes).sum(),
        messages: messages.len(),
        moved: moved.iter().map(|(_, message)| MOVED_OVERHEAD_BYTES + message.len()).sum(),
        records: records.len(),
    };
    let content = Content {
        operations: operations.iter(),
        first_message: 100,
        messages,
        moved: moved.iter().map(|(number, message)| (*number, &message[..])),
        records,
    };
    let mut out = Vec::new();
    content.encode(sizes, &mut out);
    out.extend_from_slice(records);
    assert_eq!(Some(out.len()), sizes.body());
    out
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        operations in proptest::collection::vec((bytes(2..20), proptest::option::of(bytes(0..50))), 0..5),
        cuts in proptest::collection::vec(0..200_usize, 0..6),
        moved in proptest::collection::vec((any::<u64>(), bytes(0..40)), 0..4),
        records in bytes(0..200),
    ) {
        let operations: Vec<_> =
            operations.into_iter().map(|(tree_key, value)| Operation { tree_key, value }).collect();
        let mut cuts: Vec<u32> = cuts.into_iter().map(|cut| cut.min(records.len()) as u32).collect();
        cuts.sort_unstable();
        let messages: Vec<_> = if records.is_empty() { Vec::new() } else {
            cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect()
        };
        let body = encoded(&operations, &messages, &moved, &records);
        let decoded = decode(&body).unwrap();
        prop_assert_eq!(decoded.records, &records[..]);
        prop_assert_eq!(&decoded.messages, &messages);
        prop_assert_eq!(decoded.operations.len(), operations.len());
        for (index, range) in messages.iter().enumerate() {
            let at = decoded.locators_at + index * LOCATOR_BYTES;
            let locator = Locator::decode(&body[at..]).unwrap();
            let start = at + locator.distance as usize;
            let message = &body[start..start + locator.length as usize];
            prop_assert_eq!(message, &records[range.start as usize..range.end as usize]);
            prop_assert!(locator.fits(100 + index as u64, message));
        }
        for (at, (number, message)) in decoded.moved.iter().zip(&moved) {
            prop_assert_eq!((at.number, at.message), (*number, &message[..]));
            prop_assert!(Locator::decode(&body[at.locator_at..]).unwrap().fits(*number, message));
        }
        prop_assert_eq!(decoded.moved.len(), moved.len());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in bytes(0..120)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn damaged_bodies_never_panic(at: prop::sample::Index, byte: u8) {
        let operation = Operation { tree_key: b"\x01key".to_vec(), value: Some(b"value".to_vec()) };
        let mut body = encoded(&[operation], &[2..5, 5..9], &[(7, b"moved".to_vec())], b"0123456789");
        let at = at.index(body.len());
        body[at] = byte;
        let _ = decode(&body);
    }
}

#[test]
fn an_unknown_section_is_named_and_a_known_one_in_a_wrong_place_is_malformed() {
    let mut body = encoded(&[], &[], &[], b"records");
    section(9, 1, &mut body);
    body.push(0);
    assert_eq!(decode(&body), Err(NoBody::UnknownSection(9)));
    let twice = encoded(&[], &[], &[], b"records").repeat(2);
    assert_eq!(decode(&twice), Err(NoBody::Malformed));
    assert_eq!(decode(b""), Ok(Body::default()));
    assert_eq!(decode(&[RECORDS, 0, 0, 0, 0]), Err(NoBody::Malformed), "an empty section is left out");
}

#[test]
fn a_body_of_a_gigabyte_is_the_largest() {
    let sizes = Sizes { records: BODY_BYTES_MAX as usize - SECTION_HEADER_BYTES, ..Sizes::default() };
    assert_eq!(sizes.body(), Some(BODY_BYTES_MAX as usize));
    assert_eq!(Sizes { records: sizes.records + 1, ..sizes }.body(), None);
}
