//! Runs one of the author's tools, shows what it says as it says it, and keeps the end of it for the error.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

/// Lines of a failed tool that go into the error.
const KEPT_LINES_MAX: usize = 40;
/// The longest line that is kept whole, in bytes.
const LINE_BYTES_MAX: u64 = 16 * 1024;
/// The longest answer that is read from a tool's standard output, in bytes; the rest is read and dropped.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How a tool ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// The last lines of its standard error.
    pub(super) tail: String,
}

/// Runs `command` to its end; each line of its standard error goes to `progress` at once.
///
/// # Errors
/// It cannot be started, or its output cannot be read.
pub(super) fn run(command: &mut Command, progress: &mut dyn FnMut(&str)) -> io::Result<Ended> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().map(|stdout| thread::spawn(move || read_bounded(stdout)));
    let mut tail = VecDeque::new();
    if let Some(stderr) = child.stderr.take() {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        while stderr.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            progress(&text);
            if tail.len() == KEPT_LINES_MAX {
                tail.pop_front();
            }
            tail.push_back(text);
            line.clear();
        }
    }
    let stdout = match stdout.map(thread::JoinHandle::join) {
        Some(Ok(read)) => read?,
        Some(Err(_)) => return Err(io::Error::other("the thread that reads the tool's output panicked")),
        None => Vec::new(),
    };
    Ok(Ended { status: child.wait()?, stdout, tail: Vec::from(tail).join("\n") })
}

/// A short question to a tool, such as its version: what it printed, or `None` when it is not there or fails.
pub(super) fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The first file of this name in the directories that `path` lists.
pub(super) fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

fn read_bounded(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    io::copy(&mut from, &mut io::sink())?;
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod test_support {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    /// Writes an executable script by way of another process: this one starts children in other threads, which would
    /// inherit the open file, and a file that is open for writing cannot be executed.
    pub(in crate::author) fn write_program(path: &Path, script: &str) {
        let draft = path.with_extension("draft");
        fs::write(&draft, script).unwrap();
        assert!(Command::new("install").args(["-m", "755"]).arg(&draft).arg(path).status().unwrap().success());
        fs::remove_file(&draft).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{KEPT_LINES_MAX, ask, run};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_are_shown_as_they_come_and_the_last_ones_are_kept() {
        let mut shown = 0;
        let ended =
            run(&mut shell("for i in $(seq 100); do echo line $i >&2; done; echo answer; exit 3"), &mut |_| shown += 1)
                .unwrap();
        assert_eq!(shown, 100);
        assert_eq!(ended.tail.lines().count(), KEPT_LINES_MAX);
        assert!(ended.tail.ends_with("line 100"));
        assert_eq!(ended.stdout, b"answer\n");
        assert_eq!(ended.status.code(), Some(3));
    }

    #[test]
    fn a_line_without_end_is_cut_and_a_full_pipe_stops_nothing() {
        let mut longest = 0;
        let ended =
            run(&mut shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; head -c 1000000 /dev/zero"), &mut |line| {
                longest = longest.max(line.len());
            })
            .unwrap();
        assert_eq!(longest as u64, super::LINE_BYTES_MAX);
        assert_eq!(ended.stdout.len(), 1_000_000);
    }

    #[test]
    fn a_tool_that_is_not_there_answers_nothing() {
        assert_eq!(ask(&mut Command::new("/no/such/tool")), None);
        assert_eq!(ask(&mut shell("echo half; exit 1")), None);
        assert_eq!(ask(&mut shell("echo whole")), Some("whole".to_owned()));
    }
}
