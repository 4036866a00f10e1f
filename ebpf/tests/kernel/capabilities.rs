//! With fewer rights, and without the system call: the counters run with the two that they say they need, and without
//! one of them they say which.

use std::process::Command;

use selvedge_ebpf::{AttachMode, Config, Counters, GuardAttach, GuardConfig, GuardMode, KernelTime, StartError};

use crate::{
    network::config,
    surroundings::{in_namespace, say},
};

/// Set for the child that tries to start and prints how that went.
const TRY: &str = "SELVEDGE_TEST_TRY_TO_START";

/// Not a test by itself: what the tests below run with other rights.
#[test]
fn try_to_start() {
    let Ok(how) = std::env::var(TRY) else {
        return;
    };
    match how.as_str() {
        "no system call" => forbid_bpf(libc::ENOSYS),
        "forbidden system call" => forbid_bpf(libc::EPERM),
        _ => {}
    }
    let guard = GuardConfig { mode: GuardMode::Enforce, attach: GuardAttach::Tc, ..GuardConfig::default() };
    for config in [config("lo", AttachMode::Auto), Config { guard, ..config("lo", AttachMode::Clsact) }] {
        match Counters::start(&config, KernelTime::now()) {
            Ok(mut counters) => {
                counters.drain(KernelTime::now()).expect("a drain");
                let status = counters.status();
                println!("\nRESULT up {} {:?}", status.up, status.problems);
            }
            Err(error) => println!("\nRESULT {} {} {}", error.kind(), error, error.remedy()),
        }
    }
}

/// From now on the bpf system call of this thread fails with this number (seccomp(2)).
fn forbid_bpf(number: i32) {
    // Loads the number of the system call; bpf fails, all others are allowed.
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_bpf as u32,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | number as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the filter lives during the calls, which copy it.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(done, "seccomp: {}", std::io::Error::last_os_error());
}

/// How starting goes in a child, once without and once with the guard; none when the child cannot be made so.
fn outcome(rights: &[&str], how: &str) -> Option<[String; 2]> {
    if Command::new("setpriv").arg("--version").output().is_err() {
        say("SKIPPED: setpriv is not installed");
        return None;
    }
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new("setpriv")
        .args(rights)
        .arg(program)
        .args(["--exact", "capabilities::try_to_start", "--nocapture", "--test-threads=1"])
        .env(TRY, how)
        .output()
        .expect("setpriv can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let results: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("RESULT ")).map(str::to_owned).collect();
    if results.is_empty() {
        say(&format!("SKIPPED {rights:?}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        return None;
    }
    Some(results.try_into().expect("two results"))
}

fn root_with(capabilities: &[&str]) -> Vec<String> {
    let list = capabilities.iter().fold("-all".to_owned(), |list, capability| format!("{list},+{capability}"));
    vec![format!("--bounding-set={list}"), format!("--inh-caps={list}")]
}

fn expect(rights: &[String], how: &str, start: &str) {
    let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
    if let Some(results) = outcome(&rights, how) {
        println!("\n| {} {how} | {} |", rights.join(" "), results[0]);
        for result in results {
            assert!(result.starts_with(start), "{rights:?} {how}: {result}");
        }
    }
}

in_namespace! {
    fn two_capabilities_are_enough() {
        expect(&root_with(&["bpf", "net_admin"]), "", "up true []");
    }

    fn an_ordinary_user_with_two_ambient_capabilities_can_count() {
        let both = "+bpf,+net_admin";
        let rights = ["--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned);
        let given = [format!("--inh-caps={both}"), format!("--ambient-caps={both}")];
        expect(&[&rights[..], &given[..]].concat(), "", "up true []");
    }

    fn an_ordinary_user_is_told_which_capabilities_are_missing() {
        let rights = ["--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned);
        expect(&rights, "", "missing-capability this process has no CAP_BPF and no CAP_NET_ADMIN");
    }

    fn without_cap_bpf_that_is_said() {
        expect(&root_with(&["net_admin"]), "", "missing-capability this process has no CAP_BPF give");
    }

    fn without_cap_net_admin_that_is_said() {
        expect(&root_with(&["bpf"]), "", "missing-capability this process has no CAP_NET_ADMIN give");
    }

    fn the_right_to_do_everything_stands_for_cap_bpf() {
        expect(&root_with(&["sys_admin", "net_admin"]), "", "up true []");
    }

    fn a_kernel_without_the_system_call_is_told_from_a_filter_that_forbids_it() {
        expect(&root_with(&["bpf", "net_admin"]), "no system call", "no-bpf the kernel has no bpf system call");
        expect(&root_with(&["bpf", "net_admin"]), "forbidden system call", "refused the kernel refuses");
    }

    fn type_information_of_the_kernel_is_not_needed() {
        let hidden = Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/sys/kernel"]).status();
        assert!(hidden.unwrap().success() && !std::path::Path::new("/sys/kernel/btf").exists());
        expect(&root_with(&["bpf", "net_admin"]), "", "up true []");
    }

    fn a_configuration_that_is_wrong_is_refused_before_anything_is_asked_of_the_kernel() {
        let wrong = Config { flows_max: 0, ..Config::default() };
        assert!(matches!(Counters::start(&wrong, KernelTime::now()), Err(StartError::Config(_))));
    }
}
