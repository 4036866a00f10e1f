//! No god files: a file of production code past the limit holds two ideas.

use super::{Finding, rust_source};
use crate::repository::Tree;

/// Lines of production code at which a file is an error.
const LINES_MAX: usize = 600;
/// Lines of production code from which a file is worth a second look.
const LINES_AIM: usize = 400;

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.with_extension("rs")
        .filter(|(path, _)| !rust_source::is_test_file(path))
        .filter_map(|(path, text)| {
            let lines = rust_source::production(text).lines().count();
            if lines > LINES_MAX {
                Some(Finding::error(path, format!("{lines} lines of production code, at most {LINES_MAX}")))
            } else if lines > LINES_AIM {
                Some(Finding::warning(path, format!("{lines} lines of production code, aim at {LINES_AIM}")))
            } else {
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::Weight;

    fn weights(lines: usize, tail: &str) -> Vec<Weight> {
        let text = "fn a() {}\n".repeat(lines) + tail;
        check(&Tree::of(&[("a/src/b.rs", &text)])).iter().map(|finding| finding.weight).collect()
    }

    #[test]
    fn a_file_is_refused_above_600_lines_and_mentioned_above_400() {
        assert_eq!(weights(400, ""), []);
        assert_eq!(weights(401, ""), [Weight::Warning]);
        assert_eq!(weights(600, ""), [Weight::Warning]);
        assert_eq!(weights(601, ""), [Weight::Error]);
    }

    #[test]
    fn unit_tests_do_not_count() {
        assert_eq!(weights(400, &format!("#[cfg(test)]\n{}", "// test\n".repeat(500))), []);
    }
}
