//! `selvedge fn new`: a project from a template that is embedded in the program.
//!
//! Invariant: it never writes over a file. The directory must not exist or must be empty, and every file is created as new.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::freestanding::{BINDINGS, FREESTANDING};
use super::{FUNCTION_WIT, Language};

/// The longest name of a function, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What to create.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// Name of the function: lower-case letters, digits and single hyphens, beginning with a letter, at most 64 bytes.
    pub name: String,
    /// Language of the template.
    pub language: Language,
    /// Where to; `None` is a directory of the function's name in the current one.
    pub directory: Option<PathBuf>,
}

/// What was created.
#[derive(Clone, Debug)]
pub struct Created {
    /// The directory of the project.
    pub directory: PathBuf,
    /// The files written, relative to `directory`, in the order of writing.
    pub files: Vec<PathBuf>,
    /// The commands to try next, one a line, to be run in `directory`.
    pub next_steps: Vec<String>,
}

/// Why no project was created.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name breaks a rule.
    #[error("{name:?} is no name for a function: {rule}")]
    Name {
        /// The name as given.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// There is something already.
    #[error("{} exists and is not an empty directory, nothing was written", directory.display())]
    Occupied {
        /// The directory asked for.
        directory: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory that could not be written.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Writes the project.
///
/// # Errors
/// The name is refused, the directory has content, or the file system refuses. After a refusal of the file system what was
/// written so far is left there.
pub fn new_project(project: &NewProject) -> Result<Created, NewError> {
    check_name(&project.name)?;
    let directory = project.directory.clone().unwrap_or_else(|| PathBuf::from(&project.name));
    create_empty(&directory)?;

    let mut files = Vec::new();
    for (relative, text) in &template(project.language) {
        write_new(&directory.join(relative), &text.replace("{{name}}", &project.name))?;
        files.push(PathBuf::from(relative));
    }
    Ok(Created { next_steps: next_steps(project, &directory), directory, files })
}

fn check_name(name: &str) -> Result<(), NewError> {
    let rule = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "it is longer than 64 bytes"
    } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        "it does not begin with a lower-case letter"
    } else if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        "only lower-case letters, digits and hyphens are allowed"
    } else if name.ends_with('-') || name.contains("--") {
        "a hyphen stands between two letters or digits"
    } else if REFUSED_BY_CARGO.contains(&name) {
        "it is a word of the Rust language or a library of its own"
    } else {
        return Ok(());
    };
    Err(NewError::Name { name: name.to_owned(), rule })
}

/// Names that fit the pattern and that cargo or rustc refuse for a package. One rule for every language, so that a
/// function can be rewritten under its name.
const REFUSED_BY_CARGO: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

fn create_empty(directory: &Path) -> Result<(), NewError> {
    let failed = |source| NewError::Write { path: directory.to_owned(), source };
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(NewError::Occupied { directory: directory.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(directory).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(NewError::Occupied { directory: directory.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}

fn write_new(path: &Path, text: &str) -> Result<(), NewError> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
    };
    write().map_err(|source| NewError::Write { path: path.to_owned(), source })
}

/// The files of a template: path in the project, text with `{{name}}` where the function's name goes.
fn template(language: Language) -> Vec<(&'static str, &'static str)> {
    match language {
        Language::Rust => vec![
            ("function.toml", include_str!("templates/rust/function.toml")),
            ("Cargo.toml", include_str!("templates/rust/Cargo.toml.template")),
            ("src/lib.rs", include_str!("templates/rust/src/lib.rs")),
            ("wit/function.wit", FUNCTION_WIT),
            ("message.json", include_str!("templates/message.json")),
            ("README.md", include_str!("templates/rust/README.md")),
            (".gitignore", "/target\n"),
        ],
        Language::JavaScript => vec![
            ("function.toml", include_str!("templates/js/function.toml")),
            ("package.json", include_str!("templates/js/package.json")),
            ("function.js", include_str!("templates/js/function.js")),
            ("text.js", include_str!("templates/js/text.js")),
            ("wit/function.wit", FUNCTION_WIT),
            ("message.json", include_str!("templates/message.json")),
            ("README.md", include_str!("templates/js/README.md")),
            (".gitignore", "/node_modules\n/target\n"),
        ],
        Language::C => {
            let own = [
                ("function.toml", include_str!("templates/c/function.toml")),
                ("function.c", include_str!("templates/c/function.c")),
                ("number.c", include_str!("templates/c/number.c")),
                ("number.h", include_str!("templates/c/number.h")),
                ("compile_flags.txt", include_str!("templates/c/compile_flags.txt")),
                ("wit/function.wit", FUNCTION_WIT),
                ("message.json", include_str!("templates/c/message.json")),
                ("README.md", include_str!("templates/c/README.md")),
                (".gitignore", "/target\n"),
            ];
            own.iter().chain(BINDINGS).chain(FREESTANDING).copied().collect()
        }
        Language::Python => vec![
            ("function.toml", include_str!("templates/python/function.toml")),
            ("function.py", include_str!("templates/python/function.py")),
            ("requirements.txt", include_str!("templates/python/requirements.txt")),
            ("wit/function.wit", FUNCTION_WIT),
            ("message.json", include_str!("templates/message.json")),
            ("README.md", include_str!("templates/python/README.md")),
            (".gitignore", "/.venv\n/target\n__pycache__\n"),
        ],
    }
}

fn next_steps(project: &NewProject, directory: &Path) -> Vec<String> {
    let mut steps = vec![format!("cd {}", directory.display())];
    match project.language {
        Language::JavaScript => steps.push("npm install".to_owned()),
        Language::Python => {
            steps.push("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt".to_owned());
        }
        Language::Rust | Language::C => {}
    }
    steps.push("selvedge fn build".to_owned());
    steps.push("selvedge fn test --message message.json".to_owned());
    steps.push("selvedge fn deploy".to_owned());
    steps
}

#[cfg(test)]
mod tests;
