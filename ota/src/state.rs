//! `state`: what the updater remembers beside trust and slots. JSON, replaced as a whole.
//!
//! Invariant: `data_format` and `security_floor` only rise, and only when a program was confirmed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use selvedge_ota_slots::{Disk, Image, replace};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const FORMAT: u32 = 1;
/// Longest file, bytes.
const BYTES_MAX: u64 = 1 << 20;
/// Images remembered as not good.
const REFUSED_MAX: usize = 32;
/// Longest reason, bytes.
const REASON_BYTES_MAX: usize = 1024;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    format: u32,
    /// Format that the data directory has and the node writes.
    pub data_format: u32,
    /// Programs with a lower one are not run any more.
    pub security_floor: u64,
    /// Whether the operator wants no updates for now.
    pub paused: bool,
    /// What was put in place, by path of the target; without the daemon, which is in its slot.
    pub installed: BTreeMap<String, Installed>,
    /// Images that did not hold, the latest last; at most 32.
    pub refused: Vec<Refused>,
    /// The end of a trial that was taken up: what the operator forgave after it stays forgiven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Heard>,
}

/// Which trial ended, as the slots tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// Of the program, hexadecimal.
    pub sha256: String,
    /// Seconds since 1970 by the clock of the node; 0: not known.
    pub at_unix_s: u64,
}

/// A function or file that was put in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// Of the target.
    pub version: String,
    /// Of the content, bytes.
    pub length: u64,
    /// Of the content, hexadecimal.
    pub sha256: String,
    /// Seconds since 1970 by the clock of the node; 0: not known.
    pub at_unix_s: u64,
}

/// Something that is not tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Of the content, hexadecimal.
    pub sha256: String,
    /// Of the target.
    pub version: String,
    /// For people.
    pub reason: String,
    /// Seconds since 1970 by the clock of the node; 0: not known.
    pub at_unix_s: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT,
            data_format: 1,
            security_floor: 0,
            paused: false,
            installed: BTreeMap::new(),
            refused: Vec::new(),
            heard: None,
        }
    }
}

/// Why the state is not read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// The disk.
    #[error("{action} {path}", path = path.display())]
    Disk {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Not as it was written.
    #[error("{path} is damaged ({cause}); removing it forgets which functions and files came by updates, and the security floor", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Written by a newer program.
    #[error("{path} has format {found}, and this program reads format {FORMAT}", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
}

impl State {
    /// Reads it from `folder`; one that is not there is that of a node without updates.
    ///
    /// # Errors
    /// It is damaged, newer, or cannot be read.
    pub fn read(disk: &dyn Disk, folder: &Path) -> Result<Self, StateError> {
        let path = path_in(folder);
        let bytes = match disk.read(&path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(StateError::Disk { action: "read", path, source }),
        };
        let damaged = |error: serde_json::Error| StateError::Damaged { path: path.clone(), cause: error.to_string() };
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(damaged)?;
        if let Some(found) = value.get("format").and_then(serde_json::Value::as_u64)
            && found > u64::from(FORMAT)
        {
            return Err(StateError::Newer { path, found });
        }
        serde_json::from_value(value).map_err(damaged)
    }

    /// Writes it to `folder`.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, disk: &dyn Disk, folder: &Path) -> Result<(), StateError> {
        let path = path_in(folder);
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| StateError::Damaged { path: path.clone(), cause: error.to_string() })?;
        replace(disk, &path, &bytes).map_err(|source| StateError::Disk { action: "write", path, source })
    }

    /// Why a content is not tried again, if it is not.
    pub fn refused(&self, sha256: &str) -> Option<&Refused> {
        self.refused.iter().find(|refused| refused.sha256 == sha256)
    }

    /// Remembers a content as not good.
    pub fn refuse(&mut self, mut refused: Refused) {
        self.forgive(&refused.sha256);
        let mut end = refused.reason.len().min(REASON_BYTES_MAX);
        while !refused.reason.is_char_boundary(end) {
            end -= 1;
        }
        refused.reason.truncate(end);
        self.refused.push(refused);
        let surplus = self.refused.len().saturating_sub(REFUSED_MAX);
        self.refused.drain(..surplus);
    }

    /// Lets a content be tried again; whether it was refused.
    pub fn forgive(&mut self, sha256: &str) -> bool {
        let before = self.refused.len();
        self.refused.retain(|refused| refused.sha256 != sha256);
        self.refused.len() != before
    }

    /// Raises format and floor to those of a program that was confirmed.
    pub fn raise(&mut self, image: &Image) {
        self.data_format = self.data_format.max(image.data_format);
        self.security_floor = self.security_floor.max(image.security_floor);
    }

    /// Whether a program may run on the present data at all.
    pub fn admits(&self, image: &Image) -> bool {
        image.data_format >= self.data_format && image.security_floor >= self.security_floor
    }
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("state")
}

#[cfg(test)]
mod tests {
    use selvedge_ota_slots::Digest;
    use selvedge_ota_slots::simulation::SimulatedDisk;

    use super::*;

    const FOLDER: &str = "/ota";

    fn refused(number: usize) -> Refused {
        Refused { sha256: number.to_string(), version: "1".into(), reason: "é".repeat(600), at_unix_s: 1 }
    }

    fn image(data_format: u32, security_floor: u64) -> Image {
        Image { version: "1".into(), digest: Digest::of(b""), data_format, security_floor }
    }

    #[test]
    fn what_was_written_is_read() {
        let (disk, folder) = (SimulatedDisk::new(Path::new(FOLDER)), Path::new(FOLDER));
        assert_eq!(State::read(&disk, folder).expect("none"), State::default());
        let mut state = State { paused: true, ..State::default() };
        let at = Installed { version: "2".into(), length: 3, sha256: "ab".into(), at_unix_s: 4 };
        state.installed.insert("functions/alarm.wasm".into(), at);
        state.refuse(refused(7));
        state.write(&disk, folder).expect("write");
        assert_eq!(State::read(&disk, folder).expect("read"), state);
        disk.flip(&folder.join("state"), 0);
        assert!(matches!(State::read(&disk, folder), Err(StateError::Damaged { .. })));
    }

    #[test]
    fn a_newer_state_is_left_alone() {
        let (disk, folder) = (SimulatedDisk::new(Path::new(FOLDER)), Path::new(FOLDER));
        replace(&disk, &folder.join("state"), br#"{"format": 2, "colour": "red"}"#).expect("write");
        let text = State::read(&disk, folder).expect_err("newer").to_string();
        assert_eq!(text, "/ota/state has format 2, and this program reads format 1");
    }

    #[test]
    fn the_latest_images_that_did_not_hold_are_remembered() {
        let mut state = State::default();
        (0..REFUSED_MAX + 3).for_each(|number| state.refuse(refused(number)));
        state.refuse(refused(10));
        assert_eq!(state.refused.len(), REFUSED_MAX);
        assert!(state.refused("2").is_none() && state.refused("3").is_some());
        assert_eq!(state.refused("10").expect("known").reason.len(), 1024);
        assert!(state.forgive("10") && !state.forgive("10"));
    }

    #[test]
    fn format_and_floor_only_rise() {
        let mut state = State::default();
        state.raise(&image(2, 5));
        state.raise(&image(1, 7));
        assert_eq!((state.data_format, state.security_floor), (2, 7));
        assert!(state.admits(&image(2, 7)) && !state.admits(&image(1, 7)) && !state.admits(&image(2, 6)));
    }
}
