//! `wasi:cli`, the empty `wasi:filesystem`, and resources that are nowhere.

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};

use super::streams::{InputStream, OutputStream, STDERR, STDOUT};
use crate::invocation::InvocationState;

type Instance<'a> = LinkerInstance<'a, InvocationState>;
type State<'a> = StoreContextMut<'a, InvocationState>;

struct Absent;

pub(super) fn environment(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap("get-environment", |_: State<'_>, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
    instance.func_wrap("get-arguments", |_: State<'_>, (): ()| Ok((Vec::<String>::new(),)))?;
    instance.func_wrap("initial-cwd", |_: State<'_>, (): ()| Ok((None::<String>,)))
}

pub(super) fn exit(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap("exit", |_: State<'_>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
        Err(wasmtime::format_err!(
            "the function called exit with {}",
            if status.is_ok() { "success" } else { "failure" }
        ))
    })
}

pub(super) fn stdin(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap("get-stdin", |_: State<'_>, (): ()| Ok((Resource::<InputStream>::new_own(0),)))
}

pub(super) fn stdout(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap("get-stdout", |_: State<'_>, (): ()| Ok((Resource::<OutputStream>::new_own(STDOUT),)))
}

pub(super) fn stderr(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap("get-stderr", |_: State<'_>, (): ()| Ok((Resource::<OutputStream>::new_own(STDERR),)))
}

pub(super) fn terminal_stdin(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap("get-terminal-stdin", |_: State<'_>, (): ()| Ok((None::<Resource<Absent>>,)))
}

pub(super) fn terminal_stdout(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap("get-terminal-stdout", |_: State<'_>, (): ()| Ok((None::<Resource<Absent>>,)))
}

pub(super) fn terminal_stderr(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap("get-terminal-stderr", |_: State<'_>, (): ()| Ok((None::<Resource<Absent>>,)))
}

/// No directory is there.
pub(super) fn preopens(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap("get-directories", |_: State<'_>, (): ()| Ok((Vec::<(Resource<Absent>, String)>::new(),)))
}

/// The type of a resource that no call gives out.
pub(super) fn absent(instance: &mut Instance<'_>, name: &str) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<Absent>(), |_, _| Ok(()))
}
