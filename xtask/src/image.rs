//! `cargo xtask image`: a disk for an arm64 gateway, to be written with `dd` or to be booted in an emulator.
//!
//! Three partitions: what starts the box and its settings (vfat), Debian with the package of the node (ext4, never written), and
//! what it keeps (ext4, as long as the disk). Everything of Debian's comes as packages, and nothing is configured but by the files
//! of `image/root`. Made without loop devices; as root, because files of the root belong to several users.
//!
//! Invariant: no key, number or password is in the image: each box makes its own at its first start.

mod base;
mod disk;
mod root;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::arm64_vm::{self, MIRROR, emulator::Emulator};
use crate::package::carrier_bill::{self, Carrier, Installed};
use crate::package::{self, elf::Architecture};
use crate::{process, repository};

/// Programs that this needs, and their Debian packages.
const NEEDED: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("arch-test", "arch-test"),
    ("mke2fs", "e2fsprogs"),
    ("sfdisk", "fdisk"),
    ("mkfs.vfat", "dosfstools"),
    ("mcopy", "mtools"),
];
/// The kernel runs arm64 programs by the emulator that is registered here.
pub const FOREIGN_PROGRAMS: &str = "/proc/sys/fs/binfmt_misc/qemu-aarch64";
/// What helps where it is not.
pub const NO_FOREIGN_PROGRAMS: &str =
    "this machine's kernel runs no arm64 programs: apt-get install qemu-user-static binfmt-support";

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    sudo -E cargo xtask image                             builds the package, then target/image/selvedge.img\n  \
    sudo -E cargo xtask image --package target/package/selvedge_0.1.0_arm64.deb\n  \
    sudo -E cargo xtask image --settings selvedge.toml --authorized-keys ~/.ssh/id_ed25519.pub\n  \
    sudo dd if=target/image/selvedge.img of=/dev/sdX bs=4M conv=fsync")]
pub struct Options {
    /// The node's package for arm64; without it, one is built
    #[arg(long, value_name = "FILE")]
    package: Option<PathBuf>,
    /// Where the image is written [default: target/image/selvedge.img]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A `selvedge.toml` for the boot partition
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Public SSH keys for the boot partition
    #[arg(long, value_name = "FILE")]
    authorized_keys: Option<PathBuf>,
    /// Archive of Debian packages
    #[arg(long, value_name = "URL", default_value = MIRROR)]
    mirror: String,
}

/// What goes into an image.
pub struct Wanted<'a> {
    pub package: &'a Path,
    pub settings: Option<&'a Path>,
    pub authorized_keys: Option<&'a Path>,
    pub mirror: &'a str,
}

/// Makes the image and says how it is started.
pub fn run(options: &Options) -> anyhow::Result<()> {
    check_machine()?;
    let target = repository::target_folder();
    let package = match &options.package {
        Some(package) => package.clone(),
        None => package::for_processor(Architecture::Aarch64, &target.join("package"))?,
    };
    let image = options.out.clone().unwrap_or_else(|| target.join("image/selvedge.img"));
    let wanted = Wanted {
        package: &package,
        settings: options.settings.as_deref(),
        authorized_keys: options.authorized_keys.as_deref(),
        mirror: &options.mirror,
    };
    make(&wanted, &image)?;
    println!("\nwrite it:  sudo dd if={} of=/dev/sdX bs=4M conv=fsync\nor run it:", image.display());
    let emulator = arm64_vm::emulator(&options.mirror).unwrap_or_else(|_| Emulator::installed());
    println!("{}", emulator.line(&image, &[("127.0.0.1:2222", 22), ("127.0.0.1:1883", 1883)]));
    Ok(())
}

/// Makes the image and the bill of what is in it, and says how large it is.
///
/// # Errors
/// A program that it takes fails, or the disk.
pub fn make(wanted: &Wanted<'_>, image: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    let folder = repository::target_folder().join("image");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    step(started, "the base system");
    let base = base::prepare(&folder, wanted.mirror.trim_end_matches('/'))?;
    step(started, "the root");
    let root = root::make(&folder, &base, wanted.package)?;
    step(started, "the disk");
    let sizes = disk::write(&root, wanted, image)?;
    let status = root.join("var/lib/dpkg/status");
    let status = fs::read_to_string(&status).with_context(|| format!("read {}", status.display()))?;
    let bill = carrier_bill::text(wanted.package, Carrier::Disk, base::RELEASE, &Installed::of_status(&status))?;
    let place = image.with_extension("cdx.json");
    fs::write(&place, bill).with_context(|| format!("write {}", place.display()))?;
    fs::remove_dir_all(&root).with_context(|| format!("remove {}", root.display()))?;
    step(started, "done");
    println!("{}", sizes.line(image)?);
    Ok(())
}

fn step(started: Instant, text: &str) {
    eprintln!("image {:.1} s: {text}", started.elapsed().as_secs_f64());
}

/// Whether this machine can make one.
///
/// # Errors
/// It cannot; the text says what it lacks.
pub fn check_machine() -> anyhow::Result<()> {
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(program, _)| process::find(&[program]).is_none()).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        bail!("an image needs them: apt-get install {}", missing.join(" "));
    }
    if process::output("id", &["-u"]).as_deref() != Some("0") {
        bail!("files of the image belong to several users, so only root can make it: sudo -E cargo xtask image");
    }
    if std::env::consts::ARCH != "aarch64" && !Path::new(FOREIGN_PROGRAMS).exists() {
        bail!(NO_FOREIGN_PROGRAMS);
    }
    Ok(())
}
