//! The whole update, stopped, cut and failed at each operation on the disk.

use std::io::ErrorKind;
use std::path::Path;

use selvedge_ota::Restart;
use selvedge_ota_slots::simulation::Cut;
use selvedge_ota_slots::{Disk, Started};

use crate::fixture::{Node, Publisher, program};

/// A node that runs version 2 from slot a, and a publisher with version 3.
fn settled() -> (Publisher, Node) {
    let publisher = Publisher::new();
    publisher.release(1);
    publisher.release(2);
    let mut node = Node::new(&publisher);
    node.update(&publisher).expect("update");
    node.restart();
    node.commit();
    node.agent().recover().expect("recover");
    publisher.release(3);
    (publisher, node)
}

fn on_copy(node: &Node) -> Node {
    let mut copy = Node::on(node.disk.copy());
    copy.facts.running = node.facts.running;
    copy.host.running = node.host.running.clone();
    copy
}

#[test]
fn an_update_stopped_or_cut_at_each_operation_runs_old_or_new_and_goes_on_after() {
    let (publisher, settled) = settled();
    let whole = on_copy(&settled);
    whole.update(&publisher).expect("undisturbed");
    let operations = whole.disk.operations() - settled.disk.operations();
    assert!(operations > 30, "{operations}");
    let seeds: u64 = std::env::var("SELVEDGE_OTA_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(4);
    let (mut old, mut new) = (0, 0);
    for operation in 0..=operations {
        let mixes = (0..seeds).map(|seed| Some(Cut::Mix(seed * 7919 + operation + 1)));
        for cut in [None, Some(Cut::Drop)].into_iter().chain(mixes) {
            let mut node = on_copy(&settled);
            node.disk.stop_after(Some(operation));
            let done = node.update(&publisher).is_ok_and(|report| report.restart == Restart::Needed);
            let at = format!("stopped after {operation} of {operations} ({:?}), {cut:?}", node.disk.trace().last());
            match cut {
                Some(cut) => node.disk.cut(cut),
                None => node.disk.stop_after(None),
            }
            let bytes = node.restart();
            if bytes == program(3) {
                new += 1;
            } else {
                assert!(bytes == program(2), "{at}: something else runs");
                assert!(!done, "{at}: it said done and the old one runs");
                old += 1;
            }
            // Confirmed or done again, it ends at the new one.
            if bytes == program(2) {
                let report = node.update(&publisher).unwrap_or_else(|error| panic!("{at}: {error}"));
                assert!(report.failed.is_empty(), "{at}: {:?}", report.failed);
                assert_eq!(node.restart(), program(3), "{at}");
            }
            node.commit();
            assert!(matches!(node.start().started, Started::Good(_)), "{at}");
            assert_eq!(node.restart(), program(3), "{at}");
        }
    }
    println!("{operations} operations, {} stops and cuts: {old} old, {new} new, 0 broken", old + new);
    assert!(old > 0 && new > 0);
}

#[test]
fn a_full_or_broken_disk_at_each_operation_is_told_and_the_old_one_goes_on() {
    let (publisher, settled) = settled();
    let whole = on_copy(&settled);
    whole.update(&publisher).expect("undisturbed");
    for operation in 0..whole.disk.operations() - settled.disk.operations() {
        for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied] {
            let mut node = on_copy(&settled);
            node.disk.fail(Some((operation, kind)));
            let outcome = node.update(&publisher);
            let at = format!("operation {operation}: {:?}", node.disk.trace().get(usize::try_from(operation).unwrap()));
            let told = match &outcome {
                Err(_) => true,
                Ok(report) => !report.failed.is_empty() || report.restart == Restart::NotNeeded,
            };
            // Sweeping what is not needed any more may fail after everything is done.
            assert!(told || node.start().started != Started::Package, "{at}: {outcome:?}");
            node.disk.fail(None);
            let bytes = node.restart();
            assert!(bytes == program(2) || bytes == program(3), "{at}");
            if bytes == program(2) {
                node.update(&publisher).unwrap_or_else(|error| panic!("{at}: {error}"));
                assert_eq!(node.restart(), program(3), "{at}");
            }
        }
    }
}

#[test]
fn nothing_is_left_in_staging_after_an_update() {
    let (publisher, node) = settled();
    node.update(&publisher).expect("update");
    assert_eq!(node.disk.list(Path::new("/data/ota/staging")).expect("list"), Vec::<String>::new());
}
