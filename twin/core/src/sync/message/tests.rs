use proptest::prelude::*;

use super::*;
use crate::keys::{Ed25519, Keys as _};
use crate::vector::tests::{any_dot, any_vector};
use crate::wire::tests::any_keyed_event;

const GROUP: [u8; 32] = [7; 32];

fn any_cursor() -> impl Strategy<Value = Cursor> {
    (any_keyed_event(), proptest::option::of(any_dot())).prop_map(|((key, _), dot)| Cursor { key, dot })
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![Mode::Since, Mode::Whole, Mode::Repair])
}

fn any_page_cell() -> impl Strategy<Value = PageCell> {
    (any_keyed_event(), proptest::collection::vec(any_dot(), 0..3)).prop_map(|((key, mut event), present)| {
        event.signature = Some(Box::new([3; 64]));
        PageCell { key, present, events: vec![event] }
    })
}

fn any_run() -> impl Strategy<Value = Run> {
    any_keyed_event().prop_map(|(key, mut event)| {
        event.signature = Some(Box::new([4; 64]));
        let (origin, through) = (event.dot.origin, event.dot.seq);
        Run { origin, after: through - 1, through, events: vec![(key, event)] }
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let hello = (any_vector(), any_vector(), any_vector(), any::<u64>()).prop_map(|(known, seen, floor, sum)| {
        Message::Hello(Box::new(Hello { known, seen, floor, digests: [sum; BUCKETS] }))
    });
    let pull = (
        any::<u64>(),
        any_mode(),
        any_vector(),
        proptest::option::of(any_vector()),
        proptest::option::of(any_cursor()),
    );
    let pull = pull.prop_map(|(number, mode, since, claim, after)| {
        let to = NodeId(number);
        Message::Pull(Box::new(PullRequest { to, number, mode, since, claim, after, pages: 4, buckets: [9; 32] }))
    });
    let cursors = (proptest::option::of(any_cursor()), proptest::option::of(any_cursor()));
    let page = (
        any_mode(),
        any_vector(),
        any_vector(),
        any_vector(),
        cursors,
        proptest::collection::vec(any_page_cell(), 0..4),
    );
    let page = page.prop_map(|(mode, known, floor, claim, (after, upto), cells)| {
        Message::Page(Box::new(Page { to: NodeId(1), number: 5, mode, known, floor, claim, after, upto, cells }))
    });
    prop_oneof![
        hello,
        pull,
        page,
        proptest::collection::vec(any_run(), 0..3).prop_map(Message::Delta),
        any::<u32>().prop_map(|after| Message::PolicyRequest { to: NodeId(2), after: PolicyVersion(after) }),
        Just(Message::Policies { to: NodeId(2), policies: vec![vec![1, 2], vec![]] }),
    ]
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened_and_its_signature_is_good(message in any_message(), policy: u32) {
        let keys = Ed25519::from_secret(&[1; 32]);
        let envelope = Envelope { sender: NodeId(6), policy: PolicyVersion(policy), message };
        let bytes = envelope.seal(&GROUP, &keys);
        let sealed = Sealed::open(&bytes, &GROUP)?;
        prop_assert_eq!(&sealed.envelope, &envelope);
        prop_assert!(keys.verify(&keys.public(), &sealed.signed, sealed.signature));
        prop_assert_eq!(Sealed::open(&bytes, &[8; 32]).unwrap_err(), MessageRefusal::OtherGroup);
    }

    #[test]
    fn a_changed_byte_is_noticed_and_never_panics(
        message in any_message(), at in any::<prop::sample::Index>(), change in 1_u8..,
    ) {
        let keys = Ed25519::from_secret(&[1; 32]);
        let mut bytes = Envelope { sender: NodeId(6), policy: PolicyVersion(1), message }.seal(&GROUP, &keys);
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok(sealed) = Sealed::open(&bytes, &GROUP) {
            prop_assert!(!keys.verify(&keys.public(), &sealed.signed, sealed.signature));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(kind in 0_u8..8, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&[1, kind][..], &GROUP, &[0; 9], &rest].concat();
        let _ = Sealed::open(&bytes, &GROUP);
        let _ = Sealed::open(&rest, &GROUP);
    }
}

#[test]
fn a_message_of_the_greatest_size_is_read_and_one_beyond_is_not() {
    let bytes = vec![0; MESSAGE_BYTES_MAX];
    assert!(matches!(Sealed::open(&bytes, &GROUP).unwrap_err(), MessageRefusal::Decode(_)));
    let bytes = vec![0; MESSAGE_BYTES_MAX + 1];
    assert_eq!(Sealed::open(&bytes, &GROUP).unwrap_err(), MessageRefusal::Oversize);
}
