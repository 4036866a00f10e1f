//! A virtual WASI 0.2, enough for language runtimes to start: clock, randomness, standard output into the function's log.
//!
//! Not a WASI: no files, no sockets, no arguments, no environment, no waiting (pollables are ready at once). What is not
//! here traps when it is called, by name. In the world `transform` clock and randomness have fixed values, so that the
//! outputs depend on the message alone. (`wasmtime-wasi` would do the same with a tokio runtime of its own, fibers and a
//! context per instance.)

mod cli;
mod clocks;
mod random;
mod streams;

pub(crate) use random::split_mix;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance};

use crate::invocation::InvocationState;
use crate::world::{self, World};

/// What one run's WASI remembers.
#[derive(Debug, Default)]
pub(crate) struct WasiState {
    pub(crate) stdout: streams::Line,
    pub(crate) stderr: streams::Line,
    /// Steps of the fixed generator of a `transform`.
    pub(crate) random_steps: u64,
}

/// Defines every WASI interface that the component imports, under the version that it asks for.
pub(crate) fn add_to_linker(
    linker: &mut Linker<InvocationState>,
    component: &Component,
    world: World,
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let types = component.component_type();
    // First everything traps; what is there is put over it.
    linker.allow_shadowing(true);
    for (import, item) in types.imports(&engine).filter(|(import, _)| world::is_wasi(import)) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        let mut instance = linker.instance(import)?;
        for (name, export) in interface.exports(&engine) {
            if let ComponentItem::ComponentFunc(_) = export.ty {
                let words = format!("{import}#{name} is not there for functions");
                instance.func_new(name, move |_, _, _, _| Err(wasmtime::format_err!("{words}")))?;
            }
        }
        define(&mut instance, import.split('@').next().unwrap_or(import), world)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Defines what is there of one interface, and the resources that are its own.
fn define(instance: &mut LinkerInstance<'_, InvocationState>, interface: &str, world: World) -> wasmtime::Result<()> {
    match interface {
        "wasi:cli/environment" => cli::environment(instance),
        "wasi:cli/exit" => cli::exit(instance),
        "wasi:cli/stdin" => cli::stdin(instance),
        "wasi:cli/stdout" => cli::stdout(instance),
        "wasi:cli/stderr" => cli::stderr(instance),
        "wasi:cli/terminal-stdin" => cli::terminal_stdin(instance),
        "wasi:cli/terminal-stdout" => cli::terminal_stdout(instance),
        "wasi:cli/terminal-stderr" => cli::terminal_stderr(instance),
        "wasi:clocks/monotonic-clock" => clocks::monotonic(instance, world),
        "wasi:clocks/wall-clock" => clocks::wall(instance, world),
        "wasi:filesystem/preopens" => cli::preopens(instance),
        "wasi:io/error" => streams::error(instance),
        "wasi:io/poll" => streams::poll(instance),
        "wasi:io/streams" => streams::streams(instance),
        "wasi:random/random" => random::random(instance, world),
        "wasi:random/insecure" => random::insecure(instance, world),
        "wasi:random/insecure-seed" => random::insecure_seed(instance, world),
        "wasi:cli/terminal-input" => cli::absent(instance, "terminal-input"),
        "wasi:cli/terminal-output" => cli::absent(instance, "terminal-output"),
        "wasi:filesystem/types" => {
            cli::absent(instance, "descriptor")?;
            cli::absent(instance, "directory-entry-stream")
        }
        "wasi:sockets/network" => cli::absent(instance, "network"),
        "wasi:sockets/tcp" => cli::absent(instance, "tcp-socket"),
        "wasi:sockets/udp" => {
            cli::absent(instance, "udp-socket")?;
            cli::absent(instance, "incoming-datagram-stream")?;
            cli::absent(instance, "outgoing-datagram-stream")
        }
        "wasi:sockets/ip-name-lookup" => cli::absent(instance, "resolve-address-stream"),
        _ => Ok(()),
    }
}
