//! The only task runner of the project: `cargo xtask help` lists the tasks.
//!
//! It is not a build script: building the product needs only cargo. Every task can be
//! repeated, says what it runs, and works from any folder inside the repository.

mod arm64_smoke;
mod arm64_vm;
mod bench_peers;
mod conformance;
mod container;
mod crash;
mod durable;
mod ebpf;
mod function_scale;
mod function_trials;
mod fuzz;
mod guests;
mod hostile;
mod image;
mod mutants;
mod net_flood;
mod ota_bench;
mod ota_steps;
mod package;
mod pound;
mod process;
mod repository;
mod setup;
mod soak;
mod test;
mod test_vm;
mod tidy;
mod twin_partitions;
mod twin_scale;

use clap::{Parser, Subcommand};

/// Tasks of the Selvedge repository.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = false,
    after_help = "Examples:\n  \
        cargo xtask test                        everything that has to pass before a commit\n  \
        cargo xtask setup --print               the one command that installs what tests need\n  \
        cargo xtask fuzz --seconds 60 codec     fuzz one target for a minute\n  \
        cargo xtask bench-durable --quick       what durable sessions cost, in a minute"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need: packages (as root on Debian) and the third-party clients.
    Setup(setup::SetupArgs),
    /// Run every check and every test except long soaks.
    Test(test::TestArgs),
    /// Check the rules of the house: file lengths, dependency arrows, named paths, forgotten tests.
    Tidy,
    /// Fuzz one target of `fuzz/` with libFuzzer; needs a C++ compiler, no nightly.
    Fuzz(fuzz::FuzzArgs),
    /// Measure Selvedge beside mosquitto, rumqttd and a bare relay: CPU per delivered message, as ratios.
    BenchPeers(bench_peers::Options),
    /// Measure what durable sessions cost beside the same node without them and mosquitto: rates, CPU, fsyncs, bytes, PUBACK.
    BenchDurable(durable::bench::Options),
    /// A million messages for sessions that are away, a kill, the way back: memory, disk, time to the first client.
    BenchBacklog(durable::backlog::Options),
    /// Fill a node's disk under load and make room again: nobody else notices, nothing acknowledged is lost.
    FullDisk(durable::full_disk::Options),
    /// Plant errors in the broker, one at a time, and see which suites notice.
    Mutants(mutants::Options),
    /// Run the conformance tests against the product or another broker: passed and failed by section and statement.
    Conformance(conformance::Options),
    /// Measure what others notice of hostile clients, and what the attackers get
    Hostile(hostile::Options),
    /// Send millions of random and mutated packets to a node
    Pound(pound::Options),
    /// Mixed load for an hour: nothing lost, memory flat
    Soak(soak::SoakOptions),
    /// 24,000 clients: memory and processor time of each
    Crowd(soak::CrowdOptions),
    /// Kill the node at random moments under load: nothing acknowledged is lost
    Crash(crash::KillOptions),
    /// Cut the power at operations of the node, on a file system with a volatile cache: nothing acknowledged is lost
    PowerCut(crash::CutOptions),
    /// Let writes, fsyncs and opens of the node fail: it goes on or says why not, and nothing acknowledged is lost
    DiskFaults(crash::FaultOptions),
    /// Update a node under load: time without service, messages lost, time from publishing to confirmed
    OtaBench(ota_bench::Options),
    /// Kill an update at each system call and cut its power at each change of the disk: the old or the new program starts
    OtaSteps(ota_steps::Options),
    /// Flood a node with connection attempts, guard off and on: what others notice, and what it costs
    NetFlood(net_flood::Options),
    /// Cut the wires between nodes that exchange twins, and kill them: they agree in the end and nothing acknowledged is lost
    TwinPartitions(twin_partitions::Options),
    /// Ten thousand twins on one node: memory, start, questions, durable updates
    TwinScale(twin_scale::Options),
    /// A thousand functions on one node: memory at rest and after a burst; messages a second through one
    FunctionScale(function_scale::Options),
    /// Three broken versions of a function under load: what the gate says of each, and how soon a canary of it goes back
    FunctionTrials(function_trials::Options),
    /// Rebuild the function components that are committed beside their source, or compare with them.
    Guests(guests::Options),
    /// Rebuild the programs for the kernel that are committed as an object, or compare with it.
    Ebpf(ebpf::Options),
    /// Make the Debian package and the bill of what is in it: `target/package/selvedge_VERSION_ARCH.deb` and `.cdx.json`
    Package(package::Options),
    /// Install, upgrade, remove and purge the package in a chroot and in a booted Debian; lintian
    PackageTest(package::machine::Options),
    /// Make the node an OCI image in one file: `target/container/selvedge_VERSION_ARCH.oci.tar`
    Container(container::Options),
    /// Make a disk for an arm64 gateway, to be flashed or to be booted in an emulator: `target/image/selvedge.img`
    Image(image::Options),
    /// Boot the image on an emulated board: messages, functions, twins, counters, updates, and cuts of the power
    TestVm(test_vm::Options),
    /// Run the arm64 program under the whole-process tests of this machine, emulated
    Arm64Smoke(arm64_smoke::Options),
    /// Build for aarch64 and run it on an emulated machine with Debian's arm64 kernel.
    Arm64Vm(arm64_vm::Options),
}

fn main() -> std::process::ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup(arguments) => setup::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Tidy => tidy::run(),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::BenchPeers(arguments) => bench_peers::run(arguments),
        Task::BenchDurable(arguments) => durable::bench::run(&arguments),
        Task::BenchBacklog(arguments) => durable::backlog::run(&arguments),
        Task::FullDisk(arguments) => durable::full_disk::run(&arguments),
        Task::Mutants(arguments) => mutants::run(&arguments),
        Task::Conformance(arguments) => conformance::run(&arguments),
        Task::Hostile(arguments) => hostile::run(&arguments),
        Task::Pound(arguments) => pound::run(&arguments),
        Task::Soak(arguments) => soak::soak(&arguments),
        Task::Crowd(arguments) => soak::crowd(&arguments),
        Task::Crash(arguments) => crash::kill(&arguments),
        Task::PowerCut(arguments) => crash::power_cut(&arguments),
        Task::DiskFaults(arguments) => crash::disk_faults(&arguments),
        Task::OtaBench(arguments) => ota_bench::run(&arguments),
        Task::OtaSteps(arguments) => ota_steps::run(&arguments),
        Task::NetFlood(arguments) => net_flood::run(&arguments),
        Task::TwinPartitions(arguments) => twin_partitions::run(&arguments),
        Task::TwinScale(arguments) => twin_scale::run(&arguments),
        Task::FunctionScale(arguments) => function_scale::run(&arguments),
        Task::FunctionTrials(arguments) => function_trials::run(&arguments),
        Task::Guests(arguments) => guests::run(&arguments),
        Task::Ebpf(arguments) => ebpf::run(&arguments),
        Task::Package(arguments) => package::run(&arguments),
        Task::PackageTest(arguments) => package::machine::run(&arguments),
        Task::Container(arguments) => container::run(&arguments),
        Task::Image(arguments) => image::run(&arguments),
        Task::TestVm(arguments) => test_vm::run(&arguments),
        Task::Arm64Smoke(arguments) => arm64_smoke::run(&arguments),
        Task::Arm64Vm(arguments) => arm64_vm::run(&arguments),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
