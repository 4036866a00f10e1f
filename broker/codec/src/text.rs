//! UTF-8 strings of the wire (section 1.5.4), in one pass for the usual case.
//!
//! Control characters and non-characters are accepted: the standard lets a receiver refuse them but does not ask for it,
//! and a byte order mark stays where it is ([MQTT-1.5.4-3]).

use crate::topic::TopicError;

/// What a pass over the bytes found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextError {
    /// [MQTT-1.5.4-1]
    Utf8,
    /// [MQTT-1.5.4-2]
    Null,
}

/// Why a topic name is refused: as text, or as a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameError {
    Text(TextError),
    Topic(TopicError),
}

const LOW_BITS: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
const PLUS: u64 = u64::from_ne_bytes([b'+'; 8]);
const HASH: u64 = u64::from_ne_bytes([b'#'; 8]);

/// Checks a UTF-8 encoded string.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Result<&str, TextError> {
    if every_word(bytes, is_plain_ascii) {
        // SAFETY: `is_plain_ascii` holds for every word of `bytes`, so all bytes are below 0x80 and valid UTF-8.
        Ok(unsafe { std::str::from_utf8_unchecked(bytes) })
    } else {
        unusual_text(bytes)
    }
}

/// Checks a UTF-8 encoded string that is a topic name: no wildcards, at least one character.
#[inline]
pub(crate) fn topic_name(bytes: &[u8]) -> Result<&str, NameError> {
    if !bytes.is_empty() && every_word(bytes, is_plain_name) {
        // SAFETY: `is_plain_name` implies `is_plain_ascii`, so all bytes are below 0x80 and valid UTF-8.
        Ok(unsafe { std::str::from_utf8_unchecked(bytes) })
    } else {
        let name = unusual_text(bytes).map_err(NameError::Text)?;
        crate::topic::validate_name(name).map_err(NameError::Topic)?;
        Ok(name)
    }
}

#[cold]
fn unusual_text(bytes: &[u8]) -> Result<&str, TextError> {
    let text = std::str::from_utf8(bytes).map_err(|_| TextError::Utf8)?;
    if text.bytes().any(|byte| byte == 0) { Err(TextError::Null) } else { Ok(text) }
}

/// Whether all eight bytes are ASCII and none is zero.
#[inline]
const fn is_plain_ascii(word: u64) -> bool {
    // Subtracting one borrows into the high bit only below the first zero byte; the last bit of doubt (a high bit that
    // was set before) is refused anyway.
    (word | word.wrapping_sub(LOW_BITS)) & HIGH_BITS == 0
}

/// Whether all eight bytes are ASCII, none is zero and none is a wildcard.
#[inline]
const fn is_plain_name(word: u64) -> bool {
    let found = word
        | word.wrapping_sub(LOW_BITS)
        | (word ^ PLUS).wrapping_sub(LOW_BITS)
        | (word ^ HASH).wrapping_sub(LOW_BITS);
    found & HIGH_BITS == 0
}

/// Runs `holds` over all bytes in words of eight; the last word overlaps, a short input is filled up with spaces.
#[inline]
fn every_word(bytes: &[u8], holds: impl Fn(u64) -> bool) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        return holds(short_word(bytes));
    };
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().all(|word| holds(u64::from_ne_bytes(*word))) && holds(u64::from_ne_bytes(*last))
}

/// Up to seven bytes in one word; halves overlap instead of a loop.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_ne_bytes(*first)) | u64::from(u32::from_ne_bytes(*last)) << 32;
    }
    match *bytes {
        [] => SPACES,
        [a] => SPACES << 8 | u64::from(a),
        [a, b] => SPACES << 16 | u64::from(b) << 8 | u64::from(a),
        [a, b, c, ..] => SPACES << 24 | u64::from(c) << 16 | u64::from(b) << 8 | u64::from(a),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rules of section 1.5.4 without any speed.
    fn slow_text(bytes: &[u8]) -> Result<&str, TextError> {
        let text = std::str::from_utf8(bytes).map_err(|_| TextError::Utf8)?;
        if text.contains('\0') { Err(TextError::Null) } else { Ok(text) }
    }

    fn slow_name(bytes: &[u8]) -> Result<&str, NameError> {
        let name = slow_text(bytes).map_err(NameError::Text)?;
        crate::topic::validate_name(name).map_err(NameError::Topic)?;
        Ok(name)
    }

    #[test]
    fn one_odd_byte_is_found_at_every_place_of_every_length() {
        for length in 0..40 {
            let plain = vec![b'a'; length];
            assert_eq!(text(&plain), slow_text(&plain));
            assert_eq!(topic_name(&plain), slow_name(&plain));
            for place in 0..length {
                for odd in [0, 1, b'"', b'#', b'$', b'*', b'+', b',', 0x7F, 0x80, 0xA3, 0xAB, 0xFF] {
                    let mut bytes = plain.clone();
                    bytes[place] = odd;
                    assert_eq!(text(&bytes), slow_text(&bytes), "{bytes:?}");
                    assert_eq!(topic_name(&bytes), slow_name(&bytes), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn surrogates_are_refused_and_a_byte_order_mark_is_kept() {
        assert_eq!(text(&[0xED, 0xA0, 0x80]), Err(TextError::Utf8)); // U+D800 [MQTT-1.5.4-1]
        assert_eq!(text(&[0xC0, 0x80]), Err(TextError::Utf8)); // overlong U+0000
        assert_eq!(text("\u{FEFF}a".as_bytes()), Ok("\u{FEFF}a")); // [MQTT-1.5.4-3]
        assert_eq!(text("ü\0".as_bytes()), Err(TextError::Null)); // [MQTT-1.5.4-2]
        assert_eq!(text("\u{1}\u{7F}\u{FFFF}".as_bytes()), Ok("\u{1}\u{7F}\u{FFFF}"));
    }

    proptest! {
        #[test]
        fn fast_and_slow_agree(bytes in prop::collection::vec(any::<u8>(), 0..40), string in ".{0,20}") {
            prop_assert_eq!(text(&bytes), slow_text(&bytes));
            prop_assert_eq!(topic_name(&bytes), slow_name(&bytes));
            prop_assert_eq!(text(string.as_bytes()), slow_text(string.as_bytes()));
            prop_assert_eq!(topic_name(string.as_bytes()), slow_name(string.as_bytes()));
        }
    }
}
