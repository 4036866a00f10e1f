//! `selvedge fn build`: from a project to the component that its manifest names.
//!
//! Invariant: the component is written as the last thing and in one step, and only when it is a valid function, so that a
//! failed build leaves the previous component alone.

mod c;
mod componentizer;
mod interface;
mod javascript;
mod python;
mod rust;
mod toolchain;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use sha2::{Digest, Sha256};

use super::Language;
use super::component::{self, ComponentError};
use super::program::Ended;
use crate::{Config, Manifest, ManifestError};

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Name of the function, from the manifest.
    pub name: String,
    /// The language it was built from.
    pub language: Language,
    /// Where the component is.
    pub component: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal, which is the version that the node shows.
    pub sha256: String,
    /// The interfaces it imports, for example `selvedge:function/log@0.1.0`.
    pub imports: Vec<String>,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No manifest could be read.
    #[error("cannot read the manifest {}", path.display())]
    Manifest {
        /// Where it was expected.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The manifest is wrong.
    #[error("the manifest {} is wrong", path.display())]
    WrongManifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong in it, with the line.
        source: ManifestError,
    },
    /// No language was recognised.
    #[error("{} has no Cargo.toml, package.json, function.c or function.py, nothing says how to build it", directory.display())]
    NoLanguage {
        /// The project.
        directory: PathBuf,
    },
    /// A file of the project cannot be used.
    #[error("cannot use {}: {reason}", path.display())]
    Project {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that has to be installed is not there.
    #[error("{missing} is not installed; this installs it: {fix}")]
    Missing {
        /// What is missing.
        missing: String,
        /// The command that fixes it.
        fix: String,
    },
    /// A tool could not be run.
    #[error("cannot run {program}")]
    Run {
        /// The tool.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// A tool ended with an error, which went to `progress`.
    #[error("{program} failed with {status}")]
    Failed {
        /// The tool.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        tail: String,
    },
    /// The build ended well and left no WebAssembly module.
    #[error("cargo built no WebAssembly library for {}; its [lib] needs crate-type = [\"cdylib\"]", manifest.display())]
    NoModule {
        /// The Cargo.toml.
        manifest: PathBuf,
    },
    /// What was built is not a function.
    #[error("what was built from {} is not a function", directory.display())]
    Component {
        /// The project.
        directory: PathBuf,
        /// What is wrong with it.
        source: ComponentError,
    },
    /// The file system refused.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl BuildError {
    fn failed(program: &str, ended: Ended) -> Self {
        BuildError::Failed { program: program.to_owned(), status: ended.status, tail: ended.tail }
    }
}

/// Builds the project in `directory`. `progress` gets what the tools say, line by line.
///
/// The language is that of the files: `Cargo.toml` for Rust, `package.json` for JavaScript, `function.c` for C,
/// `function.py` for Python. Environment variables that choose tools: `CARGO` and `RUSTC`, `COMPONENTIZE_QJS`, `CLANG`,
/// `COMPONENTIZE_PY`.
///
/// # Errors
/// The manifest is missing or wrong, a tool is missing (the error names the command that installs it) or fails, or what
/// it built is no function.
pub fn build(directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<Built, BuildError> {
    let manifest = read_manifest(&directory.join("function.toml"))?;
    let relative = manifest.component.unwrap_or_else(|| format!("{}.wasm", manifest.name));
    let path = directory.join(relative);

    let not_a_function = |source| BuildError::Component { directory: directory.to_owned(), source };
    let language = language_of(directory)?;
    let componentize = |module: Vec<u8>| component::componentize(&module).map_err(not_a_function);
    let component = match language {
        Language::Rust => componentize(rust::core_module(directory, progress)?)?,
        Language::C => componentize(c::core_module(directory, progress)?)?,
        Language::JavaScript => javascript::component(directory, progress)?,
        Language::Python => python::component(directory, progress)?,
    };
    let imports = component::imports(&component).map_err(not_a_function)?;
    replace(&path, &component).map_err(|source| BuildError::Write { path: path.clone(), source })?;
    Ok(Built {
        name: manifest.name,
        language,
        component: path,
        bytes: component.len() as u64,
        sha256: Sha256::digest(&component).iter().map(|byte| format!("{byte:02x}")).collect(),
        imports,
    })
}

fn read_manifest(path: &Path) -> Result<Manifest, BuildError> {
    let text = fs::read_to_string(path).map_err(|source| BuildError::Manifest { path: path.to_owned(), source })?;
    Manifest::parse(&text, &Config::default())
        .map_err(|source| BuildError::WrongManifest { path: path.to_owned(), source })
}

fn language_of(directory: &Path) -> Result<Language, BuildError> {
    let marks = [
        ("Cargo.toml", Language::Rust),
        ("package.json", Language::JavaScript),
        (c::MARK, Language::C),
        (python::MARK, Language::Python),
    ];
    let found = marks.into_iter().find(|(mark, _)| directory.join(mark).is_file());
    found.map(|(_, language)| language).ok_or_else(|| BuildError::NoLanguage { directory: directory.to_owned() })
}

/// A reader sees the old component or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut file = tempfile::Builder::new()
        .prefix(".component-")
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests;
