//! Sections of an ELF object, as far as they have to be the same (System V ABI, chapter 4): 64 bits, little-endian.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

/// Hash by name of section.
pub type Sections = BTreeMap<String, String>;

/// Tables of names and symbols: they only name what the other sections hold.
const NAMES_ONLY: &[&str] = &["", ".strtab", ".symtab", ".shstrtab"];

/// Hashes of the sections that the kernel or the loader reads.
pub fn sections(bytes: &[u8]) -> anyhow::Result<Sections> {
    ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "not an ELF object of 64 bits, little-endian");
    let table = usize::try_from(number(bytes, 40, 8)?)?;
    let (entry, count, names) = (number(bytes, 58, 2)?, number(bytes, 60, 2)?, number(bytes, 62, 2)?);
    let header = |index: u64| -> anyhow::Result<&[u8]> {
        let start = table.checked_add(usize::try_from(index * entry)?).context("a table beyond all bounds")?;
        bytes.get(start..).context("a table of sections beyond the end")
    };
    let names = contents(bytes, header(names)?)?;
    let mut sections = Sections::new();
    for index in 0..count {
        let header = header(index)?;
        let name = names.get(usize::try_from(number(header, 0, 4)?)?..).context("a name beyond the end")?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = std::str::from_utf8(name).context("a name that is no text")?;
        if !NAMES_ONLY.contains(&name) {
            let hash = Sha256::digest(contents(bytes, header)?);
            sections.insert(name.to_owned(), hash.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
    Ok(sections)
}

fn contents<'b>(bytes: &'b [u8], header: &[u8]) -> anyhow::Result<&'b [u8]> {
    let (start, length) = (usize::try_from(number(header, 24, 8)?)?, usize::try_from(number(header, 32, 8)?)?);
    let end = start.checked_add(length).context("a section beyond all bounds")?;
    bytes.get(start..end).context("a section beyond the end")
}

fn number(bytes: &[u8], at: usize, length: usize) -> anyhow::Result<u64> {
    let digits = bytes.get(at..at + length).context("the object ends inside a header")?;
    Ok(digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

/// One sentence for each section that is not the same.
pub fn differences(expected: &Sections, found: &Sections) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let sentence = |name: &String| match (expected.get(name), found.get(name)) {
        (Some(expected), Some(found)) if expected == found => None,
        (Some(_), Some(_)) => Some(format!("section {name} is another one")),
        (Some(_), None) => Some(format!("section {name} is missing")),
        (None, _) => Some(format!("section {name} is new")),
    };
    names.into_iter().filter_map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections_of(pairs: &[(&str, &str)]) -> Sections {
        pairs.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect()
    }

    #[test]
    fn a_section_that_changed_is_named() {
        let expected = sections_of(&[("classifier", "1"), ("maps", "2"), ("xdp", "3")]);
        let found = sections_of(&[("classifier", "9"), ("maps", "2"), (".text", "4")]);
        let sentences = differences(&expected, &found);
        assert_eq!(sentences, ["section .text is new", "section classifier is another one", "section xdp is missing"]);
        assert!(differences(&expected, &expected).is_empty());
    }

    #[test]
    fn the_committed_object_has_the_sections_of_its_programs() {
        let object = std::fs::read(crate::repository::root().join(super::super::OBJECT)).unwrap();
        let found = sections(&object).unwrap();
        for name in ["classifier", "xdp", "maps", "license"] {
            assert!(found.contains_key(name), "{name} in {found:?}");
        }
        let mut changed = object;
        let at = changed.windows(12).position(|window| window == b"Dual MIT/GPL").unwrap();
        changed[at] ^= 1;
        assert_eq!(differences(&found, &sections(&changed).unwrap()), ["section license is another one"]);
    }

    #[test]
    fn what_is_cut_off_or_no_object_is_an_error_and_no_panic() {
        let object = std::fs::read(crate::repository::root().join(super::super::OBJECT)).unwrap();
        assert!(sections(b"\x7fELF").is_err());
        for length in (0..object.len()).step_by(997) {
            let _ = sections(&object[..length]);
        }
    }
}
