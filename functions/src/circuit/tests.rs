use proptest::prelude::*;

use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A circuit with the rule of the defaults, and its time.
struct Bench {
    circuit: Circuit,
    rule: CircuitRule,
}

impl Bench {
    fn new() -> Self {
        Self { circuit: Circuit::new(), rule: CircuitRule::default() }
    }

    /// A message that comes and ends at `now`.
    fn message(&mut self, now: Duration, end: End) -> Option<Change> {
        let permit = self.circuit.permit(&self.rule, now);
        assert!(!matches!(permit, Permit::No { .. }), "at {now:?}");
        self.circuit.ended(&self.rule, now, permit, end)
    }

    fn open_at(&mut self, now: Duration) {
        (0..2).for_each(|_| assert_eq!(self.message(now, End::Failed), None));
        let change = self.message(now, End::Failed);
        assert_eq!(change, Some(Change::Opened { reason: "3 messages in a row failed".to_owned() }));
    }
}

#[test]
fn three_failures_in_a_row_open_it_and_two_do_not() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        assert_eq!(bench.message(s(1), End::Failed), None);
        assert_eq!(bench.message(s(1), End::Failed), None);
        assert_eq!(bench.message(s(1), End::Good), None);
        bench.circuit = Circuit::new();
    }
    bench.open_at(s(1));
    assert_eq!(bench.circuit.position(), Position::Open);
}

#[test]
fn more_than_six_in_ten_open_it_and_six_do_not() {
    let pattern = |text: &str| {
        let mut bench = Bench::new();
        text.chars().map(|end| bench.message(s(1), if end == 'x' { End::Failed } else { End::Good })).last().unwrap()
    };
    assert_eq!(pattern("xx.xx.xx.."), None, "6 of 10");
    assert_eq!(pattern("xx.xx.x.x"), None, "6 of 9: too few to tell");
    assert_eq!(
        pattern("xx.xx.xx.x"),
        Some(Change::Opened { reason: "7 of 10 messages failed within 60 s".to_owned() })
    );
}

#[test]
fn what_left_the_window_does_not_count() {
    let mut bench = Bench::new();
    for end in
        [End::Failed, End::Failed, End::Good, End::Failed, End::Failed, End::Good, End::Failed, End::Failed, End::Good]
    {
        assert_eq!(bench.message(s(2), end), None);
    }
    let mut later = Bench { circuit: bench.circuit.clone(), rule: bench.rule.clone() };
    assert!(bench.message(s(59), End::Failed).is_some(), "7 of 10 within the window");
    assert_eq!(later.message(s(60), End::Failed), None, "the others are a minute ago");
}

#[test]
fn it_is_tried_after_thirty_seconds_with_one_message() {
    let mut bench = Bench::new();
    bench.open_at(s(100));
    let (circuit, rule) = (&mut bench.circuit, &bench.rule);
    assert_eq!(circuit.permit(rule, Duration::from_millis(129_999)), Permit::No { until: s(130) });
    assert_eq!(circuit.permit(rule, s(130)), Permit::Probe);
    assert_eq!(circuit.position(), Position::HalfOpen);
    assert_eq!(circuit.permit(rule, s(131)), Permit::No { until: s(160) }, "one probe at a time");
    assert_eq!(circuit.ended(rule, s(131), Permit::Probe, End::Good), Some(Change::Closed));
    assert_eq!(circuit.permit(rule, s(131)), Permit::Run);
}

#[test]
fn a_probe_that_fails_opens_it_for_as_long_again() {
    let mut bench = Bench::new();
    bench.open_at(s(0));
    let (circuit, rule) = (&mut bench.circuit, &bench.rule);
    assert_eq!(circuit.permit(rule, s(30)), Permit::Probe);
    assert!(matches!(circuit.ended(rule, s(35), Permit::Probe, End::Failed), Some(Change::Opened { .. })));
    assert_eq!(circuit.permit(rule, s(64)), Permit::No { until: s(65) });
    assert_eq!(circuit.permit(rule, s(65)), Permit::Probe);
}

#[test]
fn a_probe_that_never_ends_gives_way_to_another() {
    let mut bench = Bench::new();
    bench.open_at(s(0));
    let (circuit, rule) = (&mut bench.circuit, &bench.rule);
    assert_eq!(circuit.permit(rule, s(30)), Permit::Probe);
    assert_eq!(circuit.permit(rule, s(60)), Permit::Probe);
    assert_eq!(circuit.ended(rule, s(60), Permit::Probe, End::Unknown), None);
    assert_eq!(circuit.permit(rule, s(60)), Permit::Probe, "the node took the probe back: the next one is it");
}

#[test]
fn what_began_before_it_opened_does_not_decide_about_it() {
    let mut bench = Bench::new();
    bench.open_at(s(0));
    assert_eq!(bench.circuit.ended(&bench.rule, s(1), Permit::Run, End::Good), None);
    assert_eq!(bench.circuit.position(), Position::Open);
    assert_eq!(bench.circuit.permit(&bench.rule, s(30)), Permit::Probe);
    assert_eq!(bench.circuit.ended(&bench.rule, s(31), Permit::Run, End::Good), None);
    assert_eq!(bench.circuit.position(), Position::HalfOpen);
}

proptest! {
    #[test]
    fn good_ends_alone_never_open_it_and_no_time_is_too_long(steps in proptest::collection::vec((0u64..100_000, any::<bool>()), 0..200)) {
        let mut bench = Bench::new();
        let mut now = Duration::ZERO;
        for (later_ms, is_unknown) in steps {
            now += Duration::from_millis(later_ms);
            prop_assert_eq!(bench.message(now, if is_unknown { End::Unknown } else { End::Good }), None);
        }
        prop_assert_eq!(bench.circuit.permit(&bench.rule, Duration::MAX), Permit::Run);
    }

    #[test]
    fn an_open_circuit_is_always_tried_again(steps in proptest::collection::vec((0u64..20_000, 0u8..3), 1..300)) {
        let mut bench = Bench::new();
        let mut now = Duration::ZERO;
        for (later_ms, end) in steps {
            now += Duration::from_millis(later_ms);
            let end = [End::Good, End::Failed, End::Unknown][end as usize];
            match bench.circuit.permit(&bench.rule, now) {
                Permit::No { until } => prop_assert!(until > now && until <= now + s(30)),
                permit => drop(bench.circuit.ended(&bench.rule, now, permit, end)),
            }
        }
    }
}
