//! Programs that run inside the kernel, once for every packet: two count at the tc hook, one judges at the XDP hook.
//!
//! They are verified with CAP_BPF and CAP_NET_ADMIN alone, which forbids what C programs usually do: packet pointers
//! take constant offsets only, everything at a place that depends on the packet is copied by a helper, and lengths come
//! from the context instead of from the difference of two pointers.
//!
//! Invariant: every packet is counted exactly once in the totals of its interface, whatever its bytes are, and is
//! passed on unless the guard is on and says otherwise.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod count;
mod guard;
mod maps;
mod packet;

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_action,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// Counts what comes in, after the guard, where it is on at this hook.
#[classifier]
pub fn selvedge_in(context: TcContext) -> i32 {
    count::at_tc::<{ count::IN }>(context.skb.skb)
}

/// Counts what goes out.
#[classifier]
pub fn selvedge_out(context: TcContext) -> i32 {
    count::at_tc::<{ count::OUT }>(context.skb.skb)
}

/// The guard, before the kernel has spent anything on the packet.
#[xdp]
pub fn selvedge_guard(context: XdpContext) -> u32 {
    if guard::drops_at_xdp(context.as_ptr().cast()) { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic; the verifier would refuse the program if this could be reached.
    loop {}
}

/// Some helpers may be called by programs under the GPL only; none of ours is, but the kernel also prints the
/// verifier's reasons more fully.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
