//! `wasi:clocks`: the host's time, or a time that stands still in a `transform`. Nothing waits.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};

use super::streams::Pollable;
use crate::invocation::InvocationState;
use crate::world::World;

type State<'a> = StoreContextMut<'a, InvocationState>;

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

pub(super) fn monotonic(instance: &mut LinkerInstance<'_, InvocationState>, world: World) -> wasmtime::Result<()> {
    instance.func_wrap("now", move |store: State<'_>, (): ()| {
        Ok((match world {
            World::Transform => 0,
            World::Function => {
                let state = store.data();
                state.host.elapsed(state.start.elapsed()).as_nanos() as u64
            }
        },))
    })?;
    instance.func_wrap("resolution", |_: State<'_>, (): ()| Ok((1_000_u64,)))?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        instance.func_wrap(name, |_: State<'_>, (_when_ns,): (u64,)| Ok((Resource::<Pollable>::new_own(0),)))?;
    }
    Ok(())
}

pub(super) fn wall(instance: &mut LinkerInstance<'_, InvocationState>, world: World) -> wasmtime::Result<()> {
    instance.func_wrap("now", move |store: State<'_>, (): ()| {
        let now_ms = match world {
            World::Transform => 0,
            World::Function => store.data().host.now_ms(),
        };
        Ok((Datetime { seconds: now_ms / 1000, nanoseconds: (now_ms % 1000) as u32 * 1_000_000 },))
    })?;
    instance.func_wrap("resolution", |_: State<'_>, (): ()| Ok((Datetime { seconds: 0, nanoseconds: 1_000_000 },)))
}
