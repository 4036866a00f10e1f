//! Runs a test in a network namespace of its own: the test program starts itself again inside, for the one test.

use std::{io::Write as _, process::Command, sync::OnceLock};

/// Says that this process is the inner one.
const MARK: &str = "SELVEDGE_TEST_IN_NAMESPACE";

/// Defines tests that run in a network namespace of their own, with a `/sys` and a `/run` that belong to it.
macro_rules! in_namespace {
    ($($(#[$meta:meta])* fn $name:ident() $body:block)+) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                let path = concat!(module_path!(), "::", stringify!($name));
                crate::surroundings::run_isolated(path, || $body);
            }
        )+
    };
}
pub(crate) use in_namespace;

/// What a test does to its namespace first.
const PREPARE: &str = "mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && ip link set lo up";

/// Why no such test can run here.
pub fn unable() -> Option<String> {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    REASON.get_or_init(look).clone()
}

fn look() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let prepare = format!("{PREPARE} && ip link add a type veth peer name b");
    let unshare = ["--net", "--mount", "--propagation", "private", "sh", "-c", &prepare];
    for (program, arguments) in [("ip", &["-V"][..]), ("unshare", &unshare)] {
        match Command::new(program).args(arguments).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => return Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => return Some(format!("{program}: {error}")),
        }
    }
    // Asked by the library and not by what is tested: a machine that forbids all programs cannot be told from a fault otherwise.
    match aya::sys::is_program_supported(aya::programs::ProgramType::SchedClassifier) {
        Ok(true) => None,
        Ok(false) => Some("the kernel has no such programs".to_owned()),
        Err(error) => Some(format!("the kernel takes no programs: {error}")),
    }
}

/// Prints past the test runner, which hides what passing tests print.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Runs the body in a namespace, or says why not. `path` is the test's name with its modules.
pub fn run_isolated(path: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let (_, name) = path.split_once("::").expect("a test lies in a module");
    if let Some(reason) = unable() {
        return say(&format!("SKIPPED {name}: {reason}"));
    }
    let program = std::env::current_exe().expect("the path of this program");
    let prepare = format!("{PREPARE} && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "sh", "-c", &prepare])
        .arg(program)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .expect("unshare can be started");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for line in out.lines().chain(err.lines()).filter(|line| line.starts_with("SKIPPED") || line.starts_with("| ")) {
        say(line);
    }
    assert!(output.status.success() && out.contains("1 passed"), "{name} in a namespace:\n{out}\n{err}");
}
