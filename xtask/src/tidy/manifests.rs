//! Rules about `Cargo.toml` files: dependency arrows, lints, one place for versions, a reason for each library.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::Finding;
use crate::repository::Tree;

/// Which workspace crate may name which; a crate that is not here may not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("selvedge-access", &[]),
    ("selvedge-codec", &[]),
    ("selvedge-core", &["selvedge-codec"]),
    ("selvedge-priority", &[]),
    ("selvedge-broker", &["selvedge-core", "selvedge-codec", "selvedge-priority"]),
    ("selvedge-store", &["selvedge-priority"]),
    ("selvedge-twin", &["selvedge-store", "selvedge-twin-core"]),
    ("selvedge-twin-core", &[]),
    ("selvedge-functions", &["selvedge-priority"]),
    ("selvedge-ebpf-abi", &[]),
    ("selvedge-ebpf", &["selvedge-ebpf-abi"]),
    ("selvedge-bench", &["selvedge-codec"]),
    ("selvedge-ota-metadata", &[]),
    ("selvedge-ota-patch", &[]),
    ("selvedge-ota-slots", &[]),
    ("selvedge-launch", &["selvedge-ota-slots"]),
    ("selvedge-ota", &["selvedge-ota-metadata", "selvedge-ota-patch", "selvedge-ota-slots"]),
    (
        "selvedge",
        &[
            "selvedge-access",
            "selvedge-bench",
            "selvedge-broker",
            "selvedge-codec",
            "selvedge-core",
            "selvedge-ebpf",
            "selvedge-functions",
            "selvedge-ota",
            "selvedge-store",
            "selvedge-twin",
        ],
    ),
    ("selvedge-tests", &["selvedge-codec", "selvedge-priority"]),
    ("xtask", &[]),
];

/// Where the reason for each library is written.
const REASONS: &str = "docs/decisions/dependencies.md";

/// A crate of the workspace.
pub struct Member {
    pub folder: String,
    pub manifest: Table,
}

/// The root manifest and those of all members.
pub struct Workspace {
    pub members: Vec<Member>,
    pub excluded: Vec<String>,
    dependencies: Table,
}

impl Member {
    pub fn name(&self) -> &str {
        self.manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or("")
    }

    pub fn manifest_path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    /// Every dependency of any kind, as the manifest writes it.
    fn dependencies(&self) -> Vec<(&str, &Value)> {
        let mut tables: Vec<&Table> = vec![&self.manifest];
        if let Some(targets) = self.manifest.get("target").and_then(Value::as_table) {
            tables.extend(targets.values().filter_map(Value::as_table));
        }
        tables
            .into_iter()
            .flat_map(|table| ["dependencies", "dev-dependencies", "build-dependencies"].map(|kind| table.get(kind)))
            .flatten()
            .filter_map(Value::as_table)
            .flatten()
            .map(|(name, value)| (name.as_str(), value))
            .collect()
    }
}

impl Workspace {
    pub fn read(tree: &Tree) -> Result<Self, Finding> {
        let root = parse(tree, "Cargo.toml")?;
        let workspace = root.get("workspace").and_then(Value::as_table).cloned().unwrap_or_default();
        let members = strings(&workspace, "members")
            .into_iter()
            .map(|folder| {
                let manifest = parse(tree, &format!("{folder}/Cargo.toml"))?;
                Ok(Member { folder, manifest })
            })
            .collect::<Result<_, _>>()?;
        let dependencies = workspace.get("dependencies").and_then(Value::as_table).cloned().unwrap_or_default();
        Ok(Self { members, excluded: strings(&workspace, "exclude"), dependencies })
    }
}

pub fn check_arrows(workspace: &Workspace) -> Vec<Finding> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let siblings: BTreeSet<&str> = workspace.members.iter().map(Member::name).collect();
    let mut findings = Vec::new();
    for member in &workspace.members {
        let Some(allowed) = allowed.get(member.name()) else {
            findings.push(Finding::error(
                member.manifest_path(),
                format!("crate {} is not in the list of dependency arrows", member.name()),
            ));
            continue;
        };
        for (dependency, _) in member.dependencies() {
            if siblings.contains(dependency) && !allowed.contains(&dependency) {
                findings.push(Finding::error(
                    member.manifest_path(),
                    format!("{} may not depend on {dependency}; parts meet in the daemon's wiring", member.name()),
                ));
            }
        }
    }
    findings
}

pub fn check_lints(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .members
        .iter()
        .filter(|member| {
            member.manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) != Some(true)
        })
        .map(|member| Finding::error(member.manifest_path(), "does not inherit the lints of the workspace"))
        .collect()
}

/// Versions live in the root manifest, and nothing there is unused.
pub fn check_dependency_sources(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for member in &workspace.members {
        for (dependency, value) in member.dependencies() {
            used.insert(dependency);
            if value.get("workspace").and_then(Value::as_bool) != Some(true) {
                findings.push(Finding::error(
                    member.manifest_path(),
                    format!("{dependency} does not come from [workspace.dependencies]"),
                ));
            }
        }
    }
    for name in workspace.dependencies.keys().filter(|name| !used.contains(name.as_str())) {
        findings.push(Finding::error("Cargo.toml", format!("no crate uses the workspace dependency {name}")));
    }
    findings
}

pub fn check_dependency_reasons(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let reasons = tree.text(REASONS).unwrap_or("");
    workspace
        .dependencies
        .iter()
        .filter(|(_, value)| value.get("path").is_none())
        .filter(|(name, _)| !reasons.lines().any(|line| line.contains(&format!("`{name}`"))))
        .map(|(name, _)| Finding::error(REASONS, format!("no line says why `{name}` is used")))
        .collect()
}

fn parse(tree: &Tree, path: &str) -> Result<Table, Finding> {
    let text = tree.text(path).ok_or_else(|| Finding::error(path, "is missing"))?;
    text.parse::<Table>().map_err(|error| Finding::error(path, error.message().to_owned()))
}

fn strings(table: &Table, key: &str) -> Vec<String> {
    let values = table.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(root_dependencies: &str, store: &str) -> Workspace {
        let root =
            format!("[workspace]\nmembers = [\"store\", \"twin\"]\n[workspace.dependencies]\n{root_dependencies}");
        let store = format!("[package]\nname = \"selvedge-store\"\n{store}");
        Workspace::read(&Tree::of(&[
            ("Cargo.toml", &root),
            ("store/Cargo.toml", &store),
            ("twin/Cargo.toml", "[package]\nname = \"selvedge-twin\"\n[lints]\nworkspace = true"),
        ]))
        .unwrap()
    }

    #[test]
    fn a_dependency_against_the_arrows_is_found_in_every_table() {
        for table in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
            let findings = check_arrows(&workspace("", &format!("[{table}]\nselvedge-twin.workspace = true")));
            assert_eq!(findings.len(), 1, "{table}");
        }
        assert_eq!(check_arrows(&workspace("", "")).len(), 0);
    }

    #[test]
    fn a_crate_outside_the_list_of_arrows_is_found() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]"),
            ("a/Cargo.toml", "[package]\nname = \"selvedge-surprise\""),
        ]);
        assert_eq!(check_arrows(&Workspace::read(&tree).unwrap()).len(), 1);
    }

    #[test]
    fn a_crate_with_lints_of_its_own_is_found() {
        assert_eq!(check_lints(&workspace("", "")).len(), 1);
        assert_eq!(check_lints(&workspace("", "[lints]\nworkspace = true")).len(), 0);
    }

    #[test]
    fn a_version_outside_the_root_manifest_is_found() {
        let findings = check_dependency_sources(&workspace("", "[dependencies]\nbytes = \"1\""));
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn a_workspace_dependency_that_nobody_uses_is_found() {
        let used = "[dependencies]\nbytes.workspace = true";
        assert_eq!(check_dependency_sources(&workspace("bytes = \"1\"", used)).len(), 0);
        assert_eq!(check_dependency_sources(&workspace("bytes = \"1\"", "")).len(), 1);
    }

    #[test]
    fn a_library_without_a_written_reason_is_found() {
        let workspace = workspace("bytes = \"1\"\nselvedge-store = { path = \"store\" }", "");
        assert_eq!(
            check_dependency_reasons(&workspace, &Tree::of(&[(REASONS, "| `bytes` | shared buffers |")])).len(),
            0
        );
        assert_eq!(check_dependency_reasons(&workspace, &Tree::of(&[(REASONS, "bytes without ticks")])).len(), 1);
        assert_eq!(check_dependency_reasons(&workspace, &Tree::of(&[])).len(), 1);
    }
}
