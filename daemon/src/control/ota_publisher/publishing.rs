//! `ota publish` and `ota bundle`.

use anyhow::ensure;
use selvedge_ota::publisher::{
    self, Keys, PayloadSize, PublishEvent, PublishOptions, Published, Rehearsal, Repository,
};
use serde_json::{Value, json};

use super::{hexadecimal, now_unix_s, short, tell};
use crate::arguments::ota_publisher::{OtaBundleArguments, OtaPublishArguments};
use crate::control::ota::Shown;
use crate::control::output::escaped;

/// Digits of a hash that are no accident.
const PREFIX_DIGITS_MIN: usize = 6;

pub(super) fn publish(arguments: &OtaPublishArguments) -> anyhow::Result<()> {
    let repository = Repository::open(&arguments.repository)?;
    let keys = Keys::read(&arguments.keys.keys)?;
    let rehearsal = if arguments.dry_run { Rehearsal::Yes } else { Rehearsal::No };
    let options = PublishOptions {
        days: arguments.days.into(),
        patches_from: arguments.patches_from,
        level: arguments.level,
        rehearsal,
    };
    let mut shown = Shown::new();
    let published = repository.publish(&keys, &options, now_unix_s()?, &mut |event| shown.show(&event_text(&event)));
    shown.end();
    let published = published?;
    tell(arguments.json, &publish_json(&published, rehearsal), || publish_text(&published, rehearsal))
}

fn event_text(PublishEvent::Payload { path, progress }: &PublishEvent) -> String {
    let percent = progress.done.min(progress.total).saturating_mul(100).checked_div(progress.total).unwrap_or(100);
    format!("{}: {} {percent:>3} %", escaped(path), progress.stage)
}

fn publish_json(published: &Published, rehearsal: Rehearsal) -> Value {
    let target = |size: &PayloadSize| {
        let patches: Vec<Value> = size
            .patches
            .iter()
            .map(
                |(base, bytes)| json!({ "from": hexadecimal(&base.sha256), "from_bytes": base.length, "bytes": bytes }),
            )
            .collect();
        json!({ "path": size.path, "bytes": size.plain, "compressed": size.compressed, "patches": patches })
    };
    let role = |(role, version): &(String, u64)| json!({ "role": role, "version": version });
    json!({
        "published": rehearsal == Rehearsal::No,
        "roles": published.roles.iter().map(role).collect::<Vec<_>>(),
        "targets": published.sizes.iter().map(target).collect::<Vec<_>>(),
    })
}

fn publish_text(published: &Published, rehearsal: Rehearsal) -> String {
    let mut lines = Vec::new();
    for size in &published.sizes {
        let compressed = size.compressed.map_or_else(
            || "compressed no smaller".to_owned(),
            |bytes| format!("compressed {bytes} ({})", percent(bytes, size.plain)),
        );
        lines.push(format!("{}: {} bytes, {compressed}", escaped(&size.path), size.plain));
        for (base, bytes) in &size.patches {
            let from = hexadecimal(&base.sha256);
            lines.push(format!("  patch from {}…: {bytes} ({})", short(&from), percent(*bytes, size.plain)));
        }
    }
    lines.push(match rehearsal {
        Rehearsal::Yes if published.sizes.is_empty() => "nothing waits".to_owned(),
        Rehearsal::Yes => "dry run: nothing is signed, and nodes see what they saw before".to_owned(),
        Rehearsal::No => {
            let roles = published.roles.iter().map(|(role, version)| format!("{} {version}", escaped(role)));
            format!("published: {}", roles.collect::<Vec<_>>().join(", "))
        }
    });
    lines.join("\n")
}

/// With one digit after the point, so that a small patch is not nothing.
fn percent(part: u64, whole: u64) -> String {
    let thousandth = part.saturating_mul(1000).checked_div(whole).unwrap_or(0);
    format!("{}.{} %", thousandth / 10, thousandth % 10)
}

pub(super) fn bundle(arguments: &OtaBundleArguments) -> anyhow::Result<()> {
    for prefix in &arguments.from {
        let is_hash = (PREFIX_DIGITS_MIN..=64).contains(&prefix.len())
            && prefix.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        ensure!(is_hash, "--from {prefix:?}: {PREFIX_DIGITS_MIN} to 64 digits of a SHA-256 are possible, 0-9 and a-f");
    }
    let repository = Repository::open(&arguments.repository)?;
    let bundled = publisher::bundle(&repository, &arguments.output, &arguments.only, &arguments.from)?;
    let targets: Vec<Value> =
        bundled.targets.iter().map(|(path, payload)| json!({ "path": path, "payload": payload })).collect();
    let report =
        json!({ "path": arguments.output, "bytes": bundled.bytes, "files": bundled.files, "targets": targets });
    tell(arguments.json, &report, || {
        let mut lines: Vec<String> = bundled
            .targets
            .iter()
            .map(|(path, payload)| match payload.strip_prefix(path.as_str()) {
                Some("") | None => format!("{}: whole", escaped(path)),
                Some(way) if way.contains(".from.") => format!("{}: patch {}", escaped(path), escaped(payload)),
                Some(_) => format!("{}: compressed", escaped(path)),
            })
            .collect();
        let output = arguments.output.display();
        lines.push(format!("{output}: {} bytes, {} files", bundled.bytes, bundled.files));
        lines.push(format!("on the gateway: selvedge ota apply {output} --wait"));
        lines.join("\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_patch_is_not_nothing() {
        assert_eq!(percent(3, 1000), "0.3 %");
        assert_eq!(percent(1000, 1000), "100.0 %");
        assert_eq!(percent(0, 0), "0.0 %");
    }
}
