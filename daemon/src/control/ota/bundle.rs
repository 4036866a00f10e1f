//! A look into a bundle before it is sent.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use selvedge_ota::source::bundle::Bundle;

/// Refuses what is no bundle, by the name that it has here and before megabytes of it are sent. What comes through a pipe can be read
/// only once, by the node.
///
/// # Errors
/// It is none, or cannot be read.
pub(super) fn look_into(file: &Path) -> anyhow::Result<()> {
    let kind = fs::metadata(file).with_context(|| format!("read {}", file.display()))?.file_type();
    if kind.is_file() || kind.is_dir() {
        Bundle::open(file)?;
    }
    Ok(())
}
