use proptest::prelude::*;

use super::*;

fn windows(kind: WindowKind, messages_max: usize) -> Windows<u32> {
    Windows::new(WindowRule { kind, by: WindowBy::All, messages_max }, 1000)
}

const TUMBLING: WindowKind = WindowKind::Tumbling { size_ms: 10 };
const SLIDING: WindowKind = WindowKind::Sliding { size_ms: 20, step_ms: 10 };
const SESSION: WindowKind = WindowKind::Session { gap_ms: 10 };

/// Key, from, to, messages, finished.
type Short = (String, i64, i64, Vec<u32>, usize);

fn short(batches: Vec<WindowBatch<u32>>) -> Vec<Short> {
    let numbers = |batch: &WindowBatch<u32>| batch.messages.iter().map(|(_, number)| *number).collect();
    batches
        .iter()
        .map(|batch| (batch.key.clone(), batch.from_ms, batch.to_ms, numbers(batch), batch.finished))
        .collect()
}

fn one(from_ms: i64, to_ms: i64, numbers: &[u32], finished: usize) -> Vec<Short> {
    vec![(String::new(), from_ms, to_ms, numbers.to_vec(), finished)]
}

#[test]
fn tumbling_windows_follow_one_another() {
    let mut windows = windows(TUMBLING, 100);
    assert!(windows.arrive("", 103, (1, 1)).is_empty() && windows.arrive("", 109, (1, 2)).is_empty());
    assert_eq!((windows.next(), short(windows.due(109))), (Some(110), vec![]));
    assert_eq!(short(windows.arrive("", 110, (1, 3))), one(100, 110, &[1, 2], 2), "110 is in the next one");
    assert_eq!(short(windows.due(500)), one(110, 120, &[3], 1));
    assert_eq!((windows.next(), windows.len(), windows.is_empty()), (None, 0, true));
}

#[test]
fn sliding_windows_overlap_and_a_message_is_finished_in_its_last_one() {
    let mut windows = windows(SLIDING, 100);
    windows.arrive("", 105, (1, 1));
    assert_eq!(short(windows.arrive("", 112, (1, 2))), one(90, 110, &[1], 0));
    assert_eq!(short(windows.due(120)), one(100, 120, &[1, 2], 1));
    assert_eq!(short(windows.due(130)), one(110, 130, &[2], 1));
    assert!(windows.is_empty());
}

#[test]
fn sessions_end_when_nothing_comes() {
    let mut windows = windows(SESSION, 100);
    windows.arrive("", 100, (1, 1));
    windows.arrive("", 109, (1, 2));
    assert_eq!(short(windows.due(118)), vec![]);
    assert_eq!(short(windows.due(119)), one(100, 119, &[1, 2], 2));
}

#[test]
fn each_key_has_a_window_of_its_own() {
    let mut windows = windows(TUMBLING, 100);
    windows.arrive("a", 100, (1, 1));
    windows.arrive("b", 101, (1, 2));
    let keys: Vec<String> = windows.due(110).into_iter().map(|batch| batch.key).collect();
    assert_eq!(keys, ["a", "b"]);
    for (by, key) in [
        (WindowBy::All, ""),
        (WindowBy::Topic, "a/b"),
        (WindowBy::Level(2), "b"),
        (WindowBy::Level(3), ""),
        (WindowBy::Level(0), ""),
        (WindowBy::Client, "c"),
        (WindowBy::Key, ""),
    ] {
        assert_eq!(by.key("a/b", Some("c"), None), key, "{by:?}");
    }
}

#[test]
fn what_is_full_closes_early() {
    let mut few = windows(TUMBLING, 2);
    assert!(few.arrive("", 101, (1, 1)).is_empty());
    assert_eq!(short(few.arrive("", 102, (1, 2))), one(101, 102, &[1, 2], 2));
    let mut heavy = windows(SLIDING, 100);
    assert!(heavy.arrive("", 101, (999, 1)).is_empty());
    assert_eq!(short(heavy.arrive("", 102, (1, 2))), one(101, 102, &[1, 2], 2));
    let mut many = windows(TUMBLING, 3);
    many.arrive("a", 101, (1, 1));
    many.arrive("b", 102, (1, 2));
    let closed = many.arrive("b", 103, (1, 3));
    assert_eq!((closed.len(), closed[0].key.as_str()), (1, "b"), "the fullest, when all together are too many");
}

#[test]
fn all_can_be_closed_before_their_time() {
    let mut windows = windows(SLIDING, 100);
    windows.arrive("a", 101, (1, 1));
    windows.arrive("b", 102, (1, 2));
    let finished: Vec<usize> = windows.close_all(103).iter().map(|batch| batch.finished).collect();
    assert_eq!((finished, windows.is_empty()), (vec![1, 1], true));
}

#[test]
fn a_clock_that_was_set_back_keeps_no_window_open() {
    let mut windows = windows(TUMBLING, 100);
    windows.arrive("", 1_000_005, (1, 1));
    assert_eq!(short(windows.due(55)), vec![]);
    assert_eq!(windows.next(), Some(60));
    assert_eq!(windows.due(60).len(), 1);
}

proptest! {
    #[test]
    fn every_message_is_finished_once_in_order_and_in_a_batch_before(
        kind in 0usize..3, messages_max in 2usize..20, steps in proptest::collection::vec((0i64..15, 0u8..3), 0..100),
    ) {
        let mut windows = windows([TUMBLING, SLIDING, SESSION][kind], messages_max);
        let mut now = 1000;
        let mut batches = Vec::new();
        for (number, (later, key)) in steps.iter().enumerate() {
            now += later;
            batches.extend(windows.arrive(&key.to_string(), now, (1, number as u32)));
            prop_assert!(windows.len() < messages_max);
        }
        batches.extend(windows.due(now + 1000));
        prop_assert!(windows.is_empty());
        let mut finished: Vec<u32> = Vec::new();
        for batch in &batches {
            prop_assert!(batch.finished <= batch.messages.len() && !batch.messages.is_empty());
            let numbers: Vec<u32> = batch.messages.iter().map(|(_, number)| *number).collect();
            prop_assert!(numbers.is_sorted());
            finished.extend(&numbers[..batch.finished]);
        }
        finished.sort_unstable();
        prop_assert_eq!(finished, (0..steps.len() as u32).collect::<Vec<_>>());
    }
}
