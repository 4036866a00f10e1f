//! What a server passes on of a message's properties, as slices of the bytes that the publisher sent.
//!
//! Not decoding: the section has been checked before, or was stored from one that had. Invariant: segments are in
//! original order ([MQTT-3.3.2-18]) and hold only properties that are not decided anew per delivery.

use std::fmt;

use crate::{
    DecodeError,
    property::{Properties, Property, id},
    reader::Reader,
};

/// Encoded properties that are forwarded unaltered.
#[derive(Clone, Copy, Default)]
pub struct Forwarded<'a> {
    /// May contain properties that are not forwarded, if `length` is less than its length.
    pub(super) section: &'a [u8],
    pub(super) length: usize,
}

impl<'a> Forwarded<'a> {
    /// Bytes that were stored earlier; see [`PublishProperties::from_forwarded`](crate::PublishProperties::from_forwarded).
    #[inline]
    #[must_use]
    pub const fn from_stored(bytes: &'a [u8]) -> Self {
        Self { section: bytes, length: bytes.len() }
    }

    /// Length of all segments, in bytes.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing is forwarded.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The segments, in original order.
    #[inline]
    pub fn segments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Segments { rest: self.section, whole: self.is_whole() }
    }

    /// Appends all segments.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        if self.is_whole() {
            out.extend_from_slice(self.section);
        } else {
            self.segments().for_each(|segment| out.extend_from_slice(segment));
        }
    }

    #[inline]
    pub(super) const fn is_whole(&self) -> bool {
        self.length == self.section.len()
    }
}

impl<'a> From<&'a [u8]> for Forwarded<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self::from_stored(bytes)
    }
}

impl PartialEq for Forwarded<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.segments().flatten().eq(other.segments().flatten())
    }
}

impl Eq for Forwarded<'_> {}

impl fmt::Debug for Forwarded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.segments().flat_map(iterate)).finish()
    }
}

struct Segments<'a> {
    rest: &'a [u8],
    whole: bool,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let segment = if self.whole {
            std::mem::take(&mut self.rest)
        } else {
            let (_, rest) = split_run(self.rest, false);
            let (segment, rest) = split_run(rest, true);
            self.rest = rest;
            segment
        };
        (!segment.is_empty()).then_some(segment)
    }
}

/// Splits off the leading properties that are (or are not) forwarded.
fn split_run(section: &[u8], forwarded: bool) -> (&[u8], &[u8]) {
    let mut reader = Reader::new(section);
    let mut end = 0;
    while let Some(&id) = reader.rest().first()
        && is_forwarded(id) == forwarded
        && skip(&mut reader).is_ok()
    {
        end = section.len() - reader.rest().len();
    }
    section.split_at(end)
}

const fn is_forwarded(id: u8) -> bool {
    !matches!(id, id::TOPIC_ALIAS | id::MESSAGE_EXPIRY | id::SUBSCRIPTION_IDENTIFIER | id::WILL_DELAY)
}

/// Passes over one property of a checked section by its length alone.
fn skip(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    const FIELD: &str = "property";
    match reader.byte(FIELD)? {
        id::PAYLOAD_FORMAT => reader.byte(FIELD).map(drop),
        id::TOPIC_ALIAS => reader.two_bytes(FIELD).map(drop),
        id::MESSAGE_EXPIRY | id::WILL_DELAY => reader.four_bytes(FIELD).map(drop),
        id::SUBSCRIPTION_IDENTIFIER => reader.variable_byte_integer(FIELD).map(drop),
        id::CONTENT_TYPE | id::RESPONSE_TOPIC | id::CORRELATION_DATA => reader.binary(FIELD).map(drop),
        id::USER_PROPERTY => reader.binary(FIELD).and_then(|_| reader.binary(FIELD)).map(drop),
        id => Err(DecodeError::PropertyUnknown { id }),
    }
}

/// The properties of a checked section.
pub(super) fn iterate(section: &[u8]) -> impl Iterator<Item = Property<'_>> {
    let mut properties = Properties::new(section);
    std::iter::from_fn(move || properties.next().ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_that_is_cut_gives_no_segments_beyond_the_cut() {
        let cut = Forwarded { section: &[0x26, 0, 9], length: 0 };
        assert_eq!(cut.segments().count(), 0);
        let cut = Forwarded { section: &[0x01, 1, 0x26, 0, 9], length: 2 };
        assert!(cut.segments().eq([&[0x01, 1][..]]));
    }

    #[test]
    fn stored_bytes_are_one_segment() {
        let stored = Forwarded::from(&[0x01, 1][..]);
        assert!(stored.segments().eq([&[0x01, 1][..]]) && !stored.is_empty());
        assert_eq!(Forwarded::default().segments().count(), 0);
    }
}
