//! The imports of the world `function`, one file each, as methods of the running invocation.
//!
//! Each call checks its grant and its sizes, then reads from the host or writes into a buffer of the invocation; none has an
//! effect outside of it, but the log and HTTP.

mod bus;
mod context;
mod env;
mod http;
mod kv;
mod log;
mod twin;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::selvedge::function::{bus as bus_interface, context as context_interface, env as env_interface};
use crate::bindings::selvedge::function::{http as http_interface, kv as kv_interface};
use crate::bindings::selvedge::function::{log as log_interface, twin as twin_interface, types};
use crate::invocation::InvocationState;

impl types::Host for InvocationState {}

/// Defines the capabilities.
pub(crate) fn add_to_linker(linker: &mut Linker<InvocationState>) -> wasmtime::Result<()> {
    bus_interface::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    context_interface::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    env_interface::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    http_interface::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    kv_interface::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    log_interface::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    twin_interface::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}
