use proptest::prelude::*;

use super::*;
use crate::clock::{HybridTime, NodeId};
use crate::dot::Origin;
use crate::event::{Base, Body, Event, PolicyVersion};
use crate::path::Path;
use crate::place::{Key, Part, Section};
use crate::vector::VersionVector;
use crate::vector::tests::{any_dot, any_vector};

fn any_part() -> impl Strategy<Value = Part> {
    prop_oneof![
        Just(Part::Register),
        Just(Part::Latest("1".into())),
        Just(Part::AddWins("\"x\"".into())),
        any_dot().prop_map(|dot| Part::Share(dot.origin)),
    ]
}

fn any_base() -> impl Strategy<Value = Base> {
    (any::<u64>(), any::<i64>()).prop_map(|(at, total)| Base { at, total })
}

/// A key, and an event that fits there.
pub(crate) fn any_keyed_event() -> impl Strategy<Value = (Key, Event)> {
    let key = ("[a-z]{1,4}", any::<bool>(), "[a-z~/\\PC]{0,6}", any_part());
    let event = (any_dot(), 0_u64..1_000, 0_u32..3, any_vector(), any_base(), any::<i64>(), 0_u8..4);
    (key, event).prop_map(|((thing, desired, field, part), (dot, time, policy, mut context, base, total, kind))| {
        let body = match (&part, kind) {
            (Part::Share(origin), 0..=1) if *origin == dot.origin => Body::Count { total, base },
            (Part::Share(_), _) => Body::Removed { base },
            (_, 3) => Body::Removed { base: Base::default() },
            (Part::Register, 0) => Body::Object,
            (Part::Register, _) => Body::Json(total.to_string().into()),
            (Part::Latest(_) | Part::AddWins(_), _) => Body::Present,
        };
        context.remove(dot.origin);
        let section = if desired { Section::Desired } else { Section::Reported };
        let key = Key { thing: thing.into(), section, path: Path::root_member(&field), part };
        let (time, policy) = (HybridTime(time), PolicyVersion(policy));
        (key, Event { dot, time, policy, context, body, signature: None })
    })
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

#[test]
fn numbers_have_one_form_only() {
    assert_eq!(Reader::new(&[0x80, 0x01]).number(), Ok(128));
    assert_eq!(Reader::new(&[0x80, 0x00]).number(), Err(DecodeError::Malformed("a number")));
    let max = written(|out| put_number(out, u64::MAX));
    assert_eq!((Reader::new(&max).number(), max.len()), (Ok(u64::MAX), 10));
    let beyond = [&[0xff; 9][..], &[0x02]].concat();
    assert_eq!(Reader::new(&beyond).number(), Err(DecodeError::Malformed("a number")));
}

#[test]
fn a_vector_out_of_order_and_an_event_that_lists_itself_are_not_taken() {
    let origin = |node| Origin::first(NodeId(node));
    let twice = written(|out| {
        put_number(out, 2);
        put_dot(out, origin(2).dot(1));
        put_dot(out, origin(1).dot(1));
    });
    assert!(Reader::new(&twice).vector().is_err());
    let context = [origin(1).dot(3)].into_iter().collect();
    let body = Body::Present;
    let event =
        Event { dot: origin(1).dot(9), time: HybridTime(1), policy: PolicyVersion(0), context, body, signature: None };
    let bytes = written(|out| put_event(out, &event));
    assert_eq!(Reader::new(&bytes).event(&Part::AddWins("1".into())), Err(DecodeError::Malformed("an event")));
}

#[test]
fn only_an_origin_itself_counts_in_its_share_and_an_object_is_no_leaf() {
    let count = |node| {
        let body = Body::Count { total: 1, base: Base::default() };
        let dot = Origin::first(NodeId(node)).dot(1);
        let (policy, context) = (PolicyVersion(0), VersionVector::default());
        written(|out| put_event(out, &Event { dot, time: HybridTime(1), policy, context, body, signature: None }))
    };
    let share = Part::Share(Origin::first(NodeId(1)));
    assert!(Reader::new(&count(1)).event(&share).is_ok());
    assert!(Reader::new(&count(2)).event(&share).is_err());
    let leaf = |text: &str| {
        let body = Body::Json(text.into());
        let dot = Origin::first(NodeId(1)).dot(1);
        let (policy, context) = (PolicyVersion(0), VersionVector::default());
        written(|out| put_event(out, &Event { dot, time: HybridTime(1), policy, context, body, signature: None }))
    };
    assert!(Reader::new(&leaf("[{}]")).event(&Part::Register).is_ok());
    assert!(Reader::new(&leaf("{}")).event(&Part::Register).is_err());
    assert!(Reader::new(&leaf("1,")).event(&Part::Register).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read(keyed in any_keyed_event(), vector in any_vector()) {
        let (key, event) = keyed;
        let bytes = written(|out| {
            put_cell_key(out, &key);
            put_event(out, &event);
            put_vector(out, &vector);
        });
        let mut reader = Reader::new(&bytes);
        let read = (reader.cell_key()?, reader.event(&key.part)?, reader.vector()?);
        prop_assert_eq!(read, (key, event, vector));
        prop_assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn what_is_read_from_changed_bytes_is_written_as_it_was(
        keyed in any_keyed_event(), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let (key, event) = keyed;
        let mut bytes = written(|out| put_event(out, &event));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut reader = Reader::new(&bytes);
        if let Ok(read) = reader.event(&key.part) && reader.is_at_end() {
            prop_assert_eq!(written(|out| put_event(out, &read)), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = Reader::new(&bytes).cell_key();
        let _ = Reader::new(&bytes).event(&Part::Register);
        let _ = Reader::new(&bytes).vector();
    }
}
