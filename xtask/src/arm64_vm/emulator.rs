//! The emulated board of an image: qemu's `virt` with UEFI, a disk, and a network card behind this machine.
//!
//! One place says what the board is: `cargo xtask image` prints the command, `cargo xtask test-vm` runs it.

use std::path::{Path, PathBuf};

use super::packages::{Packages, libraries};
use crate::process;

/// qemu with what it needs.
pub struct Emulator {
    program: PathBuf,
    firmware: PathBuf,
    /// Where its libraries and its data are, if it is not installed.
    unpacked: Option<(PathBuf, PathBuf)>,
}

impl Emulator {
    /// That of the unpacked packages.
    pub fn of(packages: &Packages) -> Self {
        let host = &packages.host;
        Self {
            program: host.join("usr/bin/qemu-system-aarch64"),
            firmware: host.join("usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
            unpacked: Some((libraries(host), host.join("usr/share/qemu"))),
        }
    }

    /// That of the packages qemu-system-arm and qemu-efi-aarch64.
    pub fn installed() -> Self {
        Self {
            program: PathBuf::from("qemu-system-aarch64"),
            firmware: PathBuf::from("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
            unpacked: None,
        }
    }

    /// All words but those of disk and network.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some((libraries, _)) = &self.unpacked {
            words.extend(["env".to_owned(), format!("LD_LIBRARY_PATH={}", libraries.display())]);
        }
        words.push(self.program.display().to_string());
        if let Some((_, data)) = &self.unpacked {
            words.extend(["-L".to_owned(), data.display().to_string()]);
        }
        let board = "-machine virt -cpu cortex-a72 -accel tcg,thread=multi -smp 2 -m 512 -nographic -nodefaults -serial mon:stdio \
                     -device virtio-rng-pci";
        words.extend(board.split_whitespace().map(str::to_owned));
        words.extend(["-bios".to_owned(), self.firmware.display().to_string()]);
        words
    }

    /// The command as one would type it; `ports` are addresses here and ports there.
    pub fn line(&self, image: &Path, ports: &[(&str, u16)]) -> String {
        let mut words = self.words();
        words.extend(["-drive".to_owned(), format!("file={},format=raw,if=virtio", image.display())]);
        let forwards: String = ports.iter().map(|(here, there)| format!(",hostfwd=tcp:{here}-:{there}")).collect();
        words.extend(["-netdev".to_owned(), format!("user,id=net{forwards}")]);
        words.extend(["-device".to_owned(), "virtio-net-pci,netdev=net,romfile=".to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        process::line(words[0], &words[1..], &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_command_names_disk_firmware_and_ports() {
        let line = Emulator::installed().line(Path::new("/x y.img"), &[("127.0.0.1:2222", 22)]);
        assert!(line.starts_with("qemu-system-aarch64 -machine virt "), "{line}");
        assert!(line.contains("'file=/x y.img,format=raw,if=virtio'"), "{line}");
        assert!(line.contains("user,id=net,hostfwd=tcp:127.0.0.1:2222-:22 "), "{line}");
        assert!(line.contains(" -bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd "), "{line}");
    }
}
