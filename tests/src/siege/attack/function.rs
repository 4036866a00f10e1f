//! Attacks of a function: one that loops, grows, traps, floods. It is one of the tests' own, deployed beforehand; a message says what
//! it is to do, and another one, which it answers, that it is through with all. And one that cannot be compiled.

use anyhow::{Context as _, ensure};

use super::{Attack, elsewhere, fresh};
use crate::client::Version;
use crate::client_packet::{self, Publish};
use crate::http;
use crate::siege::wire::{Target, Way, Wire, abandon};

/// What the function counts of runs with this end.
macro_rules! ended {
    ($outcome:literal) => {
        concat!("selvedge_function_ends_total{function=\"hostile\",outcome=\"", $outcome, "\"}")
    };
}

/// The attacks of this file.
pub const ATTACKS: &[Attack] = &[
    Attack::new("fn-loop", "function: 20 endless loops, limit 50 ms", |target| order(target, "loop", 20))
        .by_function()
        .counted(&[ended!("timed_out")]),
    Attack::new("fn-loop-host", "function: 20 endless loops of calls to the node", |target| {
        order(target, "loop-host", 20)
    })
    .by_function()
    .counted(&[ended!("timed_out")]),
    Attack::new("fn-grow", "function: 200 times all memory there is", |target| order(target, "grow", 200))
        .by_function()
        .counted(&[ended!("over_limit")]),
    Attack::new("fn-stack", "function: 500 stack overflows", |target| order(target, "stack", 500))
        .by_function()
        .counted(&[ended!("trapped")]),
    Attack::new("fn-trap", "function: 500 traps", |target| order(target, "trap", 500))
        .by_function()
        .counted(&[ended!("trapped")]),
    Attack::new("fn-huge-output", "function: 100 times 1,000 messages of 10 KB", |target| {
        order(target, "return 1000 10000", 100)
    })
    .by_function()
    .counted(&[ended!("over_limit")]),
    Attack::new("fn-storm", "functions: 200 messages that two functions throw to each other", |target| {
        order(target, "echo", 200)
    })
    .by_function()
    .counted(&["selvedge_function_ends_total{function=\"storm\",outcome=\"dropped\"}"]),
    Attack::new("fn-log-flood", "function: 100 times 10,000 log lines of 1 KB", |target| {
        order(target, "log 10000 1000", 100)
    })
    .by_function()
    .counted(&["selvedge_function_log_lines_dropped_total{function=\"hostile\"}"]),
    Attack::new("fn-kv-flood", "function: 200 times 1,000 keys of 1 KB", |target| order(target, "kv 1000 1000", 200))
        .by_function()
        .counted(&["selvedge_function_runs_total{function=\"hostile\"}"]),
    Attack::new("fn-random", "function: 500 times 10 MB of random bytes", |target| {
        order(target, "random 10000000", 500)
    })
    .by_function()
    .counted(&[ended!("trapped")]),
    Attack::new("fn-compile", "function: a compile bomb, limit 256 MiB", compile_bomb)
        .by_function()
        .with_limits("[functions]\ncompile_memory_bytes = \"256MiB\"\n")
        .counted(&["selvedge_function_compilations_total{outcome=\"out_of_memory\"}"]),
];

/// Blocks of the one function of a compile bomb, of 15 bytes each; a function may have some 7 MB.
const BOMB_BLOCKS: usize = 500_000;

/// Has the node compile what takes more than it gives.
fn compile_bomb(target: &Target) -> anyhow::Result<()> {
    let socket = target.control.as_ref().context("the node is not of this machine")?;
    let manifest = "name = \"bomb\"\ncomponent = \"bomb.wasm\"\n[[trigger]]\nmqtt = \"bomb\"\n";
    let mut request = u32::try_from(manifest.len())?.to_be_bytes().to_vec();
    request.extend_from_slice(manifest.as_bytes());
    request.extend(bomb());
    let answer = http::over_socket(socket, "POST", "/v1/functions", request)?;
    let is_limit = answer.body.contains("compiling needed more than");
    ensure!(answer.status >= 400 && is_limit, "a compile bomb is answered {}: {}", answer.status, answer.body);
    Ok(())
}

/// A component (Component Model, Binary.md) of one module (WebAssembly, 5.5) whose function is a row of conditional blocks.
fn bomb() -> Vec<u8> {
    // local.get 0, i32.load, if, local 1 := local 1 + local 0, end.
    const BLOCK: [u8; 15] = [0x20, 0, 0x28, 2, 0, 0x04, 0x40, 0x20, 1, 0x20, 0, 0x6A, 0x21, 1, 0x0B];
    let body = [&[1, 1, 0x7F][..], &BLOCK.repeat(BOMB_BLOCKS), &[0x0B]].concat();
    let functions = [&[1][..], &length(body.len()), &body].concat();
    let sections: [(u8, Vec<u8>); 4] =
        [(1, vec![1, 0x60, 1, 0x7F, 0]), (3, vec![1, 0]), (5, vec![1, 0, 1]), (10, functions)];
    let module = sections.iter().fold(b"\0asm\x01\0\0\0".to_vec(), |module, (id, content)| {
        [&module[..], &[*id], &length(content.len()), content].concat()
    });
    [b"\0asm\x0d\0\x01\0\x01", &length(module.len())[..], &module].concat()
}

/// Unsigned LEB128 (WebAssembly, 5.2.2).
fn length(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7F) as u8;
        number >>= 7;
        bytes.push(low | if number > 0 { 0x80 } else { 0 });
        if number == 0 {
            return bytes;
        }
    }
}

/// Gives the function the same order many times, and waits until it is through with them.
fn order(target: &Target, order: &str, times: u16) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("orders")))?;
    wire.send(&client_packet::subscribe(Version::V5, 1, &[], &[("hostile/through", 0)]))?;
    wire.receive().context("subscribe to the end")?;
    let end = format!("publish-to hostile/through {}", fresh("through"));
    let orders: Vec<&str> = std::iter::repeat_n(order, times.into()).chain([end.as_str()]).collect();
    let mut is_through = false;
    for orders in orders.chunks(WINDOW) {
        for (id, order) in (1..).zip(orders) {
            wire.send(&Publish::new("hostile/in/order", order.as_bytes()).qos(1, id).bytes(Version::V5))?;
        }
        let mut acknowledged = 0;
        while acknowledged < orders.len() {
            match kind(&mut wire, order)? {
                PUBACK => acknowledged += 1,
                _ => is_through = true,
            }
        }
    }
    while !is_through {
        is_through = kind(&mut wire, order)? == PUBLISH;
    }
    abandon(wire.socket());
    Ok(())
}

/// Orders that are not acknowledged yet: fewer than any node's receive maximum.
const WINDOW: usize = 16;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;

/// The type of the next packet.
fn kind(wire: &mut Wire, order: &str) -> anyhow::Result<u8> {
    let packet = wire.receive().with_context(|| format!("wait for the end of {order:?}"))?;
    let kind = packet.first().map_or(0, |byte| byte >> 4);
    ensure!(matches!(kind, PUBLISH | PUBACK), "an order is answered with {packet:02x?}");
    Ok(kind)
}
