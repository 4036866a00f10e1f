//! `wasi:random`: the host's bytes, or a fixed sequence in a `transform`.

use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use crate::invocation::InvocationState;
use crate::world::World;

type Instance<'a> = LinkerInstance<'a, InvocationState>;
type State<'a> = StoreContextMut<'a, InvocationState>;

/// Most bytes of one call.
const BYTES_MAX: u64 = 64 << 10;

pub(super) fn random(instance: &mut Instance<'_>, world: World) -> wasmtime::Result<()> {
    functions(instance, world, ["get-random-bytes", "get-random-u64"])
}

pub(super) fn insecure(instance: &mut Instance<'_>, world: World) -> wasmtime::Result<()> {
    functions(instance, world, ["get-insecure-random-bytes", "get-insecure-random-u64"])
}

pub(super) fn insecure_seed(instance: &mut Instance<'_>, world: World) -> wasmtime::Result<()> {
    instance.func_wrap("insecure-seed", move |mut store: State<'_>, (): ()| {
        let state = store.data_mut();
        Ok(((number(state, world), number(state, world)),))
    })
}

fn functions(instance: &mut Instance<'_>, world: World, [bytes_name, number_name]: [&str; 2]) -> wasmtime::Result<()> {
    instance.func_wrap(bytes_name, move |mut store: State<'_>, (count,): (u64,)| {
        if count > BYTES_MAX {
            return Err(wasmtime::format_err!("{count} random bytes asked for, allowed are {BYTES_MAX} a call"));
        }
        let mut bytes = vec![0; count as usize];
        fill(store.data_mut(), world, &mut bytes);
        Ok((bytes,))
    })?;
    instance.func_wrap(number_name, move |mut store: State<'_>, (): ()| Ok((number(store.data_mut(), world),)))
}

fn number(state: &mut InvocationState, world: World) -> u64 {
    let mut bytes = [0; 8];
    fill(state, world, &mut bytes);
    u64::from_le_bytes(bytes)
}

fn fill(state: &mut InvocationState, world: World, bytes: &mut [u8]) {
    match world {
        World::Function => state.host.random(bytes),
        World::Transform => {
            for chunk in bytes.chunks_mut(8) {
                state.wasi.random_steps += 1;
                let number = split_mix(state.wasi.random_steps).to_le_bytes();
                chunk.copy_from_slice(&number[..chunk.len()]);
            }
        }
    }
}

/// SplitMix64 at a step: spreads well, is no secret.
pub(crate) fn split_mix(step: u64) -> u64 {
    let mut mixed = step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
