//! One run of the test machine under qemu-system-aarch64: starts it, shows what its programs print, ends it.
//!
//! Invariant: the emulator does not outlive the call, and a machine that says nothing is given up at the time limit, with what
//! its kernel said last.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::initramfs;
use super::job::{self, Share};
use super::packages::{Packages, libraries};
use super::progress::{Progress, seconds};

/// What `cross/arm64-vm/prepare.sh` prints first.
const UP: &str = "arm64-vm: up";
/// Lines of the kernel's log shown when something went wrong.
const CONSOLE_LINES: usize = 20;

/// How large a machine is, and how long it may run.
pub struct Size {
    pub memory_mib: u32,
    pub processors: u32,
    pub time_limit: Duration,
}

/// How a run ended.
pub struct Outcome {
    /// Of the programs in order; fewer than programs where one did not end.
    pub exit_codes: Vec<i32>,
    /// From the start of the emulator to the first program.
    pub boot: Duration,
}

/// Files of one run; removed when it is over.
struct RunFolder(PathBuf);

/// What the reader of the machine's output has seen.
enum Seen {
    Up(Instant),
    End,
}

/// An emulator that is ended when dropped.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl RunFolder {
    fn create(parent: &Path) -> anyhow::Result<Self> {
        let folder = parent.join(format!("run-{}", std::process::id()));
        let exchange = folder.join("exchange");
        fs::create_dir_all(&exchange).with_context(|| format!("create {}", exchange.display()))?;
        Ok(Self(folder))
    }

    fn console(&self) -> PathBuf {
        self.0.join("console.log")
    }

    fn exchange(&self) -> PathBuf {
        self.0.join("exchange")
    }

    fn write(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let path = self.0.join(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // Nothing but this run needs it; what cannot be removed is only a folder too many.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Boots, runs the programs, stops.
///
/// # Errors
/// The machine did not come up, did not end in time, or ended by itself before its programs.
pub fn run(
    packages: &Packages,
    folder: &Path,
    shares: &[Share],
    script: &str,
    size: &Size,
    progress: &Progress,
) -> anyhow::Result<Outcome> {
    let files = RunFolder::create(folder)?;
    files.write("initramfs", &initramfs::build(&packages.guest, &packages.kernel)?)?;
    files.write("exchange/job.sh", script.as_bytes())?;
    progress.step(&format!(
        "boots Linux {} on {} emulated Cortex-A72 with {} MiB",
        packages.kernel, size.processors, size.memory_mib
    ));
    let start = Instant::now();
    let mut emulator = Emulator(
        command(packages, &files, shares, size)
            // Held open: the machine's port counts as unplugged once its input ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start qemu-system-aarch64")?,
    );
    let output = emulator.0.stdout.take().context("the emulator has no output")?;
    let (sender, seen) = mpsc::channel();
    let reader = std::thread::spawn(move || copy(output, &sender));

    let up = wait(&seen, start + size.time_limit, progress, start);
    let console = || last_lines(&files.console());
    let up = match up {
        Ok(up) => up,
        Err(stage) => {
            bail!("{stage} within {}; its kernel said last:\n{}", seconds(size.time_limit), console());
        }
    };
    let status = emulator.0.wait().context("wait for the emulator")?;
    let _ = reader.join();
    if !status.success() {
        bail!("qemu-system-aarch64 ended with {status}; the kernel said last:\n{}", console());
    }
    let Some(up) = up else {
        bail!("the machine stopped before its first program; its kernel said last:\n{}", console());
    };
    let codes = fs::read_to_string(files.exchange().join(job::EXIT_CODES)).unwrap_or_default();
    let outcome = Outcome { exit_codes: job::exit_codes(&codes), boot: up - start };
    if outcome.exit_codes.is_empty() {
        bail!("the machine stopped before a program ended; its kernel said last:\n{}", console());
    }
    Ok(outcome)
}

/// Until the machine's output ends; when it was up. The error says how far it came.
fn wait(
    seen: &Receiver<Seen>,
    limit: Instant,
    progress: &Progress,
    start: Instant,
) -> Result<Option<Instant>, &'static str> {
    let mut up = None;
    loop {
        match seen.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            Ok(Seen::Up(at)) => {
                progress.step(&format!("the machine is up after {}", seconds(at - start)));
                up = Some(at);
            }
            Ok(Seen::End) | Err(RecvTimeoutError::Disconnected) => return Ok(up),
            Err(RecvTimeoutError::Timeout) if up.is_some() => return Err("the programs did not end"),
            Err(RecvTimeoutError::Timeout) => return Err("the machine did not come up"),
        }
    }
}

/// Shows what the machine's programs print as it comes.
fn copy(output: impl Read, seen: &Sender<Seen>) {
    let mut output = BufReader::new(output);
    let mut first = String::new();
    if output.read_line(&mut first).is_ok_and(|length| length > 0) {
        if first.trim_end() == UP {
            // The receiver is gone only where nobody waits any more.
            let _ = seen.send(Seen::Up(Instant::now()));
        } else {
            print!("{first}");
        }
    }
    let mut shown = std::io::stdout();
    while let Ok(bytes) = output.fill_buf() {
        let length = bytes.len();
        if length == 0 || shown.write_all(bytes).and_then(|()| shown.flush()).is_err() {
            break;
        }
        output.consume(length);
    }
    let _ = seen.send(Seen::End);
}

fn command(packages: &Packages, files: &RunFolder, shares: &[Share], size: &Size) -> Command {
    let host = &packages.host;
    let mut command = Command::new(host.join("usr/bin/qemu-system-aarch64"));
    command.env("LD_LIBRARY_PATH", libraries(host)).arg("-L").arg(host.join("usr/share/qemu"));
    command.args(["-machine", "virt", "-cpu", "cortex-a72", "-accel", "tcg,thread=multi"]);
    command.args(["-display", "none", "-nodefaults", "-no-reboot", "-net", "none"]);
    command.args(["-smp", &size.processors.to_string(), "-m", &size.memory_mib.to_string()]);
    command.arg("-kernel").arg(packages.guest.join("boot").join(format!("vmlinuz-{}", packages.kernel)));
    command.arg("-initrd").arg(files.0.join("initramfs"));
    // A kernel that panics restarts at once, which ends the emulator.
    command.args(["-append", "console=ttyAMA0 loglevel=5 panic=-1"]);
    command.args(["-serial", &format!("file:{}", files.console().display())]);
    command.args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
    command.args(["-chardev", "stdio,id=output,signal=off", "-device", "virtserialport,chardev=output,nr=1"]);
    command.args(["-virtfs", &share("guest", &packages.guest, ",readonly=on")]);
    command.args(["-virtfs", &share("exchange", &files.exchange(), "")]);
    for shared in shares {
        command.args(["-virtfs", &share(&shared.tag, &shared.folder, ",readonly=on")]);
    }
    command
}

/// A share as qemu's option; a comma inside a path is doubled.
fn share(tag: &str, folder: &Path, more: &str) -> String {
    let path = folder.to_string_lossy().replace(',', ",,");
    format!("local,path={path},mount_tag={tag},security_model=none,multidevs=remap{more}")
}

fn last_lines(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    lines.iter().skip(lines.len().saturating_sub(CONSOLE_LINES)).map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn the_first_line_says_that_the_machine_is_up_and_is_not_shown() {
        let (sender, seen) = mpsc::channel();
        copy(&b"arm64-vm: up\n"[..], &sender);
        let up = wait(&seen, far(), &Progress::new(), Instant::now()).unwrap();
        assert!(up.is_some());
    }

    #[test]
    fn output_that_ends_at_once_is_a_machine_that_did_not_come_up() {
        let (sender, seen) = mpsc::channel();
        copy(&b""[..], &sender);
        assert!(wait(&seen, far(), &Progress::new(), Instant::now()).unwrap().is_none());
    }

    #[test]
    fn the_time_limit_tells_a_slow_boot_from_a_slow_program() {
        let (sender, seen) = mpsc::channel();
        let now = Instant::now();
        let boot = wait(&seen, now, &Progress::new(), now).unwrap_err();
        sender.send(Seen::Up(now)).unwrap();
        // What was sent before is seen although the limit has passed.
        let program = wait(&seen, now, &Progress::new(), now).unwrap_err();
        assert_ne!(boot, program);
    }

    #[test]
    fn a_comma_in_a_path_does_not_end_it() {
        assert!(share("a", Path::new("/x,y"), "").contains("path=/x,,y,mount_tag=a"));
    }
}
