//! The root of the image: the base, the files of `image/root`, and the node's package.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::{process, repository};

/// Files that lie in the image as they lie in here.
const FILES: &str = "image/root";
/// What starts with the box.
const UNITS: &[&str] = &[
    "selvedge-grow.service",
    "selvedge-settings.service",
    "ssh.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
];
/// What does not: it waits for a network that may not be there, looks for updates of what is never written or keeps copies of it, or
/// prepares what nothing here uses, at each start.
const OFF: &[&str] = &[
    "systemd-networkd-wait-online.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-pstore.service",
    "systemd-repart.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "modprobe@.service",
];
/// Says that users, catalogues and caches are as new as the programs (systemd-update-done.service(8)). A root that forgets would
/// have all of them made again at each start.
const UP_TO_DATE: &[&str] = &["etc/.updated", "var/.updated"];
/// Folders that partitions are mounted on.
const MOUNTED: &[&str] = &["boot", "data", "var/lib/systemd/timesync"];

/// Unpacks and installs; the folder of the root.
///
/// # Errors
/// A file cannot be read or written, or the package does not install.
pub fn make(folder: &Path, base: &Path, package: &Path) -> anyhow::Result<PathBuf> {
    let root = folder.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("remove {}", root.display()))?;
    }
    fs::create_dir(&root).with_context(|| format!("create {}", root.display()))?;
    let text = root.to_string_lossy().into_owned();
    process::run("tar", &["-xpf", &base.to_string_lossy(), "-C", &text, "--exclude=./dev/*"])?;

    let given = root.join("tmp/selvedge.deb");
    fs::copy(package, &given).with_context(|| format!("copy {}", package.display()))?;
    // Its scripts see that no service manager runs, and only enable the unit.
    process::run("chroot", &[&text, "dpkg", "--install", "/tmp/selvedge.deb"])?;
    fs::remove_file(&given).with_context(|| format!("remove {}", given.display()))?;
    lay_out(&root)?;
    process::run("chroot", &[&[text.as_str(), "systemctl", "--quiet", "enable"], UNITS].concat())?;
    process::run("chroot", &[&[text.as_str(), "systemctl", "--quiet", "mask"], OFF].concat())?;
    forget(&root)?;
    Ok(root)
}

fn lay_out(root: &Path) -> anyhow::Result<()> {
    let source = repository::root().join(FILES);
    for file in files(&source)? {
        let place = root.join(file.strip_prefix(&source)?);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        fs::copy(&file, &place).with_context(|| format!("write {}", place.display()))?;
        chown(&place, Some(0), Some(0)).with_context(|| format!("give {} to root", place.display()))?;
        let runs = fs::metadata(&file)?.permissions().mode() & 0o100 != 0;
        fs::set_permissions(&place, fs::Permissions::from_mode(if runs { 0o755 } else { 0o644 }))?;
    }
    for place in MOUNTED {
        fs::create_dir_all(root.join(place)).with_context(|| format!("create {place}"))?;
    }
    Ok(())
}

/// Takes out what each box makes for itself.
fn forget(root: &Path) -> anyhow::Result<()> {
    let keys = fs::read_dir(root.join("etc/ssh")).context("list the keys of the SSH server")?;
    for entry in keys {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ssh_host_")) {
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    fs::write(root.join("etc/machine-id"), "").context("empty the machine's number")?;
    fs::write(root.join("etc/hostname"), "selvedge\n").context("write the host's name")?;
    let resolver = root.join("etc/resolv.conf");
    let _ = fs::remove_file(&resolver);
    symlink("../run/systemd/resolve/stub-resolv.conf", &resolver).context("link the resolver's file")?;
    for place in UP_TO_DATE {
        fs::write(root.join(place), "").with_context(|| format!("write {place}"))?;
    }
    ensure!(fs::read_dir(root.join("var/lib/selvedge"))?.next().is_none(), "the node has run in the image");
    Ok(())
}

/// All files below a folder, sorted.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}
