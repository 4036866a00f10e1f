//! Documents name only what exists: backticked paths and relative links.

use super::Finding;
use crate::repository::Tree;

/// Ends of names that make a word with a slash a path, whatever its first folder.
const SOURCE_ENDS: &[&str] = &[".rs", ".toml", ".md", ".wit", ".py", ".mjs", ".js", ".sh", ".service"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let documents = tree
        .with_extension("md")
        .filter(|(path, _)| ["ARCHITECTURE.md", "README.md"].contains(path) || path.starts_with("docs/"));
    for (document, text) in documents {
        for (line, content) in prose_lines(text) {
            for path in backticked(content).filter(|word| is_path(tree, word)) {
                if !tree.exists(path) {
                    findings.push(Finding::error(format!("{document}:{line}"), format!("`{path}` does not exist")));
                }
            }
            for target in links(content) {
                let resolved = resolve(document, target);
                if !resolved.is_some_and(|path| tree.exists(&path)) {
                    findings.push(Finding::error(
                        format!("{document}:{line}"),
                        format!("the link to {target} leads nowhere"),
                    ));
                }
            }
        }
    }
    findings
}

/// Lines outside fenced blocks.
fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

fn backticked(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_path(tree: &Tree, word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let Some((first, _)) = word.split_once('/') else {
        return false;
    };
    let generated = ["target", ""].contains(&first);
    plain && !generated && (tree.exists(first) || SOURCE_ENDS.iter().any(|end| word.ends_with(end)))
}

/// Targets of links that stay in the repository, without their anchors.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")).then_some(target)
    })
}

fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(document: &str, text: &str) -> Vec<String> {
        let tree = Tree::of(&[(document, text), ("broker/src/lib.rs", ""), ("docs/decisions/store.md", "")]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_backticked_path_that_does_not_exist_is_found() {
        assert_eq!(found("ARCHITECTURE.md", "`broker/src/lib.rs`, `broker/src`").len(), 0);
        assert_eq!(found("ARCHITECTURE.md", "`broker/src/gone.rs`").len(), 1);
        assert_eq!(found("docs/a.md", "`brokers/src/lib.rs`").len(), 1, "a wrong first folder");
    }

    #[test]
    fn words_that_are_no_paths_are_left_alone() {
        let text =
            "`/livez` `application/json` `$twin/{thing}/get` `target/debug/selvedge` `a` `cargo run -p broker/x`";
        assert_eq!(found("docs/a.md", text), Vec::<String>::new());
    }

    #[test]
    fn commands_in_fenced_blocks_are_left_alone() {
        assert_eq!(found("README.md", "```\n`broker/none.rs`\n```\n").len(), 0);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        assert_eq!(
            found("docs/a.md", "[s](decisions/store.md#why) [b](../broker/src/lib.rs) [w](https://a.b/c)").len(),
            0
        );
        assert_eq!(found("docs/a.md", "[s](decisions/gone.md)").len(), 1);
    }
}
