//! The first file system of the test machine, as the kernel unpacks it: busybox, `cross/arm64-vm/init.sh`, and the modules
//! that reach the real root.
//!
//! Invariant: a module stands after every module that it needs.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

/// What the root needs; the kernel loads others by itself once `modprobe` is there.
const MODULES: &[&str] = &["virtio_pci", "virtio_console", "virtio_rng", "9pnet_virtio", "9p", "overlay"];
const INIT: &str = include_str!("../../../cross/arm64-vm/init.sh");
/// Folders that init mounts on or fills.
const FOLDERS: &[&str] = &["bin", "dev", "lower", "modules", "proc", "system", "writable"];

/// An archive in the format "newc" (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).
struct Archive(Vec<u8>);

/// What an entry of the archive is.
#[derive(Clone, Copy)]
enum Kind {
    File,
    Program,
    Folder,
}

/// Puts the archive together from the guest's unpacked packages.
pub fn build(guest: &Path, kernel: &str) -> anyhow::Result<Vec<u8>> {
    let modules = guest.join("lib/modules").join(kernel);
    let dependencies = modules.join("modules.dep");
    let text = fs::read_to_string(&dependencies).with_context(|| format!("read {}", dependencies.display()))?;
    let builtin = fs::read_to_string(modules.join("modules.builtin")).unwrap_or_default();
    let order = load_order(&text, &builtin, MODULES)?;

    let mut archive = Archive(Vec::new());
    for folder in FOLDERS {
        archive.add(folder, Kind::Folder, &[])?;
    }
    archive.add("init", Kind::Program, INIT.as_bytes())?;
    archive.add("bin/busybox", Kind::Program, &read(&guest.join("usr/bin/busybox"))?)?;
    let mut names = String::new();
    for path in &order {
        let name = path.rsplit('/').next().unwrap_or(path);
        archive.add(&format!("modules/{name}"), Kind::File, &read(&modules.join(path))?)?;
        names.push_str(name);
        names.push('\n');
    }
    archive.add("order", Kind::File, names.as_bytes())?;
    archive.add("TRAILER!!!", Kind::File, &[])?;
    Ok(archive.0)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// Paths of modules in the order they can be loaded in. Lines of `dependencies` are `path: path path …`, as depmod writes
/// them: all that a module needs, the deepest last.
fn load_order<'t>(dependencies: &'t str, builtin: &str, wanted: &[&str]) -> anyhow::Result<Vec<&'t str>> {
    let mut order: Vec<&str> = Vec::new();
    for name in wanted {
        let line = dependencies.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| is_module(path, name));
        let Some((path, needs)) = line else {
            if builtin.lines().any(|path| is_module(path, name)) {
                continue;
            }
            bail!("the kernel has no module {name}");
        };
        for module in needs.split_whitespace().rev().chain([path]) {
            if !order.contains(&module) {
                order.push(module);
            }
        }
    }
    Ok(order)
}

/// Whether a path is that of a module; in names `-` and `_` are the same.
fn is_module(path: &str, name: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".ko").is_some_and(|stem| stem.replace('-', "_") == name.replace('-', "_"))
}

impl Archive {
    fn add(&mut self, path: &str, kind: Kind, content: &[u8]) -> anyhow::Result<()> {
        let mode = match kind {
            Kind::File => 0o100_644,
            Kind::Program => 0o100_755,
            Kind::Folder => 0o040_755,
        };
        let size = u32::try_from(content.len()).with_context(|| format!("{path} is too large for an archive"))?;
        let name_size = u32::try_from(path.len() + 1).with_context(|| format!("{path} is too long"))?;
        // inode, mode, owner, group, links, time, size, device (2), device of a node (2), size of the name, checksum
        let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.0.extend_from_slice(b"070701");
        for field in fields {
            self.0.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.0.extend_from_slice(path.as_bytes());
        self.0.push(0);
        self.align();
        self.0.extend_from_slice(content);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/fscache/fscache.ko kernel/fs/netfs.ko\n\
                                kernel/net/9p/9pnet-virtio.ko: kernel/net/9p/9pnet.ko\nkernel/net/9p/9pnet.ko:\n";

    #[test]
    fn a_module_is_loaded_after_what_it_needs_and_once() {
        let order =
            load_order(DEPENDENCIES, "kernel/drivers/virtio/virtio.ko", &["9pnet_virtio", "virtio", "9p"]).unwrap();
        let names: Vec<&str> = order.iter().filter_map(|path| path.rsplit('/').next()).collect();
        assert_eq!(names, ["9pnet.ko", "9pnet-virtio.ko", "netfs.ko", "fscache.ko", "9p.ko"]);
    }

    #[test]
    fn a_module_that_the_kernel_lacks_is_named() {
        let error = load_order(DEPENDENCIES, "", &["overlay"]).unwrap_err().to_string();
        assert!(error.contains("overlay"), "{error}");
    }

    #[test]
    fn entries_start_at_multiples_of_four_and_carry_their_sizes() {
        let mut archive = Archive(Vec::new());
        archive.add("a", Kind::Program, b"12345").unwrap();
        let first = archive.0.len();
        archive.add("TRAILER!!!", Kind::File, &[]).unwrap();
        // 110 bytes of header, "a\0", content from 112 on, 5 bytes of it, rounded up.
        assert_eq!(first, 120);
        assert_eq!(&archive.0[..6], b"070701");
        assert_eq!(&archive.0[14..22], b"000081ed", "a file that everybody may run");
        assert_eq!(&archive.0[54..62], b"00000005");
        assert_eq!(&archive.0[112..117], b"12345");
        assert_eq!(archive.0.len() % 4, 0);
    }
}
