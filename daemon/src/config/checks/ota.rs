//! Bounds of updates.

use std::path::Path;

use selvedge_ota::Window;

use super::{Found, quoted};
use crate::config::Config;
use crate::config::quantity::{ByteSize, Period};

/// Files that updates may replace.
const FILES_MAX: usize = 256;

pub(super) fn ota(config: &Config, found: &mut Found) {
    let ota = &config.ota;
    found.period("ota.poll", ota.poll, Period::seconds(10), Period::seconds(30 * 86_400));
    found.period("ota.probation", ota.probation, Period::seconds(1), Period::seconds(86_400));
    let longest = Period::seconds(7 * 86_400);
    if ota.probation_max < ota.probation || ota.probation_max > longest {
        let allowed = format!("expected a duration from ota.probation (\"{}\") to \"{longest}\"", ota.probation);
        found.refuse("ota.probation_max", quoted(ota.probation_max), allowed);
    }
    found.number("ota.tries_max", ota.tries_max, 1, 100);
    found.size("ota.content_bytes_max", ota.content_bytes_max, ByteSize::kib(1), ByteSize(4 << 30));
    found.size("ota.bundle_bytes_max", ota.bundle_bytes_max, ByteSize::kib(1), ByteSize(4 << 30));
    found.size("ota.bytes_per_s_min", ota.bytes_per_s_min, ByteSize(1), ByteSize::mib(1));
    for window in &ota.windows {
        if let Err(error) = window.parse::<Window>() {
            found.refuse("ota.windows", quoted(window), error.to_string());
        }
    }
    let is_url = ota.repository.starts_with("https://") || ota.repository.starts_with("http://");
    if !(ota.repository.is_empty() || is_url || Path::new(&ota.repository).is_absolute()) {
        let allowed = "expected an address (https://… or http://…), the absolute path of a folder, or nothing";
        found.refuse("ota.repository", quoted(&ota.repository), allowed);
    }
    if ota.files.len() > FILES_MAX {
        found.refuse("ota.files", ota.files.len(), format!("expected at most {FILES_MAX} tables"));
    }
    for file in ota.files.values() {
        if !Path::new(&file.path).is_absolute() {
            found.refuse("ota.files.path", quoted(&file.path), "expected an absolute path");
        }
        if file.after.first().is_some_and(|program| !Path::new(program).is_absolute()) {
            let program = file.after.first().map(String::as_str).unwrap_or_default();
            found.refuse(
                "ota.files.after",
                quoted(program),
                "expected a program by its absolute path, and its arguments",
            );
        }
        found.period("ota.files.after_timeout", file.after_timeout, Period::seconds(1), Period::seconds(3600));
    }
}
