use proptest::prelude::*;

use super::expected::{Expected, Field};
use super::*;

fn patch_header() -> Header {
    Header {
        kind: Kind::Patch,
        window_log: 20,
        base: Some(Digest::of(b"base")),
        result: Digest::of(b"result"),
        stream_bytes: 6 + 2 * 24,
    }
}

fn full_header() -> Header {
    Header { kind: Kind::Full, base: None, stream_bytes: 6, ..patch_header() }
}

/// `header` with `change` made to its bytes and the checksum made to fit.
fn with(header: &Header, change: impl FnOnce(&mut [u8])) -> Result<Header, HeaderError> {
    let mut bytes = header.encode();
    change(&mut bytes[..HEADER_BYTES - CHECKSUM_BYTES]);
    let sum = checksum(&bytes[..HEADER_BYTES - CHECKSUM_BYTES]);
    bytes[HEADER_BYTES - CHECKSUM_BYTES..].copy_from_slice(&sum);
    Header::decode(&bytes)
}

#[test]
fn a_header_is_read_as_it_was_written() {
    for header in [patch_header(), full_header()] {
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
}

#[test]
fn every_field_stands_where_the_grammar_says() {
    let bytes = patch_header().encode();
    assert_eq!(&bytes[..12], b"SELVPAY\n\x01\x00\x01\x14");
    assert_eq!(bytes[12..20], 4_u64.to_le_bytes());
    assert_eq!(bytes[20..52], Digest::of(b"base").sha256);
    assert_eq!(bytes[52..60], 6_u64.to_le_bytes());
    assert_eq!(bytes[60..92], Digest::of(b"result").sha256);
    assert_eq!(bytes[92..100], 54_u64.to_le_bytes());
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    for bit in 0..HEADER_BYTES * 8 {
        let mut bytes = patch_header().encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0..8 => HeaderError::Magic,
            8..10 => HeaderError::Version(u16::from_le_bytes([bytes[8], bytes[9]])),
            _ => HeaderError::Checksum,
        };
        assert_eq!(Header::decode(&bytes), Err(expected), "bit {bit}");
    }
}

#[test]
fn an_unknown_kind_is_refused() {
    assert_eq!(with(&patch_header(), |bytes| bytes[10] = 2), Err(HeaderError::Kind(2)));
}

#[test]
fn a_full_payload_has_no_base_and_a_patch_has_one() {
    assert_eq!(with(&full_header(), |bytes| bytes[12] = 1), Err(HeaderError::Base));
    assert_eq!(with(&patch_header(), |bytes| bytes[12..52].fill(0)), Err(HeaderError::Base));
}

#[test]
fn windows_from_1_kib_to_8_mib_are_read_and_no_others() {
    for (window_log, fits) in [(0, false), (9, false), (10, true), (23, true), (24, false), (255, false)] {
        let read = with(&patch_header(), |bytes| bytes[11] = window_log);
        let expected =
            if fits { Ok(Header { window_log, ..patch_header() }) } else { Err(HeaderError::Window(window_log)) };
        assert_eq!(read, expected);
    }
}

#[test]
fn a_stream_has_at_least_one_instruction_and_at_most_one_more_than_bytes_come_out() {
    for (stream_bytes, fits) in [(0, false), (29, false), (30, true), (6 + 7 * 24, true), (7 + 7 * 24, false)] {
        let header = Header { stream_bytes, ..patch_header() };
        assert_eq!(Header::decode(&header.encode()).is_ok(), fits, "{stream_bytes}");
    }
    for (stream_bytes, fits) in [(0, true), (24, true), (25, false)] {
        let header = Header { stream_bytes, result: Digest::of(b""), ..patch_header() };
        assert_eq!(Header::decode(&header.encode()).is_ok(), fits, "{stream_bytes}");
    }
    let longest = Digest { length: u64::MAX, ..Digest::ABSENT };
    let header = Header { stream_bytes: u64::MAX, result: longest, ..patch_header() };
    assert!(Header::decode(&header.encode()).is_err());
}

#[test]
fn the_stream_of_a_full_payload_is_as_long_as_the_result() {
    for (stream_bytes, fits) in [(5, false), (6, true), (7, false)] {
        let header = Header { stream_bytes, ..full_header() };
        assert_eq!(Header::decode(&header.encode()).is_ok(), fits, "{stream_bytes}");
    }
}

#[test]
fn a_header_that_differs_from_what_was_signed_is_refused_by_the_name_of_the_field() {
    let header = patch_header();
    let signed = Expected::of(&header);
    assert_eq!(signed.compare(&header), Ok(()));
    let base = Digest::of(b"base");
    let result = Digest::of(b"result");
    let cases = [
        (Field::Kind, Expected { kind: Kind::Full, ..signed }),
        (Field::BaseLength, Expected { base: Some(Digest { length: 5, ..base }), ..signed }),
        (Field::BaseHash, Expected { base: Some(Digest { sha256: [7; 32], ..base }), ..signed }),
        (Field::BaseLength, Expected { base: None, ..signed }),
        (Field::ResultLength, Expected { result: Digest { length: 7, ..result }, ..signed }),
        (Field::ResultHash, Expected { result: Digest { sha256: [7; 32], ..result }, ..signed }),
    ];
    for (field, other) in cases {
        let mismatch = other.compare(&header).expect_err("differs");
        assert_eq!(mismatch.field, field);
        assert!(mismatch.to_string().contains(&field.to_string()), "{mismatch}");
    }
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic_and_are_written_as_they_were_read(bytes in proptest::collection::vec(any::<u8>(), 91)) {
        let read = with(&patch_header(), |target| target[9..].copy_from_slice(&bytes));
        if let Ok(header) = read {
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
    }
}
