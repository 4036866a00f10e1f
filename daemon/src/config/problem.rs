//! What is wrong in a configuration file, told so that the reader can mend it: file, line, key, value, what is allowed.
//! Not where it is found: `load` finds, this module words.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// One mistake in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 when the mistake is not in the file (a flag, the environment).
    pub line: usize,
    /// Dotted key, `mqtt.listen`; empty for a syntax error.
    pub key: String,
    /// What is wrong and what is allowed, without file, line and key.
    pub what: String,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("read the configuration {path}", path = path.display())]
    Read {
        /// File asked for.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file was read and is wrong.
    #[error("{}", listed(path.as_ref(), problems))]
    Invalid {
        /// File that was read; none when only flags or the environment are wrong.
        path: Option<PathBuf>,
        /// All mistakes, by line.
        problems: Vec<Problem>,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.key, self.what) }
    }
}

/// The candidate nearest to `word`, if near enough to be meant.
pub fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

fn listed(path: Option<&PathBuf>, problems: &[Problem]) -> String {
    let file = path.map_or_else(String::new, |path| path.display().to_string());
    problems
        .iter()
        .map(|problem| match (file.is_empty(), problem.line) {
            (true, _) | (_, 0) => problem.to_string(),
            (false, line) => format!("{file}:{line}: {problem}"),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let keys = ["listen", "path", "allow_anonymous"];
        assert_eq!(did_you_mean("lisen", keys.into_iter()), Some("listen"));
        assert_eq!(did_you_mean("lsiten", keys.into_iter()), Some("listen"));
        assert_eq!(did_you_mean("allow_anonymus", keys.into_iter()), Some("allow_anonymous"));
        assert_eq!(did_you_mean("colour", keys.into_iter()), None);
        assert_eq!(did_you_mean("", keys.into_iter()), None);
    }
}
