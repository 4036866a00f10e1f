use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::{component, tool};
use crate::author::build::BuildError;
use crate::author::program::test_support::write_program;

const VALID: &[u8] = include_bytes!("../../../../../examples/scale-transform/scale-transform.wasm");

/// A project whose compiler is a shell script, in an environment of its own. `$output` is where the component belongs.
fn project(script: &str) -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    fs::write(project.path().join("function.py"), "").unwrap();
    fs::write(project.path().join("valid.wasm"), VALID).unwrap();
    let bin = project.path().join(".venv/bin");
    fs::create_dir_all(&bin).unwrap();
    let script = format!("#!/bin/sh\narguments=\"$*\"\nfor output in \"$@\"; do :; done\n{script}\n");
    write_program(&bin.join("componentize-py"), &script);
    project
}

#[test]
fn a_missing_compiler_is_named_with_the_command_that_installs_it() {
    let directory = tempfile::tempdir().unwrap();
    let error = tool(directory.path(), None, OsStr::new("/no/such/directory")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "componentize-py is not installed; this installs it: pip install componentize-py==0.25.1"
    );
}

#[test]
fn the_chosen_compiler_wins_over_the_projects_over_that_of_path() {
    let project = project("exit 0");
    let path = project.path().join("path");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("componentize-py"), "").unwrap();
    assert_eq!(tool(project.path(), Some("chosen".into()), path.as_os_str()).unwrap(), "chosen");
    let own = tool(project.path(), None, path.as_os_str()).unwrap();
    assert!(Path::new(&own).ends_with(".venv/bin/componentize-py"), "{own:?}");
    fs::remove_dir_all(project.path().join(".venv")).unwrap();
    assert_eq!(tool(project.path(), None, path.as_os_str()).unwrap(), path.join("componentize-py"));
}

#[test]
fn what_the_compiler_leaves_is_the_component() {
    let project = project(r#"case "$arguments" in *"componentize function "*) cp valid.wasm "$output" ;; esac"#);
    assert_eq!(component(project.path(), &mut |_| {}).unwrap(), VALID);
}

#[test]
fn a_compiler_that_fails_is_shown_and_reported_and_one_that_leaves_nothing_is_an_error() {
    let failing = project("echo 'SyntaxError: invalid syntax' >&2; exit 1");
    let mut shown = Vec::new();
    let error = component(failing.path(), &mut |line| shown.push(line.to_owned())).unwrap_err();
    assert_eq!(shown, ["SyntaxError: invalid syntax"]);
    assert!(matches!(error, BuildError::Failed { tail, .. } if tail == "SyntaxError: invalid syntax"));

    let error = component(project("exit 0").path(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("left no component"), "{error}");
}

#[test]
fn a_new_project_asks_for_the_version_that_the_error_names() {
    let requirements = include_str!("../../templates/python/requirements.txt");
    assert_eq!(requirements.trim(), format!("{}=={}", super::TOOL, super::TOOL_VERSION));
}
