//! Runs a program that puts a script and the engine for it into a component, and reads what it left.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::BuildError;
use crate::author::program::run;

/// Runs `command`, which is `tool` told to write to `output`; the component.
pub(super) fn component(
    tool: &str,
    command: &mut Command,
    output: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, BuildError> {
    let ended = run(command, progress).map_err(|source| BuildError::Run { program: tool.to_owned(), source })?;
    if !ended.status.success() {
        return Err(BuildError::failed(tool, ended));
    }
    fs::read(output).map_err(|error| BuildError::Project {
        path: command.get_current_dir().unwrap_or(output).to_owned(),
        reason: format!("{tool} ended well and left no component: {error}"),
    })
}
