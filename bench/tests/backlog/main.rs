//! Whole runs of `backlog` over real sockets, against a server that keeps sessions and one that keeps them badly.

mod session_keeper;

use clap::Parser;
use selvedge_bench::{BacklogReport, Delivery, Options, Outcome, RunError, run};
use session_keeper::{Faults, SessionKeeper};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: Options,
}

const ANY: u16 = u16::MAX;

fn outcome(keeper: &SessionKeeper, line: &str) -> Result<Outcome, RunError> {
    let address = keeper.address();
    let line = format!("bench {line} --host {} --port {}", address.ip(), address.port());
    run(Command::try_parse_from(line.split_whitespace()).expect("the line parses").options)
}

fn backlog(keeper: &SessionKeeper, line: &str) -> Result<BacklogReport, RunError> {
    match outcome(keeper, &format!("backlog {line}"))? {
        Outcome::Backlog(report) => Ok(*report),
        Outcome::Stretch(report) => panic!("{report}"),
    }
}

fn drained(report: &BacklogReport) -> Delivery {
    report.drain.as_ref().and_then(|drain| drain.delivery).expect("there was a drain")
}

#[test]
fn what_is_published_to_sessions_that_are_away_arrives_once_in_order_when_they_return() {
    for (line, deliveries) in [
        ("--messages 3000", 3_000),
        ("--messages 500 --fan-out --sessions 7 --publishers 3", 3_500),
        ("--messages 1001 --sessions 4 --publishers 6 --window 3", 1_001),
        ("--messages 70 --sessions 100 --publishers 1 --payload-bytes 20000", 70),
    ] {
        for protocol in [4, 5] {
            let keeper = SessionKeeper::start(ANY, Faults::default());
            let line = format!("{line} --protocol {protocol}");
            let report = backlog(&keeper, &line).unwrap_or_else(|error| panic!("{line}: {error}"));
            report.verdict().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!((drained(&report).delivered, drained(&report).expected), (deliveries, deliveries), "{line}");
            let published = report.publish.expect("there was a publish phase");
            assert!(published.acknowledgement.is_some_and(|ack| ack.p50_us > 0.0), "{line}");
            assert_eq!(keeper.kept(), (0, 0), "{line}: sessions are ended");
        }
    }
}

#[test]
fn phases_can_be_run_one_by_one_and_only_the_drain_empties_the_sessions() {
    let keeper = SessionKeeper::start(ANY, Faults::default());
    let line = "--name apart --messages 400 --sessions 5 --publishers 2 --keep-sessions";
    let phase = |phase: &str| backlog(&keeper, &format!("{line} --phase {phase}")).expect("the phase ends");
    assert!(phase("prepare").prepare.is_some_and(|prepared| prepared.sessions == 5));
    assert_eq!(keeper.kept(), (5, 0));
    let published = phase("publish").publish.expect("it was run");
    assert_eq!((published.count, published.payload_bytes), (400, 400 * 256));
    assert_eq!(keeper.kept(), (5, 400));
    phase("drain").verdict().expect("everything is there");
    assert_eq!(keeper.kept(), (5, 0), "they are kept and everything in them is acknowledged");
}

#[test]
fn a_receive_maximum_below_the_window_is_kept() {
    for (receive_maximum, window, most) in [(7, 1_000, 7), (1_000, 4, 4)] {
        let keeper = SessionKeeper::start(receive_maximum, Faults::default());
        let line = format!("--messages 500 --publishers 1 --sessions 1 --window {window}");
        backlog(&keeper, &line).and_then(|report| report.verdict()).expect("nothing is wrong");
        assert!(keeper.most_at_once() <= most, "{} at once", keeper.most_at_once());
    }
}

#[test]
fn a_queue_that_loses_repeats_or_reorders_makes_the_run_fail_with_the_right_count() {
    let line = "--messages 100 --publishers 1 --sessions 1 --timeout-s 1";
    let account = |faults| {
        let keeper = SessionKeeper::start(ANY, faults);
        let report = backlog(&keeper, line).expect("the run ends");
        assert!(report.verdict().is_err(), "{report}");
        drained(&report)
    };
    let lossy = account(Faults { lose: Some(40), ..Faults::default() });
    assert_eq!((lossy.lost, lossy.delivered, lossy.stalled), (1, 99, true));
    let repeating = account(Faults { repeat: Some(40), ..Faults::default() });
    assert_eq!((repeating.lost, repeating.duplicates), (0, 1));
    let reordering = account(Faults { swap: Some(40), ..Faults::default() });
    assert_eq!((reordering.lost, reordering.out_of_order), (0, 1));
}

#[test]
fn a_broker_that_forgot_its_sessions_is_told_without_waiting_for_what_cannot_come() {
    let keeper = SessionKeeper::start(ANY, Faults { forget: true, ..Faults::default() });
    let report = backlog(&keeper, "--messages 50 --timeout-s 30").expect("the run ends");
    let account = drained(&report);
    assert_eq!((account.sessions_missing, account.lost, account.stalled), (10, 50, false));
    assert!(report.complaints().iter().any(|what| what.contains("10 sessions were not there")), "{report}");
}

#[test]
fn refused_publications_are_counted_and_not_waited_for() {
    let keeper = SessionKeeper::start(ANY, Faults { refuse_every: Some(10), ..Faults::default() });
    // The last of the stream is refused, so that no gap shows it.
    let report = backlog(&keeper, "--messages 100 --publishers 1 --sessions 1").expect("the run ends");
    let published = report.publish.as_ref().expect("there was a publish phase");
    assert_eq!((published.count, published.delivery.map(|delivery| delivery.refused)), (90, Some(10)));
    assert_eq!((drained(&report).lost, drained(&report).delivered, drained(&report).stalled), (0, 90, false));
    assert!(report.verdict().is_err());
}

#[test]
fn a_load_on_offline_durable_sessions_times_acknowledgements_and_takes_the_sessions_away() {
    let keeper = SessionKeeper::start(ANY, Faults::default());
    let line = "pairs --publishers 2 --messages 300 --rate 3000 --qos 1 --durable --offline --warmup 20";
    let Outcome::Stretch(report) = outcome(&keeper, line).expect("the run ends") else { panic!("not a backlog") };
    report.verdict().expect("nothing is wrong");
    assert_eq!((report.count, report.latency), (300, None));
    assert!(report.acknowledgement.is_some_and(|ack| ack.max_us >= ack.p50_us));
    assert_eq!(keeper.kept(), (0, 0));
}
