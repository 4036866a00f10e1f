use super::*;
use crate::{Direction, FlowRow, IpVersion, Protocol, TotalRow};

fn flow(peer: u32, packets: u64) -> FlowRow {
    FlowRow {
        interface: InterfaceName::new("eth0"),
        direction: Direction::In,
        version: IpVersion::V4,
        protocol: Protocol::Tcp,
        class: PortClass::Mqtt,
        peer: Some(IpAddr::V4(peer.into())),
        peer_port: None,
        counts: Counts { packets: 1000 + packets, ..Counts::default() },
        recent: Counts { packets, ..Counts::default() },
    }
}

fn snapshot(flows: Vec<FlowRow>) -> Snapshot {
    Snapshot { interval_s: 2.0, flows, ..Snapshot::default() }
}

fn new_peers() -> Detector {
    Detector::new(&EventsConfig { new_peers: true, thresholds: Vec::new() })
}

fn above(per_s: u64) -> Threshold {
    Threshold {
        name: "busy".to_owned(),
        measure: Measure::Packets,
        scope: ThresholdScope::Peer,
        class: None,
        above_per_s: per_s,
    }
}

fn thresholds(thresholds: Vec<Threshold>) -> Detector {
    Detector::new(&EventsConfig { new_peers: false, thresholds })
}

#[test]
fn a_peer_is_new_once() {
    let mut detector = new_peers();
    assert_eq!(detector.look(&snapshot(vec![flow(1, 5), flow(1, 1)])).len(), 1);
    assert_eq!(detector.look(&snapshot(vec![flow(1, 5)])), []);
    assert_eq!(detector.look(&snapshot(vec![flow(1, 5), flow(2, 1)])).len(), 1);
}

#[test]
fn a_peer_that_is_silent_is_not_new_yet() {
    let mut detector = new_peers();
    assert_eq!(detector.look(&snapshot(vec![flow(1, 0)])), []);
    assert_eq!(detector.look(&snapshot(vec![flow(1, 1)])).len(), 1);
}

#[test]
fn a_scan_gives_bounded_events_and_says_how_many_it_left_out() {
    let mut detector = new_peers();
    let events = detector.look(&snapshot((0..250).map(|peer| flow(peer, 1)).collect()));
    assert_eq!(events.len(), EVENTS_MAX);
    assert_eq!(events.last(), Some(&NetEvent::Omitted { events: 151 }));
    assert_eq!(detector.look(&snapshot((0..250).map(|peer| flow(peer, 1)).collect())), []);
    let all = detector.look(&snapshot((300..400).map(|peer| flow(peer, 1)).collect()));
    assert!(all.len() == EVENTS_MAX && matches!(all.last(), Some(NetEvent::NewPeer { .. })));
}

#[test]
fn the_memory_of_peers_is_bounded() {
    let mut detector = new_peers();
    for round in 0..80_u32 {
        detector.look(&snapshot((0..1000).map(|peer| flow(round * 1000 + peer, 1)).collect()));
        assert!(detector.known.len() <= PEERS_MAX);
    }
}

#[test]
fn a_rate_is_above_only_beyond_its_threshold() {
    let mut detector = thresholds(vec![above(10)]);
    assert_eq!(detector.look(&snapshot(vec![flow(1, 20)])), []);
    let events = detector.look(&snapshot(vec![flow(1, 21)]));
    assert!(matches!(&events[..], [NetEvent::Above(crossing)] if crossing.rate_per_s == 10.5), "{events:?}");
}

#[test]
fn a_rate_that_dances_around_its_threshold_is_one_event() {
    let mut detector = thresholds(vec![above(10)]);
    let counts: Vec<usize> = [21, 19, 21, 16, 22, 15, 19, 21]
        .into_iter()
        .map(|packets| detector.look(&snapshot(vec![flow(1, packets)])).len())
        .collect();
    assert_eq!(counts, [1, 0, 0, 0, 0, 1, 0, 1], "above, below with 7.5 a second, above again");
}

#[test]
fn a_subject_that_disappears_is_below() {
    let mut detector = thresholds(vec![above(10)]);
    detector.look(&snapshot(vec![flow(1, 100)]));
    let events = detector.look(&snapshot(vec![]));
    assert!(matches!(&events[..], [NetEvent::Below(crossing)] if crossing.rate_per_s == 0.0), "{events:?}");
    assert_eq!(detector.look(&snapshot(vec![])), []);
}

#[test]
fn a_threshold_of_a_class_does_not_see_the_others() {
    let mut detector = thresholds(vec![Threshold { class: Some(PortClass::Dns), ..above(10) }]);
    assert_eq!(detector.look(&snapshot(vec![flow(1, 100)])), []);
    let dns = FlowRow { class: PortClass::Dns, ..flow(1, 100) };
    assert_eq!(detector.look(&snapshot(vec![dns])).len(), 1);
}

#[test]
fn a_threshold_of_an_interface_sums_its_totals() {
    let mut detector = thresholds(vec![Threshold { scope: ThresholdScope::Interface, ..above(10) }]);
    let row = |direction, packets| TotalRow {
        interface: InterfaceName::new("eth0"),
        direction,
        version: IpVersion::V4,
        protocol: Protocol::Tcp,
        class: PortClass::Other,
        counts: Counts::default(),
        recent: Counts { packets, ..Counts::default() },
    };
    let totals = |packets| Snapshot {
        interval_s: 2.0,
        totals: vec![row(Direction::In, packets), row(Direction::Out, packets)],
        ..Snapshot::default()
    };
    assert_eq!(detector.look(&totals(10)), []);
    assert_eq!(detector.look(&totals(11)).len(), 1);
}

#[test]
fn subjects_above_a_threshold_are_bounded() {
    let mut detector = thresholds(vec![above(1)]);
    detector.look(&snapshot((0..10_000).map(|peer| flow(peer, 100)).collect()));
    assert_eq!(detector.above.len(), ABOVE_MAX);
}

#[test]
fn without_time_between_two_snapshots_there_is_no_rate() {
    let mut detector = thresholds(vec![above(1)]);
    assert_eq!(detector.look(&Snapshot { interval_s: 0.0, ..snapshot(vec![flow(1, 100)]) }), []);
}

#[test]
fn an_event_is_written_with_its_name() {
    let event = NetEvent::NewPeer {
        interface: InterfaceName::new("eth0"),
        peer: "192.0.2.7".parse().unwrap(),
        class: PortClass::MqttTls,
    };
    let expected = r#"{"event":"new-peer","interface":"eth0","peer":"192.0.2.7","class":"mqtts"}"#;
    assert_eq!(serde_json::to_string(&event).unwrap(), expected);
}
