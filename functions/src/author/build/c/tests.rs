use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::Path;
use std::{env, fs};

use super::{clang, compile, sources_in};
use crate::author::build::{BuildError, build};
use crate::author::program::test_support::write_program;
use crate::author::{Language, NewProject, new_project};

/// A new project, with other text in place of its function where there is some.
fn project(function: Option<&str>) -> tempfile::TempDir {
    let parent = tempfile::tempdir().unwrap();
    let directory = Some(parent.path().to_owned());
    new_project(&NewProject { name: "hall-heat".into(), language: Language::C, directory }).unwrap();
    if let Some(text) = function {
        fs::write(parent.path().join("function.c"), text).unwrap();
    }
    parent
}

/// Builds where clang is; what it said is given back, too.
fn built(directory: &Path) -> Option<(Result<crate::author::Built, BuildError>, String)> {
    if let Err(missing) = clang(directory, env::var_os("CLANG"), &env::var_os("PATH").unwrap_or_default()) {
        // Not `println!`, which nobody sees of a test that passes.
        let _ = writeln!(io::stdout(), "SKIPPED tests of projects in C: {missing}");
        return None;
    }
    let mut said = String::new();
    let built = build(directory, &mut |line| said.push_str(&format!("{line}\n")));
    Some((built, said))
}

#[test]
fn a_missing_compiler_or_linker_is_named_with_the_command_that_installs_it() {
    let directory = tempfile::tempdir().unwrap();
    let (nowhere, path) = (OsStr::new("/no/such/directory"), directory.path().as_os_str());
    let missing = |chosen: Option<OsString>, path| clang(directory.path(), chosen, path).unwrap_err().to_string();
    assert!(missing(None, nowhere).ends_with("apt-get install clang lld"));
    assert!(missing(Some("/no/such/clang".into()), nowhere).ends_with("apt-get install clang lld"));

    write_program(&directory.path().join("clang"), "#!/bin/sh\necho wasm-ld\n");
    let text = missing(None, path);
    assert!(text.contains("wasm-ld") && text.ends_with("apt-get install lld"), "{text}");

    write_program(&directory.path().join("wasm-ld"), "#!/bin/sh\n");
    assert_eq!(clang(directory.path(), None, path).unwrap(), directory.path().join("clang"));
}

#[test]
fn a_compiler_that_fails_is_shown_and_reported_and_one_that_leaves_nothing_is_an_error() {
    let project = project(None);
    let compiler = project.path().join("compiler");
    let compiled = |shown: &mut Vec<String>| {
        compile(compiler.as_os_str(), project.path(), &mut |line| shown.push(line.to_owned())).unwrap_err()
    };
    let mut shown = Vec::new();
    write_program(&compiler, "#!/bin/sh\necho 'function.c:3: no such word' >&2\nexit 1\n");
    assert!(matches!(compiled(&mut shown), BuildError::Failed { tail, .. } if tail.ends_with("no such word")));
    assert_eq!(shown, ["function.c:3: no such word"]);

    write_program(&compiler, "#!/bin/sh\nexit 0\n");
    assert!(compiled(&mut shown).to_string().contains("left no module"));
}

#[test]
fn the_compiler_gets_every_source_in_one_order_and_the_flags_of_the_project() {
    let project = project(None);
    let compiler = project.path().join("compiler");
    write_program(&compiler, "#!/bin/sh\necho \"$@\" >&2\nexit 1\n");
    let arguments = |project: &Path| match compile(compiler.as_os_str(), project, &mut |_| {}).unwrap_err() {
        BuildError::Failed { tail, .. } => tail,
        other => panic!("{other}"),
    };
    let line = arguments(project.path());
    assert!(
        line.contains(" function.c number.c bindings/function.c freestanding/interface.c freestanding/memory.c "),
        "{line}"
    );
    assert!(line.contains(" @compile_flags.txt -I bindings -I freestanding "), "{line}");

    fs::remove_file(project.path().join("compile_flags.txt")).unwrap();
    fs::remove_dir_all(project.path().join("bindings")).unwrap();
    let line = arguments(project.path());
    assert!(!line.contains('@') && !line.contains(" bindings/function.c"), "{line}");
    assert!(
        line.contains("/bindings/function.c freestanding/interface.c freestanding/memory.c"),
        "those embedded here: {line}"
    );
}

#[test]
fn only_sources_are_compiled() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.c", "a.c", "a.h", "c", "notes.c.txt"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    assert_eq!(sources_in(folder.path(), Path::new("")).unwrap(), [Path::new("a.c"), Path::new("b.c")]);
}

#[test]
fn a_new_project_builds_to_the_same_bytes_wherever_it_is() {
    let (one, other) = (project(None), project(None));
    let Some((built_one, said)) = built(one.path()) else { return };
    let built_one = built_one.unwrap();
    assert_eq!(said, "", "no warning");
    let of = |name: &str| format!("selvedge:function/{name}@0.1.0");
    assert_eq!(built_one.imports, [of("types"), of("log"), of("kv"), of("env")], "only what it calls");
    assert!(built_one.bytes < 20_000, "{} bytes", built_one.bytes);

    // Without the folders that `fn new` wrote it is built with those embedded here, which are the same.
    fs::remove_dir_all(other.path().join("bindings")).unwrap();
    fs::remove_dir_all(other.path().join("freestanding")).unwrap();
    fs::remove_dir_all(other.path().join("wit")).unwrap();
    let (built_other, _) = built(other.path()).unwrap();
    assert_eq!(built_other.unwrap().sha256, built_one.sha256);
}

#[test]
fn a_mistake_is_shown_in_the_compilers_words() {
    let project = project(Some("#include \"function.h\"\nint x = ;\n"));
    let Some((result, said)) = built(project.path()) else { return };
    assert!(matches!(result, Err(BuildError::Failed { .. })), "{result:?}");
    assert!(said.contains("function.c:2:9: error: expected expression"), "{said}");
}

#[test]
fn what_no_c_library_brings_is_named_by_the_linker() {
    let call = "int printf(const char *, ...);\nbool exports_selvedge_function_handler_handle(\
                exports_selvedge_function_handler_message_t *m, exports_selvedge_function_handler_list_message_t *r, \
                exports_selvedge_function_handler_failure_t *e) { (void)m; (void)r; (void)e; return printf(\"x\"); }\n";
    let project = project(Some(&format!("#include \"function.h\"\n{call}")));
    let Some((result, said)) = built(project.path()) else { return };
    assert!(matches!(result, Err(BuildError::Failed { .. })), "{result:?}");
    assert!(said.contains("undefined symbol: printf"), "{said}");
}

#[test]
fn a_project_without_a_handler_does_not_link() {
    let project = project(Some("\n"));
    let Some((result, said)) = built(project.path()) else { return };
    assert!(matches!(result, Err(BuildError::Failed { .. })), "{result:?}");
    assert!(said.contains("undefined symbol: exports_selvedge_function_handler_handle"), "{said}");
}

#[test]
fn an_interface_that_is_none_is_named() {
    let project = project(None);
    fs::write(project.path().join("wit/function.wit"), "package a:b; world other {}").unwrap();
    let Some((result, _)) = built(project.path()) else { return };
    let error = result.unwrap_err().to_string();
    assert!(error.contains("wit/function.wit"), "{error}");
}
