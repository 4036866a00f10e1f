//! A cursor over the body of one packet: the data representations of section 1.5 and nothing above them.
//!
//! Invariant: reading past the end is an error that names the field, never a panic.

use crate::{
    DecodeError, PacketId, PacketType,
    text::{self, NameError, TextError},
    topic::TopicError,
};

#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    pub fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    #[inline]
    pub fn two_bytes(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    #[inline]
    pub fn four_bytes(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    #[inline]
    pub fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Variable byte integer (section 1.5.5).
    #[inline]
    pub fn variable_byte_integer(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let first = self.byte(field)?;
        if first & 0x80 == 0 { Ok(u32::from(first)) } else { self.long_variable_byte_integer(first, field) }
    }

    fn long_variable_byte_integer(&mut self, first: u8, field: &'static str) -> Result<u32, DecodeError> {
        let mut value = u32::from(first & 0x7F);
        for shift in [7, 14, 21] {
            let byte = self.byte(field)?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                // [MQTT-1.5.5-1]
                return if byte == 0 { Err(DecodeError::Overlong { field }) } else { Ok(value) };
            }
        }
        Err(DecodeError::VariableByteInteger { field })
    }

    /// Binary data (section 1.5.6).
    #[inline]
    pub fn binary(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.two_bytes(field)?;
        self.take(usize::from(length), field)
    }

    /// UTF-8 encoded string (section 1.5.4).
    #[inline]
    pub fn string(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.binary(field)?;
        text::text(bytes).map_err(|error| text_error(error, field))
    }

    /// UTF-8 encoded string that is a topic name; `refused` wraps what section 4.7 has against it.
    #[inline]
    pub fn topic_name(
        &mut self,
        field: &'static str,
        refused: impl FnOnce(TopicError) -> DecodeError,
    ) -> Result<&'a str, DecodeError> {
        let bytes = self.binary(field)?;
        text::topic_name(bytes).map_err(|error| match error {
            NameError::Text(error) => text_error(error, field),
            NameError::Topic(error) => refused(error),
        })
    }

    #[inline]
    pub fn packet_id(&mut self, packet: PacketType) -> Result<PacketId, DecodeError> {
        let value = self.two_bytes("packet identifier")?;
        // [MQTT-2.2.1-3], [MQTT-2.2.1-4]
        PacketId::new(value).ok_or(DecodeError::PacketIdZero { packet })
    }

    /// A property section with its length in front (section 2.2.2.1).
    #[inline]
    pub fn property_section(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.variable_byte_integer("property length")?;
        self.take(length as usize, "properties")
    }

    /// Nothing may be left.
    #[inline]
    pub fn finish(&self, packet: PacketType) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes { packet }) }
    }
}

#[cold]
fn text_error(error: TextError, field: &'static str) -> DecodeError {
    match error {
        TextError::Utf8 => DecodeError::Utf8 { field },
        TextError::Null => DecodeError::NullCharacter { field },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(bytes: &[u8]) -> Result<u32, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = reader.variable_byte_integer("x")?;
        assert!(reader.is_empty());
        Ok(value)
    }

    #[test]
    fn variable_byte_integers_follow_table_1_1() {
        for (bytes, value) in [
            (&[0x00][..], 0),
            (&[0x7F], 127),
            (&[0x80, 0x01], 128),
            (&[0xFF, 0x7F], 16_383),
            (&[0x80, 0x80, 0x01], 16_384),
            (&[0xFF, 0xFF, 0x7F], 2_097_151),
            (&[0x80, 0x80, 0x80, 0x01], 2_097_152),
            (&[0xFF, 0xFF, 0xFF, 0x7F], 268_435_455),
        ] {
            assert_eq!(integer(bytes), Ok(value));
        }
    }

    #[test]
    fn padded_endless_and_cut_integers_are_refused() {
        for bytes in [&[0x80, 0x00][..], &[0xFF, 0x80, 0x00], &[0x80, 0x80, 0x80, 0x00]] {
            assert_eq!(integer(bytes), Err(DecodeError::Overlong { field: "x" }), "{bytes:?}");
        }
        assert_eq!(integer(&[0xFF, 0xFF, 0xFF, 0xFF]), Err(DecodeError::VariableByteInteger { field: "x" }));
        for bytes in [&[][..], &[0x80], &[0x80, 0x80]] {
            assert_eq!(integer(bytes), Err(DecodeError::Truncated { field: "x" }), "{bytes:?}");
        }
    }

    #[test]
    fn strings_stop_at_the_end_of_the_packet() {
        assert_eq!(Reader::new(&[0, 2, b'a', b'b', b'c']).string("x"), Ok("ab"));
        for bytes in [&[][..], &[0], &[0, 1], &[0, 3, b'a', b'b']] {
            assert_eq!(Reader::new(bytes).string("x"), Err(DecodeError::Truncated { field: "x" }), "{bytes:?}");
        }
    }
}
