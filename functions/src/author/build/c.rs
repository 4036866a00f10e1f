//! The C recipe: clang and its linker make a core module of the project's `.c` files, without a C library and without WASI.
//!
//! The interface is not linked in as an object file: it is put into the finished module here, so that no generator is
//! needed. The same source and clang give the same bytes in every directory, because all that is the project's is named
//! relative to it and nothing is kept for a debugger.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BuildError, interface};
use crate::author::component;
use crate::author::freestanding::{BINDINGS, BINDINGS_FOLDER, FREESTANDING, FREESTANDING_FOLDER, Files};
use crate::author::program::{ask, find_program, run};

/// A project is one in C when it has this file.
pub(super) const MARK: &str = "function.c";
/// Flags that the author adds, one a line; editors (clangd) read the same file.
const OWN_FLAGS: &str = "compile_flags.txt";
const TARGET: &str = "--target=wasm32-unknown-unknown";
/// The stack comes first in memory, so that one that overflows traps and does not write over data.
const LINKER_FLAGS: [&str; 4] = ["-Wl,--no-entry", "-Wl,--strip-all", "-Wl,--stack-first", "-Wl,-z,stack-size=65536"];

/// Builds the core module of the project in `directory`, with the interface in it.
pub(super) fn core_module(directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
    let clang = clang(directory, env::var_os("CLANG"), &env::var_os("PATH").unwrap_or_default())?;
    compile(&clang, directory, progress)
}

fn compile(clang: &OsStr, directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
    let (wit_path, wit) = interface::text(directory)?;
    let scratch = tempfile::tempdir().map_err(|source| BuildError::Write { path: env::temp_dir(), source })?;
    let output = scratch.path().join("module.wasm");

    let mut command = Command::new(clang);
    command
        .args([TARGET, "-std=c11", "-Os", "-ffreestanding", "-nostdlib", "-mbulk-memory", "-Wall", "-Wextra"])
        .current_dir(directory);
    if directory.join(OWN_FLAGS).is_file() {
        command.arg(format!("@{OWN_FLAGS}"));
    }
    let mut sources = sources_in(directory, Path::new(""))?;
    for (folder, files) in [(BINDINGS_FOLDER, BINDINGS), (FREESTANDING_FOLDER, FREESTANDING)] {
        let folder = folder_with(directory, folder, files, scratch.path())?;
        sources.extend(sources_in(directory, &folder)?);
        command.arg("-I").arg(folder);
    }
    command.args(sources).args(LINKER_FLAGS).arg("-o").arg(&output);

    let ended =
        run(&mut command, progress).map_err(|source| BuildError::Run { program: "clang".to_owned(), source })?;
    if !ended.status.success() {
        return Err(BuildError::failed("clang", ended));
    }
    let mut module = fs::read(&output).map_err(|error| BuildError::Project {
        path: directory.to_owned(),
        reason: format!("clang ended well and left no module: {error}"),
    })?;
    component::embed_interface(&mut module, &wit).map_err(|reason| BuildError::Project { path: wit_path, reason })?;
    Ok(module)
}

/// `CLANG`, else what is in `PATH`; with a linker for WebAssembly beside it.
fn clang(directory: &Path, chosen: Option<OsString>, path: &OsStr) -> Result<OsString, BuildError> {
    let clang = chosen
        .or_else(|| find_program("clang", path).map(OsString::from))
        .ok_or_else(|| missing("clang", "apt-get install clang lld"))?;
    // clang names the linker with its path where it finds one, and with the bare name where it does not.
    let linker = ask(Command::new(&clang).args([TARGET, "-print-prog-name=wasm-ld"]).current_dir(directory));
    match linker {
        None => Err(missing("clang", "apt-get install clang lld")),
        Some(linker) if Path::new(&linker).is_file() || find_program(&linker, path).is_some() => Ok(clang),
        Some(_) => Err(missing("wasm-ld, clang's linker for WebAssembly,", "apt-get install lld")),
    }
}

fn missing(missing: &str, fix: &str) -> BuildError {
    BuildError::Missing { missing: missing.to_owned(), fix: fix.to_owned() }
}

/// The project's own folder, or one in `scratch` with the embedded files.
fn folder_with(project: &Path, folder: &str, files: Files, scratch: &Path) -> Result<PathBuf, BuildError> {
    if project.join(folder).is_dir() {
        return Ok(PathBuf::from(folder));
    }
    let written = scratch.join(folder);
    let write = || -> io::Result<()> {
        fs::create_dir(&written)?;
        files.iter().try_for_each(|(path, text)| fs::write(scratch.join(path), text))
    };
    write().map_err(|source| BuildError::Write { path: written.clone(), source })?;
    Ok(written)
}

/// The `.c` files of a folder, in order of their names: the order decides where things are in the module.
fn sources_in(project: &Path, folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let path = project.join(folder);
    let failed = |error: io::Error| BuildError::Project { path: path.clone(), reason: error.to_string() };
    let mut sources = Vec::new();
    for entry in fs::read_dir(&path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if Path::new(&name).extension() == Some(OsStr::new("c")) {
            sources.push(folder.join(name));
        }
    }
    sources.sort();
    Ok(sources)
}

#[cfg(test)]
mod tests;
