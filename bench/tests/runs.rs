//! Whole runs over real sockets: against the bare relay, and against servers that misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use clap::Parser;
use selvedge_bench::{Delivery, Options, Outcome, Relay, RelayFaults, RelayThread, Report, RunError, run};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: Options,
}

fn bench(line: &str) -> Result<Report, RunError> {
    let arguments = std::iter::once("bench").chain(line.split_whitespace());
    match run(Command::try_parse_from(arguments).expect("the line parses").options)? {
        Outcome::Stretch(report) => Ok(*report),
        Outcome::Backlog(report) => panic!("{report}"),
    }
}

fn bench_at(address: SocketAddr, line: &str) -> Result<Report, RunError> {
    bench(&format!("{line} --host {} --port {}", address.ip(), address.port()))
}

fn relay(faults: RelayFaults) -> RelayThread {
    let any_port = "127.0.0.1:0".parse().expect("an address");
    Relay::bind(any_port, faults).and_then(Relay::spawn).expect("the relay starts")
}

fn delivery(report: &Report) -> Delivery {
    report.delivery.expect("a message scenario has deliveries")
}

/// Serves every connection in turn: `answer` maps the first byte of what arrives to what is written; `None` closes.
fn server(connections: usize, answer: fn(u8) -> Option<&'static [u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let clients: Vec<_> = (0..connections)
            .filter_map(|_| listener.accept().ok())
            .map(|(stream, _)| {
                thread::spawn(move || {
                    let mut stream = stream;
                    let mut bytes = [0; 4_096];
                    while let Ok(count @ 1..) = stream.read(&mut bytes) {
                        match answer(bytes[..count][0]) {
                            Some(text) => stream.write_all(text).unwrap_or_default(),
                            None => return,
                        }
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().expect("the client's thread ends well");
        }
    });
    address
}

#[test]
fn every_scenario_delivers_everything_over_the_relay_in_both_versions_and_every_quality() {
    for scenario in [
        "pair --messages 3000",
        "pairs --publishers 4 --messages 2000 --window 7",
        "fan-out --subscribers 13 --messages 300 --window 3",
        "fan-out --publishers 3 --subscribers 5 --messages 301",
        "fan-in --publishers 13 --messages 2000 --window 20",
        "pairs --publishers 3 --messages 90 --rate 900",
        "pair --messages 200 --payload-bytes 24 --window 1",
        "pair --messages 40 --payload-bytes 300000 --window 3",
    ] {
        for protocol in [4, 5] {
            for qos in 0..=2 {
                let line = format!("{scenario} --protocol {protocol} --qos {qos} --bare-relay");
                let report = bench(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
                report.verdict().unwrap_or_else(|error| panic!("{line}: {error}"));
                let delivery = delivery(&report);
                assert_eq!(delivery.delivered, delivery.expected, "{line}");
                assert!(report.count > 0 && report.latency.is_some(), "{line}");
                // The kernel counts in hundredths of a second, so that a short run can come out at none.
                assert!(report.broker_cpu_us_each().is_some_and(|each| each >= 0.0), "{line}");
            }
        }
    }
}

#[test]
fn counts_are_of_the_measured_messages_only() {
    let report = bench("fan-out --subscribers 4 --messages 100 --warmup 50 --bare-relay").expect("the run ends");
    let delivery = delivery(&report);
    assert_eq!((delivery.published, delivery.expected, delivery.delivered), (100, 400, 400));
}

#[test]
fn a_relay_that_drops_every_tenth_message_makes_the_run_fail_with_the_right_count() {
    let relay = relay(RelayFaults { drop_every: Some(10), repeat_every: None });
    let report = bench_at(relay.address(), "pair --messages 1005 --warmup 0 --window 50").expect("the run ends");
    let delivery = delivery(&report);
    assert_eq!((delivery.lost, delivery.delivered, delivery.duplicates), (100, 905, 0));
    assert!(!delivery.stalled, "the gaps give the window back");
    assert!(matches!(report.verdict(), Err(RunError::Verdict(why)) if why.contains("100 messages lost")));
}

#[test]
fn a_loss_at_the_very_end_is_found_when_patience_is_over() {
    let relay = relay(RelayFaults { drop_every: Some(20), repeat_every: None });
    let report = bench_at(relay.address(), "pair --messages 20 --warmup 0 --timeout-s 1").expect("the run ends");
    assert_eq!((delivery(&report).lost, delivery(&report).stalled), (1, true));
    assert!(report.verdict().is_err());
}

#[test]
fn a_loss_in_the_warm_up_makes_the_run_fail_too() {
    let relay = relay(RelayFaults { drop_every: Some(1_500), repeat_every: None });
    let report = bench_at(relay.address(), "pair --messages 400 --warmup 2000").expect("the run ends");
    assert_eq!((delivery(&report).lost, delivery(&report).warmup_lost), (0, 1));
    assert!(report.verdict().is_err());
}

#[test]
fn a_relay_that_repeats_messages_makes_the_run_fail_with_the_right_count() {
    let relay = relay(RelayFaults { drop_every: None, repeat_every: Some(7) });
    for qos in 0..=1 {
        let line = format!("fan-out --subscribers 3 --messages 699 --warmup 1 --qos {qos}");
        let report = bench_at(relay.address(), &line).expect("the run ends");
        let delivery = delivery(&report);
        assert_eq!((delivery.duplicates, delivery.lost, delivery.delivered), (300, 0, 2_097), "{line}");
        assert!(report.verdict().is_err());
    }
}

#[test]
fn a_paced_run_takes_as_long_as_its_rate_says() {
    let report = bench("pair --messages 100 --rate 400 --warmup 0 --bare-relay").expect("the run ends");
    assert!(report.elapsed_s >= 99.0 / 400.0, "{} s", report.elapsed_s);
}

#[test]
fn a_run_by_time_publishes_until_then_and_still_receives_everything() {
    let report = bench("pairs --publishers 2 --seconds 0.2 --qos 1 --bare-relay").expect("the run ends");
    report.verdict().expect("nothing is lost");
    assert!(report.elapsed_s >= 0.1 && delivery(&report).published > 100, "{report}");
}

#[test]
fn a_connect_storm_accepts_every_connection_and_uses_the_window() {
    let relay = relay(RelayFaults::default());
    let report = bench_at(relay.address(), "connect --connections 300 --window 20").expect("the run ends");
    assert_eq!(report.count, 300);
    assert!(report.latency.is_some());
    report.verdict().expect("all were accepted");
}

#[test]
fn idle_connections_are_held_and_the_process_is_measured() {
    let relay = relay(RelayFaults::default());
    let line = format!("idle --connections 200 --seconds 0.1 --pid {}", std::process::id());
    let report = bench_at(relay.address(), &line).expect("the run ends");
    assert_eq!((report.count, report.connections_lost), (200, 0));
    assert!(report.bytes_per_connection().is_some() && report.resources.broker_cpu_us.is_some());
}

#[test]
fn idle_connections_that_the_broker_ends_are_counted() {
    // Nothing that the server sees tells it that all clients are in, hence the second before it closes.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut streams: Vec<_> = (0..3).filter_map(|_| listener.accept().ok()).map(|(stream, _)| stream).collect();
        for stream in &mut streams {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(&[0x20, 2, 0, 0]);
        }
        thread::sleep(Duration::from_secs(1));
        streams.pop();
        thread::sleep(Duration::from_secs(60));
    });
    let report = bench_at(address, "idle --protocol 4 --connections 3 --seconds 3").expect("the run ends");
    assert_eq!(report.connections_lost, 1);
    assert!(report.verdict().is_err());
}

#[test]
fn retained_messages_that_never_come_are_lost() {
    // The relay retains nothing.
    let relay = relay(RelayFaults::default());
    let report = bench_at(relay.address(), "retained --messages 10 --timeout-s 1").expect("the run ends");
    assert_eq!((delivery(&report).expected, delivery(&report).lost), (10, 10));
    assert!(report.verdict().is_err());
}

#[test]
fn nobody_listening_is_told_with_address_and_advice() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let error = bench_at(address, "pair").expect_err("nobody listens");
    assert!(matches!(error, RunError::Connect { .. }), "{error:?}");
    for part in [address.to_string().as_str(), "selvedge run", "--host and --port"] {
        assert!(error.to_string().contains(part), "{part} in {error}");
    }
}

#[test]
fn a_refused_connect_is_told_in_words() {
    let version_5 = server(4, |_| Some(&[0x20, 3, 0, 0x87, 0]));
    let error = bench_at(version_5, "pair").expect_err("refused");
    assert!(error.to_string().contains("not authorized (0x87)"), "{error}");
    let version_4 = server(4, |_| Some(&[0x20, 2, 0, 4]));
    let error = bench_at(version_4, "pair --protocol 4").expect_err("refused");
    assert!(error.to_string().contains("bad user name or password"), "{error}");
}

#[test]
fn a_refused_subscription_is_told_in_words() {
    let address = server(4, |first| Some(if first == 0x10 { &[0x20, 3, 0, 0, 0] } else { &[0x90, 4, 0, 1, 0, 0x87] }));
    let error = bench_at(address, "pair").expect_err("refused");
    assert!(error.to_string().contains("SUBSCRIBE") && error.to_string().contains("not authorized"), "{error}");
}

#[test]
fn a_broker_that_goes_away_in_the_middle_is_told() {
    let address = server(4, |first| match first {
        0x10 => Some(&[0x20, 3, 0, 0, 0]),
        0x82 => Some(&[0x90, 4, 0, 1, 0, 0]),
        _ => None,
    });
    let error = bench_at(address, "pair").expect_err("it closes at the first PUBLISH");
    assert!(matches!(error, RunError::Lost { .. }), "{error:?}");
    assert!(error.to_string().contains("did the broker stop?"), "{error}");
}

#[test]
fn a_broker_that_says_goodbye_is_told_with_its_reason() {
    let address = server(4, |first| match first {
        0x10 => Some(&[0x20, 3, 0, 0, 0]),
        0x82 => Some(&[0x90, 4, 0, 1, 0, 0]),
        _ => Some(&[0xE0, 1, 0x8B]),
    });
    let error = bench_at(address, "pair").expect_err("it shuts down");
    assert!(error.to_string().contains("server shutting down"), "{error}");
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let address = server(4, |_| Some(&[]));
    for line in ["pair --timeout-s 1", "connect --connections 3 --timeout-s 1"] {
        let error = bench_at(address, line).expect_err("nothing comes");
        assert!(matches!(error, RunError::TimedOut { .. }), "{line}: {error:?}");
    }
}

#[test]
fn a_server_that_speaks_no_mqtt_is_told() {
    let address = server(4, |_| Some(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let error = bench_at(address, "pair").expect_err("that is no MQTT");
    assert!(matches!(error, RunError::Malformed { .. } | RunError::Unexpected { .. }), "{error:?}");
}

/// A broker that answers by sending each message back to its one subscriber: the relay, asked on the topic itself.
#[test]
fn a_round_trip_counts_one_answer_for_each_message() {
    let relay = relay(RelayFaults::default());
    for qos in 0..=2 {
        let report = bench_at(
            relay.address(),
            &format!("round-trip --topic t --answer t --messages 50 --qos {qos} --timeout-s 5"),
        )
        .expect("the run ends");
        let account = delivery(&report);
        assert_eq!((account.delivered, account.lost, account.stray), (50, 0, 0), "QoS {qos}");
        assert!(report.latency.is_some_and(|latency| latency.p50_us > 0.0));
        report.verdict().expect("nothing is wrong");
    }
}

#[test]
fn a_round_trip_without_an_answer_is_given_up_and_says_so() {
    let relay = relay(RelayFaults::default());
    let error = bench_at(relay.address(), "round-trip --topic t --answer other --timeout-s 1").expect_err("no answer");
    assert!(error.to_string().contains("an answer (0 came so far)"), "{error}");
}
