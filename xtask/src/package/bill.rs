//! The bill of materials beside a package (CycloneDX 1.5, JSON): every crate that is linked into its programs, with version,
//! licence, checksum, and who needs whom.
//!
//! From `cargo metadata` and the lock file, for the package's architecture. Cargo joins the features that all crates of the
//! workspace ask for, so the bill may name a crate too much and never one too few. What only builds or tests is not in it; the
//! system's libraries are the package manager's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::Ingredients;
use crate::repository;

/// The crates whose programs are in the package.
const PROGRAMS: &[&str] = &["selvedge", "selvedge-launch"];

/// The bill as a file, which is the same for the same sources.
///
/// # Errors
/// Cargo cannot say what is linked.
pub fn text(ingredients: &Ingredients) -> anyhow::Result<String> {
    let triple = format!("{}-unknown-linux-gnu", ingredients.architecture.rust());
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &triple])
        .current_dir(repository::root())
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        bail!("`cargo metadata` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("read what cargo says")?;
    let path = repository::root().join("Cargo.lock");
    let lock = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let lock = lock.parse().with_context(|| format!("read {}", path.display()))?;
    let bill = bill(&metadata, &checksums(&lock), &ingredients.version)?;
    Ok(serde_json::to_string_pretty(&bill).context("write the bill")? + "\n")
}

/// By name and version.
type Checksums = BTreeMap<(String, String), String>;

fn checksums(lock: &toml::Table) -> Checksums {
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let checksums = packages.filter_map(|package| {
        let field = |name: &str| Some(package.get(name)?.as_str()?.to_owned());
        Some(((field("name")?, field("version")?), field("checksum")?))
    });
    checksums.collect()
}

fn bill(metadata: &Value, checksums: &Checksums, version: &str) -> anyhow::Result<Value> {
    let packages: BTreeMap<&str, &Value> =
        objects(metadata, "/packages").map(|package| (word(package, "id"), package)).collect();
    let nodes = objects(metadata, "/resolve/nodes").map(|node| (word(node, "id"), linked_by(node)));
    let nodes: BTreeMap<&str, Vec<&str>> = nodes.collect();

    let programs: Vec<&str> =
        packages.values().filter(|package| is_program(package)).map(|package| word(package, "id")).collect();
    if programs.len() != PROGRAMS.len() {
        bail!("cargo does not know the crates {}", PROGRAMS.join(", "));
    }
    let mut linked = BTreeSet::new();
    let mut open = programs.clone();
    while let Some(id) = open.pop() {
        if linked.insert(id) {
            open.extend(nodes.get(id).into_iter().flatten());
        }
    }
    let reference = |id: &str| packages.get(id).map_or_else(String::new, |package| purl(package));
    let components: BTreeMap<String, Value> = linked
        .iter()
        .filter_map(|id| packages.get(id))
        .map(|package| (purl(package), component(package, checksums)))
        .collect();
    let mut dependencies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for id in &linked {
        let needs = nodes.get(id).into_iter().flatten().map(|needed| reference(needed)).collect::<BTreeSet<_>>();
        dependencies.insert(reference(id), needs.into_iter().collect());
    }
    let whole = format!("selvedge-package@{version}");
    let mut dependency_list =
        vec![json!({"ref": whole, "dependsOn": programs.iter().map(|id| reference(id)).collect::<Vec<_>>()})];
    dependency_list.extend(dependencies.iter().map(|(of, needs)| json!({"ref": of, "dependsOn": needs})));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": whole, "name": "selvedge", "version": version}},
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependency_list,
    }))
}

fn objects<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_program(package: &Value) -> bool {
    PROGRAMS.contains(&word(package, "name")) && package.get("source").is_none_or(Value::is_null)
}

/// Crates that end up in the program of this one: neither build scripts nor tests.
fn linked_by(node: &Value) -> Vec<&str> {
    let is_linked =
        |dependency: &&Value| objects(dependency, "/dep_kinds").any(|kind| kind.get("kind").is_none_or(Value::is_null));
    objects(node, "/deps").filter(is_linked).map(|dependency| word(dependency, "pkg")).collect()
}

fn purl(package: &Value) -> String {
    // A plus sign, of `0.1.0+build`, means a space in a URL.
    format!("pkg:cargo/{}@{}", word(package, "name"), word(package, "version").replace('+', "%2B"))
}

fn component(package: &Value, checksums: &Checksums) -> Value {
    let (name, version) = (word(package, "name"), word(package, "version"));
    let purl = purl(package);
    let mut component = json!({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl});
    if let Some(licence) = package.get("license").and_then(Value::as_str) {
        // The form before SPDX expressions.
        component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
    }
    if let Some(checksum) = checksums.get(&(name.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = package.get("repository").and_then(Value::as_str) {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Value {
        let package = |name: &str, source: Value| json!({"id": name, "name": name, "version": "1.0.0+x", "source": source, "license": "MIT/Apache-2.0"});
        let needs = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let registry = json!("registry");
        json!({
            "packages": [
                package("selvedge", Value::Null), package("selvedge-launch", Value::Null), package("tokio", registry.clone()),
                package("cc", registry.clone()), package("proptest", registry),
            ],
            "resolve": {"nodes": [
                {"id": "selvedge", "deps": [needs("tokio", Value::Null), needs("cc", json!("build")), needs("proptest", json!("dev"))]},
                {"id": "selvedge-launch", "deps": [needs("tokio", Value::Null)]},
                {"id": "tokio", "deps": []},
            ]},
        })
    }

    #[test]
    fn the_bill_names_what_is_linked_and_not_what_builds_or_tests() {
        let lock: toml::Table =
            "[[package]]\nname = \"tokio\"\nversion = \"1.0.0+x\"\nchecksum = \"ab\"".parse().unwrap();
        let bill = bill(&metadata(), &checksums(&lock), "1.2.3").unwrap();
        let names: Vec<&str> = objects(&bill, "/components").map(|component| word(component, "name")).collect();
        assert_eq!(names, ["selvedge-launch", "selvedge", "tokio"]);
        let tokio = bill.pointer("/components/2").unwrap();
        assert_eq!(tokio["purl"], "pkg:cargo/tokio@1.0.0%2Bx");
        assert_eq!(tokio["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(tokio["hashes"][0]["content"], "ab");
        assert_eq!(bill["dependencies"].as_array().unwrap().len(), 4, "the package and its three crates");
    }

    #[test]
    fn a_bill_without_one_of_the_programs_is_none() {
        let mut metadata = metadata();
        metadata["packages"].as_array_mut().unwrap().remove(1);
        assert!(bill(&metadata, &Checksums::new(), "1.2.3").is_err());
    }

    #[test]
    fn every_reference_of_the_bill_of_this_repository_is_a_component() {
        let ingredients = Ingredients {
            architecture: super::super::elf::Architecture::Aarch64,
            version: "1.2.3".to_owned(),
            node: "unused".into(),
            launcher: "unused".into(),
            made_unix_s: 0,
        };
        let bill: Value = serde_json::from_str(&text(&ingredients).unwrap()).unwrap();
        let known: BTreeSet<&str> = objects(&bill, "/components").map(|component| word(component, "bom-ref")).collect();
        assert!(known.len() > 100 && known.iter().any(|purl| purl.starts_with("pkg:cargo/wasmtime@")));
        let needed = objects(&bill, "/dependencies").flat_map(|dependency| objects(dependency, "/dependsOn"));
        let unknown: Vec<&Value> = needed.filter(|needed| !known.contains(needed.as_str().unwrap())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
