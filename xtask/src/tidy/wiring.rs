//! Parts of the daemon meet in `daemon/src/wiring` only.

use std::collections::BTreeSet;

use super::{Finding, rust_source};
use crate::repository::Tree;

/// Crates by the part they belong to; the bench is a command and not a part of the running node.
const PARTS: &[(&str, &str)] = &[
    ("selvedge_broker", "broker"),
    ("selvedge_core", "broker"),
    ("selvedge_codec", "broker"),
    ("selvedge_functions", "functions"),
    ("selvedge_twin", "twin"),
    ("selvedge_store", "store"),
    ("selvedge_ota", "ota"),
    ("selvedge_ebpf", "ebpf"),
    ("selvedge_uplink", "uplink"),
];

/// Where several parts may be named.
const WIRING: [&str; 2] = ["daemon/src/wiring.rs", "daemon/src/wiring/"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.with_extension("rs")
        .filter(|(path, _)| path.starts_with("daemon/src/"))
        .filter(|(path, _)| *path != WIRING[0] && !path.starts_with(WIRING[1]))
        .filter_map(|(path, text)| {
            let parts = named_parts(text);
            let list = parts.iter().copied().collect::<Vec<_>>().join(", ");
            (parts.len() > 1)
                .then(|| Finding::error(path, format!("names several parts ({list}); only daemon/src/wiring may")))
        })
        .collect()
}

fn named_parts(text: &str) -> BTreeSet<&'static str> {
    rust_source::code_lines(rust_source::production(text))
        .flat_map(|(_, line)| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter_map(|word| PARTS.iter().find(|(name, _)| *name == word).map(|(_, part)| *part))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_PARTS: &str = "use selvedge_twin::Twins;\nfn f(store: &selvedge_store::Store) {}\n";

    #[test]
    fn a_file_that_names_two_parts_is_found() {
        assert_eq!(check(&Tree::of(&[("daemon/src/http/twins.rs", TWO_PARTS)])).len(), 1);
    }

    #[test]
    fn wiring_may_name_them_and_one_part_is_fine_anywhere() {
        let one_part = "use selvedge_core::Core;\nuse selvedge_broker::Broker;\n// not selvedge_twin\n";
        let tree = Tree::of(&[("daemon/src/wiring/twins.rs", TWO_PARTS), ("daemon/src/http.rs", one_part)]);
        assert_eq!(check(&tree).len(), 0);
    }

    #[test]
    fn a_file_that_only_looks_like_wiring_is_found() {
        assert_eq!(check(&Tree::of(&[("daemon/src/wiring_more.rs", TWO_PARTS)])).len(), 1);
    }
}
