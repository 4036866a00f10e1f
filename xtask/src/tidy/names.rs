//! Names of files say what is inside; names that fit anything are refused.

use super::Finding;
use crate::repository::Tree;

const FORBIDDEN: &[&str] = &["utils", "util", "common", "helpers", "helper", "types", "misc", "manager"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.with_extension("rs").filter_map(|(path, _)| finding(path)).collect()
}

fn finding(path: &str) -> Option<Finding> {
    if path == "mod.rs" || path.ends_with("/mod.rs") {
        return Some(Finding::error(path, "x.rs beside x/, not x/mod.rs"));
    }
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let bad = stem.split('/').find(|part| part.split('_').any(|word| FORBIDDEN.contains(&word)))?;
    Some(Finding::error(path, format!("`{bad}` fits anything; name what is inside")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mod_file_and_names_that_fit_anything_are_found() {
        for path in
            ["store/src/journal/mod.rs", "store/src/utils.rs", "store/src/helpers/a.rs", "store/src/session_manager.rs"]
        {
            assert_eq!(check(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
    }

    #[test]
    fn a_name_that_only_contains_such_a_word_is_fine() {
        assert_eq!(check(&Tree::of(&[("a/src/utility_meter.rs", ""), ("a/src/model.rs", "")])).len(), 0);
    }
}
