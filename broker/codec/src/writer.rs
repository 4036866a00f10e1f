//! The data representations of section 1.5 in the other direction, and the frame around a body.
//!
//! Invariant: a packet that cannot be encoded leaves the output as it was.

use crate::{EncodeError, frame::REMAINING_LENGTH_MAX};

/// Bytes that a variable byte integer takes (section 1.5.5). Values above the maximum count as five, which no caller writes.
#[inline]
pub(crate) const fn variable_byte_integer_length(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        0x20_0000..=0xFFF_FFFF => 4,
        _ => 5,
    }
}

/// Appends a variable byte integer of the least length [MQTT-1.5.5-1]. `value` is at most 268,435,455.
#[inline]
pub(crate) fn put_variable_byte_integer(out: &mut Vec<u8>, value: u32) {
    let (bytes, length) = variable_byte_integer(value);
    out.extend(bytes.iter().take(length));
}

#[inline]
fn variable_byte_integer(mut value: u32) -> ([u8; 4], usize) {
    let mut bytes = [0; 4];
    let mut length = 0;
    for byte in &mut bytes {
        *byte = (value & 0x7F) as u8;
        length += 1;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, length)
}

/// Length of a string or binary field as its two-byte prefix says it.
#[inline]
pub(crate) fn field_length(bytes: &[u8], field: &'static str) -> Result<u16, EncodeError> {
    u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong { field })
}

/// Appends binary data (section 1.5.6).
pub(crate) fn put_binary(out: &mut Vec<u8>, bytes: &[u8], field: &'static str) -> Result<(), EncodeError> {
    out.extend_from_slice(&field_length(bytes, field)?.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a UTF-8 encoded string (section 1.5.4).
pub(crate) fn put_string(out: &mut Vec<u8>, string: &str, field: &'static str) -> Result<(), EncodeError> {
    if string.bytes().any(|byte| byte == 0) {
        return Err(EncodeError::NullCharacter { field }); // [MQTT-1.5.4-2]
    }
    put_binary(out, string.as_bytes(), field)
}

/// Appends what `body` writes, with a first byte and the remaining length in front.
pub(crate) fn put_frame(
    out: &mut Vec<u8>,
    first_byte: u8,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.push(first_byte);
    put_with_length(out, body).inspect_err(|_| out.truncate(start))
}

/// Appends what `body` writes, with its length as a variable byte integer in front: a property section (section 2.2.2),
/// or the body of a frame. On an error the output keeps what was written; [`put_frame`] takes it back.
pub(crate) fn put_with_length(
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.push(0);
    body(out)?;
    let length = u32::try_from(out.len() - start - 1).map_err(|_| EncodeError::PacketTooLarge)?;
    if length > REMAINING_LENGTH_MAX {
        return Err(EncodeError::PacketTooLarge);
    }
    let (bytes, bytes_length) = variable_byte_integer(length);
    out.splice(start..=start, bytes.into_iter().take(bytes_length));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reader::Reader;

    proptest! {
        #[test]
        fn integers_are_read_as_written(value in prop_oneof![0..=REMAINING_LENGTH_MAX, 0..70_000_u32]) {
            let mut out = Vec::new();
            put_variable_byte_integer(&mut out, value);
            prop_assert_eq!(out.len(), variable_byte_integer_length(value as usize));
            prop_assert_eq!(Reader::new(&out).variable_byte_integer("x"), Ok(value));
        }
    }

    #[test]
    fn lengths_change_at_the_borders() {
        for (value, length) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (2_097_151, 3),
            (2_097_152, 4),
            (268_435_455, 4),
            (268_435_456, 5),
        ] {
            assert_eq!(variable_byte_integer_length(value), length, "{value}");
        }
    }

    #[test]
    fn fields_end_at_65535_bytes() {
        let mut out = Vec::new();
        assert_eq!(put_binary(&mut out, &vec![1; 65_535], "x"), Ok(()));
        assert_eq!(put_binary(&mut out, &vec![1; 65_536], "x"), Err(EncodeError::FieldTooLong { field: "x" }));
        assert_eq!(put_string(&mut out, "a\0", "x"), Err(EncodeError::NullCharacter { field: "x" }));
    }

    #[test]
    fn a_frame_that_fails_leaves_the_output_as_it_was() {
        let mut out = vec![7];
        let failed = put_frame(&mut out, 0x10, |out| {
            out.extend([1, 2, 3]);
            Err(EncodeError::PacketTooLarge)
        });
        assert_eq!(failed, Err(EncodeError::PacketTooLarge));
        assert_eq!(out, [7]);
    }

    #[test]
    fn a_long_body_gets_a_longer_length() {
        for length in [0, 127, 128, 16_384] {
            let mut out = Vec::new();
            put_frame(&mut out, 0x10, |out| {
                out.resize(out.len() + length, 9);
                Ok(())
            })
            .expect("fits");
            assert_eq!(out.len(), 1 + variable_byte_integer_length(length) + length);
            assert!(out.ends_with(&vec![9; length]));
        }
    }
}
