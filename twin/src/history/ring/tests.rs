use super::*;
use crate::clock::{HybridTime, NodeId};
use crate::path::Path;
use crate::twin::Section;

/// A change of about `bytes` bytes.
fn change(revision: u64, bytes: usize) -> Recorded {
    let was = Some("7".repeat(bytes).into());
    let replaced = vec![record::Replaced { section: Section::Reported, path: Path::root_member("a"), was }];
    let (cause, time, node) = (Cause::Request, HybridTime(revision), NodeId(1));
    Recorded { revision, previous: revision - 1, cause, existed: true, time, node, replaced }
}

fn limits(history_changes_max: usize, history_bytes_max: usize) -> Config {
    Config { history_changes_max, history_bytes_max, ..Config::default() }
}

/// The revisions that can be walked back through.
fn kept(past: &Past, version: u64, config: &Config) -> Vec<u64> {
    past.changes(version, config.history_changes_max).iter().map(|change| change.revision).collect()
}

#[test]
fn as_many_changes_are_kept_as_may_be_and_at_most_a_segment_more_is_stored() {
    let config = limits(10, 1024 * 1024);
    let mut past = Past::default();
    let mut removed = Vec::new();
    for revision in 1..=100 {
        removed.extend(past.add(&change(revision, 10), &config));
        let expected: Vec<u64> = (1..=revision).rev().take(10).collect();
        assert_eq!(kept(&past, revision, &config), expected);
        assert!(past.len() < 10 + SEGMENT_CHANGES && past.segments.len() <= 3, "{}", past.len());
    }
    let stored: Vec<u64> = past.segments.iter().map(|segment| segment.first).collect();
    let written: Vec<u64> = (0..13).map(|segment| 1 + segment * SEGMENT_CHANGES as u64).collect();
    assert_eq!([removed, stored].concat(), written, "each segment is there or was removed");
}

#[test]
fn large_changes_take_a_segment_each_and_the_oldest_go_beyond_the_bound_of_bytes() {
    let config = limits(100, 10_000);
    let mut past = Past::default();
    for revision in 1..=20 {
        past.add(&change(revision, 1_900), &config);
        assert!(past.stored_bytes() <= 10_000 && past.len() == past.segments.len());
    }
    assert_eq!(kept(&past, 20, &config), [20, 19, 18, 17, 16]);
}

#[test]
fn a_change_that_does_not_fit_ends_what_was_before_it_and_the_next_one_begins_anew() {
    let config = limits(100, 5_000);
    let mut past = Past::default();
    past.add(&change(1, 10), &config);
    past.add(&change(2, 4_940), &config);
    assert_eq!(kept(&past, 2, &config), [2], "with the first it would be too much");
    assert_eq!(past.add(&change(3, 5_000), &config), [2]);
    assert_eq!(past, Past::default());
    past.add(&change(4, 10), &config);
    assert_eq!(kept(&past, 4, &config), [4]);
}

#[test]
fn nothing_is_shown_beyond_a_gap_and_what_is_beyond_it_is_removed() {
    let config = limits(100, 100_000);
    let mut past = Past::default();
    (1..=9).for_each(|revision| drop(past.add(&change(revision, 10), &config)));
    assert_eq!(kept(&past, 10, &config), [0; 0], "a change was made that is not recorded");
    assert_eq!(past.add(&change(11, 10), &config), [1, 9]);
    assert_eq!(kept(&past, 11, &config), [11]);
}

#[test]
fn a_change_in_several_steps_goes_on_from_the_version_before() {
    let config = limits(100, 100_000);
    let mut past = Past::default();
    past.add(&change(1, 10), &config);
    past.add(&Recorded { previous: 1, ..change(4, 10) }, &config);
    past.add(&change(5, 10), &config);
    assert_eq!(kept(&past, 5, &config), [5, 4, 1]);
}
