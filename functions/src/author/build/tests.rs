use std::fs;
use std::path::Path;

use super::{BuildError, Language, build, language_of};
use crate::author::program::test_support::write_program;

const VALID: &[u8] = include_bytes!("../../../../examples/scale-transform/scale-transform.wasm");
const MANIFEST: &str = "name = \"f\"\ncomponent = \"out/f.wasm\"\n[[trigger]]\nmqtt = \"a/b\"\n";

/// A JavaScript project whose compiler copies `bytes` to where the component belongs.
fn project(manifest: &str, bytes: &[u8]) -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(project.path().join(name), bytes).unwrap();
    write("function.toml", manifest.as_bytes());
    write("package.json", b"{}");
    write("function.js", b"");
    write("prepared.wasm", bytes);
    let bin = project.path().join("node_modules/.bin");
    fs::create_dir_all(&bin).unwrap();
    let script = "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\ncp prepared.wasm \"$1\"\n";
    write_program(&bin.join("componentize-qjs"), script);
    project
}

fn built_by(directory: &Path) -> Result<super::Built, BuildError> {
    build(directory, &mut |_| {})
}

#[test]
fn a_build_writes_the_component_that_the_manifest_names() {
    let project = project(MANIFEST, VALID);
    let built = built_by(project.path()).unwrap();
    assert_eq!(built.component, project.path().join("out/f.wasm"));
    assert_eq!(fs::read(&built.component).unwrap(), VALID);
    assert_eq!((built.name.as_str(), built.language, built.bytes), ("f", Language::JavaScript, VALID.len() as u64));
    assert_eq!(built.imports, ["selvedge:function/types@0.1.0"]);
    assert_eq!(built.sha256.len(), 64);
}

#[test]
fn without_a_component_in_the_manifest_it_is_named_after_the_function() {
    let project = project(&MANIFEST.replace("component = \"out/f.wasm\"\n", ""), VALID);
    assert_eq!(built_by(project.path()).unwrap().component, project.path().join("f.wasm"));
}

#[test]
fn a_failed_build_leaves_the_previous_component_and_no_other_file() {
    let project = project(MANIFEST, b"\0asm but no component");
    let component = project.path().join("out/f.wasm");
    fs::create_dir(project.path().join("out")).unwrap();
    fs::write(&component, b"previous").unwrap();
    let error = built_by(project.path()).unwrap_err();
    assert!(matches!(error, BuildError::Component { .. }), "{error}");
    assert_eq!(fs::read(&component).unwrap(), b"previous");
    assert_eq!(fs::read_dir(project.path().join("out")).unwrap().count(), 1);
}

#[test]
fn a_missing_manifest_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = built_by(directory.path()).unwrap_err().to_string();
    assert!(text.ends_with("function.toml"), "{text}");
}

#[test]
fn a_wrong_manifest_is_named_and_its_line_is_in_the_source() {
    let project = project("name = \"f\"\nwrong = 1\n", VALID);
    let error = built_by(project.path()).unwrap_err();
    let BuildError::WrongManifest { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.line, Some(2));
}

#[test]
fn the_language_is_that_of_the_files() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(language_of(directory.path()), Err(BuildError::NoLanguage { .. })));
    for (mark, language) in [
        ("function.py", Language::Python),
        ("function.c", Language::C),
        ("package.json", Language::JavaScript),
        ("Cargo.toml", Language::Rust),
    ] {
        fs::write(directory.path().join(mark), "").unwrap();
        assert_eq!(language_of(directory.path()).unwrap(), language, "{mark}");
    }
}
