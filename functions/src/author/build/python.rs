//! The Python recipe: `componentize-py` puts the module and the Python interpreter, already started, into a component.
//!
//! Not reproducible: the interpreter's state is saved after it has started, with the seeds that it started with.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{BuildError, componentizer, interface};
use crate::author::program::find_program;

/// A project is one in Python when it has this file.
pub(super) const MARK: &str = "function.py";
/// The module in it.
const MODULE: &str = "function";
const TOOL: &str = "componentize-py";
const TOOL_VERSION: &str = "0.25.1";

/// Builds the component of the project in `directory`.
pub(super) fn component(directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
    let tool = tool(directory, env::var_os("COMPONENTIZE_PY"), &env::var_os("PATH").unwrap_or_default())?;
    let scratch = tempfile::tempdir().map_err(|source| BuildError::Write { path: env::temp_dir(), source })?;
    let output = scratch.path().join("component.wasm");
    let wit = interface::directory(directory, scratch.path())?;
    let mut command = Command::new(tool);
    command
        .args(["--quiet", "--world", "function", "--wit-path"])
        .arg(wit)
        .args(["componentize", MODULE, "--python-path", ".", "--output"])
        .arg(&output)
        .current_dir(directory)
        .env("RUST_BACKTRACE", "0");
    componentizer::component(TOOL, &mut command, &output, progress)
}

/// `COMPONENTIZE_PY`, else that of an environment in the project, else what is in `PATH`.
fn tool(directory: &Path, chosen: Option<OsString>, path: &OsStr) -> Result<OsString, BuildError> {
    if let Some(chosen) = chosen {
        return Ok(chosen);
    }
    let absolute = fs::canonicalize(directory)
        .map_err(|error| BuildError::Project { path: directory.to_owned(), reason: error.to_string() })?;
    let own = Some(absolute.join(".venv/bin").join(TOOL)).filter(|file| file.is_file());
    own.or_else(|| find_program(TOOL, path)).map(OsString::from).ok_or_else(|| BuildError::Missing {
        missing: TOOL.to_owned(),
        fix: format!("pip install {TOOL}=={TOOL_VERSION}"),
    })
}

#[cfg(test)]
mod tests;
