//! Native code is loaded only when this node made it.

use std::fs;
use std::path::PathBuf;

use selvedge_functions::{FunctionState, InvocationError};

use crate::fixture::{Fixture, eventually};
use crate::guest::{NOTHING, component, manifest, transform};

fn native_files(fixture: &Fixture, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(fixture.directory.path().join("functions/native")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// Deploys, stops, spoils, opens again with a compiler that is not there: what was spoiled must not run.
#[track_caller]
fn check_not_loaded(spoil: impl FnOnce(&Fixture)) {
    let mut fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    fixture.stop();
    spoil(&fixture);
    let runtime = fixture.open(selvedge_functions::CompileChild { executable: "/nonexistent".into(), args: vec![] });
    eventually("broken", || matches!(runtime.list()[0].state, FunctionState::Broken { .. }));
    drop(runtime);
    fixture.reopen();
    fixture.call("f").unwrap();
}

#[test]
fn a_changed_byte_is_refused_and_the_code_made_again() {
    check_not_loaded(|fixture| {
        let path = &native_files(fixture, "cwasm")[0];
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    });
}

#[test]
fn a_truncated_file_is_refused() {
    check_not_loaded(|fixture| {
        let path = &native_files(fixture, "cwasm")[0];
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    });
}

#[test]
fn a_missing_or_short_mac_is_refused() {
    check_not_loaded(|fixture| fs::remove_file(&native_files(fixture, "mac")[0]).unwrap());
    check_not_loaded(|fixture| fs::write(&native_files(fixture, "mac")[0], "").unwrap());
}

#[test]
fn native_code_of_another_function_under_this_name_is_refused() {
    check_not_loaded(|fixture| {
        let other = Fixture::new();
        other.deploy(&manifest("f", ""), transform("(drop (i32.const 7)) (i32.const 16)"));
        for extension in ["cwasm", "mac"] {
            fs::copy(&native_files(&other, extension)[0], &native_files(fixture, extension)[0]).unwrap();
        }
    });
}

#[test]
fn another_key_makes_all_native_code_void() {
    check_not_loaded(|fixture| fs::remove_file(fixture.directory.path().join("functions/mac.key")).unwrap());
    check_not_loaded(|fixture| fs::write(fixture.directory.path().join("functions/mac.key"), "half").unwrap());
}

#[test]
fn files_are_for_the_nodes_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    let functions = fixture.directory.path().join("functions");
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(functions.join("mac.key")), 0o600);
    for path in native_files(&fixture, "cwasm") {
        assert_eq!(mode(path), 0o600);
    }
    for directory in ["native", "components", "deployed"] {
        assert_eq!(mode(functions.join(directory)), 0o700);
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let mut fixture = Fixture::new();
    fixture.stop();
    let functions = fixture.directory.path().join("functions");
    fs::set_permissions(functions.join("mac.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let child = crate::fixture::compile_child();
    let error = selvedge_functions::Runtime::open(functions, child, fixture.config.clone(), fixture.host.clone())
        .err()
        .unwrap();
    assert!(format!("{:?}", error).contains("can be read by others"), "{error:?}");
}

#[test]
fn native_code_cannot_be_deployed() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    let native = fs::read(&native_files(&fixture, "cwasm")[0]).unwrap();
    let error = fixture.try_deploy(&manifest("g", ""), native).unwrap_err().to_string();
    assert!(error.contains("this is native code"), "{error}");
}

#[test]
fn code_beyond_what_may_stay_in_memory_is_loaded_again_with_the_next_message() {
    let mut config = Fixture::new().config;
    config.loaded_max = 1;
    let mut fixture = Fixture::with(config);
    for name in ["f", "g", "h"] {
        fixture.deploy(&manifest(name, &format!("[config]\nname = \"{name}\"\n")), transform(NOTHING));
    }
    for _ in 0..3 {
        ["f", "g", "h"].iter().for_each(|name| drop(fixture.call(name).unwrap()));
    }
    fixture.reopen();
    ["f", "g", "h"].iter().for_each(|name| drop(fixture.call(name).unwrap()));
}

#[test]
fn code_that_is_not_there_any_more_when_it_is_wanted_is_made_again_and_the_message_waits() {
    let mut config = Fixture::new().config;
    config.loaded_max = 1;
    let fixture = Fixture::with(config);
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    let code = native_files(&fixture, "cwasm");
    fixture.deploy(&manifest("other", ""), component("transform", "(data (i32.const 100) \"other\")", NOTHING));
    code.iter().for_each(|path| fs::write(path, "not code").unwrap());
    let waits = fixture.call("f").unwrap_err();
    assert!(matches!(waits, InvocationError::NotReady { .. }) && waits.deliver_again(), "{waits:?}");
    eventually("code made again", || fixture.status("f").state == FunctionState::Ready);
    fixture.call("f").unwrap();
}
