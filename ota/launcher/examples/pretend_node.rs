//! A node in the tests of the launcher: writes down that it was started and then does what its second argument says.
//!
//! Usage: pretend_node LOG crash|hang|silent|die|well [arguments]

use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, behaviour, rest @ ..] = arguments.as_slice() else { return std::process::ExitCode::from(2) };
    let slot = std::env::var("SELVEDGE_SLOT").unwrap_or_default();
    let line = format!("{slot} {behaviour} {}\n", rest.join(" "));
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(log).expect("log");
    file.write_all(line.as_bytes()).expect("write down");
    match behaviour.as_str() {
        "crash" => return std::process::ExitCode::from(9),
        "hang" => std::thread::sleep(Duration::from_secs(600)),
        "silent" => {
            tell("READY=1");
            std::thread::sleep(Duration::from_secs(600));
        }
        "die" => {
            tell("READY=1");
            return std::process::ExitCode::from(8);
        }
        _ => {
            tell("READY=1");
            loop {
                tell("WATCHDOG=1");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    std::process::ExitCode::SUCCESS
}

fn tell(what: &str) {
    let Ok(name) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = SocketAddr::from_abstract_name(name.trim_start_matches('@')).expect("name");
    let socket = UnixDatagram::unbound().expect("socket");
    socket.send_to_addr(what.as_bytes(), &address).expect("tell");
}
