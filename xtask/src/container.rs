//! `cargo xtask container`: the node as an OCI image in one file, which `podman load` and their like take, made without any of them.
//!
//! Three layers: the C library and what else a program finds on every Debian, the files of the node's package, and its user. The
//! layout is written by hand (OCI image specification 1.1): it is four small JSON files and blobs by their hash. With `--try` it is
//! started by a container runtime, as an engine would. Invariant: the same package and base give the same bytes.

mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::arm64_vm::MIRROR;
use crate::package::carrier_bill::{self, Carrier, Installed};
use crate::package::{self, elf::Architecture};
use crate::{process, repository};

const RELEASE: &str = "bookworm";
/// The C library, zones for schedules, authorities for updates over the web.
const PACKAGES: &str = "base-files,ca-certificates,libc6,libgcc-s1,tzdata";
const CERTIFICATES: &str = "./usr/share/ca-certificates/mozilla/*.crt";
/// Number of user and group; volumes belong to it.
const USER: u32 = 990;
const DATA: &str = "var/lib/selvedge";
/// Name and version of the image.
const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// Arguments of `cargo xtask container`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask container                                 builds the package, then target/container/selvedge_0.1.0_amd64.oci.tar\n  \
    cargo xtask container --target aarch64 --package target/package/selvedge_0.1.0_arm64.deb\n  \
    sudo -E cargo xtask container --try                   started, used, ended and started again (runc, umoci)\n  \
    podman load --input target/container/selvedge_0.1.0_amd64.oci.tar")]
pub struct Options {
    /// Processor of the image [default: this machine's]
    #[arg(long, value_enum)]
    target: Option<Architecture>,
    /// The node's package; without it, one is built
    #[arg(long, value_name = "FILE")]
    package: Option<PathBuf>,
    /// Start it afterwards
    #[arg(long = "try")]
    is_tried: bool,
    /// Archive of Debian packages
    #[arg(long, value_name = "URL", default_value = MIRROR)]
    mirror: String,
}

/// Makes the image and the bill of what is in it, says where they are, and tries it if that was asked for.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if process::find(&["mmdebstrap"]).is_none() {
        println!("SKIPPED container: apt-get install mmdebstrap");
        return Ok(());
    }
    let architecture = options.target.map_or_else(Architecture::of_this_machine, Ok)?;
    let target = repository::target_folder();
    let package = match &options.package {
        Some(package) => package.clone(),
        None => package::for_processor(architecture, &target.join("package"))?,
    };
    let folder = target.join("container");
    let made = make(&package, architecture, &folder, options.mirror.trim_end_matches('/'))?;
    let bytes = fs::metadata(&made).with_context(|| format!("look at {}", made.display()))?.len();
    println!("{bytes:>11} bytes  {}", made.display());
    if options.is_tried { trial::run(&made, &folder) } else { Ok(()) }
}

/// A blob of the image, in `blobs/sha256`.
struct Blob {
    digest: String,
    bytes: u64,
}

impl Blob {
    /// Moves a file to its place.
    fn keep(file: &Path, layout: &Path) -> anyhow::Result<Self> {
        let content = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        let digest = hex(&content);
        let place = layout.join("blobs/sha256").join(&digest);
        fs::rename(file, &place).with_context(|| format!("move {} to {}", file.display(), place.display()))?;
        Ok(Self { digest, bytes: content.len() as u64 })
    }

    fn descriptor(&self, kind: &str) -> Value {
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": kind, "digest": format!("sha256:{}", self.digest), "size": self.bytes })
    }
}

fn make(package: &Path, architecture: Architecture, folder: &Path, mirror: &str) -> anyhow::Result<PathBuf> {
    let name = package.file_stem().context("a package has a name")?.to_string_lossy().into_owned();
    let layout = folder.join(&name);
    if layout.exists() {
        fs::remove_dir_all(&layout).with_context(|| format!("remove {}", layout.display()))?;
    }
    fs::create_dir_all(layout.join("blobs/sha256")).with_context(|| format!("create {}", layout.display()))?;
    let (base, debian) = base(architecture, folder, mirror)?;
    let made_unix_s = package::made_unix_s()?;
    let layers = [copy(&base, folder)?, node(package, folder)?, user(&base, folder, made_unix_s)?];

    let mut diff_ids = Vec::new();
    let mut descriptors = Vec::new();
    for layer in &layers {
        let content = fs::read(layer).with_context(|| format!("read {}", layer.display()))?;
        diff_ids.push(format!("sha256:{}", hex(&content)));
        process::run("gzip", &["--force", "--no-name", "-9", &layer.to_string_lossy()])?;
        descriptors.push(Blob::keep(&layer.with_extension("tar.gz"), &layout)?.descriptor("layer.v1.tar+gzip"));
    }
    let put = |value: &Value| -> anyhow::Result<Blob> {
        let draft = layout.join("draft");
        fs::write(&draft, serde_json::to_vec(value)?).with_context(|| format!("write {}", draft.display()))?;
        Blob::keep(&draft, &layout)
    };
    let config = put(&config(architecture, &diff_ids, made_unix_s)?)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("config.v1+json"),
        "layers": descriptors,
    });
    let mut entry = put(&manifest)?.descriptor("manifest.v1+json");
    let version = name.split('_').nth(1).unwrap_or("latest");
    // Debian's names of processors are those of the specification (Go's).
    entry["platform"] = json!({ "architecture": architecture.debian(), "os": "linux" });
    entry["annotations"] = json!({ REFERENCE: version });
    let index =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry] });
    fs::write(layout.join("index.json"), serde_json::to_vec(&index)?).context("write the index")?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).context("write the layout's version")?;

    let out = folder.join(format!("{name}.oci.tar"));
    pack(&out, &layout, &[], &["blobs", "index.json", "oci-layout"], made_unix_s)?;
    let bill = folder.join(format!("{name}.oci.cdx.json"));
    fs::write(&bill, carrier_bill::text(package, Carrier::Container, RELEASE, &debian)?)
        .with_context(|| format!("write {}", bill.display()))?;
    Ok(out)
}

/// What the runtime does with it. The launcher becomes the node, so that signals reach it and an update goes on in the same process.
fn config(architecture: Architecture, diff_ids: &[String], made_unix_s: u64) -> anyhow::Result<Value> {
    let moment = format!("@{made_unix_s}");
    let created =
        process::output("date", &["--utc", "--date", &moment, "+%Y-%m-%dT%H:%M:%SZ"]).context("ask `date`")?;
    Ok(json!({
        "created": created,
        "architecture": architecture.debian(),
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "ExposedPorts": { "1883/tcp": {}, "8883/tcp": {}, "8083/tcp": {}, "7883/tcp": {} },
            "Env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                format!("SELVEDGE_DATA=/{DATA}"),
                format!("SELVEDGE_OTA=/{DATA}/ota"),
            ],
            "Entrypoint": ["/usr/lib/selvedge/selvedge-launch", "--", "run", "--config", "/etc/selvedge/selvedge.toml"],
            "Volumes": { format!("/{DATA}"): {} },
            "WorkingDir": format!("/{DATA}"),
            "StopSignal": "SIGTERM",
            "Labels": { "org.opencontainers.image.title": "selvedge" },
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": [{ "created_by": "Debian" }, { "created_by": "selvedge" }, { "created_by": "user and data directory" }],
    }))
}

/// Debian's files, unpacked and not configured, so that nothing of another processor has to run; and which packages they are of.
fn base(architecture: Architecture, folder: &Path, mirror: &str) -> anyhow::Result<(PathBuf, Vec<Installed>)> {
    let archive = folder.join(format!("base-{RELEASE}-{}.tar", architecture.debian()));
    let names = archive.with_extension("packages");
    if !archive.is_file() || !names.is_file() {
        make_base(architecture, folder, mirror, &archive, &names)?;
    }
    let text = fs::read_to_string(&names).with_context(|| format!("read {}", names.display()))?;
    Ok((archive, Installed::of_file_names(&text)))
}

fn make_base(
    architecture: Architecture,
    folder: &Path,
    mirror: &str,
    archive: &Path,
    names: &Path,
) -> anyhow::Result<()> {
    let unfinished = folder.join("base-unfinished.tar");
    let (processor, include) = (format!("--architectures={}", architecture.debian()), format!("--include={PACKAGES}"));
    let sources = [
        format!("deb {mirror}/debian {RELEASE} main"),
        format!("deb {mirror}/debian-security {RELEASE}-security main"),
    ];
    let leave_out = ["man", "info", "locale", "doc"].map(|name| format!("--dpkgopt=path-exclude=/usr/share/{name}/*"));
    // Nothing is installed, so dpkg has no list: the files that apt has fetched are one.
    let list = format!("--extract-hook=ls \"$1/var/cache/apt/archives\" >'{}'", names.display());
    let mut words = vec!["--variant=extract", "--quiet", &processor, &include, &list];
    words.extend(leave_out.iter().map(String::as_str));
    words.extend(["--dpkgopt=path-include=/usr/share/doc/*/copyright", RELEASE]);
    let unfinished_text = unfinished.to_string_lossy();
    words.extend([&*unfinished_text, &sources[0], &sources[1]]);
    process::run("mmdebstrap", &words)?;
    fs::rename(&unfinished, archive).with_context(|| format!("rename to {}", archive.display()))
}

fn copy(base: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let layer = folder.join("base.tar");
    fs::copy(base, &layer).with_context(|| format!("copy {}", base.display()))?;
    Ok(layer)
}

/// The files of the package; its scripts are for machines with a service manager.
fn node(package: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let layer = folder.join("node.tar");
    let words = ["-c", "dpkg-deb --fsys-tarfile \"$0\" >\"$1\"", &package.to_string_lossy(), &layer.to_string_lossy()];
    process::run("sh", &words)?;
    Ok(layer)
}

/// What the package's scripts and those of Debian's packages would have made: user, data directory, the authorities as one file.
fn user(base: &Path, folder: &Path, made_unix_s: u64) -> anyhow::Result<PathBuf> {
    let tree = folder.join("user");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("remove {}", tree.display()))?;
    }
    for place in ["etc/ssl/certs", "tmp", DATA] {
        fs::create_dir_all(tree.join(place)).with_context(|| format!("create {place}"))?;
    }
    let nobody = "/usr/sbin/nologin";
    fs::write(
        tree.join("etc/passwd"),
        format!("root:x:0:0:root:/root:{nobody}\nselvedge:x:{USER}:{USER}:Selvedge node:/{DATA}:{nobody}\n"),
    )?;
    fs::write(tree.join("etc/group"), format!("root:x:0:\nselvedge:x:{USER}:\n"))?;
    let authorities = tree.join("etc/ssl/certs/ca-certificates.crt");
    let words = ["-c", "tar -xOf \"$0\" --wildcards \"$1\" >\"$2\"", &base.to_string_lossy(), CERTIFICATES];
    process::run("sh", &[&words[..], &[&authorities.to_string_lossy()]].concat())?;
    let layer = folder.join("user.tar");
    pack(&layer, &tree, &[], &["etc"], made_unix_s)?;
    pack(&layer, &tree, &["--append", "--mode=1777"], &["tmp"], made_unix_s)?;
    let owner = [format!("--owner={USER}"), format!("--group={USER}")];
    pack(&layer, &tree, &["--append", "--mode=0700", &owner[0], &owner[1]], &[DATA], made_unix_s)?;
    Ok(layer)
}

/// An archive that is the same for the same files.
fn pack(archive: &Path, tree: &Path, how: &[&str], what: &[&str], made_unix_s: u64) -> anyhow::Result<()> {
    let moment = format!("--mtime=@{made_unix_s}");
    let (archive, tree) = (archive.to_string_lossy(), tree.to_string_lossy());
    let always = ["--file", &archive, "--directory", &tree, "--sort=name", "--numeric-owner", &moment];
    let default: &[&str] = if how.contains(&"--append") { &[] } else { &["--create", "--mode=u=rwX,go=rX"] };
    let owner: &[&str] =
        if how.iter().any(|word| word.starts_with("--owner")) { &[] } else { &["--owner=0", "--group=0"] };
    process::run("tar", &[default, owner, how, &always, what].concat())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_lies_under_its_hash() {
        let folder = std::env::temp_dir().join(format!("selvedge-xtask-container-{}", std::process::id()));
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("draft"), "abc").unwrap();
        let blob = Blob::keep(&folder.join("draft"), &folder).unwrap();
        // FIPS 180-4, the first example.
        assert_eq!(blob.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(folder.join("blobs/sha256").join(&blob.digest).is_file() && !folder.join("draft").exists());
        let descriptor = blob.descriptor("config.v1+json");
        assert_eq!(descriptor["size"], 3);
        assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.config.v1+json");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_launcher_starts_the_node_as_its_user() {
        let config = config(Architecture::Aarch64, &["sha256:1".to_owned()], 0).unwrap();
        assert_eq!(config["created"], "1970-01-01T00:00:00Z");
        assert_eq!(config["architecture"], "arm64");
        assert_eq!(config["config"]["User"], "990:990");
        assert_eq!(config["config"]["Entrypoint"][0], "/usr/lib/selvedge/selvedge-launch");
    }
}
