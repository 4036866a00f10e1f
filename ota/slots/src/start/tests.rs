use std::sync::Arc;

use super::*;
use crate::disk::{Disk, LocalDisk};
use crate::record::Ended;
use crate::simulation::SimulatedDisk;
use crate::slots::WayBack;

const ROOT: &str = "/data/ota";

fn update(slots: &Slots, version: &str) -> Slot {
    let slot = slots.fill(version.as_bytes(), version, 1).expect("fill");
    slots.put_on_trial(slot, 3).expect("trial");
    slot
}

fn settled() -> (SimulatedDisk, Slots) {
    let disk = SimulatedDisk::new(Path::new(ROOT));
    let slots = Slots::new(Arc::new(disk.clone()), Path::new(ROOT));
    update(&slots, "1.0.0");
    start(&slots);
    slots.commit(WayBack::Keep, 7).expect("commit");
    (disk, slots)
}

fn start(slots: &Slots) -> Start {
    next_start(slots, None, 100).expect("something starts")
}

fn ended(slots: &Slots) -> Ended {
    slots.record().expect("record").ended.expect("a trial has ended")
}

#[test]
fn before_the_first_update_the_package_starts() {
    let folder = tempfile::tempdir().expect("folder");
    let package = folder.path().join("selvedge");
    std::fs::write(&package, "program").expect("package");
    let slots = Slots::new(Arc::new(LocalDisk), &folder.path().join("ota"));
    let start = next_start(&slots, Some(&package), 1).expect("the package");
    assert_eq!(start, Start { program: package, started: Started::Package, notes: vec![] });
    let text = next_start(&slots, Some(Path::new("/nowhere/selvedge")), 1).expect_err("none").to_string();
    assert_eq!(text, "no program can be started: /nowhere/selvedge is not there; install the package again");
}

#[test]
fn a_program_on_trial_starts_three_times_and_then_the_good_one_does() {
    let (_, slots) = settled();
    let slot = update(&slots, "2.0.0");
    for attempt in 1..=3 {
        assert_eq!(start(&slots).started, Started::Candidate { slot, attempt });
    }
    let last = start(&slots);
    assert_eq!(last.started, Started::Good(Slot::A));
    assert_eq!(last.notes, ["the update in slot b is given up: it was started 3 times and never confirmed"]);
    let ended = ended(&slots);
    assert_eq!((ended.outcome, ended.version.as_str(), ended.at_unix_s), (Outcome::RolledBack, "2.0.0", 100));
    assert_eq!(slots.current(), Some(Slot::A));
    // And it stays so.
    assert_eq!(start(&slots), Start { notes: vec![], ..last });
}

#[test]
fn a_damaged_program_on_trial_is_not_started() {
    let (disk, slots) = settled();
    update(&slots, "2.0.0");
    disk.flip(&slots.program(Slot::B), 0);
    let start = start(&slots);
    assert_eq!(start.started, Started::Good(Slot::A));
    assert!(start.notes[0].starts_with("slot b is damaged: its sha256 is "), "{:?}", start.notes);
    assert!(ended(&slots).reason.starts_with("slot b is damaged"), "{:?}", ended(&slots));
}

#[test]
fn a_damaged_good_program_gives_way_to_the_one_before_and_then_to_the_package() {
    let (disk, slots) = settled();
    update(&slots, "2.0.0");
    start(&slots);
    slots.commit(WayBack::Keep, 1).expect("commit");
    disk.flip(&slots.program(Slot::B), 1);
    assert_eq!(start(&slots).started, Started::Previous(Slot::A));
    disk.flip(&slots.program(Slot::A), 1);
    let error = next_start(&slots, None, 1).expect_err("both are damaged");
    assert_eq!(error.notes.len(), 2);
    assert!(error.to_string().ends_with("; install the package again"), "{error}");
    let folder = tempfile::tempdir().expect("folder");
    let package = folder.path().join("selvedge");
    std::fs::write(&package, "program").expect("package");
    assert_eq!(next_start(&slots, Some(&package), 1).expect("package").started, Started::Package);
}

#[test]
fn a_damaged_record_costs_nothing_but_the_trial() {
    let (disk, slots) = settled();
    disk.flip(&Path::new(ROOT).join("boot"), 5);
    let first = start(&slots);
    assert_eq!(first.started, Started::Good(Slot::A));
    assert!(first.notes[0].contains("cannot be used: it is damaged"), "{:?}", first.notes);
    // It was written anew.
    assert_eq!(start(&slots).notes, Vec::<String>::new());
    update(&slots, "2.0.0");
}

#[test]
fn a_start_that_cannot_be_counted_does_not_happen() {
    let (disk, slots) = settled();
    update(&slots, "2.0.0");
    for step in 0..5 {
        disk.fail(Some((step, std::io::ErrorKind::StorageFull)));
        let start = start(&slots);
        assert_eq!(start.started, Started::Good(Slot::A), "{step}");
        assert!(start.notes[0].starts_with("the start of slot b cannot be counted"), "{:?}", start.notes);
        disk.fail(None);
    }
}

#[test]
fn a_trial_that_was_never_begun_does_not_begin_by_itself() {
    let (disk, slots) = settled();
    let slot = slots.fill(b"2.0.0", "2.0.0", 1).expect("fill");
    let before = disk.operations();
    let copy = disk.copy();
    Slots::new(Arc::new(copy.clone()), Path::new(ROOT)).put_on_trial(slot, 3).expect("trial");
    let record_written =
        copy.trace().iter().skip(usize::try_from(before).expect("few")).position(|line| line.contains("rename"));
    // Stopped behind the record, before `current` is turned.
    disk.stop_after(Some(record_written.expect("a rename") as u64 + 2));
    slots.put_on_trial(slot, 3).expect_err("stopped");
    disk.stop_after(None);
    assert_eq!(start(&slots).started, Started::Good(Slot::A));
    slots.recover().expect("recover");
    assert_eq!(ended(&slots).outcome, Outcome::Interrupted);
    assert!(disk.list(Path::new(ROOT)).expect("list").contains(&"boot".to_owned()));
}
