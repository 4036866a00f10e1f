//! Every payload that is not the signed one, and every base that is not the right one, is refused by name.

#[path = "craft/image.rs"]
mod image;
#[path = "craft/wrap.rs"]
mod wrap;

use std::cell::Cell;
use std::io::{self, Read, Write};

use image::Chance;
use selvedge_ota_patch::{
    ApplyError, BaseImage, CheckBaseError, CheckedBase, Digest, Expected, Field, HEADER_BYTES, Header, HeaderError,
    InflateError, Instruction, InstructionProblem, Kind, Options, Payload, apply, make_full, make_patch,
};
use wrap::wrap;

const FAST: Options = Options { level: 1, window_log_max: 23 };

/// An instruction and its bytes.
type Written<'a> = (Instruction, &'a [u8]);

/// A base, a new image, and the payloads between them.
struct Update {
    base: Vec<u8>,
    new: Vec<u8>,
    patch: Payload,
    full: Payload,
}

fn update(bytes: usize) -> Update {
    let mut chance = Chance(1);
    let base = chance.noise(bytes);
    let new = chance.similar(&base);
    let patch = make_patch(&base, &new, &FAST, &mut |_| {}).expect("a patch");
    let full = make_full(&new, &FAST, &mut |_| {}).expect("a full image");
    Update { base, new, patch, full }
}

/// Applies to `base`; whatever comes of it, no more was written than was signed.
fn applied(mut payload: &[u8], base: Option<&[u8]>, expected: &Expected) -> Result<Vec<u8>, ApplyError> {
    let base = base.as_ref().map(|base| CheckedBase::check(base, &Digest::of(base), &mut |_| {}).expect("itself"));
    let mut output = Vec::new();
    let result = apply(&mut payload, base.as_ref(), &mut output, expected, &mut |_| {});
    assert!(output.len() as u64 <= expected.result.length, "{} bytes were written", output.len());
    result.map(|()| output)
}

/// Applies instructions against `base` that are to make `result_bytes`, with everything else as it should be.
fn followed(base: &[u8], instructions: &[Written<'_>], result: Digest) -> Result<Vec<u8>, ApplyError> {
    let stream: Vec<u8> =
        instructions.iter().flat_map(|(numbers, bytes)| numbers.encode().into_iter().chain(bytes.to_vec())).collect();
    let payload = wrap(Some(Digest::of(base)), result, &stream);
    let expected = Expected { kind: Kind::Patch, base: Some(Digest::of(base)), result };
    applied(&payload, Some(base), &expected)
}

fn numbers(mix: u64, copy: u64, seek: i64) -> Instruction {
    Instruction { mix, copy, seek }
}

/// The digest of something of that length that nobody makes.
fn of_length(length: u64) -> Digest {
    Digest { length, sha256: [1; 32] }
}

fn refused_instruction(result: Result<Vec<u8>, ApplyError>) -> (u64, InstructionProblem) {
    match result {
        Err(ApplyError::Instruction { offset, problem }) => (offset, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payload_cut_at_any_byte_is_truncated() {
    let update = update(300);
    for payload in [&update.patch, &update.full] {
        let expected = Expected::of(&payload.header);
        for end in 0..payload.bytes.len() {
            match applied(&payload.bytes[..end], Some(&update.base), &expected) {
                Err(ApplyError::TruncatedHeader) => assert!(end < HEADER_BYTES),
                Err(ApplyError::Inflate(InflateError::Truncated { .. })) => assert!(end >= HEADER_BYTES),
                other => panic!("cut at {end}: {other:?}"),
            }
        }
        assert_eq!(applied(&payload.bytes, Some(&update.base), &expected).ok().as_ref(), Some(&update.new));
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_payload_gives_no_other_image() {
    let update = update(300);
    for payload in [&update.patch, &update.full] {
        let expected = Expected::of(&payload.header);
        for bit in 0..payload.bytes.len() * 8 {
            let mut damaged = payload.bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(image) = applied(&damaged, Some(&update.base), &expected) {
                assert!(image == update.new, "bit {bit}");
                // Only bits of the frame that zstd does not look at.
                assert!(bit / 8 >= HEADER_BYTES, "bit {bit} of the header was overlooked");
            }
        }
    }
}

#[test]
fn a_byte_after_the_end_is_refused() {
    let update = update(300);
    for payload in [&update.patch, &update.full] {
        let longer = [payload.bytes.as_slice(), &[0]].concat();
        let result = applied(&longer, Some(&update.base), &Expected::of(&payload.header));
        assert!(matches!(result, Err(ApplyError::Inflate(InflateError::TrailingBytes))), "{result:?}");
    }
}

#[test]
fn each_signed_field_is_compared_before_anything_is_written() {
    let update = update(300);
    let signed = Expected::of(&update.patch.header);
    let (base, result) = (Digest::of(&update.base), signed.result);
    let other = [7; 32];
    for (field, expected) in [
        (Field::Kind, Expected { kind: Kind::Full, base: None, ..signed }),
        (Field::BaseLength, Expected { base: Some(Digest { length: base.length + 1, ..base }), ..signed }),
        (Field::BaseHash, Expected { base: Some(Digest { sha256: other, ..base }), ..signed }),
        (Field::ResultLength, Expected { result: Digest { length: result.length - 1, ..result }, ..signed }),
        (Field::ResultHash, Expected { result: Digest { sha256: other, ..result }, ..signed }),
    ] {
        let mut untouched = Failing::at(0);
        let error = apply(&mut update.patch.bytes.as_slice(), None, &mut untouched, &expected, &mut |_| {});
        match error {
            Err(ApplyError::Mismatch(mismatch)) => assert_eq!(mismatch.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn a_full_image_is_not_taken_for_a_patch() {
    let update = update(300);
    let signed = Expected::of(&update.patch.header);
    let result = applied(&update.full.bytes, Some(&update.base), &signed);
    assert!(matches!(result, Err(ApplyError::Mismatch(mismatch)) if mismatch.field == Field::Kind));
}

#[test]
fn something_else_than_a_payload_is_refused() {
    let update = update(300);
    let expected = Expected::of(&update.patch.header);
    let result = applied(&[b'x'; 500], Some(&update.base), &expected);
    assert!(matches!(result, Err(ApplyError::Header(HeaderError::Magic))), "{result:?}");
}

#[test]
fn a_patch_needs_its_base_and_a_full_image_needs_none() {
    let update = update(300);
    let result = applied(&update.patch.bytes, None, &Expected::of(&update.patch.header));
    assert!(matches!(result, Err(ApplyError::NoBase)), "{result:?}");
    let result = applied(&update.patch.bytes, Some(&update.new), &Expected::of(&update.patch.header));
    assert!(matches!(result, Err(ApplyError::OtherBase { .. })), "{result:?}");
    let result = applied(&update.full.bytes, None, &Expected::of(&update.full.header));
    assert_eq!(result.ok(), Some(update.new));
}

#[test]
fn a_flipped_bit_in_the_base_is_found_before_and_while_it_is_used() {
    let update = update(300);
    let wanted = Digest::of(&update.base);
    for bit in 0..update.base.len() * 8 {
        let mut damaged = update.base.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let checked = CheckedBase::check(&damaged.as_slice(), &wanted, &mut |_| {}).map(|_| ());
        assert!(matches!(checked, Err(CheckBaseError::Hash { .. })), "bit {bit}");
    }
    // A base that changes after it was checked.
    struct Rotting(Vec<u8>, Cell<bool>);
    impl BaseImage for Rotting {
        fn length(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let bytes = self.0.as_slice().read_at(buffer, offset)?;
            if self.1.get() && offset == 0 {
                buffer[0] ^= 1;
            }
            Ok(bytes)
        }
    }
    let rotting = Rotting(update.base.clone(), Cell::new(false));
    let base = CheckedBase::check(&rotting, &wanted, &mut |_| {}).expect("still whole");
    rotting.1.set(true);
    let expected = Expected::of(&update.patch.header);
    let result = apply(&mut update.patch.bytes.as_slice(), Some(&base), &mut Vec::new(), &expected, &mut |_| {});
    assert!(matches!(result, Err(ApplyError::ResultHash { .. })), "{result:?}");
}

#[test]
fn a_base_of_another_length_is_refused_without_reading_it() {
    struct Unreadable;
    impl BaseImage for Unreadable {
        fn length(&self) -> io::Result<u64> {
            Ok(10)
        }
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Other.into())
        }
    }
    for length in [9, 11] {
        let checked = CheckedBase::check(&Unreadable, &of_length(length), &mut |_| {}).map(|_| ());
        assert!(matches!(checked, Err(CheckBaseError::Length { found: 10, .. })), "{checked:?}");
    }
    let checked = CheckedBase::check(&Unreadable, &of_length(10), &mut |_| {}).map(|_| ());
    assert!(matches!(checked, Err(CheckBaseError::Read { offset: 0, .. })), "{checked:?}");
}

#[test]
fn instructions_that_leave_the_base_or_the_result_are_refused_with_their_place() {
    let base = [5; 10];
    let eleven = [0; 11];
    let whole = numbers(10, 0, 0);
    let cases: [(&[Written<'_>], u64, InstructionProblem); 8] = [
        (&[(numbers(11, 0, 0), &eleven)], 0, InstructionProblem::PastBase),
        (&[(numbers(0, 1, 10), &eleven[..1]), (numbers(1, 0, 0), &eleven[..1])], 25, InstructionProblem::PastBase),
        (&[(whole, &eleven[..10]), (numbers(0, 2, 0), &eleven[..2])], 34, InstructionProblem::PastResult),
        (&[(numbers(1, 10, 10), &eleven)], 0, InstructionProblem::SeekOutside),
        (&[(numbers(1, 10, -2), &eleven)], 0, InstructionProblem::SeekOutside),
        (&[(numbers(1, 10, i64::MAX), &eleven)], 0, InstructionProblem::SeekOutside),
        (&[(numbers(u64::MAX >> 1, u64::MAX >> 1, -i64::MAX), &eleven)], 0, InstructionProblem::PastResult),
        (&[(numbers(0, 0, 1), &[]), (numbers(0, 0, 1), &eleven)], 24, InstructionProblem::Empty),
    ];
    for (instructions, offset, problem) in cases {
        let result = followed(&base, instructions, of_length(11));
        assert_eq!(refused_instruction(result), (offset, problem), "{instructions:?}");
    }
}

#[test]
fn negative_lengths_are_refused() {
    let base = [5; 10];
    for field in 0..2 {
        let mut stream = [numbers(1, 1, 0).encode().as_slice(), b"ab"].concat();
        stream[field * 8 + 7] |= 0x80;
        let payload = wrap(Some(Digest::of(&base)), of_length(2), &stream);
        let expected = Expected { kind: Kind::Patch, base: Some(Digest::of(&base)), result: of_length(2) };
        let result = applied(&payload, Some(&base), &expected);
        assert_eq!(refused_instruction(result), (0, InstructionProblem::NegativeLength));
    }
}

#[test]
fn an_instruction_without_all_of_its_bytes_is_refused() {
    let base = [5; 10];
    let whole = numbers(10, 0, 0);
    let cut_numbers: &[Written<'_>] = &[(whole, &[0; 10 + 23])];
    assert_eq!(refused_instruction(followed(&base, cut_numbers, of_length(11))), (34, InstructionProblem::CutShort));
    let cut_bytes: &[Written<'_>] = &[(whole, &[0; 10]), (numbers(0, 2, 0), b"a")];
    assert_eq!(refused_instruction(followed(&base, cut_bytes, of_length(12))), (34, InstructionProblem::CutShort));
}

#[test]
fn the_signed_length_is_met_exactly() {
    let base = [5; 10];
    let instructions: &[Written<'_>] = &[(numbers(10, 1, 0), &[1; 11])];
    let image = [[6; 10].as_slice(), &[1]].concat();
    assert_eq!(followed(&base, instructions, Digest::of(&image)).ok(), Some(image));
    let shorter = followed(&base, instructions, of_length(10));
    assert_eq!(refused_instruction(shorter), (0, InstructionProblem::PastResult));
    let two: &[Written<'_>] = &[(numbers(10, 0, 0), &[1; 10]), (numbers(0, 1, 0), &[1])];
    let longer = followed(&base, two, of_length(12));
    assert!(matches!(longer, Err(ApplyError::ResultTooShort { made: 11, declared: 12 })), "{longer:?}");
    let other = followed(&base, instructions, of_length(11));
    assert!(matches!(other, Err(ApplyError::ResultHash { .. })), "{other:?}");
}

#[test]
fn a_full_stream_of_another_length_than_the_header_says_is_refused() {
    let image = [9; 1000];
    let payload = |declared: u64| {
        let result = Digest { length: declared, ..Digest::of(&image) };
        let bytes = wrap(None, Digest::of(&image), &image);
        let header = Header { kind: Kind::Full, window_log: 23, base: None, result, stream_bytes: declared };
        let forged = [header.encode().as_slice(), &bytes[HEADER_BYTES..]].concat();
        applied(&forged, None, &Expected::of(&header))
    };
    assert!(payload(1000).is_ok());
    assert!(matches!(payload(999), Err(ApplyError::Inflate(InflateError::TooLong { declared: 999 }))));
    assert!(matches!(payload(1001), Err(ApplyError::Inflate(InflateError::TooShort { found: 1000, declared: 1001 }))));
}

#[test]
fn a_header_that_promises_a_smaller_window_than_the_stream_needs_is_refused() {
    let image = Chance(3).noise(100_000);
    let made = make_full(&image, &FAST, &mut |_| {}).expect("a full image");
    assert_eq!(made.header.window_log, 17);
    let header = Header { window_log: 16, ..made.header };
    let forged = [header.encode().as_slice(), &made.bytes[HEADER_BYTES..]].concat();
    let result = applied(&forged, None, &Expected::of(&header));
    assert!(matches!(result, Err(ApplyError::Inflate(InflateError::WindowTooLarge { window_log: 16 }))), "{result:?}");
}

/// A disk that is full, or a link that breaks, after some bytes.
struct Failing {
    left: usize,
}

impl Failing {
    fn at(left: usize) -> Self {
        Self { left }
    }
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.left == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

#[test]
fn a_full_disk_at_any_byte_is_told_and_never_ok() {
    let update = update(300);
    let expected = Expected::of(&update.patch.header);
    let base_bytes = update.base.as_slice();
    let base = CheckedBase::check(&base_bytes, &Digest::of(&update.base), &mut |_| {}).expect("the base");
    for left in 0..=update.new.len() {
        let mut disk = Failing::at(left);
        let result = apply(&mut update.patch.bytes.as_slice(), Some(&base), &mut disk, &expected, &mut |_| {});
        match result {
            Err(ApplyError::Write { offset, .. }) => assert!(offset as usize <= left),
            other => panic!("{left}: {other:?}"),
        }
    }
    let mut disk = Failing::at(update.new.len() + 1);
    assert!(apply(&mut update.patch.bytes.as_slice(), Some(&base), &mut disk, &expected, &mut |_| {}).is_ok());
}

#[test]
fn a_reader_that_fails_is_told_from_one_that_ends() {
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::ConnectionReset.into()),
                bytes => Ok(bytes),
            }
        }
    }
    let update = update(300);
    let expected = Expected::of(&update.full.header);
    for end in 0..update.full.bytes.len() {
        let mut broken = Broken(&update.full.bytes[..end]);
        match apply(&mut broken, None, &mut Vec::new(), &expected, &mut |_| {}) {
            Err(ApplyError::ReadHeader(_)) => assert!(end < HEADER_BYTES),
            Err(ApplyError::Inflate(InflateError::Read { .. })) => assert!(end >= HEADER_BYTES),
            other => panic!("broken at {end}: {other:?}"),
        }
    }
}
