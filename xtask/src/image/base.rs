//! Debian for the image, as an archive that is made once: it takes minutes, because its packages configure themselves by an
//! emulator.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::{process, repository};

/// The release, whose kernel is the one that the arm64 tests run on.
pub const RELEASE: &str = "bookworm";
/// All that is asked for. `systemd-resolved` announces the box by mDNS; `systemd-boot-efi` is one file, which starts the kernel.
const PACKAGES: &[&str] = &[
    "busybox",
    "ca-certificates",
    "dbus",
    "e2fsprogs",
    "fdisk",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "libgcc-s1",
    "linux-image-arm64",
    "nano-tiny",
    "openssh-server",
    "procps",
    "systemd",
    "systemd-boot-efi",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
    "zstd",
];
/// What nobody reads on a gateway, drivers of what it has not or has no programs for, and descriptions of boards, which their
/// firmware hands over.
const LEFT_OUT: &[&str] = &[
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/doc/*",
    "/usr/lib/linux-image-*/*",
    "/lib/modules/*/kernel/sound/*",
    "/lib/modules/*/kernel/net/bluetooth/*",
    "/lib/modules/*/kernel/net/mac80211/*",
    "/lib/modules/*/kernel/net/wireless/*",
    "/lib/modules/*/kernel/drivers/bluetooth/*",
    "/lib/modules/*/kernel/drivers/gpu/*",
    "/lib/modules/*/kernel/drivers/infiniband/*",
    "/lib/modules/*/kernel/drivers/media/*",
    "/lib/modules/*/kernel/drivers/net/wireless/*",
    "/lib/modules/*/kernel/drivers/staging/*",
];
const KEPT: &str = "/usr/share/doc/*/copyright";
/// How the first file system is made is part of the base: making it again takes a minute.
const INITRAMFS: &str = "image/root/usr/share/initramfs-tools";

/// The archive, made when this recipe has none.
///
/// # Errors
/// The packages cannot be had or do not configure.
pub fn prepare(folder: &Path, mirror: &str) -> anyhow::Result<PathBuf> {
    let archive = folder.join(format!("base-{}.tar", recipe(mirror)?));
    if archive.is_file() {
        return Ok(archive);
    }
    let unfinished = folder.join(format!("base-{}.unfinished.tar", std::process::id()));
    let initramfs = repository::root().join(INITRAMFS);
    let mut words = vec![
        "--architectures=arm64".to_owned(),
        "--variant=minbase".to_owned(),
        format!("--include={}", PACKAGES.join(",")),
        "--essential-hook=mkdir -p \"$1/usr/share/initramfs-tools\"".to_owned(),
        format!("--essential-hook=sync-in {} /usr/share/initramfs-tools", initramfs.display()),
    ];
    words.extend(LEFT_OUT.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
    words.push(format!("--dpkgopt=path-include={KEPT}"));
    words.extend([RELEASE.to_owned(), unfinished.to_string_lossy().into_owned()]);
    words.push(format!("deb {mirror}/debian {RELEASE} main"));
    words.push(format!("deb {mirror}/debian-security {RELEASE}-security main"));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    process::run("mmdebstrap", &words)?;
    fs::rename(&unfinished, &archive).with_context(|| format!("rename to {}", archive.display()))?;
    Ok(archive)
}

/// A short name of everything that decides what the archive holds, but the day.
fn recipe(mirror: &str) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{RELEASE} {mirror} {PACKAGES:?} {LEFT_OUT:?} {KEPT}"));
    let root = repository::root();
    for file in super::root::files(&root.join(INITRAMFS))? {
        // Of two clones of the same commit the archive is the same.
        hash.update(file.strip_prefix(root).unwrap_or(&file).to_string_lossy().as_bytes());
        hash.update(fs::read(&file).with_context(|| format!("read {}", file.display()))?);
    }
    Ok(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}
