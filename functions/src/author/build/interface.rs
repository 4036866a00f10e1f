//! The interface that a project is built against: its own copy in `wit/`, or the one embedded here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::BuildError;
use crate::author::FUNCTION_WIT;

/// Folder of the interface in a project.
const FOLDER: &str = "wit";
/// The file in it.
const FILE: &str = "function.wit";

/// A folder with the interface, for a tool that runs in the project; in `scratch` where the project has none.
pub(super) fn directory(project: &Path, scratch: &Path) -> Result<PathBuf, BuildError> {
    if project.join(FOLDER).is_dir() {
        return Ok(PathBuf::from(FOLDER));
    }
    let wit = scratch.join(FOLDER);
    fs::create_dir(&wit)
        .and_then(|()| fs::write(wit.join(FILE), FUNCTION_WIT))
        .map_err(|source| BuildError::Write { path: wit.clone(), source })?;
    Ok(wit)
}

/// Name and text of the interface.
pub(super) fn text(project: &Path) -> Result<(PathBuf, String), BuildError> {
    let path = project.join(FOLDER).join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((PathBuf::from(FILE), FUNCTION_WIT.to_owned())),
        Err(error) => Err(BuildError::Project { path, reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_interface_is_used_and_the_embedded_one_where_it_has_none() {
        let (project, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let embedded = directory(project.path(), scratch.path()).unwrap();
        assert_eq!(fs::read_to_string(embedded.join(FILE)).unwrap(), FUNCTION_WIT);
        assert_eq!(text(project.path()).unwrap().1, FUNCTION_WIT);

        fs::create_dir(project.path().join(FOLDER)).unwrap();
        fs::write(project.path().join("wit/function.wit"), "package a:b;").unwrap();
        assert_eq!(directory(project.path(), scratch.path()).unwrap(), Path::new("wit"));
        assert_eq!(text(project.path()).unwrap().1, "package a:b;");
    }
}
