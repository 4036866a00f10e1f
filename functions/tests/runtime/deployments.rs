//! Deploying: what is refused and why, what is replaced, what is there after a restart.

use selvedge_functions::{CompileChild, CompileError, Config, DeployError, FunctionState, Qos, World};

use crate::fixture::{Fixture, PATIENCE, compile_child, eventually, message};
use crate::guest::{self, ECHO, NOTHING, component, manifest, transform};

#[test]
fn garbage_truncated_and_core_modules_are_no_components() {
    let fixture = Fixture::new();
    let good = transform(NOTHING);
    let core = wat::parse_str("(module)").unwrap();
    for (bytes, what) in [
        (vec![], "empty"),
        (b"garbage".to_vec(), "garbage"),
        (good[..good.len() / 2].to_vec(), "truncated"),
        (core, "core module"),
        ([good.clone(), vec![0xff; 10]].concat(), "trailing bytes"),
    ] {
        let error = fixture.try_deploy(&manifest("f", ""), bytes).unwrap_err();
        assert!(matches!(&error, DeployError::Compile(CompileError::Invalid(_))), "{what}: {error}");
    }
    assert!(fixture.runtime().list().is_empty());
    let kept = std::fs::read_dir(fixture.directory.path().join("functions/components")).unwrap().count();
    assert_eq!(kept, 0, "what was refused is not kept");
}

#[test]
fn every_cut_of_a_component_is_refused_or_runs() {
    // Single bytes changed all over: never a crash of the node, whatever the compiler says.
    let fixture = Fixture::new();
    let good = transform(NOTHING);
    for at in (0..good.len()).step_by(good.len() / 12) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        if fixture.try_deploy(&manifest("f", ""), bytes).is_ok() {
            fixture.call("f").ok();
        }
    }
    fixture.deploy(&manifest("f", ""), good);
    fixture.call("f").unwrap();
}

#[test]
fn unknown_imports_are_named() {
    let text = r#"(component
        (import "wasi:http/outgoing-handler@0.2.0" (instance))
        (import "mine" (func))
        (instance $handler)
        (export "selvedge:function/handler@0.1.0" (instance $handler)))"#;
    let error = Fixture::new().try_deploy(&manifest("f", ""), wat::parse_str(text).unwrap()).unwrap_err().to_string();
    assert!(error.contains("wasi:http/outgoing-handler@0.2.0") && error.contains("mine"), "{error}");
}

#[test]
fn a_component_of_another_world_is_told_what_is_missing() {
    let text = r#"(component (instance $run) (export "wasi:cli/run@0.2.0" (instance $run)))"#;
    let error = Fixture::new().try_deploy(&manifest("f", ""), wat::parse_str(text).unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("does not export selvedge:function/handler@0.1.0") && error.contains("wasi:cli/run@0.2.0"),
        "{error}"
    );
}

#[test]
fn a_handler_of_another_type_is_refused() {
    let text = r#"(component
        (core module $m (func (export "h")))
        (core instance $i (instantiate $m))
        (func $h (canon lift (core func $i "h")))
        (instance $handler (export "handle" (func $h)))
        (export "selvedge:function/handler@0.1.0" (instance $handler)))"#;
    let error = Fixture::new().try_deploy(&manifest("f", ""), wat::parse_str(text).unwrap()).unwrap_err();
    assert!(error.to_string().contains("type mismatch"), "{error}");
}

#[test]
fn a_component_that_traps_at_its_start_is_not_deployed() {
    let module = format!(
        r#"(module (memory (export "memory") 1) (func $start unreachable) (start $start)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "selvedge:function/handler@0.1.0#handle") (param i32) (result i32) {NOTHING}))"#
    );
    let fixture = Fixture::new();
    let error = fixture.try_deploy(&manifest("f", ""), guest::encode("transform", &module)).unwrap_err();
    assert!(matches!(&error, DeployError::Start(reason) if reason.contains("unreachable")), "{error}");
    let looping = module.replace("$start unreachable", "$start (loop (br 0))");
    let error = fixture
        .try_deploy(&manifest("f", "[limits]\ntimeout_ms = 50\n"), guest::encode("transform", &looping))
        .unwrap_err();
    assert!(matches!(&error, DeployError::Start(reason) if reason.contains("limits.timeout_ms = 50")), "{error}");
}

#[test]
fn size_and_number_are_bounded() {
    let good = transform(NOTHING);
    let fixture = Fixture::with(Config { component_bytes_max: good.len(), functions_max: 1, ..Config::default() });
    let larger = component("transform", "(data (i32.const 100) \"x\")", NOTHING);
    assert!(matches!(fixture.try_deploy(&manifest("f", ""), larger), Err(DeployError::ComponentTooBig { .. })));
    fixture.deploy(&manifest("f", ""), good.clone());
    assert!(matches!(fixture.try_deploy(&manifest("g", ""), good.clone()), Err(DeployError::TooMany { allowed: 1 })));
    fixture.deploy(&manifest("f", ""), good);
}

#[test]
fn a_wrong_manifest_is_refused_with_its_line() {
    let error = Fixture::new().try_deploy("name = \"f\"\ntriger = 1\n", transform(NOTHING)).unwrap_err().to_string();
    assert!(error.contains("function.toml line 2") && error.contains("triger"), "{error}");
}

#[test]
fn a_failed_deployment_leaves_the_version_before() {
    let fixture = Fixture::new();
    let before = fixture.deploy(&manifest("f", "[grants]\npublish = [\"#\"]\n"), transform(ECHO));
    assert!(!before.replaced && before.warnings.len() == 1);
    assert!(fixture.try_deploy(&manifest("f", ""), b"garbage".to_vec()).is_err());
    assert_eq!(fixture.status("f").digest, before.digest);
    assert_eq!(fixture.call("f").unwrap().outputs, 1);
    let after = fixture.deploy(
        &manifest("f", "version = \"2\"\n").replace(
            "[[trigger]]\nmqtt = \"in/#\"\nversion = \"2\"",
            "version = \"2\"\n[[trigger]]\nmqtt = \"other\"\nqos = 2",
        ),
        transform(NOTHING),
    );
    assert!(after.replaced && after.digest != before.digest);
    let status = fixture.status("f");
    let triggers = status.triggers.unwrap();
    assert_eq!((status.version.as_str(), triggers[0].mqtt.as_str(), triggers[0].qos), ("2", "other", Qos::ExactlyOnce));
    assert_eq!(fixture.call("f").unwrap().outputs, 0);
}

#[test]
fn functions_are_there_after_a_restart() {
    let mut fixture = Fixture::new();
    let deployed = fixture.deploy(&manifest("f", "[grants]\npublish = [\"#\"]\n"), transform(ECHO));
    fixture.reopen();
    let status = fixture.status("f");
    assert_eq!(
        (&status.digest, &status.state, status.world),
        (&deployed.digest, &FunctionState::Ready, Some(World::Transform))
    );
    assert_eq!(fixture.call("f").unwrap().outputs, 1);
    fixture.runtime().remove("f").unwrap();
    fixture.reopen();
    assert!(fixture.runtime().list().is_empty());
    let functions = fixture.directory.path().join("functions");
    for directory in ["components", "native", "deployed"] {
        assert_eq!(std::fs::read_dir(functions.join(directory)).unwrap().count(), 0, "{directory} is empty");
    }
}

#[test]
fn a_damaged_record_breaks_its_function_only() {
    let mut fixture = Fixture::new();
    fixture.deploy(&manifest("good", ""), transform(NOTHING));
    fixture.deploy(&manifest("bad", ""), transform(NOTHING));
    std::fs::write(fixture.directory.path().join("functions/deployed/bad.json"), "{").unwrap();
    fixture.reopen();
    assert!(matches!(fixture.status("bad").state, FunctionState::Broken { reason } if reason.contains("damaged")));
    fixture.call("good").unwrap();
    fixture.deploy(&manifest("bad", ""), transform(NOTHING));
    fixture.call("bad").unwrap();
}

#[test]
fn a_function_that_lowered_limits_refuse_keeps_its_code_and_triggers_until_they_are_raised() {
    let mut fixture = Fixture::new();
    fixture.deploy(&manifest("f", "[limits]\ntimeout_ms = 1000\n"), transform(NOTHING));
    let (triggers, config) = (fixture.status("f").triggers, fixture.config.clone());
    fixture.config.timeout_ms_max = 500;
    fixture.reopen();
    let status = fixture.status("f");
    assert!(matches!(status.state, FunctionState::Broken { .. }), "{:?}", status.state);
    assert_eq!(status.triggers, triggers);
    fixture.deploy(&manifest("g", "[limits]\ntimeout_ms = 100\n"), transform(NOTHING));
    fixture.config = config;
    fixture.reopen();
    assert_eq!(fixture.status("f").state, FunctionState::Ready);
    fixture.call("f").unwrap();
}

#[test]
fn a_compiler_that_takes_too_long_is_stopped() {
    let fixture = Fixture::with(Config { compile_timeout_ms: 50, ..Config::default() });
    let sleeping = CompileChild { executable: "/bin/sh".into(), args: vec!["-c".into(), "exec sleep 1000".into()] };
    let runtime = fixture.open(sleeping);
    let error = runtime.deploy(&manifest("f", ""), transform(NOTHING)).unwrap_err();
    assert!(matches!(error, DeployError::Compile(CompileError::TimedOut { limit_ms: 50 })), "{error}");
}

#[test]
fn a_node_that_stops_does_not_wait_for_the_compiler_and_compiles_at_its_next_start() {
    let mut fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    fixture.stop();
    std::fs::remove_dir_all(fixture.directory.path().join("functions/native")).unwrap();
    let sleeping = CompileChild { executable: "/bin/sh".into(), args: vec!["-c".into(), "exec sleep 1000".into()] };
    let runtime = fixture.open(sleeping);
    std::thread::scope(|scope| {
        // Behind the function that is compiled again.
        let deploying = scope.spawn(|| runtime.deploy(&manifest("g", ""), transform(NOTHING)));
        runtime.stop_compiling();
        let error = deploying.join().unwrap().unwrap_err();
        assert!(matches!(error, DeployError::Compile(CompileError::Stopped)), "{error}");
    });
    assert_eq!(runtime.list()[0].state, FunctionState::Preparing, "it is not broken");
    drop(runtime);
    fixture.reopen();
    eventually("ready", || fixture.status("f").state == FunctionState::Ready);
}

#[test]
fn a_compile_bomb_meets_the_childs_memory_limit() {
    // One function of very many blocks, and a limit that is enough for ordinary ones.
    let step = "(if (i32.load (local.get $i)) (then (local.set $j (i32.add (local.get $j) (local.get $i)))))";
    let bomb = component("transform", "", &format!("{} {NOTHING}", step.repeat(100_000)));
    let fixture = Fixture::with(Config { compile_memory_bytes: 64 << 20, ..Config::default() });
    let error = fixture.try_deploy(&manifest("f", ""), bomb).unwrap_err();
    assert!(matches!(&error, DeployError::Compile(CompileError::OutOfMemory { .. })), "{error}");
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    fixture.call("f").unwrap();
}

#[test]
fn functions_without_native_code_are_compiled_in_the_background_and_messages_wait() {
    let mut fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    fixture.stop();
    let native = fixture.directory.path().join("functions/native");
    std::fs::remove_dir_all(&native).unwrap();
    fixture.reopen();
    let result = fixture.send("f", message("in/a", ""));
    result.recv_timeout(PATIENCE).unwrap().unwrap();
    eventually("ready", || fixture.status("f").state == FunctionState::Ready);
    assert_eq!(std::fs::read_dir(native).unwrap().count(), 2);
}

#[test]
fn a_function_that_cannot_be_compiled_any_more_is_broken_and_says_why() {
    let mut fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    fixture.stop();
    std::fs::remove_dir_all(fixture.directory.path().join("functions/native")).unwrap();
    let runtime = fixture.open(CompileChild { executable: "/nonexistent/compiler".into(), ..compile_child() });
    eventually(
        "broken",
        || matches!(&runtime.list()[0].state, FunctionState::Broken { reason } if reason.contains("/nonexistent/compiler")),
    );
}
