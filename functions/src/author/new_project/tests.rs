use std::fs;
use std::path::Path;

use super::{NewError, NewProject, new_project, template};
use crate::author::{FUNCTION_WIT, Language};

fn project(name: &str, language: Language, directory: &Path) -> NewProject {
    NewProject { name: name.to_owned(), language, directory: Some(directory.to_owned()) }
}

#[test]
fn a_new_project_has_every_file_of_its_template_and_no_placeholder_left() {
    for language in Language::ALL {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        let created = new_project(&project("hall-light", language, &directory)).unwrap();
        assert_eq!(created.files.len(), template(language).len());
        for file in &created.files {
            let text = fs::read_to_string(directory.join(file)).unwrap();
            assert!(!text.contains("{{"), "{} of {language}", file.display());
        }
        assert_eq!(fs::read_to_string(directory.join("wit/function.wit")).unwrap(), FUNCTION_WIT);
        assert!(fs::read_to_string(directory.join("README.md")).unwrap().contains("hall-light"));
        assert!(created.next_steps.iter().any(|step| step == "selvedge fn build"));
    }
}

#[test]
fn the_manifest_of_a_new_project_is_one_that_the_runtime_reads() {
    for language in Language::ALL {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("project");
        new_project(&project("hall-light", language, &directory)).unwrap();
        let text = fs::read_to_string(directory.join("function.toml")).unwrap();
        let manifest = crate::Manifest::parse(&text, &crate::Config::default()).unwrap();
        assert_eq!(manifest.name, "hall-light");
    }
}

#[test]
fn an_existing_empty_directory_is_used() {
    let directory = tempfile::tempdir().unwrap();
    new_project(&project("f", Language::Rust, directory.path())).unwrap();
}

#[test]
fn nothing_that_exists_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("Cargo.toml");
    fs::write(&kept, "mine").unwrap();
    let error = new_project(&project("f", Language::Rust, directory.path())).unwrap_err();
    assert!(matches!(error, NewError::Occupied { .. }), "{error}");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "mine");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    let error = new_project(&project("f", Language::Rust, &kept)).unwrap_err();
    assert!(matches!(error, NewError::Occupied { .. }), "a file where the directory should be: {error}");
}

#[test]
fn a_second_project_of_the_same_name_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("f");
    new_project(&project("f", Language::Rust, &directory)).unwrap();
    assert!(matches!(new_project(&project("f", Language::Rust, &directory)), Err(NewError::Occupied { .. })));
}

#[test]
fn a_name_that_breaks_a_rule_is_refused_with_the_rule_and_nothing_is_written() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("project");
    let too_long = "a".repeat(65);
    for (name, rule) in [
        ("", "it is empty"),
        (too_long.as_str(), "it is longer than 64 bytes"),
        ("9lives", "it does not begin with a lower-case letter"),
        ("-a", "it does not begin with a lower-case letter"),
        ("Hall", "it does not begin with a lower-case letter"),
        ("hall_light", "only lower-case letters, digits and hyphens are allowed"),
        ("a/../b", "only lower-case letters, digits and hyphens are allowed"),
        ("naïve", "only lower-case letters, digits and hyphens are allowed"),
        ("a-", "a hyphen stands between two letters or digits"),
        ("a--b", "a hyphen stands between two letters or digits"),
        ("fn", "it is a word of the Rust language or a library of its own"),
    ] {
        let error = new_project(&project(name, Language::Rust, &directory)).unwrap_err();
        assert_eq!(error.to_string(), format!("{name:?} is no name for a function: {rule}"));
        assert!(!directory.exists());
    }
    new_project(&project(&"a".repeat(64), Language::Rust, &directory)).unwrap();
}
