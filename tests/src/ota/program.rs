//! Programs that stand for the node's: they print their version and their own path, and are large enough to be cut.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::random::Random;

/// Bytes behind the script, which are never run.
const PADDING_BYTES: usize = 200_000;
/// Between two changes from one version to the next.
const CHANGED_EVERY_BYTES: usize = 50_000;
/// Bytes of such a change.
const CHANGED_BYTES: usize = 300;

/// A version of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What it says of itself.
    pub version: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

impl Program {
    /// The `number`-th version: most of its bytes are those of all others.
    pub fn new(version: &'static str, number: u64) -> Self {
        let script =
            format!("#!/bin/sh\nif [ \"$1\" = internal-preflight ]; then exit 0; fi\necho \"{version} $0\"\nexit 0\n");
        let (mut same, mut other) = (Random::new(1), Random::new(1000 + number));
        let mut bytes = script.into_bytes();
        bytes.extend((0..PADDING_BYTES).map(|at| {
            let byte = same.byte();
            if at % CHANGED_EVERY_BYTES < CHANGED_BYTES { other.byte() } else { byte }
        }));
        let sha256 = hash(&bytes);
        Self { version, bytes, sha256 }
    }

    /// Writes it as a program that can be started.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, &self.bytes)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
    }
}

/// SHA-256, hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_passes_the_preflight_and_says_which_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("program");
        let program = Program::new("1.2.3", 1);
        program.write(&path).expect("write");
        // A process that another test forks meanwhile has the file open for writing until it becomes another program.
        let run = |argument| loop {
            match Command::new(&path).arg(argument).output() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                result => return result.expect("run"),
            }
        };
        let preflight = run("internal-preflight");
        assert!(preflight.status.success() && preflight.stdout.is_empty());
        assert_eq!(String::from_utf8_lossy(&run("x").stdout), format!("1.2.3 {}\n", path.display()));
        assert_ne!(program.sha256, Program::new("1.2.3", 2).sha256);
    }
}
