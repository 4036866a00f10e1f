//! The JavaScript recipe: `componentize-qjs` puts the entry file and the QuickJS engine into a component.
//!
//! Not reproducible by itself: the engine's state is saved after it has started, with the random seeds and the time it
//! started with. `cargo xtask guests` holds both still for the components that are committed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::{BuildError, componentizer, interface};
use crate::author::program::find_program;

const TOOL: &str = "componentize-qjs";
const TOOL_VERSION: &str = "0.4.5";

/// Builds the component of the project in `directory`.
pub(super) fn component(directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
    let entry = entry_file(&directory.join("package.json"))?;
    let entry_path = directory.join(&entry);
    if !entry_path.is_file() {
        return Err(BuildError::Project {
            path: entry_path,
            reason: "package.json names it as main and it is not there".into(),
        });
    }
    let tool = tool(directory, env::var_os("COMPONENTIZE_QJS"), &env::var_os("PATH").unwrap_or_default())?;

    let scratch = tempfile::tempdir().map_err(|source| BuildError::Write { path: env::temp_dir(), source })?;
    let output = scratch.path().join("component.wasm");
    let wit = interface::directory(directory, scratch.path())?;
    let mut command = Command::new(tool);
    command
        .args(["--world", "function", "--sync", "--opt-size", "--module-root", ".", "--js"])
        .arg(&entry)
        .arg("--wit")
        .arg(wit)
        .arg("--output")
        .arg(&output)
        .current_dir(directory);
    componentizer::component(TOOL, &mut command, &output, progress)
}

#[derive(Deserialize)]
struct Package {
    main: Option<PathBuf>,
}

fn entry_file(package: &Path) -> Result<PathBuf, BuildError> {
    let wrong = |reason: String| BuildError::Project { path: package.to_owned(), reason };
    let text = fs::read(package).map_err(|error| wrong(error.to_string()))?;
    let main = serde_json::from_slice::<Package>(&text)
        .map_err(|error| wrong(error.to_string()))?
        .main
        .unwrap_or_else(|| PathBuf::from("function.js"));
    // The tool resolves imports below the project only; an entry outside of it would fail with a stranger message.
    if main.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        Ok(main)
    } else {
        Err(wrong(format!("main = {:?} is not below the project", main.display().to_string())))
    }
}

/// `COMPONENTIZE_QJS`, else what npm installed in the project or above it, else what is in `PATH`.
fn tool(directory: &Path, chosen: Option<OsString>, path: &OsStr) -> Result<OsString, BuildError> {
    if let Some(chosen) = chosen {
        return Ok(chosen);
    }
    let absolute = fs::canonicalize(directory)
        .map_err(|error| BuildError::Project { path: directory.to_owned(), reason: error.to_string() })?;
    let installed =
        absolute.ancestors().map(|above| above.join("node_modules/.bin").join(TOOL)).find(|file| file.is_file());
    installed.or_else(|| find_program(TOOL, path)).map(OsString::from).ok_or_else(|| BuildError::Missing {
        missing: TOOL.to_owned(),
        fix: format!("npm install --prefix {} --save-dev {TOOL}@{TOOL_VERSION}", directory.display()),
    })
}

#[cfg(test)]
mod tests;
