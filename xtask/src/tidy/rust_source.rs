//! Views of Rust source that the rules share: by lines, without a parser.

/// The part before the unit tests at the bottom of a file.
pub fn production(text: &str) -> &str {
    let end = text
        .match_indices("#[cfg(test)]")
        .map(|(position, _)| position)
        .find(|position| *position == 0 || text[..*position].ends_with('\n'));
    &text[..end.unwrap_or(text.len())]
}

/// Lines with their numbers from 1, without what follows `//`.
pub fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, without_comment(line)))
}

fn without_comment(line: &str) -> &str {
    // A `//` inside a string literal is rare and only hides the rest of that line.
    match line.find("//") {
        Some(start) if !line[..start].ends_with(':') => &line[..start],
        _ => line,
    }
}

/// Whether a file holds tests, benches or fuzz targets rather than production code.
pub fn is_test_file(path: &str) -> bool {
    let in_folder = |name: &str| path.split('/').rev().skip(1).any(|part| part == name);
    let file = path.rsplit('/').next().unwrap_or(path);
    file == "tests.rs"
        || in_folder("benches")
        || in_folder("fuzz_targets")
        || (in_folder("tests") && !path.starts_with("tests/src/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_ends_where_the_unit_tests_begin() {
        assert_eq!(production("fn a() {}\n#[cfg(test)]\nmod tests {}\n"), "fn a() {}\n");
        assert_eq!(production("struct A {\n    #[cfg(test)]\n    b: u8,\n}\n").lines().count(), 4);
    }

    #[test]
    fn comments_are_no_code() {
        let lines: Vec<_> = code_lines("a(); // todo\nlet u = \"ws://x\";").collect();
        assert_eq!(lines, [(1, "a(); "), (2, "let u = \"ws://x\";")]);
    }

    #[test]
    fn the_harness_of_the_tests_counts_as_production() {
        assert!(is_test_file("broker/core/tests/scenario.rs") && is_test_file("twin/src/merge/tests.rs"));
        assert!(!is_test_file("tests/src/node.rs") && !is_test_file("xtask/src/test.rs"));
    }
}
