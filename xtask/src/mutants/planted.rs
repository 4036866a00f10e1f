//! The lists of planted errors: reading them, and putting one into the text of its file.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::LISTS;

/// One planted error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Unique; says what goes wrong.
    pub name: String,
    /// Path in the repository.
    pub file: String,
    /// Text that stands exactly once in the file.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
    /// The statement of the standard that is broken, or what else.
    pub rule: String,
    /// Why no test can notice it, where that is so.
    pub survives: Option<String>,
}

/// A file before and after.
#[derive(Debug, PartialEq, Eq)]
pub struct Planted {
    /// As it is in the repository.
    pub original: String,
    /// With the error.
    pub mutated: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

/// All mutants of all lists, in the order of the files' names.
pub fn read(root: &Path) -> anyhow::Result<Vec<Mutant>> {
    let folder = root.join(LISTS);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .with_context(|| format!("list {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(|| format!("list {}", folder.display()))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let mut mutants = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let list: List = toml::from_str(&text).with_context(|| format!("read the mutants in {}", path.display()))?;
        mutants.extend(list.mutant);
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = mutants.iter().find(|mutant| !names.insert(&mutant.name)) {
        bail!("two mutants are called {}", twice.name);
    }
    Ok(mutants)
}

impl Mutant {
    /// Whether its name, file or rule contains `text`.
    pub fn mentions(&self, text: &str) -> bool {
        [&self.name, &self.file, &self.rule].iter().any(|field| field.contains(text))
    }

    /// Reads its file and plants it there, in memory.
    pub fn planted_in(&self, root: &Path) -> anyhow::Result<Planted> {
        let path = root.join(&self.file);
        let original = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mutated = self.plant(&original)?;
        Ok(Planted { original, mutated })
    }

    fn plant(&self, original: &str) -> anyhow::Result<String> {
        let places = original.matches(&self.find).count();
        ensure!(places == 1, "mutant {}: its text stands {places} times in {}, not once", self.name, self.file);
        ensure!(self.find != self.replace, "mutant {} changes nothing", self.name);
        Ok(original.replacen(&self.find, &self.replace, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(find: &str, replace: &str) -> Mutant {
        Mutant {
            name: "m".to_owned(),
            file: "f.rs".to_owned(),
            find: find.to_owned(),
            replace: replace.to_owned(),
            rule: "r".to_owned(),
            survives: None,
        }
    }

    #[test]
    fn a_mutant_is_planted_where_its_text_stands_exactly_once() {
        assert_eq!(mutant("a < b", "a <= b").plant("if a < b {").unwrap(), "if a <= b {");
        assert!(mutant("a", "b").plant("a a").is_err());
        assert!(mutant("a", "b").plant("c").is_err());
        assert!(mutant("a", "a").plant("a").is_err());
    }

    #[test]
    fn every_mutant_of_the_lists_can_be_planted_and_there_are_many() {
        let root = crate::repository::root();
        let mutants = read(root).unwrap();
        let wrong: Vec<String> = mutants
            .iter()
            .filter_map(|mutant| mutant.planted_in(root).err())
            .map(|error| format!("{error:#}"))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(mutants.len() >= 100, "{}", mutants.len());
    }
}
