//! `cargo xtask package`: the Debian package, and the bill of what is in it, made with `dpkg-deb` and nothing else.
//!
//! Not a build system: it takes programs or lets cargo build them, and runs none of them, so a package for another architecture
//! comes out the same. Invariant: the same programs, sources and commit give the same bytes.

mod bill;
pub mod carrier_bill;
mod contents;
mod control;
pub mod elf;
#[cfg(test)]
mod hardening;
pub mod machine;
mod size;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{arm64_vm, process, repository};
use elf::{Architecture, Program};

/// Arguments of `cargo xtask package`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask package                                   for this machine, after a release build\n  \
    cargo xtask package --target aarch64                  for arm64, on an x86-64 Debian too\n  \
    cargo xtask package --binary selvedge --launcher selvedge-launch   of programs that were built elsewhere")]
pub struct Options {
    /// Processor of the package [default: this machine's]; for aarch64 compiler and linker are fetched where they are missing
    #[arg(long, value_enum)]
    target: Option<Architecture>,
    /// The node; without it, a release build is made
    #[arg(long, value_name = "FILE", requires = "launcher")]
    binary: Option<PathBuf>,
    /// The launcher
    #[arg(long, value_name = "FILE", requires = "binary")]
    launcher: Option<PathBuf>,
    /// Another version than that of the workspace
    #[arg(long = "as-version")]
    version: Option<String>,
    /// Where the package and the bill are written [default: target/package]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// What goes into a package.
pub struct Ingredients {
    pub architecture: Architecture,
    pub version: String,
    pub node: PathBuf,
    pub launcher: PathBuf,
    /// Seconds since 1970 that files and changelog carry: those of the commit.
    pub made_unix_s: u64,
}

/// The programs of a package that was made.
pub struct Programs {
    pub node: PathBuf,
    pub launcher: PathBuf,
}

impl Programs {
    /// Unpacks them below `folder`.
    ///
    /// # Errors
    /// It is no package.
    pub fn of_package(package: &Path, folder: &Path) -> anyhow::Result<Self> {
        let tree = folder.join("package");
        fs::create_dir_all(&tree).with_context(|| format!("create {}", tree.display()))?;
        process::run("dpkg-deb", &["--extract", &package.to_string_lossy(), &tree.to_string_lossy()])?;
        let programs = tree.join("usr/lib/selvedge");
        Ok(Self { node: programs.join("selvedge"), launcher: programs.join("selvedge-launch") })
    }
}

/// Makes the package and the bill, and says where they are and how large.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let architecture = options.target.map_or_else(Architecture::of_this_machine, Ok)?;
    let (node, launcher) = match (&options.binary, &options.launcher) {
        (Some(node), Some(launcher)) => (node.clone(), launcher.clone()),
        _ => build(architecture)?,
    };
    let version = options.version.clone().map_or_else(workspace_version, Ok)?;
    let ingredients = Ingredients { architecture, version, node, launcher, made_unix_s: made_unix_s()? };
    let folder = options.folder.clone().unwrap_or_else(|| repository::target_folder().join("package"));
    for made in make(&ingredients, &folder)? {
        let bytes = fs::metadata(&made).with_context(|| format!("look at {}", made.display()))?.len();
        println!("{:>11} bytes  {}", bytes, made.display());
    }
    Ok(())
}

/// Builds everything and makes the package of this version; where it is.
///
/// # Errors
/// As [`make`], or cargo fails.
pub fn for_processor(architecture: Architecture, folder: &Path) -> anyhow::Result<PathBuf> {
    let (node, launcher) = build(architecture)?;
    let ingredients =
        Ingredients { architecture, version: workspace_version()?, node, launcher, made_unix_s: made_unix_s()? };
    make(&ingredients, folder).map(|[package, _]| package)
}

/// Writes the package and the bill into `folder`; where they are.
///
/// # Errors
/// A program is not for that architecture, or something cannot be read, written or run.
pub fn make(ingredients: &Ingredients, folder: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let programs = [&ingredients.node, &ingredients.launcher].map(|path| Program::read(path));
    let [node, launcher] = programs;
    let (node, launcher) = (node?, launcher?);
    for program in [&node, &launcher] {
        if program.architecture != ingredients.architecture {
            bail!("{} is for {}", program.path.display(), program.architecture.rust());
        }
    }
    let name = format!("selvedge_{}_{}", ingredients.version, ingredients.architecture.debian());
    let tree = folder.join(&name);
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("remove {}", tree.display()))?;
    }
    let bill = bill::text(ingredients)?;
    contents::lay_out(ingredients, &bill, &tree)?;
    control::write(ingredients, node.glibc.max(launcher.glibc), &tree)?;

    let paths = [folder.join(format!("{name}.deb")), folder.join(format!("{name}.cdx.json"))];
    let made = ingredients.made_unix_s.to_string();
    let words = [tree.to_string_lossy(), paths[0].to_string_lossy()];
    process::run_with(
        "dpkg-deb",
        &["--root-owner-group", "-Zxz", "--build", &words[0], &words[1]],
        &[("SOURCE_DATE_EPOCH", &made)],
    )?;
    fs::write(&paths[1], bill).with_context(|| format!("write {}", paths[1].display()))?;
    fs::remove_dir_all(&tree).with_context(|| format!("remove {}", tree.display()))?;
    Ok(paths)
}

/// Release builds of node and launcher, by the cross compiler where the processor is another one.
fn build(architecture: Architecture) -> anyhow::Result<(PathBuf, PathBuf)> {
    if architecture == Architecture::of_this_machine()? {
        process::run("cargo", &["build", "--locked", "--release", "-p", "selvedge", "-p", "selvedge-launch"])?;
        let folder = repository::target_folder().join("release");
        return Ok((folder.join("selvedge"), folder.join("selvedge-launch")));
    }
    if architecture != Architecture::Aarch64 {
        bail!("this machine does not build for {}; give --binary and --launcher", architecture.rust());
    }
    let [node, launcher] = arm64_vm::delivered(["selvedge", "selvedge-launch"])?;
    Ok((node, launcher))
}

fn workspace_version() -> anyhow::Result<String> {
    let path = repository::root().join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let manifest: toml::Table = text.parse().with_context(|| format!("read {}", path.display()))?;
    let version = manifest.get("workspace").and_then(|table| table.get("package")?.get("version")?.as_str());
    Ok(version.context("the workspace has no version")?.to_owned())
}

/// `SOURCE_DATE_EPOCH` goes over the time of the commit.
pub fn made_unix_s() -> anyhow::Result<u64> {
    let root = repository::root().to_string_lossy();
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let text = given.or_else(|| process::output("git", &["-C", &root, "log", "-1", "--format=%ct"]));
    let text = text.context("no commit says when; set SOURCE_DATE_EPOCH")?;
    text.trim().parse().with_context(|| format!("{text:?} is no number of seconds since 1970"))
}

#[cfg(test)]
mod tests;
