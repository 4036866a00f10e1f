//! The compiler child: limits itself, reads a component from a file, writes native code to a file, ends.
//!
//! Runs alone in its process. Its standard error is its only words; the exit code says of which kind they are.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use selvedge_priority::make_way;

use super::{EXIT_INVALID, Order};
use crate::engine::settings::{self, Profile};

/// It goes after the node and what runs in it.
const COMPILER_NICE: i32 = 10;
/// Exit code when the child could not read, write or limit itself.
const EXIT_IO: u8 = 74;

/// `main` of the child; `arguments` are those after `internal-compile`, one JSON order made by the parent.
pub fn compile_child_main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let order = arguments.into_iter().next().ok_or_else(|| "no order given".to_owned());
    let order = order.and_then(|text| serde_json::from_str::<Order>(&text).map_err(|error| error.to_string()));
    let outcome = match &order {
        Ok(order) => run(order),
        Err(error) => Err((EXIT_IO, format!("reading the order: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, words)) => {
            eprintln!("{words}");
            ExitCode::from(code)
        }
    }
}

type Failure = (u8, String);

fn run(order: &Order) -> Result<(), Failure> {
    let io_failure = |doing: &str| {
        let doing = doing.to_owned();
        move |error: io::Error| (EXIT_IO, format!("{doing}: {error}"))
    };
    limit_self(order).map_err(io_failure("limiting the compiler"))?;
    let profile =
        Profile::parse(&order.profile).ok_or_else(|| (EXIT_IO, format!("unknown profile {:?}", order.profile)))?;
    let component = std::fs::read(&order.input).map_err(io_failure("reading the component"))?;
    let engine = wasmtime::Engine::new(&settings::compiler(profile))
        .map_err(|error| (EXIT_IO, format!("starting the compiler: {error:#}")))?;
    if wasmtime::Engine::detect_precompiled(&component).is_some() {
        return Err((EXIT_INVALID, "this is native code; deploy the component that it was made from".into()));
    }
    let native = engine.precompile_component(&component).map_err(|error| (EXIT_INVALID, format!("{error:#}")))?;
    write_sparse(order, &native).map_err(io_failure("writing native code"))
}

/// A compiler fed with a hostile component takes no more than this, is the first to go when memory is short, leaves the
/// processor to the node, and dies with it.
fn limit_self(order: &Order) -> io::Result<()> {
    let limit = |resource, bytes| setrlimit(resource, Rlimit { current: Some(bytes), maximum: Some(bytes) });
    limit(Resource::As, order.memory_bytes)?;
    limit(Resource::Cpu, order.cpu_s)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, 16)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    make_way(COMPILER_NICE);
    // Only a preference; a place without /proc does without.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// Sections of native code begin at multiples of 64 KiB on some machines; the zeros between them need no disk.
fn write_sparse(order: &Order, native: &[u8]) -> io::Result<()> {
    const BLOCK_BYTES: usize = 4096;
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&order.output)?;
    for block in native.chunks(BLOCK_BYTES) {
        if block.iter().all(|&byte| byte == 0) {
            file.seek(SeekFrom::Current(block.len() as i64))?;
        } else {
            file.write_all(block)?;
        }
    }
    file.set_len(native.len() as u64)?;
    file.sync_all()
}
