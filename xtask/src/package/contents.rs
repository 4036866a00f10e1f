//! What lies where in the package. One list; the test of the package and `docs/gateway.md` name the same places.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::Ingredients;
use crate::{process, repository};

/// Files of the repository, and where they go.
const FILES: &[(&str, &str)] = &[
    ("systemd/selvedge.service", "usr/lib/systemd/system/selvedge.service"),
    ("systemd/selvedge.socket", "usr/lib/systemd/system/selvedge.socket"),
    ("systemd/selvedge.sysusers", "usr/lib/sysusers.d/selvedge.conf"),
    ("systemd/selvedge.tmpfiles", "usr/lib/tmpfiles.d/selvedge.conf"),
    ("systemd/selvedge.toml", "etc/selvedge/selvedge.toml"),
    ("daemon/selvedge.example.toml", "usr/share/doc/selvedge/examples/selvedge.toml"),
    ("package/debian/copyright", "usr/share/doc/selvedge/copyright"),
    ("package/completions/selvedge.bash", "usr/share/bash-completion/completions/selvedge"),
    ("package/completions/selvedge.fish", "usr/share/fish/vendor_completions.d/selvedge.fish"),
    ("package/completions/_selvedge", "usr/share/zsh/vendor-completions/_selvedge"),
];
const MANUAL: &str = "package/manual";

/// Puts everything into `tree`.
pub fn lay_out(ingredients: &Ingredients, bill: &str, tree: &Path) -> anyhow::Result<()> {
    let root = repository::root();
    for (program, name) in [(&ingredients.node, "selvedge"), (&ingredients.launcher, "selvedge-launch")] {
        let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
        put(&tree.join("usr/lib/selvedge").join(name), &bytes, 0o755)?;
    }
    // The package's program and never a slot's: root runs it, and the slots belong to the node's user.
    let link = tree.join("usr/bin/selvedge");
    make_parent(&link)?;
    symlink("../lib/selvedge/selvedge", &link).with_context(|| format!("link {}", link.display()))?;
    for (source, place) in FILES {
        let source = root.join(source);
        let bytes = fs::read(&source).with_context(|| format!("read {}", source.display()))?;
        put(&tree.join(place), &bytes, 0o644)?;
    }
    let manual = root.join(MANUAL);
    for entry in fs::read_dir(&manual).with_context(|| format!("list {}", manual.display()))? {
        let path = entry.with_context(|| format!("list {}", manual.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        put(&tree.join("usr/share/man/man1").join(format!("{name}.gz")), &compressed(&bytes)?, 0o644)?;
    }
    let documents = tree.join("usr/share/doc/selvedge");
    let changes = root.join("CHANGELOG.md");
    let changes = fs::read(&changes).with_context(|| format!("read {}", changes.display()))?;
    put(&documents.join("CHANGELOG.md.gz"), &compressed(&changes)?, 0o644)?;
    put(&documents.join("changelog.gz"), &compressed(changelog(ingredients)?.as_bytes())?, 0o644)?;
    put(&documents.join("selvedge.cdx.json.gz"), &compressed(bill.as_bytes())?, 0o644)
}

/// In Debian's form; what changed for users is in the project's own, beside it.
fn changelog(ingredients: &Ingredients) -> anyhow::Result<String> {
    let moment = format!("@{}", ingredients.made_unix_s);
    let date = process::output("date", &["--utc", "--rfc-email", "--date", &moment]).context("ask `date`")?;
    Ok(format!(
        "selvedge ({}) unstable; urgency=medium\n\n  * What changed for users stands in CHANGELOG.md.gz.\n\n -- {}  {date}\n",
        ingredients.version,
        super::control::MAINTAINER
    ))
}

/// Without name and time, as Debian wants it.
fn compressed(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new("gzip")
        .args(["-9", "--no-name", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start gzip")?;
    let mut input = child.stdin.take().context("start gzip")?;
    // What gzip gives may fill its pipe before it has read all.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes));
        child.wait_with_output()
    })
    .context("read what gzip gives")?;
    if !output.status.success() {
        bail!("gzip ended with {}", output.status);
    }
    Ok(output.stdout)
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    make_parent(path)?;
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(|| format!("chmod {}", path.display()))
}

/// Folders of a package are for everybody to look into, whatever the mask of whoever makes it.
fn make_parent(path: &Path) -> anyhow::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    for folder in parent.ancestors().collect::<Vec<_>>().into_iter().rev().filter(|folder| !folder.exists()) {
        fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("chmod {}", folder.display()))?;
    }
    Ok(())
}
