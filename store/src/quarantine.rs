//! Databases that could not be opened are set aside by renaming, never deleted at once: someone may want to
//! look. Only the newest few are kept, because each holds disk space that the node needs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;

const PREFIX: &str = "state.quarantine-";

/// Renames `state` to `state.quarantine-<n>` with the next free number and removes the oldest beyond `keep_max`.
pub(crate) fn set_aside(dir: &Path, state: &Path, keep_max: usize, disk: &dyn Disk) -> io::Result<PathBuf> {
    let mut numbers = numbers(dir)?;
    let next = numbers.last().map_or(1, |last| last.saturating_add(1));
    let target = dir.join(format!("{PREFIX}{next}"));
    disk.rename(state, &target)?;
    disk.sync_directory(dir)?;
    numbers.push(next);
    let surplus = numbers.len().saturating_sub(keep_max.max(1));
    for number in numbers.into_iter().take(surplus) {
        let old = dir.join(format!("{PREFIX}{number}"));
        if let Err(error) = fs::remove_dir_all(&old) {
            tracing::warn!(path = %old.display(), %error, "could not remove an old quarantined database");
        }
    }
    Ok(target)
}

/// The numbers in use, ascending.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;

    #[test]
    fn the_newest_quarantines_stay_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        for expected in 1..=4 {
            let state = dir.path().join("state");
            fs::create_dir(&state).unwrap();
            let target = set_aside(dir.path(), &state, 2, &LocalDisk).unwrap();
            assert_eq!(target, dir.path().join(format!("state.quarantine-{expected}")));
        }
        assert_eq!(numbers(dir.path()).unwrap(), [3, 4]);
    }
}
