//! Interfaces come, go, and are renamed; what is attached ends with the counters.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, process::Command};

use selvedge_ebpf::{AttachMode, Config, Counters, Hook, KernelTime, Snapshot};

use crate::{
    frame::{From, ipv4, udp},
    frame_socket::FrameSocket,
    network::{config, connect, drain_until, has_hook, in_peer, ip, start, table},
    surroundings::in_namespace,
};

fn packets_in(snapshot: &Snapshot, interface: &str) -> u64 {
    let rows = snapshot.totals.iter().filter(|row| row.interface.as_str() == interface);
    rows.filter(|row| row.direction == selvedge_ebpf::Direction::In).map(|row| row.counts.packets).sum()
}

fn flows_in(snapshot: &Snapshot) -> u64 {
    let rows = snapshot.flows.iter().filter(|row| row.direction == selvedge_ebpf::Direction::In);
    rows.map(|row| row.counts.packets).sum()
}

fn send(count: u64) {
    in_peer(|| {
        let socket = FrameSocket::open("peer0");
        (0..count).for_each(|_| socket.send(&ipv4(From::Peer, 17, &udp(9, 53, b""))));
    });
}

fn names(counters: &Counters) -> Vec<String> {
    counters.status().interfaces.into_iter().map(|interface| interface.name).collect()
}

/// What `tc` shows of filters in clsact.
fn filters(interface: &str) -> String {
    let show = |hook: &str| {
        let output = Command::new("tc").args(["filter", "show", "dev", interface, hook]).output().expect("tc");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        shown.lines().filter(|line| line.contains("handle")).map(|line| format!("{line}\n")).collect::<String>()
    };
    show("ingress") + &show("egress")
}

/// Set for the child that ends without detaching, to the interface that it counts.
const LEAVE: &str = "SELVEDGE_TEST_LEAVE_FILTERS";

/// Not a test by itself: a process that is killed, as far as its filters go.
#[test]
fn leave_filters_behind() {
    if let Ok(interface) = std::env::var(LEAVE) {
        let _counters = start(&config(&interface, AttachMode::Clsact));
        std::process::exit(0);
    }
}

in_namespace! {
    fn without_an_interface_the_counters_wait_for_one() {
        let mut counters = Counters::start(&config("eth*", AttachMode::Auto), KernelTime::now()).unwrap();
        let status = counters.status();
        assert!(!status.up && status.problems.len() == 1);
        assert_eq!(status.problems[0].text, "no interface of this machine is called eth*");
        connect();
        let snapshot = counters.drain(KernelTime::now()).unwrap();
        assert_eq!(snapshot.health.interfaces, 1);
        let status = counters.status();
        assert!(status.up && status.problems.is_empty(), "{status:?}");
        send(3);
        drain_until(&mut counters, "3 packets", |snapshot| packets_in(snapshot, "eth0") == 3);
    }

    fn an_interface_that_goes_keeps_its_counts_and_goes_on_when_it_is_back() {
        connect();
        let mut counters = start(&config("eth0", AttachMode::Auto));
        send(5);
        drain_until(&mut counters, "5 packets", |snapshot| packets_in(snapshot, "eth0") == 5);
        send(2);
        ip("link del eth0\n");
        let snapshot = counters.drain(KernelTime::now()).unwrap();
        assert!(!counters.status().up);
        assert_eq!(packets_in(&snapshot, "eth0"), 7, "the last ones too\n{}", table(&snapshot));
        assert!(snapshot.flows.iter().all(|row| row.peer.is_none()), "{}", table(&snapshot));
        assert!(Command::new("ip").args(["netns", "del", "peer"]).status().unwrap().success());
        connect();
        counters.drain(KernelTime::now()).unwrap();
        send(1);
        let snapshot = drain_until(&mut counters, "1 packet more", |snapshot| packets_in(snapshot, "eth0") == 8);
        assert_eq!(flows_in(&snapshot), 8, "by flows too\n{}", table(&snapshot));
        assert_eq!(snapshot.health.evictions_estimated, 0);
    }

    fn an_interface_that_is_renamed_is_counted_under_its_new_name() {
        connect();
        let mut counters = start(&config("*0", AttachMode::Auto));
        send(5);
        drain_until(&mut counters, "5 packets", |snapshot| packets_in(snapshot, "eth0") == 5);
        ip("link set eth0 down\nlink set eth0 name lan0\nlink set lan0 up\n\
            neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev lan0 nud permanent\n");
        counters.drain(KernelTime::now()).unwrap();
        assert_eq!(names(&counters), ["lan0"]);
        send(4);
        let snapshot = drain_until(&mut counters, "4 packets", |snapshot| packets_in(snapshot, "lan0") == 4);
        assert_eq!(packets_in(&snapshot, "eth0"), 5);
        assert_eq!(flows_in(&snapshot), 9, "{}", table(&snapshot));
    }

    fn only_interfaces_that_a_pattern_means_are_counted() {
        connect();
        let config = Config { interfaces: vec!["l?".parse().unwrap(), "eth1".parse().unwrap()], ..Config::default() };
        assert_eq!(names(&start(&config)), ["lo"]);
    }

    fn more_interfaces_than_there_are_places_for_are_a_problem_and_no_failure() {
        for number in 0..20 {
            ip(&format!("link add a{number} type veth peer name b{number}\n"));
        }
        let counters = start(&config("*", AttachMode::Auto));
        let status = counters.status();
        assert_eq!(status.interfaces.len(), 32);
        // 40 of the pairs and lo are ones that can be read.
        let without_place = status.problems.iter().filter(|problem| problem.text.contains("all 32 places")).count();
        assert!(without_place >= 41 - 32, "{status:?}");
    }

    fn the_newer_hook_is_taken_where_the_kernel_has_it() {
        connect();
        let hook = start(&config("eth0", AttachMode::Auto)).status().interfaces[0].hook;
        let has_tcx = Counters::start(&config("eth0", AttachMode::Tcx), KernelTime::now()).unwrap().status().up;
        assert_eq!(hook, if has_tcx { Hook::Tcx } else { Hook::Clsact });
    }

    fn dropping_the_counters_detaches_their_filters() {
        connect();
        let counters = start(&config("eth0", AttachMode::Clsact));
        assert_eq!(counters.status().interfaces[0].hook, Hook::Clsact);
        let shown = filters("eth0");
        assert!(shown.contains("selvedge_in") && shown.contains("selvedge_out"), "{shown}");
        drop(counters);
        assert_eq!(filters("eth0").matches("selvedge").count(), 0);
    }

    fn filters_that_a_killed_process_left_behind_are_replaced() {
        connect();
        let program = std::env::current_exe().expect("the path of this program");
        let ended = Command::new(program)
            .args(["--exact", "interfaces::leave_filters_behind", "--nocapture"])
            .env(LEAVE, "eth0")
            .status();
        assert_eq!(ended.unwrap().code(), Some(0));
        assert_eq!(filters("eth0").matches(" handle ").count(), 2, "{}", filters("eth0"));
        let mut counters = start(&config("eth0", AttachMode::Clsact));
        assert_eq!(filters("eth0").matches(" handle ").count(), 2, "{}", filters("eth0"));
        send(3);
        drain_until(&mut counters, "3 packets", |snapshot| packets_in(snapshot, "eth0") == 3);
    }

    fn two_counters_on_one_interface_do_not_disturb_each_other_by_tcx() {
        if !has_hook(AttachMode::Tcx) {
            return;
        }
        connect();
        let mut first = start(&config("eth0", AttachMode::Tcx));
        let mut second = start(&config("eth0", AttachMode::Tcx));
        send(3);
        drain_until(&mut first, "3 packets", |snapshot| packets_in(snapshot, "eth0") == 3);
        drain_until(&mut second, "3 packets", |snapshot| packets_in(snapshot, "eth0") == 3);
    }

    fn by_clsact_the_second_counters_on_an_interface_wait_until_the_first_ones_end() {
        connect();
        let config = config("eth0", AttachMode::Clsact);
        let mut first = start(&config);
        let mut second = Counters::start(&config, KernelTime::now()).unwrap();
        let status = second.status();
        assert!(!status.up, "{status:?}");
        assert_eq!(status.problems[0].text, "another process counts eth0 already");
        send(3);
        drain_until(&mut first, "3 packets", |snapshot| packets_in(snapshot, "eth0") == 3);
        drop(first);
        second.drain(KernelTime::now()).unwrap();
        assert!(second.status().up, "{:?}", second.status());
        send(2);
        drain_until(&mut second, "2 packets", |snapshot| packets_in(snapshot, "eth0") == 2);
    }

    fn a_name_that_a_terminal_would_obey_is_counted_and_shown_as_text() {
        ip("link add e\x1b[31m type veth peer name f0\n");
        let status = start(&config("e*", AttachMode::Auto)).status();
        assert_eq!(status.interfaces[0].name, "e\\u{1b}[31m");
        assert!(status.problems.is_empty(), "{status:?}");
    }

    fn a_name_that_is_no_text_is_a_problem_and_the_others_are_counted() {
        connect();
        let name = OsStr::from_bytes(b"eth\xff");
        let mut add = Command::new("ip");
        add.args(["link", "add"]).arg(name).args(["type", "veth", "peer", "name", "f0"]);
        assert!(add.status().unwrap().success());
        let counters = start(&config("eth*", AttachMode::Auto));
        assert_eq!(names(&counters), ["eth0"]);
        let problems = counters.status().problems;
        assert!(problems[0].text.starts_with("the interface eth\u{fffd} is not counted"), "{problems:?}");
        assert!(problems[0].remedy.contains("give it a name of letters and digits"), "{problems:?}");
    }
}
