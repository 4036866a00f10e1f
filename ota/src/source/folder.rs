//! A repository in a folder: on a stick, or mounted from elsewhere.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::{FetchError, Opened, Source};

/// The folder that `selvedge ota publish` made.
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// That at `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

impl Source for Folder {
    fn open(&mut self, path: &str, from: u64, _bytes_max: u64) -> Result<Option<Opened<'_>>, FetchError> {
        let failed = |source| FetchError::Read { source_name: self.name(), path: path.to_owned(), source };
        let is_inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_inside {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "the path leaves the repository")));
        }
        let mut file = match File::open(self.root.join(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let starts_at = file.seek(SeekFrom::Start(from)).map_err(failed)?;
        Ok(Some(Opened { reader: Box::new(file), starts_at }))
    }

    fn name(&self) -> String {
        self.root.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fetch_small;

    #[test]
    fn files_come_whole_in_part_or_not_at_all() {
        let root = tempfile::tempdir().expect("folder");
        std::fs::write(root.path().join("a"), "0123456789").expect("write");
        std::fs::create_dir(root.path().join("inner")).expect("folder");
        let mut folder = Folder::new(&root.path().join("inner"));
        assert!(fetch_small(&mut folder, "a", 10).expect("nothing").is_none());
        let text = fetch_small(&mut folder, "../a", 10).expect_err("outside").to_string();
        assert!(text.starts_with("read ../a of "), "{text}");
        let mut folder = Folder::new(root.path());
        assert_eq!(fetch_small(&mut folder, "a", 10).expect("fits").expect("there"), b"0123456789");
        assert!(matches!(fetch_small(&mut folder, "a", 9), Err(FetchError::TooBig { bytes_max: 9, .. })));
        let mut opened = folder.open("a", 7, 10).expect("opens").expect("there");
        assert_eq!((opened.starts_at, io::read_to_string(&mut opened.reader).expect("reads").as_str()), (7, "789"));
    }
}
