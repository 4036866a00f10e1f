//! The bill of materials beside a disk or a container (CycloneDX 1.5, JSON): the node's package with every crate that is linked into
//! its programs, and Debian's packages around it, each with its version.
//!
//! The crates are those of the bill that the package itself carries, so a package that was given has its own bill and not that of
//! the sources that lie here. Which of Debian's packages needs which is dpkg's to say; licences are the copyright files in the image.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::process;

/// Where a package has its own.
const IN_PACKAGE: &str = "./usr/share/doc/selvedge/selvedge.cdx.json.gz";

/// What the package is put into.
#[derive(Debug, Clone, Copy)]
pub enum Carrier {
    /// A disk with a whole Debian.
    Disk,
    /// A container's image.
    Container,
}

/// One of Debian's packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Installed {
    name: String,
    version: String,
    architecture: String,
}

impl Installed {
    /// All that dpkg has installed, by its file `status`.
    pub fn of_status(text: &str) -> Vec<Self> {
        let mut found: Vec<Self> = text.split("\n\n").filter_map(Self::of_paragraph).collect();
        found.sort();
        found
    }

    fn of_paragraph(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
            Some(line.trim().to_owned())
        };
        (field("Status")? == "install ok installed").then_some(())?;
        Some(Self { name: field("Package")?, version: field("Version")?, architecture: field("Architecture")? })
    }

    /// By the names of apt's files: `NAME_VERSION_ARCHITECTURE.deb`, where a colon of the version is `%3a`.
    pub fn of_file_names(text: &str) -> Vec<Self> {
        let of_name = |name: &str| {
            let mut parts = name.trim().strip_suffix(".deb")?.splitn(3, '_').map(|part| part.replace("%3a", ":"));
            Some(Self { name: parts.next()?, version: parts.next()?, architecture: parts.next()? })
        };
        let mut found: Vec<Self> = text.lines().filter_map(of_name).collect();
        found.sort();
        found
    }

    fn component(&self, release: &str) -> Value {
        let version = self.version.replace('+', "%2B").replace(':', "%3A");
        let purl = format!("pkg:deb/debian/{}@{version}?arch={}&distro={release}", self.name, self.architecture);
        json!({"type": "library", "bom-ref": purl, "name": self.name, "version": self.version, "purl": purl})
    }
}

/// The bill as a file, which is the same for the same packages.
///
/// # Errors
/// The node's package carries none, or Debian's packages are not known.
pub fn text(package: &Path, carrier: Carrier, release: &str, installed: &[Installed]) -> anyhow::Result<String> {
    let script = "dpkg-deb --fsys-tarfile \"$0\" | tar -xO \"$1\" | gzip -dc";
    let own = process::output("sh", &["-c", script, &package.to_string_lossy(), IN_PACKAGE]);
    let own = own.with_context(|| format!("read {IN_PACKAGE} of {}", package.display()))?;
    let own: Value = serde_json::from_str(&own).with_context(|| format!("read the bill of {}", package.display()))?;
    let bill = bill(own, carrier, release, installed)?;
    Ok(serde_json::to_string_pretty(&bill).context("write the bill")? + "\n")
}

fn bill(mut own: Value, carrier: Carrier, release: &str, installed: &[Installed]) -> anyhow::Result<Value> {
    // The node's own package is in the first list already.
    let debian: Vec<Value> = installed
        .iter()
        .filter(|package| package.name != "selvedge")
        .map(|package| package.component(release))
        .collect();
    if debian.is_empty() {
        bail!("none of Debian's packages is known");
    }
    let node =
        own.pointer_mut("/metadata/component").map(Value::take).context("the package's bill names no package")?;
    let (kind, name) = match carrier {
        Carrier::Disk => ("operating-system", "selvedge-image"),
        Carrier::Container => ("container", "selvedge-container"),
    };
    let version = node["version"].clone();
    let whole = format!("{name}@{}", version.as_str().context("the package's bill names no version")?);
    let mut holds = vec![node["bom-ref"].clone()];
    holds.extend(debian.iter().map(|component| component["bom-ref"].clone()));
    own["metadata"]["component"] = json!({"type": kind, "bom-ref": whole, "name": name, "version": version});
    let components = own["components"].as_array_mut().context("the package's bill has no components")?;
    components.insert(0, node);
    components.extend(debian);
    let dependencies = own["dependencies"].as_array_mut().context("the package's bill says not what needs what")?;
    dependencies.insert(0, json!({"ref": whole, "dependsOn": holds}));
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: libgcc-s1\nStatus: install ok installed\nArchitecture: arm64\nVersion: 12.2.0-14+deb12u1\n\n\
        Package: gone\nStatus: deinstall ok config-files\nArchitecture: arm64\nVersion: 1\n\n\
        Package: selvedge\nStatus: install ok installed\nVersion: 0.1.0\nArchitecture: arm64\n\n\
        Package: dbus\nStatus: install ok installed\nVersion: 1:1.14\nArchitecture: arm64\n";

    fn installed(name: &str, version: &str) -> Installed {
        Installed { name: name.to_owned(), version: version.to_owned(), architecture: "arm64".to_owned() }
    }

    #[test]
    fn what_is_installed_is_read_from_dpkg_and_from_names_of_files() {
        let all =
            [installed("dbus", "1:1.14"), installed("libgcc-s1", "12.2.0-14+deb12u1"), installed("selvedge", "0.1.0")];
        assert_eq!(Installed::of_status(STATUS), all);
        let names = "lock\npartial\nlibgcc-s1_12.2.0-14+deb12u1_arm64.deb\ndbus_1%3a1.14_arm64.deb\n";
        assert_eq!(Installed::of_file_names(names), all[..2]);
    }

    #[test]
    fn the_bill_holds_the_package_its_crates_and_debian() {
        let own = || {
            json!({
                "metadata": {"component": {"type": "application", "bom-ref": "selvedge-package@0.1.0", "name": "selvedge", "version": "0.1.0"}},
                "components": [{"bom-ref": "pkg:cargo/tokio@1.0.0"}],
                "dependencies": [{"ref": "selvedge-package@0.1.0", "dependsOn": ["pkg:cargo/tokio@1.0.0"]}],
            })
        };
        let bill = bill(own(), Carrier::Disk, "bookworm", &Installed::of_status(STATUS)).unwrap();
        let references: Vec<&str> =
            bill["components"].as_array().unwrap().iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
        let debian = [
            "pkg:deb/debian/dbus@1%3A1.14?arch=arm64&distro=bookworm",
            "pkg:deb/debian/libgcc-s1@12.2.0-14%2Bdeb12u1?arch=arm64&distro=bookworm",
        ];
        assert_eq!(references, ["selvedge-package@0.1.0", "pkg:cargo/tokio@1.0.0", debian[0], debian[1]]);
        assert_eq!(bill["metadata"]["component"]["bom-ref"], "selvedge-image@0.1.0");
        assert_eq!(bill["dependencies"][0]["dependsOn"], json!(["selvedge-package@0.1.0", debian[0], debian[1]]));
        assert!(super::bill(own(), Carrier::Container, "bookworm", &[]).is_err(), "nothing is known of Debian");
    }
}
