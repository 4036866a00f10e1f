//! Reading; see the parent module for the form.

use serde_json::Value;

use super::{DecodeError, ORIGINS_MAX, VALUE_BYTES_MAX};
use crate::clock::{HybridTime, NodeId};
use crate::dot::{Dot, Origin};
use crate::event::{Base, Body, Event, PolicyVersion};
use crate::json;
use crate::path::{PATH_BYTES_MAX, Path};
use crate::place::{Key, Part, Section};
use crate::thing;
use crate::vector::VersionVector;

/// Reads from the front of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    source: Source,
}

/// Whose bytes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Anybody's: values are parsed.
    Others,
    /// This node wrote them, and a checksum says that they are what it wrote.
    Own,
}

impl<'a> Reader<'a> {
    /// Begins to read what came from outside.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, source: Source::Others }
    }

    /// Begins to read what this node wrote: the text of values is believed to be JSON.
    #[must_use]
    pub fn of_own(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, source: Source::Own }
    }

    /// Whether all was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Checks that all was read.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Long) }
    }

    /// `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// As many bytes as the array has.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number.
    pub fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
                return Err(DecodeError::Malformed("a number"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::Malformed("a number"))
    }

    /// A number that 32 bits hold.
    pub fn number_u32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.number()?).map_err(|_| DecodeError::Malformed("a number"))
    }

    /// A count of things, of which each takes at least a byte of what is left.
    pub fn count(&mut self, max: usize, what: &'static str) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.number()?).map_err(|_| DecodeError::TooLarge(what))?;
        if count > max {
            return Err(DecodeError::TooLarge(what));
        }
        if count > self.rest.len() { Err(DecodeError::Short) } else { Ok(count) }
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let count = self.count(max, what)?;
        self.take(count)
    }

    /// UTF-8 with its length before it.
    pub fn text(&mut self, max: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(max, what)?).map_err(|_| DecodeError::Malformed(what))
    }

    /// A time.
    pub fn time(&mut self) -> Result<HybridTime, DecodeError> {
        self.array().map(|bytes| HybridTime(u64::from_le_bytes(bytes)))
    }

    /// A node's number.
    pub fn node(&mut self) -> Result<NodeId, DecodeError> {
        self.array().map(|bytes| NodeId(u64::from_le_bytes(bytes)))
    }

    /// An origin.
    pub fn origin(&mut self) -> Result<Origin, DecodeError> {
        Ok(Origin { node: self.node()?, incarnation: self.number_u32()? })
    }

    /// A dot.
    pub fn dot(&mut self) -> Result<Dot, DecodeError> {
        let dot = Dot { origin: self.origin()?, seq: self.number()? };
        if dot.seq == 0 { Err(DecodeError::Malformed("the number of an event")) } else { Ok(dot) }
    }

    /// A version vector.
    pub fn vector(&mut self) -> Result<VersionVector, DecodeError> {
        let count = self.count(ORIGINS_MAX, "a version vector")?;
        let mut vector = VersionVector::default();
        let mut last = None;
        for _ in 0..count {
            let dot = self.dot()?;
            if last >= Some(dot.origin) {
                return Err(DecodeError::Malformed("the order of a version vector"));
            }
            last = Some(dot.origin);
            vector.add(dot);
        }
        Ok(vector)
    }

    /// A cell's key.
    pub fn cell_key(&mut self) -> Result<Key, DecodeError> {
        let thing = self.text(thing::THING_BYTES_MAX, "a thing's name")?;
        thing::check(thing).map_err(|_| DecodeError::Malformed("a thing's name"))?;
        let section = match self.byte()? {
            0 => Section::Desired,
            1 => Section::Reported,
            _ => return Err(DecodeError::Malformed("a section")),
        };
        let path = self.text(PATH_BYTES_MAX, "a path")?;
        let path = Path::parse(path).ok_or(DecodeError::Malformed("a path"))?;
        Ok(Key { thing: thing.into(), section, path, part: self.part()? })
    }

    /// A part of a field.
    pub fn part(&mut self) -> Result<Part, DecodeError> {
        match self.byte()? {
            0 => Ok(Part::Register),
            1 => Ok(Part::Latest(self.leaf()?)),
            2 => Ok(Part::AddWins(self.leaf()?)),
            3 => Ok(Part::Share(self.origin()?)),
            _ => Err(DecodeError::Malformed("a part")),
        }
    }

    /// An event without its signature, which belongs into a cell of `part`.
    pub fn event(&mut self, part: &Part) -> Result<Event, DecodeError> {
        let (dot, time, policy) = (self.dot()?, self.time()?, PolicyVersion(self.number_u32()?));
        let context = self.vector()?;
        let body = self.body()?;
        let fits = match (&body, part) {
            (Body::Removed { base }, part) => matches!(part, Part::Share(_)) || *base == Base::default(),
            (Body::Json(_) | Body::Object, Part::Register) => true,
            (Body::Present, Part::Latest(_) | Part::AddWins(_)) => true,
            // Only an origin itself counts in its share.
            (Body::Count { .. }, Part::Share(origin)) => dot.origin == *origin,
            _ => false,
        };
        // What came before from the same origin is not listed.
        if !fits || context.get(dot.origin) > 0 {
            return Err(DecodeError::Malformed("an event"));
        }
        Ok(Event { dot, time, policy, context, body, signature: None })
    }

    /// What was done.
    pub fn body(&mut self) -> Result<Body, DecodeError> {
        match self.byte()? {
            0 => Ok(Body::Json(self.leaf()?)),
            1 => Ok(Body::Object),
            2 => Ok(Body::Present),
            3 => Ok(Body::Count { total: self.signed_number()?, base: self.base()? }),
            4 => Ok(Body::Removed { base: self.base()? }),
            _ => Err(DecodeError::Malformed("an event")),
        }
    }

    /// JSON text of a value that is no object.
    fn leaf(&mut self) -> Result<Box<str>, DecodeError> {
        let text = self.text(VALUE_BYTES_MAX, "a value")?;
        if self.source == Source::Own {
            return Ok(text.into());
        }
        match json::parse(text.as_bytes()) {
            Ok(Value::Object(_)) | Err(_) => Err(DecodeError::Malformed("a value")),
            Ok(_) => Ok(text.into()),
        }
    }

    fn base(&mut self) -> Result<Base, DecodeError> {
        Ok(Base { at: self.number()?, total: self.signed_number()? })
    }

    fn signed_number(&mut self) -> Result<i64, DecodeError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}
