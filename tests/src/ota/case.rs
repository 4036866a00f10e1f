//! A gateway before an update, and the update.
//!
//! ```text
//! MACHINE/package     the installed program
//! MACHINE/data        the data directory; slots are in data/ota
//! ```
//! Each run works on a copy of such a folder. Configuration and bundle are beside it and only read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::program::Program;
use super::release::Releases;
use crate::installed;

/// A gateway and an update for it.
#[derive(Debug)]
pub struct Case {
    /// For the table.
    pub name: &'static str,
    /// What starts before the update.
    pub old: Program,
    /// What starts after it.
    pub new: Program,
    /// What changes one into the other.
    pub updater: Updater,
    /// The machine before the update.
    prepared: PathBuf,
    bundle: PathBuf,
    config: PathBuf,
    new_file: PathBuf,
    selvedge: PathBuf,
    launcher: PathBuf,
}

/// Who updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updater {
    /// `selvedge ota apply --offline`.
    Selvedge,
    /// `cp` over the installed program, to see that what it breaks is noticed.
    Copy,
}

impl Case {
    /// All of them, made in `folder`.
    ///
    /// # Errors
    /// A command failed, or the disk.
    pub fn all(releases: &Releases, folder: &Path) -> anyhow::Result<[Self; 2]> {
        let config = folder.join("selvedge.toml");
        let root = format!("[ota]\nroot = {:?}\n", releases.root.to_string_lossy());
        std::fs::write(&config, root).context("write the configuration")?;
        let [oldest, old, new] = &releases.programs;
        let new_file = folder.join("new");
        new.write(&new_file).context("write the new program")?;
        let case = |name, machine: &str, bundle: &PathBuf| -> anyhow::Result<Self> {
            Ok(Self {
                name,
                old: old.clone(),
                new: new.clone(),
                updater: Updater::Selvedge,
                prepared: folder.join(machine),
                bundle: bundle.clone(),
                config: config.clone(),
                new_file: new_file.clone(),
                selvedge: installed::selvedge()?,
                launcher: launcher()?,
            })
        };
        let first = case("package, whole image", "first", &releases.full[2])?;
        first.install(old)?;
        let later = case("slot b, patch over slot a", "later", &releases.patch)?;
        later.install(&releases.packaged)?;
        for (bundle, program, record) in
            [(&releases.full[0], oldest, "good a\n"), (&releases.full[1], old, "good b\nprevious a\n")]
        {
            later.run_to_its_end(&mut later.apply_bundle(&later.prepared, bundle))?;
            later.confirm(record, program)?;
        }
        Ok([first, later])
    }

    /// A copy of the machine before the update.
    ///
    /// # Errors
    /// The disk.
    pub fn copy_to(&self, machine: &Path) -> anyhow::Result<()> {
        copy(&self.prepared, machine)
    }

    /// The update.
    pub fn apply(&self, machine: &Path) -> Command {
        match self.updater {
            Updater::Selvedge => self.apply_bundle(machine, &self.bundle),
            Updater::Copy => {
                let mut command = clean_command(Path::new("cp"));
                command.arg(&self.new_file).arg(package(machine));
                command
            }
        }
    }

    /// The start of the node.
    pub fn launch(&self, machine: &Path) -> Command {
        let mut command = clean_command(&self.launcher);
        command.arg("--folder").arg(slots(machine)).arg("--package").arg(package(machine)).args(["--", "run"]);
        command
    }

    fn install(&self, package_program: &Program) -> anyhow::Result<()> {
        std::fs::create_dir_all(data(&self.prepared)).context("make the machine")?;
        package_program.write(&package(&self.prepared)).context("install the program")
    }

    fn apply_bundle(&self, machine: &Path, bundle: &Path) -> Command {
        let mut command = clean_command(&self.selvedge);
        command.args(["ota", "apply", "--offline"]).arg(bundle).arg("--data").arg(data(machine));
        command.arg("--package").arg(package(machine)).arg("--config").arg(&self.config);
        command
    }

    fn run_to_its_end(&self, command: &mut Command) -> anyhow::Result<()> {
        let output = command.output().with_context(|| format!("start {}", command.get_program().display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
        Ok(())
    }

    /// What the node does at the end of a probation: the program in the new slot is the good one.
    fn confirm(&self, record: &str, program: &Program) -> anyhow::Result<()> {
        let trial = tries(&self.prepared)?;
        ensure!(trial == Some(0), "version {} is not on trial: {trial:?}", program.version);
        let text = format!("selvedge-boot 1\n{record}");
        let sealed = format!("{text}crc32 {:08x}\n", crc32(text.as_bytes()));
        std::fs::write(slots(&self.prepared).join("boot"), sealed).context("confirm the program")
    }
}

/// The launcher's binary, beside the daemon's.
fn launcher() -> anyhow::Result<PathBuf> {
    let path = installed::selvedge()?.with_file_name("selvedge-launch");
    ensure!(path.is_file(), "{} is missing; run `cargo build -p selvedge-launch`", path.display());
    Ok(path)
}

/// The data directory of a machine.
fn data(machine: &Path) -> PathBuf {
    machine.join("data")
}

fn slots(machine: &Path) -> PathBuf {
    data(machine).join("ota")
}

fn package(machine: &Path) -> PathBuf {
    machine.join("package")
}

/// How often the program on trial was started; nothing when none is on trial.
///
/// # Errors
/// The record cannot be read.
pub fn tries(machine: &Path) -> anyhow::Result<Option<u32>> {
    let path = slots(machine).join("boot");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.lines().find_map(|line| line.strip_prefix("candidate ")?.split(' ').nth(1)?.parse().ok()))
}

/// Nothing of the tests' own environment.
fn clean_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

/// Copies all below `from` to `to`, which may be there.
///
/// # Errors
/// The disk.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    copy_below(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))
}

fn copy_below(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        let kind = entry.symlink_metadata()?.file_type();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&entry)?, to)?;
        } else if kind.is_dir() {
            copy_below(&entry, &to)?;
        } else {
            std::fs::copy(&entry, &to)?;
        }
    }
    Ok(())
}

/// Makes all below a folder durable.
///
/// # Errors
/// The disk.
pub fn sync(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let kind = path.symlink_metadata()?.file_type();
        if kind.is_dir() {
            sync(&path)?;
        } else if kind.is_file() {
            File::open(&path)?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

/// CRC-32 as in IEEE 802.3, with which the record is sealed.
fn crc32(bytes: &[u8]) -> u32 {
    let with_bit = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), with_bit))
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn the_checksum_has_its_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
