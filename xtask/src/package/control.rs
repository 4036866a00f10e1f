//! What the package manager reads: fields, configuration files, scripts, checksums.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::Ingredients;
use super::elf::Glibc;
use crate::{process, repository};

/// Who signs for the package.
pub const MAINTAINER: &str = "Selvedge maintainers <maintainers@selvedge.invalid>";
/// The template, the scripts, and what they are in the package.
const FOLDER: &str = "package/debian";
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

/// Writes `DEBIAN` into `tree`, which holds all other files.
pub fn write(ingredients: &Ingredients, glibc: Glibc, tree: &Path) -> anyhow::Result<()> {
    let files = files_of(tree)?;
    let mut bytes = 0;
    let mut checksums = Vec::new();
    for file in &files {
        let path = tree.join(file);
        let metadata = fs::symlink_metadata(&path).with_context(|| format!("look at {}", path.display()))?;
        bytes += metadata.len();
        if metadata.is_file() {
            checksums.push(file.as_str());
        }
    }
    let folder = tree.join("DEBIAN");
    fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
    let put = |name: &str, text: &str, mode: u32| -> anyhow::Result<()> {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("chmod {}", path.display()))
    };
    let source = |name: &str| {
        let path = repository::root().join(FOLDER).join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    put("control", &fields(&source("control")?, ingredients, glibc, bytes), 0o644)?;
    put(
        "conffiles",
        &lines(files.iter().filter(|file| file.starts_with("etc/")).map(|file| format!("/{file}"))),
        0o644,
    )?;
    put("md5sums", &md5sums(tree, &checksums)?, 0o644)?;
    for script in SCRIPTS {
        put(script, &source(script)?, 0o755)?;
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("chmod {}", folder.display()))
}

fn fields(template: &str, ingredients: &Ingredients, glibc: Glibc, bytes: u64) -> String {
    template
        .replace("{version}", &ingredients.version)
        .replace("{architecture}", ingredients.architecture.debian())
        .replace("{maintainer}", MAINTAINER)
        .replace("{glibc}", &format!("{}.{}", glibc.0, glibc.1))
        .replace("{installed_kib}", &bytes.div_ceil(1024).to_string())
}

fn lines(values: impl Iterator<Item = String>) -> String {
    values.map(|value| value + "\n").collect()
}

fn md5sums(tree: &Path, files: &[&str]) -> anyhow::Result<String> {
    let root = tree.to_string_lossy();
    let script = "cd \"$0\" && exec md5sum -- \"$@\"";
    let sums = process::output("sh", &[&["-c", script, &root], files].concat()).context("run md5sum")?;
    Ok(sums + "\n")
}

/// Paths of all files and links below `tree`, in order.
fn files_of(tree: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry.with_context(|| format!("list {}", folder.display()))?.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(tree).unwrap_or(&path).to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}
