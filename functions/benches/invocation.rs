//! What a fresh instance per message costs, against the bare floor of the engine in the same run.
//!
//! `cargo bench -p selvedge-functions [-- memory|fresh|cold|throughput|loop]`. Prints instantiate + call per message (p50, p99), loading from the cache, messages a
//! second through the queue, how late a loop is stopped, and the memory of a runtime with 0 and 1 function.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use selvedge_functions::{
    CommitDone, CompileChild, Config, Effects, Host, HostError, InvocationContext, InvocationMessage, KvEntry,
    OfflineState, Runtime, TwinDoc, TwinSection, run_offline,
};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

#[path = "../tests/runtime/guest.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod guest;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("internal-compile") {
        return selvedge_functions::compile_child_main(arguments);
    }
    // Words select parts by name; cargo itself adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wants = |part: &str| words.is_empty() || words.iter().any(|word| part.contains(word.as_str()));
    let directory = tempfile::tempdir().expect("a temporary directory");
    if wants("memory") {
        memory(directory.path());
    }
    if wants("fresh") {
        let floor = floor();
        println!("{:<44} p50 {:>9.2} µs  p99 {:>9.2} µs", "floor: trivial component, bare engine", floor.0, floor.1);
        cases().iter().for_each(|case| fresh(directory.path(), case, floor.0));
    }
    if wants("cold") {
        cases().iter().for_each(|case| cold(directory.path(), case));
    }
    if wants("throughput") {
        throughput(directory.path());
    }
    if wants("loop") {
        stop_of_a_loop(directory.path());
    }
    ExitCode::SUCCESS
}

struct Case {
    name: &'static str,
    manifest: String,
    component: Vec<u8>,
    message: InvocationMessage,
    runs: usize,
}

fn message(topic: &str, payload: &str) -> InvocationMessage {
    InvocationMessage { topic: topic.into(), payload: payload.into(), ..InvocationMessage::default() }
}

fn cases() -> Vec<Case> {
    let example = |name: &'static str, message, runs| {
        let directory: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../examples", name].iter().collect();
        let manifest = std::fs::read_to_string(directory.join("function.toml")).expect("the example's manifest");
        let component = std::fs::read(directory.join(format!("{name}.wasm"))).expect("the example's component");
        Case { name, manifest, component, message, runs }
    };
    let echo = Case {
        name: "echo",
        manifest: guest::manifest("echo", "[grants]\npublish = [\"#\"]\n"),
        component: guest::transform(guest::ECHO),
        message: message("in/a", &"x".repeat(64)),
        runs: 20_000,
    };
    vec![
        echo,
        example("scale-transform", message("raw/a", "213"), 20_000),
        example("unit-alarm", message("sensors/a/temperature", "{\"value\": 71.3, \"unit\": \"F\"}"), 20_000),
        example("c-uplink", message("uplinks/a", "010012085b5b0bc4bd"), 20_000),
        example("js-deadband", message("meters/a/power", "100"), 2_000),
    ]
}

fn child() -> CompileChild {
    CompileChild { executable: std::env::current_exe().expect("own path"), args: vec!["internal-compile".into()] }
}

/// Median and 99th percentile, microseconds.
fn percentiles(mut nanoseconds: Vec<u64>) -> (f64, f64) {
    nanoseconds.sort_unstable();
    let at = |share: f64| nanoseconds[((nanoseconds.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    (at(0.50), at(0.99))
}

/// A component with one function without arguments, in a pool like the node's, nothing else.
fn floor() -> (f64, f64) {
    let text = r#"(component
        (core module $m (memory 1) (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(8).total_core_instances(8).total_memories(8).total_tables(8);
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config).expect("an engine");
    let component = Component::new(&engine, wat::parse_str(text).expect("text")).expect("a component");
    let pre = Linker::<()>::new(&engine).instantiate_pre(&component).expect("linked");
    let runs = (0..20_000).map(|_| {
        let start = Instant::now();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let instance = pre.instantiate(&mut store).expect("an instance");
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").expect("run");
        run.call(&mut store, ()).expect("a call");
        drop(store);
        start.elapsed().as_nanos() as u64
    });
    percentiles(runs.collect())
}

fn fresh(directory: &Path, case: &Case, floor_us: f64) {
    let messages = vec![(case.message.clone(), InvocationContext::default()); case.runs + 100];
    let report = run_offline(
        &directory.join("offline"),
        &child(),
        &Config::default(),
        &case.manifest,
        &case.component,
        messages,
        OfflineState::default(),
    )
    .expect("it runs");
    let failed = report.runs.iter().find_map(|run| run.failure.as_ref());
    assert_eq!(failed, None, "{}", case.name);
    let (p50, p99) = percentiles(report.runs.iter().skip(100).map(|run| run.run_ns).collect());
    let name = format!("fresh instance + call + drop: {}", case.name);
    println!("{name:<44} p50 {p50:>9.2} µs  p99 {p99:>9.2} µs  {:.1} × floor", p50 / floor_us);
}

/// Opening a runtime with one function whose native code is at hand, against opening one with none.
fn cold(directory: &Path, case: &Case) {
    let place = directory.join(format!("cold-{}", case.name));
    let start = Instant::now();
    Runtime::open(place.clone(), child(), Config::default(), Arc::new(NoHost))
        .expect("open")
        .deploy(&case.manifest, case.component.clone())
        .expect("deploy");
    let deploy = start.elapsed();
    let times = (0..20).map(|_| {
        let start = Instant::now();
        let runtime = Runtime::open(place.clone(), child(), Config::default(), Arc::new(NoHost)).expect("open");
        let opened = start.elapsed();
        call(&runtime, &case.manifest, case.message.clone());
        (opened.as_nanos() as u64, (start.elapsed() - opened).as_nanos() as u64)
    });
    let (opened, called): (Vec<_>, Vec<_>) = times.unzip();
    println!(
        "{:<44} open + engine + load p50 {:.0} µs, first message p50 {:.0} µs, deploy with compilation {:.0} ms",
        format!("cold from cache: {}", case.name),
        percentiles(opened).0,
        percentiles(called).0,
        deploy.as_secs_f64() * 1000.0
    );
}

fn name_in(manifest: &str) -> &str {
    manifest.lines().find_map(|line| line.strip_prefix("name = ")).expect("a name").trim_matches('"')
}

fn call(runtime: &Runtime, manifest: &str, message: InvocationMessage) {
    let (sender, receiver) = channel();
    let done = Box::new(move |result| {
        let _ = sender.send(result);
    });
    runtime.invoke(name_in(manifest), message, InvocationContext::default(), done);
    receiver.recv().expect("an end").expect("ok");
}

/// Messages through queue, worker and commit, never more than 512 waiting.
fn throughput(directory: &Path) {
    const MESSAGES: usize = 100_000;
    for case in cases().into_iter().take(4) {
        let runtime = Runtime::open(
            directory.join(format!("throughput-{}", case.name)),
            child(),
            Config::default(),
            Arc::new(NoHost),
        )
        .expect("open");
        runtime.deploy(&case.manifest, case.component.clone()).expect("deploy");
        let waiting = Arc::new((Mutex::new(0_usize), Condvar::new()));
        let start = Instant::now();
        for _ in 0..MESSAGES {
            let (count, changed) = &*waiting;
            let mut count = changed.wait_while(count.lock().expect("lock"), |count| *count >= 512).expect("lock");
            *count += 1;
            drop(count);
            let done = waiting.clone();
            let done = Box::new(move |result: selvedge_functions::InvocationResult| {
                result.expect("ok");
                *done.0.lock().expect("lock") -= 1;
                done.1.notify_one();
            });
            runtime.invoke(name_in(&case.manifest), case.message.clone(), InvocationContext::default(), done);
        }
        let _all = waiting.1.wait_while(waiting.0.lock().expect("lock"), |count| *count > 0).expect("lock");
        let a_second = MESSAGES as f64 / start.elapsed().as_secs_f64();
        println!(
            "{:<44} {a_second:.0} messages a second, one function, one at a time",
            format!("through the queue: {}", case.name)
        );
    }
}

fn stop_of_a_loop(directory: &Path) {
    const LIMIT: Duration = Duration::from_millis(50);
    let manifest = guest::manifest("loops", "[limits]\ntimeout_ms = 50\n[retry]\nattempts = 1\n");
    let component = guest::transform("(loop (br 0)) unreachable");
    let messages = vec![(message("in/a", ""), InvocationContext::default()); 40];
    let report = run_offline(
        &directory.join("offline"),
        &child(),
        &Config::default(),
        &manifest,
        &component,
        messages,
        OfflineState::default(),
    )
    .expect("it runs");
    let late: Vec<u64> = report.runs.iter().map(|run| run.run_ns.saturating_sub(LIMIT.as_nanos() as u64)).collect();
    let worst_ms = *late.iter().max().expect("runs") as f64 / 1e6;
    println!(
        "{:<44} p50 {:.1} ms after the deadline, worst of {} {worst_ms:.1} ms",
        "loop {} is stopped",
        percentiles(late.clone()).0 / 1000.0,
        late.len()
    );
}

/// PSS of this process, KiB.
fn pss_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("smaps_rollup");
    let line = text.lines().find(|line| line.starts_with("Pss:")).expect("Pss");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn memory(directory: &Path) {
    let [echo, _, rust, c, javascript]: [Case; 5] = cases().try_into().ok().expect("five cases");
    let before = pss_kib();
    let place = directory.join("memory");
    let runtime = Runtime::open(place.clone(), child(), Config::default(), Arc::new(NoHost)).expect("open");
    let mut report = vec![("0 functions".to_owned(), pss_kib() - before)];
    for case in [echo, rust, c, javascript] {
        runtime.deploy(&case.manifest, case.component.clone()).expect("deploy");
        for _ in 0..100 {
            call(&runtime, &case.manifest, case.message.clone());
        }
        let Case { name, component, manifest, .. } = case;
        drop((component, manifest));
        report.push((format!("+ {name}"), pss_kib().saturating_sub(before)));
    }
    drop(runtime);
    let runtime = Runtime::open(place, child(), Config::default(), Arc::new(NoHost)).expect("open");
    report.push(("after a restart with all of them".into(), pss_kib().saturating_sub(before)));
    drop(runtime);
    for (what, kib) in report {
        println!("{:<44} {kib} KiB above the empty process", format!("memory (PSS): {what}"));
    }
}

/// A host that has nothing and commits at once.
struct NoHost;

impl Host for NoHost {
    fn now_ms(&self) -> u64 {
        1_000
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }

    fn kv_get(&self, _function: &str, _key: &str) -> Result<Option<KvEntry>, HostError> {
        Ok(None)
    }

    fn kv_list(
        &self,
        _function: &str,
        _prefix: &str,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Vec<String>, HostError> {
        Ok(Vec::new())
    }

    fn twin_get(&self, _device: &str, _section: TwinSection, _path: &str) -> Result<Option<TwinDoc>, HostError> {
        Ok(None)
    }

    fn commit(&self, _effects: Effects, done: CommitDone) {
        done.end(Ok(()));
    }
}
