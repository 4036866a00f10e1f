//! The supervisor notices what systemd would.

use super::*;

/// A service in Python: its lines after a function `say` that notifies.
fn service(lines: &str) -> impl Fn() -> anyhow::Result<Command> + Send + 'static {
    let code = format!(
        "import os, socket, sys, time\ndef say(text):\n    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n    \
         s.sendto(text.encode(), os.environ['NOTIFY_SOCKET'])\n{lines}\n"
    );
    move || {
        let mut command = Command::new(crate::installed::program("python3")?);
        command.args(["-c", &code]);
        Ok(command)
    }
}

fn unit() -> Unit {
    let milliseconds = Duration::from_millis;
    Unit {
        start_within: milliseconds(1500),
        watchdog: milliseconds(400),
        restart_after: milliseconds(10),
        stop_within: milliseconds(300),
    }
}

#[track_caller]
fn is_killed(lines: &str, why: Why) {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::start(&folder.path().join("notify"), unit(), service(lines)).unwrap();
    supervisor.wait_for(&Happening::Killed(why), 1).unwrap();
    supervisor.wait_for(&Happening::Started, 2).unwrap();
}

#[test]
fn what_does_not_get_ready_is_killed_and_started_again() {
    is_killed("time.sleep(60)", Why::Start);
}

#[test]
fn what_falls_silent_is_killed() {
    is_killed("say('READY=1')\ntime.sleep(60)", Why::Watchdog);
}

#[test]
fn what_says_that_it_ends_has_to_end_even_if_it_says_that_it_is_ready() {
    is_killed(
        "say('READY=1')\nsay('STOPPING=1')\nsay('READY=1')\nwhile True:\n    say('WATCHDOG=1'); time.sleep(.05)",
        Why::Stop,
    );
}

#[test]
fn what_is_well_is_left_alone_and_ends_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nsay('READY=1')\n\
                 while True:\n    say('WATCHDOG=1'); time.sleep(.05)";
    let supervisor = Supervisor::start(&folder.path().join("notify"), unit(), service(lines)).unwrap();
    supervisor.wait_for(&Happening::Alive, 20).unwrap();
    assert_eq!(supervisor.count(&Happening::Started), 1);
    supervisor.stop().unwrap();
}
