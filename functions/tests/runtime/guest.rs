//! Small components written as WebAssembly text, with the layout of the interface's types spelled out.
//!
//! A message in memory, 76 bytes: topic at 0, payload at 8, qos at 16, retain at 17, utf8-payload at 20, content-type at 24,
//! response-topic at 36, correlation-data at 48, message-expiry at 60, user-properties at 68.
//! The result of `handle`, 16 bytes: 0 and a list at 4, or 1, the failure's case at 4 and its text at 8.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Address of 16 zero bytes: `ok` with an empty list.
pub const NOTHING: &str = "(i32.const 16)";

/// Returns the incoming message: the argument is already laid out as a list of one.
pub const ECHO: &str =
    "(i32.store (i32.const 36) (local.get $message)) (i32.store (i32.const 40) (i32.const 1)) (i32.const 32)";

/// A component of `world` whose `handle` has this body; `head` goes before it (imports, data, functions).
pub fn component(world: &str, head: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {head}
        (memory (export "memory") 2)
        (global $heap (mut i32) (i32.const 65536))
        (func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
          (local $at i32)
          (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
          (global.set $heap (i32.add (local.get $at) (local.get 3)))
          (block $enough
            (br_if $enough (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
            (br_if $enough (i32.ge_s (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1))) (i32.const 0)))
            unreachable)
          (local.get $at))
        (func (export "selvedge:function/handler@0.1.0#handle") (param $message i32) (result i32)
          (local $i i32) (local $j i32) {body})
        )"#
    );
    encode(world, &text)
}

/// A component from a whole core module in text.
pub fn encode(world: &str, module_text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module_text).expect("the test's module is well-formed");
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/wit/function.wit");
    let package = resolve.push_str(wit, &std::fs::read_to_string(wit).unwrap()).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// A transform without anything else.
pub fn transform(body: &str) -> Vec<u8> {
    component("transform", "", body)
}

/// A manifest for the function `name` on the topic filter `in/#`, with more lines.
pub fn manifest(name: &str, more: &str) -> String {
    format!("name = \"{name}\"\n[[trigger]]\nmqtt = \"in/#\"\n{more}")
}

/// Imports with their core types, ready for `head`.
pub const LOG: &str = r#"(import "selvedge:function/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#;
pub const PUBLISH: &str = r#"(import "selvedge:function/bus@0.1.0" "publish" (func $publish (param i32 i32)))"#;
pub const INCREMENT: &str =
    r#"(import "selvedge:function/kv@0.1.0" "increment" (func $increment (param i32 i32 i64 i32)))"#;
pub const SET: &str = r#"(import "selvedge:function/kv@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i32 i32)))"#;
pub const TWIN_GET: &str =
    r#"(import "selvedge:function/twin@0.1.0" "get" (func $twin_get (param i32 i32 i32 i32 i32 i32)))"#;
pub const TWIN_PATCH: &str =
    r#"(import "selvedge:function/twin@0.1.0" "patch" (func $twin_patch (param i32 i32 i32 i32 i32 i32 i64 i32)))"#;

/// A failure: case 0 is retry, 1 is reject; the text is `data` at 100.
pub fn failure(case: u32, text: &str) -> (String, String) {
    let head = format!("(data (i32.const 100) {text:?})");
    let body = format!(
        "(i32.store8 (i32.const 32) (i32.const 1)) (i32.store8 (i32.const 36) (i32.const {case}))
         (i32.store (i32.const 40) (i32.const 100)) (i32.store (i32.const 44) (i32.const {})) (i32.const 32)",
        text.len()
    );
    (head, body)
}
