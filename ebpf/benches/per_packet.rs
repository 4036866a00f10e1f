//! What counting costs: nanoseconds a packet above an empty program, and the drain of many flows.
//!
//! `cargo bench -p selvedge-ebpf` as root; with `-- packets` or `-- drain` only the one. The kernel runs the programs
//! on one packet after the other (`BPF_PROG_TEST_RUN`) and takes the time itself. With one flow a run repeats the
//! packet a million times, so everything is in the cache; with many flows each run is one packet, for the empty program
//! as for ours, so that the difference has the cost of a cold cache in it: an upper bound.

#[path = "../tests/kernel/frame_socket.rs"]
mod frame_socket;

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use aya::{
    EbpfLoader,
    maps::{Array, MapData},
    programs::SchedClassifier,
};
use selvedge_ebpf::{Config, Counters, KernelTime, OBJECT, ReadMethod};
use selvedge_ebpf_abi::{PortClass, PortGroup, map};

/// Runs of one packet.
const REPEAT: u32 = 1_000_000;
/// Each figure is the least of so many measurements: what else runs on the machine only ever adds.
const ROUNDS: usize = 15;
const FLOWS: u32 = 10_000;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED per_packet: loading programs needs root");
        return;
    }
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(0);
    rustix::thread::sched_setaffinity(None, &cpus).expect("this thread on one processor");

    if only.as_deref() != Some("drain") {
        packets();
    }
    if only.as_deref() != Some("packets") {
        drain();
    }
}

/// Nanoseconds a packet.
fn packets() {
    let empty = empty_program().expect("an empty program");
    let nothing_hot = least(|| run(empty.as_fd(), &packet(1, 40_000, 9, 0x10), REPEAT));
    let nothing_cold = cold(empty.as_fd(), 1);
    println!("empty program: {nothing_hot:.1} ns hot, {nothing_cold:.1} ns one packet a run\n");
    println!("| packets | flows | ns above an empty program |\n|---|---|---|");

    let ours = Loaded::new(16_384);
    for (what, packet) in [
        ("TCP, other port", packet(1, 40_000, 9, 0x10)),
        ("TCP, MQTT port, established", packet(1, 40_000, 1883, 0x10)),
        ("TCP, MQTT port, SYN", packet(1, 40_000, 1883, 0x02)),
        ("UDP", udp_packet()),
        ("IPv6 TCP, MQTT port", packet_v6()),
        ("IPv4 with options (careful reader)", packet_with_options()),
        ("ARP", arp()),
    ] {
        let hot = least(|| run(ours.incoming(), &packet, REPEAT));
        println!("| {what}, hit | 1 | {:.1} |", hot - nothing_hot);
    }
    for peer in 0..FLOWS {
        run(ours.incoming(), &packet_of(peer), 1);
    }
    println!("| TCP, hit | {FLOWS} | {:.1} |", cold(ours.incoming(), 1) - nothing_cold);
    let small = Loaded::new(1024);
    println!("| TCP, miss and eviction | {FLOWS} in 1024 | {:.1} |", cold(small.incoming(), 1) - nothing_cold);
}

/// Wall time and processor time of a drain of all flows, by the loader's own reader: the table of sums and the snapshot
/// included.
///
/// In a network namespace of its own, on `lo`, where each frame that is sent comes in again.
fn drain() {
    // SAFETY: nothing of this process depends on which network it is in, and it has one thread.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.expect("a network namespace");
    assert!(std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().is_ok_and(|ip| ip.success()));
    let config =
        Config { interfaces: vec!["lo".parse().expect("a name")], flows_max: 2 * FLOWS + 4096, ..Config::default() };
    let mut counters = Counters::start(&config, KernelTime::now()).expect("the counters");
    let socket = frame_socket::FrameSocket::open("lo");
    println!("\n| drain of {FLOWS} peers | flows | wall | processor |\n|---|---|---|---|");
    for method in [ReadMethod::Batch, ReadMethod::OneByOne] {
        counters.set_read_method(method);
        for what in ["first seen", "all moved", "none moved", "all moved", "none moved"] {
            if what != "none moved" {
                (0..FLOWS).for_each(|peer| socket.send(&packet_of(peer)));
            }
            let (wall, processor) = (Instant::now(), processor_time());
            let snapshot = counters.drain(KernelTime::now()).expect("a drain");
            let (wall, processor) = (wall.elapsed(), processor_time() - processor);
            let flows = snapshot.flows.len();
            println!(
                "| {method:?}, {what} | {flows} | {:.2} ms | {:.2} ms |",
                wall.as_secs_f64() * 1e3,
                processor.as_secs_f64() * 1e3
            );
        }
    }
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Loaded {
    kernel: aya::Ebpf,
}

impl Loaded {
    fn new(flows_max: u32) -> Self {
        let mut loader = EbpfLoader::new();
        loader.btf(None).map_max_entries(map::FLOWS, flows_max);
        let mut kernel = loader.load(OBJECT).expect("the programs");
        let program: &mut SchedClassifier =
            kernel.program_mut(map::PROGRAM_IN).expect("the program").try_into().expect("its kind");
        program.load().expect("the verifier");
        let mut ports: Array<&mut MapData, u64> = kernel.map_mut(map::PORTS).expect("ports").try_into().expect("kind");
        let group = PortGroup::default().with(1883, PortClass::Mqtt);
        ports.set(PortGroup::place(1883), group.0, 0).expect("a port");
        let mut interfaces: Array<&mut MapData, u64> =
            kernel.map_mut(map::INTERFACES).expect("interfaces").try_into().expect("kind");
        interfaces.set(1, 1 | 1 << 32, 0).expect("the interface lo");
        Self { kernel }
    }

    fn incoming(&self) -> BorrowedFd<'_> {
        let program: &SchedClassifier =
            self.kernel.program(map::PROGRAM_IN).expect("the program").try_into().expect("its kind");
        program.fd().expect("loaded").as_fd()
    }
}

/// Mean of one packet a run over all flows; the least of some rounds.
fn cold(program: BorrowedFd<'_>, repeat: u32) -> f64 {
    let packets: Vec<Vec<u8>> = (0..FLOWS).map(packet_of).collect();
    let mut rounds: Vec<f64> = (0..5)
        .map(|_| packets.iter().map(|packet| run(program, packet, repeat)).sum::<f64>() / f64::from(FLOWS))
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[0]
}

fn least(measure: impl FnMut() -> f64) -> f64 {
    let mut values: Vec<f64> = std::iter::repeat_with(measure).take(ROUNDS).collect();
    values.sort_by(f64::total_cmp);
    values[0]
}

fn packet_of(peer: u32) -> Vec<u8> {
    packet(peer, 40_000, 9, 0x10)
}

fn ethernet(ether_type: u16) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(ether_type.to_be_bytes());
    bytes
}

fn ipv4(peer: u32, words: u8, protocol: u8, rest: u16) -> Vec<u8> {
    let mut bytes = ethernet(0x0800);
    bytes.extend([0x40 | words, 0]);
    bytes.extend((u16::from(words) * 4 + rest).to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    bytes.extend((0x0a00_0000 | peer).to_be_bytes());
    bytes.extend([10, 200, 0, 1]);
    bytes.resize(14 + usize::from(words) * 4, 1);
    bytes
}

fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.extend([0; 8]);
    bytes.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

fn packet(peer: u32, source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut bytes = ipv4(peer, 5, 6, 84);
    bytes.extend(tcp(source, destination, flags));
    bytes.extend([0; 64]);
    bytes
}

fn packet_with_options() -> Vec<u8> {
    let mut bytes = ipv4(1, 6, 6, 84);
    bytes.extend(tcp(40_000, 9, 0x10));
    bytes.extend([0; 64]);
    bytes
}

fn udp_packet() -> Vec<u8> {
    let mut bytes = ipv4(1, 5, 17, 72);
    bytes.extend([0x9c, 0x40, 0, 9, 0, 72, 0, 0]);
    bytes.extend([0; 64]);
    bytes
}

fn packet_v6() -> Vec<u8> {
    let mut bytes = ethernet(0x86dd);
    bytes.extend([0x60, 0, 0, 0, 0, 84, 6, 64]);
    bytes.extend([0xfd; 16]);
    bytes.extend([0xfc; 16]);
    bytes.extend(tcp(40_000, 1883, 0x10));
    bytes.extend([0; 64]);
    bytes
}

fn arp() -> Vec<u8> {
    let mut bytes = ethernet(0x0806);
    bytes.extend([0; 46]);
    bytes
}

/// Arguments of `BPF_PROG_LOAD`, as far as they are needed.
#[repr(C)]
#[derive(Default)]
struct LoadArguments {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// Arguments of `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
struct RunArguments {
    program: u32,
    result: u32,
    length_in: u32,
    length_out: u32,
    bytes_in: u64,
    bytes_out: u64,
    repeat: u32,
    duration_ns: u32,
}

/// `r0 = -1; exit`, a classifier.
fn empty_program() -> io::Result<OwnedFd> {
    let code: [u64; 2] = [0xffff_ffff_0000_00b7, 0x0000_0000_0000_0095];
    let license = c"GPL";
    let mut arguments = LoadArguments {
        kind: 3,
        instructions: 2,
        code: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: the arguments are those of the command, and what they point to lives.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 5, &raw mut arguments, size_of::<LoadArguments>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Nanoseconds of one run, as the kernel takes them.
fn run(program: BorrowedFd<'_>, packet: &[u8], repeat: u32) -> f64 {
    let mut arguments = RunArguments {
        program: program.as_raw_fd() as u32,
        length_in: packet.len() as u32,
        bytes_in: packet.as_ptr() as u64,
        repeat,
        ..Default::default()
    };
    // SAFETY: the arguments are those of the command, and the packet lives.
    let result = unsafe { libc::syscall(libc::SYS_bpf, 10, &raw mut arguments, size_of::<RunArguments>()) };
    assert_eq!(result, 0, "the kernel runs the program: {}", io::Error::last_os_error());
    Duration::from_nanos(arguments.duration_ns.into()).as_nanos() as f64
}
