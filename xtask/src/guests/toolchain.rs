//! The compilers of the committed components, in a folder of their own below `target/`: Debian's rustc with the source of its
//! library, and componentize-qjs from npm. Unpacked, not installed: nothing on the machine changes. clang and its linker are
//! those of the machine, which `cargo xtask setup` installs.
//!
//! Invariant: only the recorded versions are fetched, and what was fetched for another record is fetched anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::{process, repository};

/// Where the versions are recorded, relative to the repository.
pub const RECORD: &str = "examples/TOOLCHAIN.toml";
/// How often a package command is tried: another one may hold the lock of the package manager.
const APT_ATTEMPTS: u32 = 5;
/// Pause between two tries of a package command.
const APT_PAUSE: Duration = Duration::from_secs(3);
/// Holds clock and randomness still while QuickJS starts, whose state after that is part of the component.
const FROZEN_START: &str = include_str!("frozen_start.c");

/// What `examples/TOOLCHAIN.toml` says.
#[derive(Debug)]
pub struct Record {
    debian: BTreeMap<String, String>,
    tools: Versions,
}

/// Version texts of the tools that shape the bytes of a component, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions(BTreeMap<String, String>);

/// The tools, ready to be used.
pub struct Toolchain {
    /// A compiler with the source of its standard library in its sysroot.
    pub rustc: PathBuf,
    /// componentize-qjs with a frozen start.
    pub componentize_qjs: PathBuf,
    /// clang with a linker for WebAssembly.
    pub clang: PathBuf,
    /// What they say they are.
    pub versions: Versions,
    /// Held while the tools and the folders beside them are in use: two runs at once wait for each other.
    _lock: File,
}

impl Record {
    /// Reads the record.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("read {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse()?;
        let section = |name: &str| -> anyhow::Result<BTreeMap<String, String>> {
            let section =
                table.get(name).and_then(toml::Value::as_table).with_context(|| format!("no table [{name}]"))?;
            let texts = section.iter().map(|(key, value)| {
                let text = value.as_str().with_context(|| format!("{name}.{key} is not a text"))?;
                Ok((key.clone(), text.to_owned()))
            });
            texts.collect()
        };
        Ok(Self { debian: section("debian")?, tools: Versions(section("tools")?) })
    }

    /// One sentence per tool that is not the recorded one.
    pub fn differences(&self, versions: &Versions) -> Vec<String> {
        let Versions(recorded) = &self.tools;
        let names: std::collections::BTreeSet<&String> = recorded.keys().chain(versions.0.keys()).collect();
        let differing = names.into_iter().filter(|name| recorded.get(*name) != versions.0.get(*name));
        let text = |version: Option<&String>| version.map_or("none", String::as_str).to_owned();
        differing
            .map(|name| {
                let (found, wanted) = (text(versions.0.get(name)), text(recorded.get(name)));
                format!("{name} is {found:?} here, the components were built with {wanted:?}")
            })
            .collect()
    }

    fn componentize_qjs(&self) -> anyhow::Result<&str> {
        let version = self.tools.0.get("componentize-qjs");
        version.map(String::as_str).with_context(|| format!("{RECORD} has no tools.componentize-qjs"))
    }
}

impl Versions {
    /// The table `[tools]` of the record.
    pub fn as_toml(&self) -> String {
        self.0.iter().fold("[tools]".to_owned(), |mut text, (name, version)| {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{name} = {version:?}");
            text
        })
    }
}

/// Fetches what is missing and says what is there.
///
/// # Errors
/// A recorded version can no longer be had, or this machine has none of the tools that fetch it.
pub fn prepare(record: &Record) -> anyhow::Result<Toolchain> {
    let folder = repository::target_folder().join("guest-toolchain");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let lock_path = folder.join("lock");
    let lock = File::create(&lock_path).with_context(|| format!("create {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("lock {}", lock_path.display()))?;

    let rustc = rust(record, &folder)?;
    let componentize_qjs = javascript(record.componentize_qjs()?, &folder)?;
    let clang = process::find(&["clang"])
        .map(PathBuf::from)
        .context("the compiler of the C guests is not here: apt-get install clang lld")?;
    let versions = versions(&rustc, &clang, record.componentize_qjs()?)?;
    Ok(Toolchain { rustc, componentize_qjs, clang, versions, _lock: lock })
}

fn rust(record: &Record, folder: &Path) -> anyhow::Result<PathBuf> {
    let wrapper = folder.join("rustc");
    let wanted: String = record.debian.iter().map(|(name, version)| format!("{name}={version}\n")).collect();
    let mark = folder.join("unpacked");
    if fs::read_to_string(&mark).is_ok_and(|unpacked| unpacked == wanted) && wrapper.is_file() {
        return Ok(wrapper);
    }
    if process::find(&["apt-get"]).is_none() || process::find(&["dpkg-deb"]).is_none() {
        bail!("the compiler of the Rust guests comes as Debian packages, and there is no apt-get or dpkg-deb here");
    }
    let packages = folder.join("packages");
    for stale in [&packages, &folder.join("usr")] {
        if stale.exists() {
            fs::remove_dir_all(stale).with_context(|| format!("remove {}", stale.display()))?;
        }
    }
    fs::create_dir_all(&packages).with_context(|| format!("create {}", packages.display()))?;
    download(&wanted, &packages)?;
    let folder_text = folder.to_string_lossy();
    for package in fs::read_dir(&packages).with_context(|| format!("list {}", packages.display()))? {
        let package = package.with_context(|| format!("list {}", packages.display()))?.path();
        process::run("dpkg-deb", &["--extract", &package.to_string_lossy(), &folder_text])?;
    }
    fs::remove_dir_all(&packages).with_context(|| format!("remove {}", packages.display()))?;
    // Debian's compiler looks for its libraries where the package would have put them.
    let script = format!(
        "#!/bin/sh\nfor libraries in '{folder_text}'/usr/lib/*-linux-gnu; do :; done\n\
         LD_LIBRARY_PATH=\"$libraries\" exec '{folder_text}/usr/bin/rustc' \"$@\"\n"
    );
    write_program(&wrapper, &script)?;
    fs::write(&mark, wanted).with_context(|| format!("write {}", mark.display()))?;
    Ok(wrapper)
}

/// `wanted` is one `name=version` a line.
fn download(wanted: &str, packages: &Path) -> anyhow::Result<()> {
    let command = format!("cd '{}' && apt-get download --quiet {}", packages.display(), wanted.replace('\n', " "));
    for attempt in 1..=APT_ATTEMPTS {
        match process::run("sh", &["-c", &command]) {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("{error:#}; attempt {attempt} of {APT_ATTEMPTS}"),
        }
        std::thread::sleep(APT_PAUSE);
        if process::output("id", &["-u"]).as_deref() == Some("0") {
            // The package lists may be older than the recorded version; a failure shows in the next attempt.
            let _ = process::run("apt-get", &["update", "--quiet"]);
        }
    }
    bail!(
        "the Debian archive does not give {}: it has moved on, or cannot be reached",
        wanted.trim().replace('\n', ", ")
    )
}

fn javascript(version: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let wrapper = folder.join("componentize-qjs");
    let mark = folder.join("javascript");
    let wanted = format!("{version}\n{FROZEN_START}");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) && wrapper.is_file() {
        return Ok(wrapper);
    }
    if process::find(&["npm"]).is_none() || process::find(&["node"]).is_none() {
        bail!("the compiler of the JavaScript guests comes from npm, and there is no node or npm here");
    }
    let folder_text = folder.to_string_lossy();
    let package = format!("componentize-qjs@{version}");
    process::run(
        "npm",
        &["install", "--prefix", &folder_text, "--no-save", "--no-audit", "--no-fund", "--loglevel=error", &package],
    )?;

    let (source, library) = (folder.join("frozen_start.c"), folder.join("frozen_start.so"));
    fs::write(&source, FROZEN_START).with_context(|| format!("write {}", source.display()))?;
    process::run("cc", &["-O1", "-shared", "-fPIC", "-o", &library.to_string_lossy(), &source.to_string_lossy()])?;
    let script = format!(
        "#!/bin/sh\nLD_PRELOAD='{}' exec '{folder_text}/node_modules/.bin/componentize-qjs' \"$@\"\n",
        library.display()
    );
    write_program(&wrapper, &script)?;
    fs::write(&mark, wanted).with_context(|| format!("write {}", mark.display()))?;
    Ok(wrapper)
}

fn write_program(path: &Path, script: &str) -> anyhow::Result<()> {
    fs::write(path, script).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} a program", path.display()))
}

/// Asks the tools. cargo is among them because it names symbols, the linker because it lays out the module; it is the one
/// of the compiler that builds the product.
fn versions(rustc: &Path, clang: &Path, componentize_qjs: &str) -> anyhow::Result<Versions> {
    let answer = |program: &str, arguments: &[&str]| {
        process::output(program, arguments)
            .with_context(|| format!("`{}` does not answer", process::line(program, arguments, &[])))
    };
    let host_of = |verbose: &str| verbose.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned));
    let host = host_of(&answer("rustc", &["-vV"])?).context("rustc -vV names no host")?;
    let linker = format!("{}/lib/rustlib/{host}/bin/rust-lld", answer("rustc", &["--print", "sysroot"])?);
    let rustc = answer(&rustc.to_string_lossy(), &["--version"])?;
    let linker = answer(&linker, &["-flavor", "wasm", "--version"])?;
    let clang_text = clang.to_string_lossy();
    let wasm_ld = answer(&clang_text, &["--target=wasm32", "-print-prog-name=wasm-ld"])?;
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let named = [
        ("cargo", answer("cargo", &["--version"])?),
        ("clang", first_line(answer(&clang_text, &["--version"])?)),
        ("componentize-qjs", componentize_qjs.to_owned()),
        ("host", host),
        ("linker", linker),
        ("rustc", rustc),
        ("wasm-ld", answer(&wasm_ld, &["--version"])?),
    ];
    Ok(Versions(named.into_iter().map(|(name, version)| (name.to_owned(), version)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "[debian]\nrustc-web = \"1.96\"\n[tools]\nrustc = \"rustc 1.96.0\"\ncomponentize-qjs = \"0.4.5\"\n";

    fn versions(rustc: &str) -> Versions {
        let named = [("rustc", rustc), ("componentize-qjs", "0.4.5")];
        Versions(named.into_iter().map(|(name, version)| (name.to_owned(), version.to_owned())).collect())
    }

    #[test]
    fn a_tool_that_moved_is_named_with_both_versions() {
        let record = Record::parse(TEXT).unwrap();
        assert!(record.differences(&versions("rustc 1.96.0")).is_empty());
        let differences = record.differences(&versions("rustc 1.97.0"));
        assert_eq!(differences.len(), 1);
        assert!(differences[0].contains("1.97.0") && differences[0].contains("1.96.0"), "{differences:?}");
    }

    #[test]
    fn the_printed_table_is_one_that_can_be_recorded() {
        let printed = format!("[debian]\n{}", versions("rustc \"x\"").as_toml());
        assert!(Record::parse(&printed).unwrap().differences(&versions("rustc \"x\"")).is_empty());
    }

    #[test]
    fn the_record_in_the_repository_can_be_read() {
        let record = Record::read(&repository::root().join(RECORD)).unwrap();
        assert!(record.debian.contains_key("rustc-web") && record.componentize_qjs().is_ok());
    }

    #[test]
    fn a_record_without_its_tables_is_refused() {
        for text in ["", "[debian]", "[debian]\na = 1\n[tools]", "not toml ="] {
            assert!(Record::parse(text).is_err(), "{text:?}");
        }
    }
}
