//! A bundle: the files of a repository that one update needs, in one tar file, for a stick, an HTTP push or MQTT.
//!
//! It is looked up, never unpacked: names in it are keys of a table and reach no file system. What is not a regular file is left
//! aside.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{FetchError, Opened, Source};

/// Files in a bundle.
const FILES_MAX: usize = 4096;
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 512;

/// An open bundle.
pub struct Bundle {
    path: PathBuf,
    file: File,
    places: BTreeMap<String, Place>,
}

#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: u64,
}

/// Why a file is no bundle.
#[derive(Debug, Error)]
pub enum OpenBundleError {
    /// The system cannot read it.
    #[error("read the bundle {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// No tar file.
    #[error("{path} is no bundle, or a damaged one (`selvedge ota bundle` makes them)", path = path.display())]
    NoTar {
        /// The file.
        path: PathBuf,
    },
    /// The end is missing.
    #[error("{path} is cut short after {bytes} bytes: copy it again", path = path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// What is there.
        bytes: u64,
    },
    /// More than a bundle may have.
    #[error("the bundle {path} has more than {FILES_MAX} files, or names of more than {NAME_BYTES_MAX} bytes", path = path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
    },
    /// A tar file of something else.
    #[error("{path} is no bundle: there is no metadata/timestamp.json in it (`selvedge ota bundle` makes them)", path = path.display())]
    NoTimestamp {
        /// The file.
        path: PathBuf,
    },
}

impl Bundle {
    /// Opens the bundle at `path` and reads where its files are.
    ///
    /// # Errors
    /// It is none.
    pub fn open(path: &Path) -> Result<Self, OpenBundleError> {
        let failed = |source: io::Error| match source.raw_os_error() {
            Some(_) => OpenBundleError::Read { path: path.to_owned(), source },
            // What the reader of tar files says quotes the file, which may be anything.
            None => OpenBundleError::NoTar { path: path.to_owned() },
        };
        let file = File::open(path).map_err(failed)?;
        let end = file.metadata().map_err(failed)?.len();
        let mut places = BTreeMap::new();
        let mut archive = tar::Archive::new(&file);
        for entry in archive.entries_with_seek().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.header().entry_type() != tar::EntryType::Regular {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if places.len() >= FILES_MAX || name.len() > NAME_BYTES_MAX {
                return Err(OpenBundleError::TooMany { path: path.to_owned() });
            }
            let place = Place { offset: entry.raw_file_position(), length: entry.size() };
            if place.offset.checked_add(place.length).is_none_or(|last| last > end) {
                return Err(OpenBundleError::CutShort { path: path.to_owned(), bytes: end });
            }
            // The first of a name counts: nobody can put another one behind what was looked at.
            places.entry(name).or_insert(place);
        }
        if !places.contains_key("metadata/timestamp.json") {
            return Err(OpenBundleError::NoTimestamp { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), file, places })
    }

    /// Names of its files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }
}

impl Source for Bundle {
    fn open(&mut self, path: &str, from: u64, _bytes_max: u64) -> Result<Option<Opened<'_>>, FetchError> {
        let Some(place) = self.places.get(path).copied() else { return Ok(None) };
        let from = from.min(place.length);
        if let Err(source) = self.file.seek(SeekFrom::Start(place.offset + from)) {
            return Err(FetchError::Read { source_name: self.name(), path: path.to_owned(), source });
        }
        let reader = Box::new((&self.file).take(place.length - from));
        Ok(Some(Opened { reader, starts_at: from }))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fetch_small;

    fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            // As the hostile write it: the builder itself refuses some names.
            let field = &mut header.as_old_mut().name;
            field[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).expect("append");
        }
        builder.into_inner().expect("tar")
    }

    fn open(bytes: &[u8]) -> Result<Bundle, OpenBundleError> {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), bytes).expect("write");
        Bundle::open(file.path())
    }

    #[test]
    fn files_come_whole_in_part_or_not_at_all() {
        let mut bundle =
            open(&tar_of(&[("metadata/timestamp.json", b"{}"), ("../../etc/passwd", b"root"), ("a", b"0123")]))
                .expect("a bundle");
        assert_eq!(fetch_small(&mut bundle, "a", 4).expect("fits").expect("there"), b"0123");
        assert!(fetch_small(&mut bundle, "b", 4).expect("nothing").is_none());
        let mut opened = bundle.open("a", 2, 4).expect("opens").expect("there");
        assert_eq!((opened.starts_at, io::read_to_string(&mut opened.reader).expect("reads").as_str()), (2, "23"));
        drop(opened);
        let mut opened = bundle.open("a", 9, 4).expect("opens").expect("there");
        assert_eq!((opened.starts_at, io::read_to_string(&mut opened.reader).expect("reads").as_str()), (4, ""));
    }

    #[test]
    fn the_first_of_two_files_of_a_name_counts() {
        let mut bundle =
            open(&tar_of(&[("metadata/timestamp.json", b"{}"), ("a", b"one"), ("a", b"two")])).expect("a bundle");
        assert_eq!(fetch_small(&mut bundle, "a", 4).expect("fits").expect("there"), b"one");
    }

    #[test]
    fn what_is_no_bundle_is_refused_with_words() {
        let whole = tar_of(&[("metadata/timestamp.json", b"{}"), ("a", &[7; 4096])]);
        let text = open(&whole[..whole.len() - 4096]).err().expect("cut short").to_string();
        assert!(text.contains("is cut short after") && text.contains("copy it again"), "{text}");
        let text = open(&tar_of(&[("a", b"")])).err().expect("no timestamp").to_string();
        assert!(text.contains("is no bundle: there is no metadata/timestamp.json in it"), "{text}");
        for foreign in [&b"MZ\x90\x00"[..], &[0x41; 5000], &[0x1b; 5000], &[0xff; 600]] {
            let error = open(foreign).err().expect("no tar file");
            assert!(matches!(error, OpenBundleError::NoTar { .. }), "{error}");
            assert!(error.to_string().chars().all(|c| !c.is_control()), "{error:?}");
        }
        let folder = tempfile::tempdir().expect("folder");
        let error = Bundle::open(folder.path()).err().expect("a folder");
        assert!(matches!(error, OpenBundleError::Read { .. }), "{error}");
    }

    #[test]
    fn a_bundle_with_too_many_files_is_refused() {
        let names: Vec<String> = (0..=FILES_MAX).map(|number| number.to_string()).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert!(matches!(open(&tar_of(&files)), Err(OpenBundleError::TooMany { .. })));
    }
}
