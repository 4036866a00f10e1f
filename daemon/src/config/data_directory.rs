//! Where the state of the node lives, and how its directory is made: readable by its owner only.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why the data directory cannot be used.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// It could not be made.
    #[error("create the data directory {path} (choose another with --data)", path = path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// It is there, and no directory.
    #[error("the data directory {path} is a file (choose another with --data)", path = path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It is there, and somebody else's.
    #[error("the data directory {path} belongs to user {owner}, not to {user} (choose another with --data, or chown it)", path = path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// Ours.
        user: u32,
    },
    /// It is there, and others may write in it.
    #[error("the data directory {path} has mode {mode:04o}: others may write in it (choose another with --data, or chmod go-w it)", path = path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
}

/// The directory to use: what was configured, else what the environment suggests.
pub fn locate(configured: &str) -> PathBuf {
    if configured.is_empty() { suggested(&|name| std::env::var_os(name)) } else { PathBuf::from(configured) }
}

/// Makes the directory with mode 0700 if it is missing. An existing one keeps its mode: it may be more than ours (`--data /tmp`),
/// so one in which others may write is refused instead of changed.
///
/// # Errors
/// It cannot be made, is a file, belongs to somebody else, or others may write in it.
pub fn prepare(path: &Path) -> Result<(), PrepareError> {
    let create = |source| PrepareError::Create { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return Err(PrepareError::NotADirectory { path: path.to_owned() }),
        Ok(metadata) => {
            let user = rustix::process::geteuid().as_raw();
            if metadata.uid() != user && user != 0 {
                return Err(PrepareError::Foreign { path: path.to_owned(), owner: metadata.uid(), user });
            }
            let mode = metadata.mode() & 0o7777;
            if mode & 0o022 != 0 {
                return Err(PrepareError::Writable { path: path.to_owned(), mode });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(create)?;
        }
        Err(error) => return Err(create(error)),
    }
    Ok(())
}

/// systemd's `StateDirectory=` first, then the desktop convention, then the working directory.
fn suggested(variable: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(directories) = set("STATE_DIRECTORY") {
        // systemd lists several with colons; the first is ours.
        let directories = directories.to_string_lossy().into_owned();
        if let Some(first) = directories.split(':').find(|part| !part.is_empty()) {
            return PathBuf::from(first);
        }
    }
    if let Some(data_home) = set("XDG_DATA_HOME") {
        return PathBuf::from(data_home).join("selvedge");
    }
    match set("HOME") {
        Some(home) => PathBuf::from(home).join(".local/share/selvedge"),
        None => PathBuf::from("selvedge-data"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn with(variables: &[(&str, &str)]) -> PathBuf {
        suggested(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn the_environment_suggests_the_directory_in_order() {
        let all = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(with(&all), Path::new("/var/lib/a"));
        assert_eq!(with(&all[1..]), Path::new("/x/selvedge"));
        assert_eq!(with(&all[2..]), Path::new("/h/.local/share/selvedge"));
        assert_eq!(with(&[]), Path::new("selvedge-data"));
        assert_eq!(with(&[("XDG_DATA_HOME", ""), ("HOME", "/h")]), Path::new("/h/.local/share/selvedge"));
    }

    #[test]
    fn a_new_directory_is_for_its_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        prepare(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn an_existing_directory_is_taken_unless_others_may_write_in_it() {
        let parent = tempfile::tempdir().unwrap();
        for (mode, accepted) in [(0o700, true), (0o755, true), (0o775, false), (0o757, false), (0o1777, false)] {
            std::fs::set_permissions(parent.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(prepare(parent.path()).is_ok(), accepted, "{mode:o}");
            assert_eq!(std::fs::metadata(parent.path()).unwrap().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn a_file_is_no_data_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(prepare(file.path()), Err(PrepareError::NotADirectory { .. })));
    }
}
