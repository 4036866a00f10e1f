use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::{component, entry_file, tool};
use crate::author::build::BuildError;
use crate::author::program::test_support::write_program;

const VALID: &[u8] = include_bytes!("../../../../../examples/scale-transform/scale-transform.wasm");

/// A project whose compiler is a shell script.
fn project(script: &str) -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    fs::write(project.path().join("package.json"), r#"{"main": "function.js"}"#).unwrap();
    fs::write(project.path().join("function.js"), "").unwrap();
    fs::write(project.path().join("valid.wasm"), VALID).unwrap();
    let bin = project.path().join("node_modules/.bin");
    fs::create_dir_all(&bin).unwrap();
    let compiler = bin.join("componentize-qjs");
    write_program(&compiler, &format!("#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\n{script}\n"));
    project
}

#[test]
fn a_missing_compiler_is_named_with_the_command_that_installs_it() {
    let directory = tempfile::tempdir().unwrap();
    let error = tool(directory.path(), None, OsStr::new("/no/such/directory")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("npm install --prefix {} ", directory.path().display())), "{text}");
    assert!(text.contains("componentize-qjs@0.4.5"), "{text}");
}

#[test]
fn the_chosen_compiler_wins_over_the_projects_over_that_of_path() {
    let project = project("exit 0");
    let inner = project.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let path = project.path().join("path");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("componentize-qjs"), "").unwrap();

    assert_eq!(tool(&inner, Some("chosen".into()), path.as_os_str()).unwrap(), "chosen");
    let of_project = tool(&inner, None, path.as_os_str()).unwrap();
    assert!(Path::new(&of_project).ends_with("node_modules/.bin/componentize-qjs"), "{of_project:?}");

    fs::remove_dir_all(project.path().join("node_modules")).unwrap();
    assert_eq!(tool(&inner, None, path.as_os_str()).unwrap(), path.join("componentize-qjs"));
}

#[test]
fn what_the_compiler_leaves_is_the_component() {
    let project = project(r#"cp valid.wasm "$1""#);
    assert_eq!(component(project.path(), &mut |_| {}).unwrap(), VALID);
}

#[test]
fn a_compiler_that_fails_is_shown_and_reported() {
    let project = project("echo 'SyntaxError in line 3' >&2; exit 1");
    let mut shown = Vec::new();
    let error = component(project.path(), &mut |line| shown.push(line.to_owned())).unwrap_err();
    assert_eq!(shown, ["SyntaxError in line 3"]);
    assert!(matches!(error, BuildError::Failed { tail, .. } if tail == "SyntaxError in line 3"));
}

#[test]
fn a_compiler_that_leaves_nothing_is_an_error() {
    let project = project("exit 0");
    let error = component(project.path(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("left no component"), "{error}");
}

#[test]
fn an_entry_file_outside_of_the_project_or_not_there_is_refused() {
    let project = project("exit 0");
    let package = project.path().join("package.json");
    for (text, refused) in [
        (r#"{"main": "../other.js"}"#, true),
        (r#"{"main": "/etc/passwd"}"#, true),
        (r#"{"main": 7}"#, true),
        ("not json", true),
        (r#"{"main": "./src/function.js"}"#, false),
        ("{}", false),
    ] {
        fs::write(&package, text).unwrap();
        assert_eq!(entry_file(&package).is_err(), refused, "{text}");
    }
    fs::write(&package, r#"{"main": "gone.js"}"#).unwrap();
    let error = component(project.path(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("gone.js"), "{error}");
}
