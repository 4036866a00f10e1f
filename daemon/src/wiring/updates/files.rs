//! Files that updates replace: the new one in place, a command after it, and the old one back when that fails.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::config::OtaFile;

/// Of what the command says on its standard error, bytes.
const WORDS_BYTES_MAX: u64 = 4096;

/// Replaces the file of `place` by the bytes in `new`, with the owner and mode that it had.
///
/// # Errors
/// It is as it was; why.
pub(super) fn replace(place: &OtaFile, new: &Path) -> Result<(), String> {
    let path = Path::new(&place.path);
    let failed = |what: &str, error: io::Error| format!("{what} {}: {error}", path.display());
    let backup = beside(path, "before-update");
    let had = match fs::copy(path, &backup) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed("keep a copy of", error)),
    };
    put(path, new).map_err(|error| failed("replace", error))?;
    if let Err(reason) = run(place) {
        let back = if had { put(path, &backup) } else { fs::remove_file(path) };
        return Err(match back {
            Ok(()) => format!("{reason}; the file before is back"),
            Err(error) => format!("{reason}; and the file before is not back: {error} (it is {})", backup.display()),
        });
    }
    if had {
        let _ = fs::remove_file(&backup);
    }
    Ok(())
}

/// A whole copy beside it first, then the name is turned.
fn put(path: &Path, from: &Path) -> io::Result<()> {
    let temporary = beside(path, "new");
    let owner = fs::metadata(path).ok();
    fs::copy(from, &temporary)?;
    let file = fs::File::open(&temporary)?;
    if let Some(owner) = owner {
        file.set_permissions(owner.permissions())?;
        // Only root can give files away; anybody else owns it in any case.
        let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
    }
    file.sync_all()?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::File::open(folder)?.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(folder)?.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn run(place: &OtaFile) -> Result<(), String> {
    let Some((program, arguments)) = place.after.split_first() else { return Ok(()) };
    run_within(Command::new(program).args(arguments), place.after_timeout.0)
        .map_err(|reason| format!("the command after it failed: {reason}"))
}

/// Runs a command to its end, or kills it.
///
/// # Errors
/// It did not end well; its last words.
pub(super) fn run_within(command: &mut Command, limit: Duration) -> Result<(), String> {
    use std::io::Read as _;
    let name = command.get_program().to_string_lossy().into_owned();
    let words = tempfile_for_words().map_err(|error| format!("{name}: {error}"))?;
    let output = words.try_clone().map_err(|error| format!("{name}: {error}"))?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn();
    let mut child = child.map_err(|error| format!("start {name}: {error}"))?;
    let ended = ends_within(&child, limit).map_err(|error| format!("wait for {name}: {error}"))?;
    if !ended {
        // Ends in any case; nothing can be done about one that does not.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{name} did not end within {} s", limit.as_secs_f64()));
    }
    let status = child.wait().map_err(|error| format!("wait for {name}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    let _ = io::Seek::rewind(&mut &words);
    let _ = (&words).take(WORDS_BYTES_MAX).read_to_string(&mut said);
    let said = said.trim();
    Err(if said.is_empty() { format!("{name}: {status}") } else { format!("{name}: {status}: {said}") })
}

/// Waits for the end of a process, which stays to be waited for; false: it has not come.
fn ends_within(child: &Child, limit: Duration) -> io::Result<bool> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A file without a name, for what a command says: a pipe that nobody reads could stop it.
fn tempfile_for_words() -> io::Result<fs::File> {
    let descriptor = rustix::fs::memfd_create("words", rustix::fs::MemfdFlags::CLOEXEC)?;
    Ok(fs::File::from(descriptor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    fn place(folder: &Path, after: &[&str]) -> OtaFile {
        OtaFile {
            path: folder.join("settings").display().to_string(),
            after: after.iter().map(|&word| word.to_owned()).collect(),
            after_timeout: Period::seconds(5),
        }
    }

    #[test]
    fn a_file_is_replaced_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("settings"), folder.path().join("payload"));
        fs::write(&new, "new").unwrap();
        replace(&place(folder.path(), &[]), &new).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(&new, "newer").unwrap();
        replace(&place(folder.path(), &["/bin/sh", "-c", "true"]), &new).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn when_the_command_after_it_fails_the_file_before_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("settings"), folder.path().join("payload"));
        fs::write(&new, "new").unwrap();
        let failing = place(folder.path(), &["/bin/sh", "-c", "echo no such key >&2; exit 3"]);
        let text = replace(&failing, &new).unwrap_err();
        assert_eq!(text, "the command after it failed: /bin/sh: exit status: 3: no such key; the file before is back");
        assert!(!path.exists());
        fs::write(&path, "old").unwrap();
        replace(&failing, &new).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 60"]);
        let text = run_within(&mut command, Duration::from_millis(100)).unwrap_err();
        assert_eq!(text, "/bin/sh did not end within 0.1 s");
        let text = run_within(&mut Command::new("/nowhere/program"), Duration::from_secs(1)).unwrap_err();
        assert!(text.starts_with("start /nowhere/program: "), "{text}");
    }
}
