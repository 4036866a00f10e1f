//! Which Rust compiler makes WebAssembly on this machine, and how. [`choose`] decides from what was found; [`probe`] looks.
//!
//! Two ways: a compiler that has the standard library for `wasm32-unknown-unknown` (rustup's target), or one that has the
//! library's source and builds it along (Debian's `rust-web-src`), which needs a linker for WebAssembly beside it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::BuildError;
use crate::author::program::{ask, find_program};

pub(super) const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_SYSROOT: &str = "/usr";

/// A compiler that is there, and what is installed beside it.
#[derive(Clone, Debug)]
pub(super) struct Compiler {
    pub(super) program: PathBuf,
    pub(super) sysroot: PathBuf,
    /// The standard library for the target is there.
    pub(super) has_target: bool,
    /// The source of the standard library is there.
    pub(super) has_source: bool,
    /// The linker that rustup brings.
    pub(super) linker: Option<PathBuf>,
}

/// All that was found. Compilers in order of preference.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) compilers: Vec<Compiler>,
    /// A linker for WebAssembly on its own: of another compiler, or from PATH.
    pub(super) linker: Option<PathBuf>,
    pub(super) rustup: bool,
}

/// How to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) rustc: PathBuf,
    pub(super) sysroot: PathBuf,
    /// Build the standard library along.
    pub(super) build_std: bool,
    /// The linker, where the compiler does not bring its own.
    pub(super) linker: Option<PathBuf>,
}

/// The first compiler that has the target, else the first that can build the library.
pub(super) fn choose(found: &Found) -> Result<Recipe, BuildError> {
    let recipe = |compiler: &Compiler, build_std| Recipe {
        rustc: compiler.program.clone(),
        sysroot: compiler.sysroot.clone(),
        build_std,
        linker: if compiler.linker.is_some() { None } else { found.linker.clone() },
    };
    if let Some(compiler) = found.compilers.iter().find(|compiler| compiler.has_target) {
        return Ok(recipe(compiler, false));
    }
    let can_link = |compiler: &Compiler| compiler.linker.is_some() || found.linker.is_some();
    if let Some(compiler) = found.compilers.iter().find(|compiler| compiler.has_source && can_link(compiler)) {
        return Ok(recipe(compiler, true));
    }
    let Some(first) = found.compilers.first() else {
        return Err(missing("a Rust compiler", "curl --proto =https -sSf https://sh.rustup.rs | sh"));
    };
    let of_debian = first.sysroot == Path::new(DEBIAN_SYSROOT) && !found.rustup;
    let fix = if of_debian {
        "apt-get install libstd-rust-dev-wasm32 lld"
    } else {
        "rustup target add wasm32-unknown-unknown"
    };
    Err(missing("Rust's standard library for wasm32-unknown-unknown", fix))
}

fn missing(missing: &str, fix: &str) -> BuildError {
    BuildError::Missing { missing: missing.to_owned(), fix: fix.to_owned() }
}

/// Looks for compilers, as cargo would choose them in `directory`. `RUSTC` in the environment leaves no other choice.
pub(super) fn probe(directory: &Path) -> Found {
    let default = compiler(OsString::from("rustc"), directory);
    let compilers: Vec<Compiler> = match env::var_os("RUSTC") {
        Some(chosen) => compiler(chosen, directory).into_iter().collect(),
        None => default.clone().into_iter().chain(compiler(OsString::from("/usr/bin/rustc"), directory)).collect(),
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let own_linker = || ["rust-lld", "wasm-ld", "wasm-ld-22"].iter().find_map(|name| find_program(name, &path));
    Found {
        linker: default.and_then(|compiler| compiler.linker).or_else(own_linker),
        rustup: find_program("rustup", &path).is_some(),
        compilers,
    }
}

fn compiler(program: OsString, directory: &Path) -> Option<Compiler> {
    let answer = |arguments: &[&str]| ask(Command::new(&program).args(arguments).current_dir(directory));
    let sysroot = PathBuf::from(answer(&["--print", "sysroot"])?);
    let version = answer(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    let libraries = sysroot.join("lib/rustlib");
    Some(Compiler {
        has_target: has_library(&libraries.join(TARGET).join("lib")),
        has_source: libraries.join("src/rust/library/Cargo.toml").is_file(),
        linker: Some(libraries.join(host).join("bin/rust-lld")).filter(|linker| linker.is_file()),
        program: PathBuf::from(program),
        sysroot,
    })
}

/// The folder alone is not enough: a removed target can leave it behind.
fn has_library(folder: &Path) -> bool {
    let mut files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler(program: &str, has_target: bool, has_source: bool, linker: Option<&str>) -> Compiler {
        Compiler {
            program: program.into(),
            sysroot: if program.starts_with("/usr") { "/usr".into() } else { "/home/me/.rustup".into() },
            has_target,
            has_source,
            linker: linker.map(PathBuf::from),
        }
    }

    fn fix(found: &Found) -> String {
        match choose(found).unwrap_err() {
            BuildError::Missing { fix, .. } => fix,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_target_is_preferred_to_building_the_library() {
        let found = Found {
            compilers: vec![compiler("rustc", false, true, Some("lld")), compiler("/usr/bin/rustc", true, false, None)],
            linker: Some("wasm-ld".into()),
            rustup: true,
        };
        let recipe = choose(&found).unwrap();
        assert_eq!((recipe.rustc.to_str(), recipe.build_std), (Some("/usr/bin/rustc"), false));
        assert_eq!(recipe.linker, Some("wasm-ld".into()), "it brings none of its own");
    }

    #[test]
    fn a_compiler_with_the_source_builds_the_library_with_another_ones_linker() {
        let found = Found {
            compilers: vec![
                compiler("rustc", false, false, Some("rust-lld")),
                compiler("/usr/bin/rustc", false, true, None),
            ],
            linker: Some("rust-lld".into()),
            rustup: true,
        };
        let recipe = choose(&found).unwrap();
        assert_eq!((recipe.rustc.to_str(), recipe.build_std), (Some("/usr/bin/rustc"), true));
        assert_eq!(recipe.linker, Some("rust-lld".into()));
    }

    #[test]
    fn a_compiler_that_brings_its_linker_is_left_to_find_it() {
        let found = Found {
            compilers: vec![compiler("rustc", true, false, Some("rust-lld"))],
            linker: Some("other".into()),
            rustup: true,
        };
        assert_eq!(choose(&found).unwrap().linker, None);
    }

    #[test]
    fn an_empty_folder_is_no_standard_library() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_library(folder.path()) && !has_library(&folder.path().join("none")));
        fs::write(folder.path().join("libstd-0123.rlib"), "").unwrap();
        assert!(has_library(folder.path()));
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let rustup_only =
            Found { compilers: vec![compiler("rustc", false, false, Some("rust-lld"))], linker: None, rustup: true };
        assert_eq!(fix(&rustup_only), "rustup target add wasm32-unknown-unknown");

        let source_without_linker =
            Found { compilers: vec![compiler("rustc", false, true, None)], linker: None, rustup: true };
        assert_eq!(fix(&source_without_linker), "rustup target add wasm32-unknown-unknown");

        let debian =
            Found { compilers: vec![compiler("/usr/bin/rustc", false, false, None)], linker: None, rustup: false };
        assert_eq!(fix(&debian), "apt-get install libstd-rust-dev-wasm32 lld");

        assert!(fix(&Found::default()).contains("rustup.rs"));
    }
}
