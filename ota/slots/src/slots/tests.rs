//! Every step of filling, trial, confirmation and roll-back, stopped, cut and failed at each operation.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::*;
use crate::simulation::{Cut, SimulatedDisk};
use crate::start::{Start, Started, next_start};

const ROOT: &str = "/data/ota";
const OLD: &[u8] = b"the old program";
const NEW: &[u8] = b"the new program, longer";

/// A disk whose slot `a` holds the old program as the good one.
fn settled() -> (SimulatedDisk, Slots) {
    let disk = SimulatedDisk::new(Path::new(ROOT));
    let slots = on(&disk);
    let slot = slots.fill(OLD, "1.0.0", 1).expect("fill");
    slots.put_on_trial(slot, 3).expect("trial");
    start(&slots);
    slots.commit(WayBack::Keep, 7).expect("commit");
    (disk, slots)
}

fn on(disk: &SimulatedDisk) -> Slots {
    Slots::new(Arc::new(disk.clone()), Path::new(ROOT))
}

fn start(slots: &Slots) -> Start {
    next_start(slots, None, 100).expect("something starts")
}

/// The bytes that start next, checked against what their slot says.
fn running(disk: &SimulatedDisk) -> Vec<u8> {
    let start = start(&on(disk));
    disk.read(&start.program, 1 << 20).expect("program")
}

/// The whole life of an update, as one sequence of operations.
fn update(slots: &Slots) -> Result<(), ChangeError> {
    let slot = slots.fill(NEW, "2.0.0", 1)?;
    slots.put_on_trial(slot, 3)
}

/// Lets `act` be stopped after each number of operations and hands each disk on, with a name for messages.
fn stopped_everywhere(
    prepared: &SimulatedDisk,
    act: impl Fn(&Slots) -> Result<(), ChangeError>,
    check: impl Fn(&SimulatedDisk, bool, &str),
) -> u64 {
    let whole = prepared.copy();
    act(&on(&whole)).expect("undisturbed");
    let steps = whole.operations() - prepared.operations();
    for step in 0..=steps {
        let cuts = (0..16).map(|seed| Some(Cut::Mix(seed * 7919 + step + 1)));
        for cut in [None, Some(Cut::Drop)].into_iter().chain(cuts) {
            let disk = prepared.copy();
            disk.stop_after(Some(step));
            let done = act(&on(&disk)).is_ok();
            let doing = disk.trace().last().cloned().unwrap_or_default();
            match cut {
                Some(cut) => disk.cut(cut),
                None => disk.stop_after(None),
            }
            check(&disk, done, &format!("stopped after {step} ({doing}), {cut:?}"));
        }
    }
    steps
}

#[test]
fn an_update_stopped_or_cut_at_each_step_starts_old_or_new_and_whole() {
    let (disk, _) = settled();
    let steps = stopped_everywhere(&disk, update, |disk, done, at| {
        let bytes = running(disk);
        assert!(bytes == OLD || bytes == NEW, "{at}: {bytes:?}");
        assert!(!done || bytes == NEW, "{at}: it said done and the old one starts");
        // And the node can be updated afterwards, whatever was left.
        let slots = on(disk);
        slots.recover().unwrap_or_else(|error| panic!("{at}: {error}"));
        if slots.record().expect("record").candidate.is_some() {
            slots.roll_back("test", 1).unwrap_or_else(|error| panic!("{at}: {error}"));
        }
        assert_eq!(running(disk), OLD, "{at}");
        update(&slots).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(running(disk), NEW, "{at}");
    });
    assert!(steps > 25, "{steps}");
}

#[test]
fn a_confirmation_stopped_or_cut_at_each_step_leaves_the_new_one_on_trial_or_good() {
    let (disk, slots) = settled();
    update(&slots).expect("update");
    start(&slots);
    stopped_everywhere(
        &disk,
        |slots| slots.commit(WayBack::Keep, 9),
        |disk, done, at| {
            assert_eq!(running(disk), NEW, "{at}");
            let record = on(disk).record().expect("record");
            assert!(!done || record.candidate.is_none(), "{at}: {record:?}");
            assert!(record.good == Some(Slot::B) || record.candidate.is_some(), "{at}: {record:?}");
        },
    );
}

#[test]
fn a_roll_back_stopped_or_cut_at_each_step_ends_at_the_old_one() {
    let (disk, slots) = settled();
    update(&slots).expect("update");
    start(&slots);
    stopped_everywhere(
        &disk,
        |slots| slots.roll_back("MQTT does not answer", 9),
        |disk, done, at| {
            let bytes = running(disk);
            assert!(bytes == OLD || (!done && bytes == NEW), "{at}: {bytes:?}");
            let slots = on(disk);
            slots.recover().unwrap_or_else(|error| panic!("{at}: {error}"));
            if slots.record().expect("record").candidate.is_none() {
                assert_eq!(slots.current(), Some(Slot::A), "{at}");
                let ended = slots.record().expect("record").ended.expect("ended");
                assert_eq!(
                    (ended.outcome, ended.reason.as_str()),
                    (Outcome::RolledBack, "MQTT does not answer"),
                    "{at}"
                );
            }
        },
    );
}

#[test]
fn a_start_stopped_or_cut_at_each_step_is_counted_or_has_not_begun() {
    let (disk, slots) = settled();
    update(&slots).expect("update");
    let begin = |slots: &Slots| {
        let start = next_start(slots, None, 1).expect("something starts");
        let counted = matches!(start.started, Started::Candidate { .. });
        if counted { Ok(()) } else { Err(ChangeError::NothingOnTrial) }
    };
    stopped_everywhere(&disk, begin, |disk, begun, at| {
        let tries = on(disk).record().expect("record").candidate.expect("on trial").tries;
        assert!(!begun || tries == 1, "{at}: it runs and is not counted");
        assert!(tries <= 1, "{at}");
    });
}

#[test]
fn a_full_or_broken_disk_at_each_step_is_an_error_and_the_old_one_goes_on() {
    let (prepared, _) = settled();
    let whole = prepared.copy();
    update(&on(&whole)).expect("undisturbed");
    for step in 0..whole.operations() - prepared.operations() {
        for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied] {
            let disk = prepared.copy();
            disk.fail(Some((step, kind)));
            let error = update(&on(&disk)).expect_err("an operation failed");
            let at = format!("step {step}: {error}");
            assert_eq!(error.is_disk_full(), kind == ErrorKind::StorageFull, "{at}");
            let bytes = running(&disk);
            // The switch itself may be made and only not be known to be durable.
            assert!(bytes == OLD || at.contains("turn"), "{at}");
            let slots = on(&disk);
            if slots.record().expect("record").candidate.is_some() {
                slots.roll_back("not durable", 1).expect("roll back");
            }
            slots.recover().expect("recover");
            update(&slots).unwrap_or_else(|error| panic!("{at}, then {error}"));
            assert_eq!(running(&disk), NEW, "{at}");
        }
    }
}

#[test]
fn the_slot_that_runs_is_never_written() {
    let (disk, slots) = settled();
    for (number, version) in ["2.0.0", "3.0.0", "4.0.0"].into_iter().enumerate() {
        let before = slots.record().expect("record").good.expect("good");
        let slot = slots.fill(version.as_bytes(), version, 1).expect("fill");
        assert_eq!(slot, before.other(), "update {number}");
        slots.put_on_trial(slot, 3).expect("trial");
        start(&slots);
        slots.commit(WayBack::Keep, 1).expect("commit");
    }
    assert_eq!(running(&disk), b"4.0.0");
}

#[test]
fn a_second_update_waits_for_the_end_of_the_trial() {
    let (_, slots) = settled();
    update(&slots).expect("update");
    let text = slots.clear().expect_err("on trial").to_string();
    assert_eq!(
        text,
        "version 2.0.0 in slot b is on probation: wait for its end, or end it with `selvedge ota rollback`"
    );
    assert!(matches!(slots.put_on_trial(Slot::B, 3), Err(ChangeError::OnTrial { .. })));
    start(&slots);
    slots.commit(WayBack::Keep, 1).expect("commit");
    slots.clear().expect("free");
}

#[test]
fn a_roll_back_can_be_rolled_back() {
    let (disk, slots) = settled();
    update(&slots).expect("update");
    start(&slots);
    slots.commit(WayBack::Keep, 1).expect("commit");
    // Back to the old one, on trial like any other.
    assert_eq!(slots.try_previous(3).expect("back"), Slot::A);
    assert_eq!(running(&disk), OLD);
    slots.commit(WayBack::Keep, 2).expect("commit");
    assert_eq!(slots.try_previous(3).expect("forth"), Slot::B);
    assert_eq!(running(&disk), NEW);
    slots.roll_back("no", 3).expect("roll back");
    assert_eq!(running(&disk), OLD);
    // What failed is no way back.
    assert!(matches!(slots.try_previous(3), Err(ChangeError::NoPrevious)));
}

#[test]
fn without_a_way_back_there_is_none() {
    let (_, slots) = settled();
    update(&slots).expect("update");
    start(&slots);
    slots.commit(WayBack::Drop, 1).expect("commit");
    let text = slots.try_previous(3).expect_err("none").to_string();
    assert!(text.starts_with("there is no version to go back to"), "{text}");
}

#[test]
fn what_is_not_what_it_should_be_is_not_sealed_and_not_tried() {
    let (disk, slots) = settled();
    let slot = slots.clear().expect("clear");
    let mut file = slots.create_program(slot).expect("create");
    file.write_all(NEW).expect("write");
    file.sync().expect("sync");
    let other = Image { version: "2".into(), digest: Digest::of(b"something else"), data_format: 1, security_floor: 0 };
    let error = slots.seal(slot, &other).expect_err("another one");
    assert!(matches!(error, ChangeError::NotSealed { source: HashError::Length { .. }, .. }), "{error}");
    assert!(slots.put_on_trial(slot, 3).is_err(), "nothing is sealed");
    let slot = slots.fill(NEW, "2.0.0", 1).expect("fill");
    disk.flip(&PathBuf::from(ROOT).join("slots/b/selvedge"), 3);
    let error = slots.put_on_trial(slot, 3).expect_err("changed");
    assert!(matches!(error, ChangeError::NotSealed { source: HashError::Content { .. }, .. }), "{error}");
    assert_eq!(running(&disk), OLD);
}
