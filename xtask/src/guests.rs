//! Rebuilds the function components that are committed beside their source, and compares.
//!
//! It builds a copy of the sources with the product's own `fn build`, so that a check changes nothing in the tree and the
//! way a visitor builds is the way that is checked. Invariant: bytes are compared only when every tool that shapes them is
//! the recorded one; otherwise the check says which one differs and counts as SKIPPED.

mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{process, repository, test};
use toolchain::Toolchain;

/// Folders whose sub-folders with a `function.toml` are guests.
const GUEST_FOLDERS: &[&str] = &["examples", "functions/tests/guests"];
/// What the guests need besides their own folder.
const INTERFACE: &str = "functions/wit";

/// Arguments of `cargo xtask guests`.
#[derive(clap::Args)]
pub struct Options {
    /// Only compare with the committed components; change nothing
    #[arg(long)]
    check: bool,
}

/// Builds every guest; replaces the committed components, or compares with them.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let record = toolchain::Record::read(&repository::root().join(toolchain::RECORD))?;
    let toolchain = match toolchain::prepare(&record) {
        Ok(toolchain) => toolchain,
        Err(unavailable) if options.check => return skipped(&format!("{unavailable:#}")),
        Err(unavailable) => return Err(unavailable),
    };
    let differing = record.differences(&toolchain.versions);
    if options.check && !differing.is_empty() {
        return skipped(&differing.join("; "));
    }

    let guests = guests(repository::root())?;
    let copy = repository::target_folder().join("guests/source");
    copy_sources(&guests, &copy)?;
    process::run("cargo", &[&["build", "--locked"], test::BUILT_TOGETHER].concat())?;
    let mut wrong = Vec::new();
    for guest in &guests {
        let built = build(guest, &copy, &toolchain)?;
        if !options.check {
            install(&built, guest)?;
        } else if let Some(difference) = difference(&built, guest)? {
            wrong.push(difference);
        }
    }
    if !differing.is_empty() {
        eprintln!("built with other tools than recorded: record these in {}:", toolchain::RECORD);
        eprintln!("{}", toolchain.versions.as_toml());
    }
    check_templates(&copy, &toolchain)?;
    if !wrong.is_empty() {
        bail!("{}\n`cargo xtask guests` builds and replaces them", wrong.join("\n"));
    }
    println!(
        "guests: {} components {}",
        guests.len(),
        if options.check { "are what their source builds" } else { "built" }
    );
    Ok(())
}

fn skipped(reason: &str) -> anyhow::Result<()> {
    println!("SKIPPED guests: {reason}");
    Ok(())
}

/// What a build leaves in the copy and the tree holds: the component, and the lock file it was built from.
struct BuiltGuest {
    files: Vec<PathBuf>,
    folder: PathBuf,
}

/// Folders of all guests, relative to `root`.
fn guests(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in GUEST_FOLDERS {
        for entry in fs::read_dir(root.join(folder)).with_context(|| format!("list {folder}"))? {
            let entry = entry.with_context(|| format!("list {folder}"))?;
            if entry.path().join("function.toml").is_file() {
                found.push(Path::new(folder).join(entry.file_name()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A fresh copy: what a guest no longer has must not help it to build.
fn copy_sources(guests: &[PathBuf], copy: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("empty {}", copy.display()));
        }
        _ => {}
    }
    let folders = guests.iter().map(PathBuf::as_path).chain([Path::new(INTERFACE)]);
    folders.into_iter().try_for_each(|folder| copy_folder(&repository::root().join(folder), &copy.join(folder)))
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry.with_context(|| format!("list {}", from.display()))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            let output = entry.file_name() == "target" || entry.file_name() == "node_modules";
            if !output {
                copy_folder(&source, &target)?;
            }
        } else if source.extension().is_none_or(|extension| extension != "wasm") {
            fs::copy(&source, &target).with_context(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}

fn build(guest: &Path, copy: &Path, toolchain: &Toolchain) -> anyhow::Result<BuiltGuest> {
    let folder = copy.join(guest);
    let manifest = folder.join("Cargo.toml");
    if manifest.is_file() {
        // With this machine's own compiler: these are the tests of plain functions inside the guests.
        let build_folder = repository::target_folder().join("guests");
        let arguments = ["test", "--quiet", "--manifest-path", &manifest.to_string_lossy()];
        process::run_with("cargo", &arguments, &[("CARGO_TARGET_DIR", &build_folder.to_string_lossy())])?;
    }
    fn_build(&folder, toolchain)?;

    let component = format!("{}.wasm", guest.file_name().unwrap_or_default().to_string_lossy());
    let mut files = vec![PathBuf::from(component)];
    if folder.join("Cargo.lock").is_file() {
        files.push(PathBuf::from("Cargo.lock"));
    }
    Ok(BuiltGuest { files, folder })
}

/// `selvedge fn build` with the recorded tools. One build folder for all, which share their standard library.
fn fn_build(folder: &Path, toolchain: &Toolchain) -> anyhow::Result<()> {
    let build_folder = repository::target_folder().join("guests");
    let environment = [
        ("CARGO_TARGET_DIR", build_folder.to_string_lossy()),
        ("RUSTC", toolchain.rustc.to_string_lossy()),
        ("COMPONENTIZE_QJS", toolchain.componentize_qjs.to_string_lossy()),
        ("CLANG", toolchain.clang.to_string_lossy()),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    process::run_with(&selvedge().to_string_lossy(), &["fn", "build", &folder.to_string_lossy()], &environment)
}

fn selvedge() -> PathBuf {
    repository::target_folder().join("debug/selvedge")
}

/// What `fn new` writes builds, and does what its README says.
fn check_templates(copy: &Path, toolchain: &Toolchain) -> anyhow::Result<()> {
    let binary = selvedge();
    let binary = binary.to_string_lossy();
    for (language, answers) in
        [("rust", "Hello hall, number 1: hi"), ("js", "Hello hall, number 1: hi"), ("c", "\"21.5\"")]
    {
        let name = format!("new-{language}");
        process::run("sh", &["-c", &format!("cd '{}' && '{binary}' fn new {name} --lang {language}", copy.display())])?;
        let folder = copy.join(&name);
        fn_build(&folder, toolchain)?;
        let (folder, message) = (folder.to_string_lossy(), folder.join("message.json"));
        let arguments = ["fn", "test", &folder, "--message", &message.to_string_lossy()];
        let answer = process::output(&binary, &arguments).unwrap_or_default();
        if !answer.contains(answers) {
            bail!("`{}` does not answer {answers} but: {answer}", process::line(&binary, &arguments, &[]));
        }
    }
    Ok(())
}

fn install(built: &BuiltGuest, guest: &Path) -> anyhow::Result<()> {
    for file in &built.files {
        let (from, to) = (built.folder.join(file), repository::root().join(guest).join(file));
        fs::copy(&from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// What to say about the first file that is not the committed one.
fn difference(built: &BuiltGuest, guest: &Path) -> anyhow::Result<Option<String>> {
    for file in &built.files {
        let new = built.folder.join(file);
        let new_bytes = fs::read(&new).with_context(|| format!("read {}", new.display()))?;
        let committed = repository::root().join(guest).join(file);
        match fs::read(&committed) {
            Ok(bytes) if bytes == new_bytes => {}
            Ok(bytes) => {
                return Ok(Some(format!(
                    "{} ({} bytes) is not what its source builds: {} ({} bytes)",
                    guest.join(file).display(),
                    bytes.len(),
                    new.display(),
                    new_bytes.len()
                )));
            }
            Err(error) => return Ok(Some(format!("{} cannot be read: {error}", guest.join(file).display()))),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_with_a_manifest_is_a_guest_and_has_a_committed_component() {
        let guests = guests(repository::root()).unwrap();
        assert!(guests.contains(&PathBuf::from("examples/unit-alarm")), "{guests:?}");
        assert!(guests.contains(&PathBuf::from("functions/tests/guests/hostile")), "{guests:?}");
        for guest in &guests {
            let component = format!("{}.wasm", guest.file_name().unwrap().to_string_lossy());
            assert!(repository::root().join(guest).join(component).is_file(), "{}", guest.display());
        }
    }

    #[test]
    fn a_changed_byte_is_reported_with_both_files() {
        let folder = std::env::temp_dir().join(format!("selvedge-xtask-guests-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let guest = Path::new("examples/scale-transform");
        let name = PathBuf::from("scale-transform.wasm");
        let mut bytes = fs::read(repository::root().join(guest).join(&name)).unwrap();
        let built = BuiltGuest { files: vec![name.clone()], folder: folder.clone() };

        fs::write(folder.join(&name), &bytes).unwrap();
        assert_eq!(difference(&built, guest).unwrap(), None);
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        fs::write(folder.join(&name), &bytes).unwrap();
        let text = difference(&built, guest).unwrap().unwrap();
        assert!(text.contains("examples/scale-transform/scale-transform.wasm"), "{text}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
