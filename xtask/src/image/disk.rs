//! The file that is the disk: a table of three partitions (GPT) and their file systems, each made in place.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Wanted;
use crate::{process, repository};

const MIB: u64 = 1024 * 1024;
/// Where the first partition begins, and what is left for the second table at the end.
const EDGE_MIB: u64 = 1;
/// Kernel and initramfs, twice, and settings.
const BOOT_MIB: u64 = 128;
/// In the image; the first start gives it the rest of the disk.
const DATA_MIB: u64 = 64;
/// Partition types (UEFI; Discoverable Partitions Specification).
const EFI_SYSTEM: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const LINUX_DATA: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
/// What starts without a list of boot entries in the board's memory (UEFI 3.5.1.1).
const LOADER: &str = "EFI/BOOT/BOOTAA64.EFI";
/// A root that is not there after half a minute is looked for again after a restart.
const OPTIONS: &str = "root=PARTLABEL=selvedge-root ro panic=10";

/// In MiB.
pub struct Sizes {
    root: u64,
}

impl Sizes {
    /// For a root of so many bytes: room for the file system's own tables, and a little to install something.
    fn of(root_bytes: u64) -> Self {
        Self { root: (root_bytes / MIB) * 115 / 100 + 48 }
    }

    fn root_starts(&self) -> u64 {
        EDGE_MIB + BOOT_MIB
    }

    fn data_starts(&self) -> u64 {
        self.root_starts() + self.root
    }

    fn whole(&self) -> u64 {
        self.data_starts() + DATA_MIB + EDGE_MIB
    }

    /// For `sfdisk`.
    fn table(&self) -> String {
        let mut text = "label: gpt\nunit: sectors\nsector-size: 512\n".to_owned();
        let parts = [
            (EDGE_MIB, BOOT_MIB, EFI_SYSTEM, "selvedge-boot"),
            (self.root_starts(), self.root, LINUX_DATA, "selvedge-root"),
            (self.data_starts(), DATA_MIB, LINUX_DATA, "selvedge-data"),
        ];
        for (start, length, kind, name) in parts {
            let (start, length) = (start * 2048, length * 2048);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "start={start}, size={length}, type={kind}, name=\"{name}\"");
        }
        text
    }

    /// What a person wants to know of the file.
    pub fn line(&self, image: &Path) -> anyhow::Result<String> {
        let about = fs::metadata(image).with_context(|| format!("look at {}", image.display()))?;
        Ok(format!(
            "{} MiB ({} MiB of it used): boot {BOOT_MIB}, root {}, data {DATA_MIB} and the rest of the disk  {}",
            about.len() / MIB,
            about.blocks() * 512 / MIB,
            self.root,
            image.display()
        ))
    }
}

/// Writes the image.
///
/// # Errors
/// The disk, or a program that makes file systems.
pub fn write(root: &Path, wanted: &Wanted<'_>, image: &Path) -> anyhow::Result<Sizes> {
    let sizes = Sizes::of(bytes_below(root)?);
    let _ = fs::remove_file(image);
    let file = fs::File::create(image).with_context(|| format!("create {}", image.display()))?;
    file.set_len(sizes.whole() * MIB).with_context(|| format!("make {} long", image.display()))?;
    drop(file);
    let folder = image.with_extension("parts");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let table = folder.join("table");
    fs::write(&table, sizes.table()).with_context(|| format!("write {}", table.display()))?;
    let (image_text, table) = (image.to_string_lossy().into_owned(), table.to_string_lossy().into_owned());
    process::run("sh", &["-c", "sfdisk --quiet \"$0\" <\"$1\"", &image_text, &table])?;

    boot(root, wanted, &folder, &image_text)?;
    extended(root, sizes.root_starts(), sizes.root, "selvedge-root", &image_text)?;
    let data = data(root, &folder)?;
    extended(&data, sizes.data_starts(), DATA_MIB, "selvedge-data", &image_text)?;
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(sizes)
}

fn boot(root: &Path, wanted: &Wanted<'_>, folder: &Path, image: &str) -> anyhow::Result<()> {
    let tree = folder.join("boot");
    let put = |place: &str, from: &Path| -> anyhow::Result<()> {
        let place = tree.join(place);
        fs::create_dir_all(place.parent().context("a file lies in a folder")?)?;
        fs::copy(from, &place).map(drop).with_context(|| format!("copy {}", from.display()))
    };
    put(LOADER, &root.join("usr/lib/systemd/boot/efi/systemd-bootaa64.efi"))?;
    put("vmlinuz", &newest(root, "vmlinuz-")?)?;
    put("initrd.img", &newest(root, "initrd.img-")?)?;
    let sources = repository::root().join("image");
    put("loader/loader.conf", &sources.join("loader.conf"))?;
    put("README.txt", &sources.join("README.txt"))?;
    wanted.settings.map_or(Ok(()), |file| put("selvedge.toml", file))?;
    wanted.authorized_keys.map_or(Ok(()), |file| put("authorized_keys", file))?;
    let entry = format!("title Selvedge\nlinux /vmlinuz\ninitrd /initrd.img\noptions {OPTIONS}\n");
    fs::create_dir_all(tree.join("loader/entries"))?;
    fs::write(tree.join("loader/entries/selvedge.conf"), entry).context("write the boot entry")?;

    // mtools read no file system that mkfs.vfat made inside of a longer file.
    let part = folder.join("boot.vfat");
    let text = part.to_string_lossy().into_owned();
    fs::File::create(&part).and_then(|file| file.set_len(BOOT_MIB * MIB)).with_context(|| format!("make {text}"))?;
    process::run("mkfs.vfat", &["-F", "32", "-s", "1", "-n", "SELVEDGE", &text])?;
    for entry in fs::read_dir(&tree)? {
        process::run("mcopy", &["-s", "-Q", "-i", &text, &entry?.path().to_string_lossy(), "::/"])?;
    }
    let mut disk = fs::OpenOptions::new().write(true).open(image).with_context(|| format!("open {image}"))?;
    disk.seek(SeekFrom::Start(EDGE_MIB * MIB))
        .and_then(|_| io::copy(&mut fs::File::open(&part)?, &mut disk))
        .map(drop)
        .with_context(|| format!("write {image}"))
}

/// The file of the root's `/boot` with this beginning; there is one kernel.
fn newest(root: &Path, prefix: &str) -> anyhow::Result<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(root.join("boot"))?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
    found.sort();
    found.pop().with_context(|| format!("the root has no boot/{prefix}*"))
}

/// What the data partition holds before the first start: empty folders of the right users.
fn data(root: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let users = fs::read_to_string(root.join("etc/passwd")).context("read the users of the root")?;
    let tree = folder.join("data");
    for (name, user, mode) in
        [("selvedge", "selvedge", 0o700), ("ssh", "root", 0o700), ("timesync", "systemd-timesync", 0o755)]
    {
        let Some((id, group)) = user_id(&users, user) else { bail!("the root has no user {user}") };
        let place = tree.join(name);
        fs::create_dir_all(&place).with_context(|| format!("create {}", place.display()))?;
        chown(&place, Some(id), Some(group)).with_context(|| format!("give {} to {user}", place.display()))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
    }
    Ok(tree)
}

/// User and group of a line of `passwd`.
fn user_id(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut fields = line.split(':').skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn extended(tree: &Path, start_mib: u64, size_mib: u64, label: &str, image: &str) -> anyhow::Result<()> {
    let (offset, size) = (format!("offset={},lazy_itable_init=0", start_mib * MIB), format!("{size_mib}M"));
    let tree = tree.to_string_lossy();
    // Longer than 16 bytes is no label.
    let words =
        ["-q", "-F", "-t", "ext4", "-L", label, "-m", "1", "-J", "size=8", "-E", &offset, "-d", &tree, image, &size];
    process::run("mke2fs", &words)
}

/// What a file system needs for everything below a folder: whole blocks.
fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let text = process::output("du", &["--summarize", "--block-size=1", &folder.to_string_lossy()]);
    let text = text.context("ask `du`")?;
    text.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).context("read what `du` says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_each_other_and_leave_room_for_the_second_table() {
        let sizes = Sizes::of(300 * MIB);
        assert_eq!(sizes.root, 393);
        assert_eq!((sizes.root_starts(), sizes.data_starts(), sizes.whole()), (129, 522, 587));
        let table = sizes.table();
        assert!(table.contains("start=2048, size=262144,") && table.contains("start=264192, size=804864,"), "{table}");
        assert!(table.contains("start=1069056, size=131072, type=0FC63DAF"), "{table}");
    }

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users =
            "selvedge-x:x:1:2::/:/bin/sh\nselvedge:x:997:996:Selvedge node:/var/lib/selvedge:/usr/sbin/nologin\n";
        assert_eq!(user_id(users, "selvedge"), Some((997, 996)));
        assert_eq!(user_id(users, "sel"), None);
    }
}
