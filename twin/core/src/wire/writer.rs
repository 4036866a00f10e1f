//! Writing; see the parent module for the form.

use crate::clock::HybridTime;
use crate::dot::{Dot, Origin};
use crate::event::{Base, Body, Event};
use crate::place::{Key, Part, Section};
use crate::vector::VersionVector;

/// What every signed event begins with, so that its bytes are nothing else that a node signs.
const EVENT_DOMAIN: &[u8] = b"selvedge twin event 1\0";

/// A number.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes with their length before them.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A time, in eight bytes.
pub fn put_time(out: &mut Vec<u8>, time: HybridTime) {
    out.extend_from_slice(&time.0.to_le_bytes());
}

/// An origin.
pub fn put_origin(out: &mut Vec<u8>, origin: Origin) {
    out.extend_from_slice(&origin.node.0.to_le_bytes());
    put_number(out, origin.incarnation.into());
}

/// A dot.
pub fn put_dot(out: &mut Vec<u8>, dot: Dot) {
    put_origin(out, dot.origin);
    put_number(out, dot.seq);
}

/// A version vector.
pub fn put_vector(out: &mut Vec<u8>, vector: &VersionVector) {
    put_number(out, vector.len() as u64);
    vector.dots().for_each(|dot| put_dot(out, dot));
}

/// A cell's key.
pub fn put_cell_key(out: &mut Vec<u8>, key: &Key) {
    put_bytes(out, key.thing.as_bytes());
    out.push(match key.section {
        Section::Desired => 0,
        Section::Reported => 1,
    });
    put_bytes(out, key.path.as_str().as_bytes());
    put_part(out, &key.part);
}

/// A part of a field.
pub fn put_part(out: &mut Vec<u8>, part: &Part) {
    match part {
        Part::Register => out.push(0),
        Part::Latest(element) => put_tagged(out, 1, element),
        Part::AddWins(element) => put_tagged(out, 2, element),
        Part::Share(origin) => {
            out.push(3);
            put_origin(out, *origin);
        }
    }
}

/// An event without its signature.
pub fn put_event(out: &mut Vec<u8>, event: &Event) {
    put_dot(out, event.dot);
    put_time(out, event.time);
    put_number(out, event.policy.0.into());
    put_vector(out, &event.context);
    put_body(out, &event.body);
}

/// What was done.
pub fn put_body(out: &mut Vec<u8>, body: &Body) {
    match body {
        Body::Json(text) => put_tagged(out, 0, text),
        Body::Object => out.push(1),
        Body::Present => out.push(2),
        Body::Count { total, base } => {
            out.push(3);
            put_signed_number(out, *total);
            put_base(out, *base);
        }
        Body::Removed { base } => {
            out.push(4);
            put_base(out, *base);
        }
    }
}

/// What the maker of an event signs: the group that it is for, where it belongs, and all of it.
pub fn put_signed(out: &mut Vec<u8>, group: &[u8; 32], key: &Key, event: &Event) {
    out.extend_from_slice(EVENT_DOMAIN);
    out.extend_from_slice(group);
    put_cell_key(out, key);
    put_event(out, event);
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, text: &str) {
    out.push(tag);
    put_bytes(out, text.as_bytes());
}

fn put_base(out: &mut Vec<u8>, base: Base) {
    put_number(out, base.at);
    put_signed_number(out, base.total);
}

fn put_signed_number(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)) as u64);
}
