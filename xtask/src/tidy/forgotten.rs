//! No source file is forgotten: each is a target of its crate or declared as a module below one.

use std::collections::BTreeSet;

use toml::Value;

use super::manifests::{Member, Workspace};
use super::{Finding, rust_source};
use crate::repository::Tree;

pub fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    workspace
        .members
        .iter()
        .flat_map(|member| {
            let reached = reached(tree, target_roots(tree, member));
            own_sources(tree, workspace, member)
                .filter(|path| !reached.contains(*path))
                .map(|path| Finding::error(path, format!("is reachable from no target of {}", member.name())))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Rust files below the crate that belong to no other crate, also not to one that is excluded or only a template.
fn own_sources<'t>(tree: &'t Tree, workspace: &'t Workspace, member: &'t Member) -> impl Iterator<Item = &'t str> {
    let prefix = format!("{}/", member.folder);
    let nested = tree.files().filter_map(|(path, _)| {
        let (folder, file) = path.rsplit_once('/')?;
        ["Cargo.toml", "Cargo.toml.template"].contains(&file).then(|| folder.to_owned())
    });
    let others: Vec<String> = nested
        .chain(workspace.excluded.iter().cloned())
        .filter(|other| other.starts_with(&prefix))
        .map(|other| format!("{other}/"))
        .collect();
    tree.with_extension("rs")
        .map(|(path, _)| path)
        .filter(move |path| path.starts_with(&prefix) && !others.iter().any(|other| path.starts_with(other.as_str())))
}

/// Files that cargo compiles as the root of a target: named in the manifest or found by their place.
fn target_roots(tree: &Tree, member: &Member) -> Vec<String> {
    let folder = &member.folder;
    let mut roots: Vec<String> =
        ["src/lib.rs", "src/main.rs", "build.rs"].map(|file| format!("{folder}/{file}")).into();
    for kind in ["test", "bench", "bin", "example"] {
        let targets = member.manifest.get(kind).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let paths = targets.iter().filter_map(|target| target.get("path")).filter_map(Value::as_str);
        roots.extend(paths.map(|path| format!("{folder}/{path}")));
    }
    let package = member.manifest.get("package");
    for (place, switch) in
        [("tests", "autotests"), ("benches", "autobenches"), ("src/bin", "autobins"), ("examples", "autoexamples")]
    {
        let off = package.and_then(|package| package.get(switch)).and_then(Value::as_bool) == Some(false);
        if !off {
            let prefix = format!("{folder}/{place}/");
            let found = tree.with_extension("rs").map(|(path, _)| path).filter(|path| {
                path.strip_prefix(&prefix)
                    .is_some_and(|rest| !rest.contains('/') || rest.split('/').skip(1).eq(["main.rs"]))
            });
            roots.extend(found.map(str::to_owned));
        }
    }
    roots.retain(|root| tree.exists(root));
    roots
}

/// The roots and every module that they declare, directly or further down.
fn reached(tree: &Tree, roots: Vec<String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<(String, bool)> = roots.into_iter().map(|root| (root, true)).collect();
    while let Some((path, is_root)) = open.pop() {
        let Some(text) = tree.text(&path) else {
            continue;
        };
        if !reached.insert(path.clone()) {
            continue;
        }
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", &path));
        let module_folder =
            if is_root { folder.to_owned() } else { format!("{folder}/{}", file.strip_suffix(".rs").unwrap_or(file)) };
        for module in declared_modules(text) {
            let next = match module {
                Declared::Named(name) => format!("{module_folder}/{name}.rs"),
                Declared::At(place) => format!("{folder}/{place}"),
            };
            open.push((next, false));
        }
    }
    reached
}

#[derive(Debug, PartialEq)]
enum Declared {
    Named(String),
    At(String),
}

fn declared_modules(text: &str) -> Vec<Declared> {
    let mut modules = Vec::new();
    let mut place = None;
    for (_, line) in rust_source::code_lines(text) {
        let line = line.trim();
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            place = Some(path.to_owned());
        } else if let Some(name) = module_name(line) {
            modules.push(place.take().map_or_else(|| Declared::Named(name.to_owned()), Declared::At));
        } else if !line.starts_with("#[") {
            place = None;
        }
    }
    modules
}

/// The name in `mod name;`, whatever its visibility.
fn module_name(line: &str) -> Option<&str> {
    let declaration = line.strip_suffix(';')?;
    let (before, name) = declaration.rsplit_once("mod ")?;
    let visible = before.is_empty() || (before.starts_with("pub") && before.ends_with(' '));
    (visible && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forgotten(package: &str, files: &[(&str, &str)]) -> Vec<String> {
        let manifest = format!("[package]\nname = \"selvedge-tests\"\n{package}");
        let mut all = vec![
            ("Cargo.toml", "[workspace]\nmembers = [\"tests\"]\nexclude = [\"tests/peers\"]"),
            ("tests/Cargo.toml", manifest.as_str()),
        ];
        all.extend(files);
        let tree = Tree::of(&all);
        check(&tree, &Workspace::read(&tree).unwrap()).into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn a_test_file_that_no_target_declares_is_found() {
        let targets = "autotests = false\n[[test]]\nname = \"i\"\npath = \"i/main.rs\"";
        let files = [
            ("tests/i/main.rs", "mod a;\n"),
            ("tests/i/a.rs", "pub(crate) mod b;"),
            ("tests/i/a/b.rs", ""),
            ("tests/i/c.rs", ""),
        ];
        assert_eq!(forgotten(targets, &files), ["tests/i/c.rs"]);
    }

    #[test]
    fn a_file_found_by_its_place_counts_unless_that_is_switched_off() {
        let files = [("tests/tests/a.rs", ""), ("tests/tests/b/main.rs", "mod c;"), ("tests/tests/b/c.rs", "")];
        assert_eq!(forgotten("", &files), Vec::<String>::new());
        assert_eq!(forgotten("autotests = false", &files).len(), 3);
    }

    #[test]
    fn a_commented_declaration_does_not_count() {
        let files = [("tests/src/lib.rs", "// mod a;\nmod b;"), ("tests/src/a.rs", ""), ("tests/src/b.rs", "")];
        assert_eq!(forgotten("", &files), ["tests/src/a.rs"]);
    }

    #[test]
    fn a_module_with_a_path_of_its_own_is_followed() {
        let files = [("tests/src/lib.rs", "#[path = \"../shared/x.rs\"]\nmod x;"), ("tests/shared/x.rs", "")];
        let places = forgotten("", &files);
        // The place is not normalised: such a path has to stay below the declaring file.
        assert_eq!(places, ["tests/shared/x.rs"]);
        let below = [("tests/src/lib.rs", "#[path = \"deep/x.rs\"]\nmod x;"), ("tests/src/deep/x.rs", "")];
        assert_eq!(forgotten("", &below), Vec::<String>::new());
    }

    #[test]
    fn files_of_an_excluded_crate_are_not_ours() {
        assert_eq!(forgotten("", &[("tests/peers/src/main.rs", "")]), Vec::<String>::new());
    }
}
