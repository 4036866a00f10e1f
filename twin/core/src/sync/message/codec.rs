//! The bytes of messages; see the parent module for the form.

use super::{
    Buckets, Cursor, Envelope, Hello, MESSAGE_BYTES_MAX, Message, MessageRefusal, Page, PageCell, PullRequest, Run,
    Sealed,
};
use crate::digest::BUCKETS;
use crate::dot::Dot;
use crate::event::{Event, PolicyVersion, Signature};
use crate::keys::Keys;
use crate::place::{Key, Part};
use crate::policy::POLICY_BYTES_MAX;
use crate::sync::knowledge::Mode;
use crate::wire::{self, DecodeError, ORIGINS_MAX, Reader};

const DOMAIN: &[u8] = b"selvedge twin message 1\0";
const VERSION: u8 = 1;
/// What can be in one message at most: everything takes a byte.
const COUNT_MAX: usize = MESSAGE_BYTES_MAX;

impl Envelope {
    /// The message with its signature.
    #[must_use]
    pub fn seal(&self, group: &[u8; 32], keys: &dyn Keys) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        out.extend_from_slice(&[VERSION, self.message.kind()]);
        out.extend_from_slice(group);
        out.extend_from_slice(&self.sender.0.to_le_bytes());
        wire::put_number(&mut out, self.policy.0.into());
        self.message.put(&mut out);
        let signature = keys.sign(&out);
        out.extend_from_slice(&signature);
        out.drain(..DOMAIN.len());
        out
    }
}

impl<'a> Sealed<'a> {
    /// Reads a message. Whether its signature is good is for the caller to see.
    ///
    /// # Errors
    /// If it cannot be read, is too large or of another group.
    pub fn open(bytes: &'a [u8], group: &[u8; 32]) -> Result<Self, MessageRefusal> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(MessageRefusal::Oversize);
        }
        let (content, signature) = bytes.split_last_chunk::<64>().ok_or(DecodeError::Short)?;
        let mut reader = Reader::new(content);
        if reader.byte()? != VERSION {
            return Err(DecodeError::Malformed("the version of a message").into());
        }
        let kind = reader.byte()?;
        if reader.array::<32>()? != *group {
            return Err(MessageRefusal::OtherGroup);
        }
        let (sender, policy) = (reader.node()?, PolicyVersion(reader.number_u32()?));
        let message = Message::read(kind, &mut reader)?;
        reader.end()?;
        Ok(Self { envelope: Envelope { sender, policy, message }, signed: [DOMAIN, content].concat(), signature })
    }
}

impl Message {
    fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => 1,
            Message::Delta(_) => 2,
            Message::Pull(_) => 3,
            Message::Page(_) => 4,
            Message::PolicyRequest { .. } => 5,
            Message::Policies { .. } => 6,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Message::Hello(hello) => put_hello(out, hello),
            Message::Delta(runs) => {
                wire::put_number(out, runs.len() as u64);
                runs.iter().for_each(|run| put_run(out, run));
            }
            Message::Pull(pull) => put_pull(out, pull),
            Message::Page(page) => put_page(out, page),
            Message::PolicyRequest { to, after } => {
                out.extend_from_slice(&to.0.to_le_bytes());
                wire::put_number(out, after.0.into());
            }
            Message::Policies { to, policies } => {
                out.extend_from_slice(&to.0.to_le_bytes());
                wire::put_number(out, policies.len() as u64);
                policies.iter().for_each(|policy| wire::put_bytes(out, policy));
            }
        }
    }

    fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            1 => Message::Hello(Box::new(read_hello(reader)?)),
            2 => Message::Delta(read_list(reader, COUNT_MAX, read_run)?),
            3 => Message::Pull(Box::new(read_pull(reader)?)),
            4 => Message::Page(Box::new(read_page(reader)?)),
            5 => Message::PolicyRequest { to: reader.node()?, after: PolicyVersion(reader.number_u32()?) },
            6 => {
                let policy = |reader: &mut Reader<'_>| reader.bytes(POLICY_BYTES_MAX, "a policy").map(<[u8]>::to_vec);
                Message::Policies { to: reader.node()?, policies: read_list(reader, COUNT_MAX, policy)? }
            }
            _ => return Err(DecodeError::Malformed("the kind of a message")),
        })
    }
}

/// How many bytes an event with its signature takes in a message.
pub fn event_bytes(event: &Event, scratch: &mut Vec<u8>) -> usize {
    scratch.clear();
    wire::put_event(scratch, event);
    scratch.len() + 64
}

/// How many bytes a key takes in a message.
pub fn key_bytes(key: &Key, scratch: &mut Vec<u8>) -> usize {
    scratch.clear();
    wire::put_cell_key(scratch, key);
    scratch.len()
}

fn put_hello(out: &mut Vec<u8>, hello: &Hello) {
    for vector in [&hello.known, &hello.seen, &hello.floor] {
        wire::put_vector(out, vector);
    }
    hello.digests.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
}

fn read_hello(reader: &mut Reader<'_>) -> Result<Hello, DecodeError> {
    let (known, seen, floor) = (reader.vector()?, reader.vector()?, reader.vector()?);
    let mut digests = [0; BUCKETS];
    for sum in &mut digests {
        *sum = u64::from_le_bytes(reader.array()?);
    }
    Ok(Hello { known, seen, floor, digests })
}

fn put_run(out: &mut Vec<u8>, run: &Run) {
    wire::put_origin(out, run.origin);
    wire::put_number(out, run.after);
    wire::put_number(out, run.through);
    wire::put_number(out, run.events.len() as u64);
    for (key, event) in &run.events {
        wire::put_cell_key(out, key);
        put_signed_event(out, event);
    }
}

fn read_run(reader: &mut Reader<'_>) -> Result<Run, DecodeError> {
    let (origin, after, through) = (reader.origin()?, reader.number()?, reader.number()?);
    let mut last = after;
    let events = read_list(reader, COUNT_MAX, |reader| {
        let key = reader.cell_key()?;
        let event = read_signed_event(reader, &key.part)?;
        if event.dot.origin != origin || event.dot.seq <= last || event.dot.seq > through {
            return Err(DecodeError::Malformed("the order of a run"));
        }
        last = event.dot.seq;
        Ok((key, event))
    })?;
    Ok(Run { origin, after, through, events })
}

fn put_pull(out: &mut Vec<u8>, pull: &PullRequest) {
    out.extend_from_slice(&pull.to.0.to_le_bytes());
    wire::put_number(out, pull.number);
    out.push(mode_byte(pull.mode));
    wire::put_vector(out, &pull.since);
    put_option(out, pull.claim.as_ref(), wire::put_vector);
    put_option(out, pull.after.as_ref(), put_cursor);
    out.push(pull.pages);
    out.extend_from_slice(&pull.buckets);
}

fn read_pull(reader: &mut Reader<'_>) -> Result<PullRequest, DecodeError> {
    let (to, number, mode) = (reader.node()?, reader.number()?, read_mode(reader)?);
    let since = reader.vector()?;
    let claim = read_option(reader, Reader::vector)?;
    let after = read_option(reader, read_cursor)?;
    let (pages, buckets): (u8, Buckets) = (reader.byte()?, reader.array()?);
    Ok(PullRequest { to, number, mode, since, claim, after, pages, buckets })
}

fn put_page(out: &mut Vec<u8>, page: &Page) {
    out.extend_from_slice(&page.to.0.to_le_bytes());
    wire::put_number(out, page.number);
    out.push(mode_byte(page.mode));
    for vector in [&page.known, &page.floor, &page.claim] {
        wire::put_vector(out, vector);
    }
    put_option(out, page.after.as_ref(), put_cursor);
    put_option(out, page.upto.as_ref(), put_cursor);
    wire::put_number(out, page.cells.len() as u64);
    for cell in &page.cells {
        wire::put_cell_key(out, &cell.key);
        wire::put_number(out, cell.present.len() as u64);
        cell.present.iter().for_each(|dot| wire::put_dot(out, *dot));
        wire::put_number(out, cell.events.len() as u64);
        cell.events.iter().for_each(|event| put_signed_event(out, event));
    }
}

fn read_page(reader: &mut Reader<'_>) -> Result<Page, DecodeError> {
    let (to, number, mode) = (reader.node()?, reader.number()?, read_mode(reader)?);
    let (known, floor, claim) = (reader.vector()?, reader.vector()?, reader.vector()?);
    let after = read_option(reader, read_cursor)?;
    let upto = read_option(reader, read_cursor)?;
    let cells = read_list(reader, COUNT_MAX, |reader| {
        let key = reader.cell_key()?;
        let present = read_list(reader, ORIGINS_MAX, Reader::dot)?;
        let events = read_list(reader, ORIGINS_MAX, |reader| read_signed_event(reader, &key.part))?;
        Ok(PageCell { key, present, events })
    })?;
    Ok(Page { to, number, mode, known, floor, claim, after, upto, cells })
}

fn put_cursor(out: &mut Vec<u8>, cursor: &Cursor) {
    wire::put_cell_key(out, &cursor.key);
    put_option(out, cursor.dot.as_ref(), |out, dot: &Dot| wire::put_dot(out, *dot));
}

fn read_cursor(reader: &mut Reader<'_>) -> Result<Cursor, DecodeError> {
    Ok(Cursor { key: reader.cell_key()?, dot: read_option(reader, Reader::dot)? })
}

/// An event that has no signature is of the sender, who gives it one before this.
fn put_signed_event(out: &mut Vec<u8>, event: &Event) {
    wire::put_event(out, event);
    out.extend_from_slice(event.signature.as_deref().unwrap_or(&[0; 64]));
}

fn read_signed_event(reader: &mut Reader<'_>, part: &Part) -> Result<Event, DecodeError> {
    let mut event = reader.event(part)?;
    let signature: Signature = reader.array()?;
    event.signature = Some(Box::new(signature));
    Ok(event)
}

fn put_option<T>(out: &mut Vec<u8>, option: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    match option {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            put(out, value);
        }
    }
}

fn read_option<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    match reader.byte()? {
        0 => Ok(None),
        1 => read(reader).map(Some),
        _ => Err(DecodeError::Malformed("an option")),
    }
}

/// The list grows as it is read: a count alone reserves nothing.
fn read_list<'a, T>(
    reader: &mut Reader<'a>,
    max: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.count(max, "a list")?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(read(reader)?);
    }
    Ok(list)
}

fn mode_byte(mode: Mode) -> u8 {
    match mode {
        Mode::Since => 0,
        Mode::Whole => 1,
        Mode::Repair => 2,
    }
}

fn read_mode(reader: &mut Reader<'_>) -> Result<Mode, DecodeError> {
    match reader.byte()? {
        0 => Ok(Mode::Since),
        1 => Ok(Mode::Whole),
        2 => Ok(Mode::Repair),
        _ => Err(DecodeError::Malformed("the mode of a transfer")),
    }
}
