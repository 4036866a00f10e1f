//! Tells from a component's imports and exports which world it is for, and names what the node does not provide. Pure.

use serde::Serialize;
use thiserror::Error;

/// Package and version of the interfaces that the node provides.
const PACKAGE: &str = "selvedge:function/";
const VERSION: &str = "@0.1.0";
/// The interface that every function exports.
const HANDLER: &str = "selvedge:function/handler@0.1.0";
/// Interfaces of the world `function`; `types` has no functions and belongs to both worlds.
const CAPABILITIES: [&str; 7] = ["bus", "context", "env", "http", "kv", "log", "twin"];
/// WASI 0.2 packages that are there for language runtimes; see `wasi`.
const WASI_PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// What a function can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Nothing: the outputs depend on the message alone.
    Transform,
    /// The capabilities of the world `function`.
    Function,
}

/// Why a component fits no world.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorldError {
    /// It asks for interfaces that the node does not have.
    #[error(
        "component imports {}, which functions do not have; they have selvedge:function/{{{}}}{VERSION} and WASI 0.2 without sockets and files",
        .0.join(", "),
        CAPABILITIES.join(",")
    )]
    UnknownImports(Vec<String>),
    /// It does not export the handler.
    #[error("component does not export {HANDLER}; it exports {}", list(.0))]
    NoHandler(Vec<String>),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// The world of a component with these import and export names.
pub(crate) fn detect(imports: &[String], exports: &[String]) -> Result<World, WorldError> {
    if !exports.iter().any(|name| name == HANDLER) {
        return Err(WorldError::NoHandler(exports.to_vec()));
    }
    let unknown: Vec<_> =
        imports.iter().filter(|name| !is_types(name) && !is_capability(name) && !is_wasi(name)).cloned().collect();
    if !unknown.is_empty() {
        return Err(WorldError::UnknownImports(unknown));
    }
    Ok(if imports.iter().any(|name| is_capability(name)) { World::Function } else { World::Transform })
}

/// Is it an interface of the virtual WASI?
pub(crate) fn is_wasi(import: &str) -> bool {
    WASI_PACKAGES.iter().any(|package| import.starts_with(package)) && import.contains("@0.2.")
}

fn interface(import: &str) -> Option<&str> {
    import.strip_prefix(PACKAGE)?.strip_suffix(VERSION)
}

fn is_types(import: &str) -> bool {
    interface(import) == Some("types")
}

fn is_capability(import: &str) -> bool {
    interface(import).is_some_and(|interface| CAPABILITIES.contains(&interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(imports: &[&str], exports: &[&str]) -> Result<World, WorldError> {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        detect(&owned(imports), &owned(exports))
    }

    #[test]
    fn types_and_wasi_alone_make_a_transform() {
        assert_eq!(check(&[], &[HANDLER]), Ok(World::Transform));
        assert_eq!(
            check(&["selvedge:function/types@0.1.0", "wasi:io/streams@0.2.6"], &[HANDLER]),
            Ok(World::Transform)
        );
    }

    #[test]
    fn any_capability_makes_a_function() {
        assert_eq!(check(&["selvedge:function/kv@0.1.0"], &[HANDLER, "other"]), Ok(World::Function));
    }

    #[test]
    fn unknown_imports_are_named_all() {
        let error = check(
            &["wasi:http/outgoing-handler@0.2.0", "wasi:io/poll@0.3.0", "selvedge:function/kv@0.2.0"],
            &[HANDLER],
        )
        .unwrap_err();
        let text = error.to_string();
        for name in ["wasi:http/outgoing-handler@0.2.0", "wasi:io/poll@0.3.0", "selvedge:function/kv@0.2.0"] {
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn a_component_without_handler_is_told_what_it_exports() {
        assert!(check(&[], &["wasi:cli/run@0.2.0"]).unwrap_err().to_string().contains("wasi:cli/run@0.2.0"));
        assert!(check(&[], &[]).unwrap_err().to_string().contains("nothing"));
    }
}
