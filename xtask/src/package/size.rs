//! How large the node's program may be. It grows a little with each part, and by megabytes with a library that nobody looked at: this
//! is where that is noticed.
//!
//! Measured without symbols, as it is delivered; what fills it stands in `docs/gateway.md`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::elf::Architecture;

/// A twentieth above what was measured last.
const BYTES_MAX: &[(Architecture, u64)] = &[(Architecture::X86_64, 27_500_000), (Architecture::Aarch64, 22_500_000)];

/// What it takes, as a line.
///
/// # Errors
/// It is larger than it may be.
pub fn check(program: &Path, architecture: Architecture) -> anyhow::Result<String> {
    let bytes = fs::metadata(program).with_context(|| format!("look at {}", program.display()))?.len();
    let limit = BYTES_MAX.iter().find(|(of, _)| *of == architecture).map(|(_, limit)| *limit);
    let limit = limit.with_context(|| format!("no size is written down for {}", architecture.rust()))?;
    ensure!(
        bytes <= limit,
        "{} has {bytes} bytes, more than the {limit} that are written down in xtask/src/package/size.rs",
        program.display()
    );
    Ok(format!("{} has {bytes} bytes of {limit} that it may have", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_has_grown_too_much_is_refused() {
        let folder = std::env::temp_dir().join(format!("selvedge-xtask-size-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("node");
        for (architecture, limit) in BYTES_MAX {
            for (bytes, fits) in [(*limit, true), (limit + 1, false)] {
                fs::File::create(&path).unwrap().set_len(bytes).unwrap();
                assert_eq!(check(&path, *architecture).is_ok(), fits, "{bytes}");
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
