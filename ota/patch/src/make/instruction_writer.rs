//! Takes what the `bsdiff` crate writes, piece by piece, and keeps the instructions.
//!
//! The library sometimes writes an instruction that only seeks. Such a one is added to the one before it, because a device
//! takes it only in front.

use std::io::{self, ErrorKind, Write};

use crate::instruction::{INSTRUCTION_BYTES, Instruction};
use crate::progress::{Progress, Reporter, Stage};

/// Receives the pieces.
pub(super) struct InstructionWriter<'a> {
    stream: Vec<u8>,
    /// Where in `stream` the last instruction begins, and what it is.
    last: Option<(usize, Instruction)>,
    /// Bytes of the last instruction that are still to come.
    awaited: u64,
    made: u64,
    new_bytes: u64,
    reporter: Reporter<'a>,
    sorting: bool,
}

impl<'a> InstructionWriter<'a> {
    /// The library sorts the base before it writes anything.
    pub(super) fn start(report: &'a mut dyn FnMut(Progress), base_bytes: u64, new_bytes: u64) -> Self {
        let reporter = Reporter::start(report, Stage::SortBase, base_bytes);
        Self { stream: Vec::new(), last: None, awaited: 0, made: 0, new_bytes, reporter, sorting: true }
    }

    /// The stream, if it makes all bytes of the new image.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.end_sorting();
        if self.awaited > 0 || self.made != self.new_bytes {
            return Err(unexpected("the library wrote instructions for another length"));
        }
        self.reporter.finish();
        Ok(self.stream)
    }

    fn end_sorting(&mut self) {
        if self.sorting {
            self.sorting = false;
            self.reporter.next(Stage::FindInstructions, self.new_bytes);
        }
    }

    fn take_instruction(&mut self, numbers: &[u8; INSTRUCTION_BYTES]) -> io::Result<()> {
        let instruction =
            Instruction::decode(numbers).map_err(|problem| io::Error::new(ErrorKind::InvalidData, problem))?;
        // Both are below 2^63.
        let writes = instruction.mix + instruction.copy;
        if let (0, Some((start, last))) = (writes, &mut self.last) {
            let seek = last.seek.checked_add(instruction.seek);
            last.seek = seek.ok_or_else(|| unexpected("the library moves farther than any image is long"))?;
            self.stream[*start..*start + INSTRUCTION_BYTES].copy_from_slice(&last.encode());
            return Ok(());
        }
        self.last = Some((self.stream.len(), instruction));
        self.stream.extend_from_slice(numbers);
        self.awaited = writes;
        self.made = self.made.saturating_add(writes);
        self.reporter.add(writes);
        Ok(())
    }
}

impl Write for InstructionWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.end_sorting();
        if self.awaited > 0 {
            let bytes = &bytes[..bytes.len().min(usize::try_from(self.awaited).unwrap_or(usize::MAX))];
            self.stream.extend_from_slice(bytes);
            self.awaited -= bytes.len() as u64;
            return Ok(bytes.len());
        }
        // The library writes the numbers of an instruction in one piece.
        let numbers = bytes.first_chunk().ok_or_else(|| unexpected("the library wrote part of an instruction"))?;
        self.take_instruction(numbers)?;
        Ok(INSTRUCTION_BYTES)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unexpected(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &[&[u8]], new_bytes: u64) -> io::Result<Vec<u8>> {
        let mut report = |_| {};
        let mut writer = InstructionWriter::start(&mut report, 9, new_bytes);
        pieces.iter().try_for_each(|piece| writer.write_all(piece))?;
        writer.finish()
    }

    fn instruction(mix: u64, copy: u64, seek: i64) -> [u8; INSTRUCTION_BYTES] {
        Instruction { mix, copy, seek }.encode()
    }

    #[test]
    fn what_only_seeks_is_added_to_the_instruction_before() {
        let pieces: [&[u8]; 5] = [
            &instruction(1, 1, 5),
            b"a",
            b"b",
            &instruction(0, 0, -7),
            &[instruction(0, 1, 0).as_slice(), b"c"].concat(),
        ];
        let expected = [instruction(1, 1, -2).as_slice(), b"ab", &instruction(0, 1, 0), b"c"].concat();
        assert_eq!(written(&pieces, 3).ok(), Some(expected));
    }

    #[test]
    fn the_first_instruction_stays_also_where_it_only_seeks() {
        let pieces: [&[u8]; 4] = [&instruction(0, 0, 4), &instruction(0, 0, 1), &instruction(1, 0, 0), b"a"];
        let expected = [instruction(0, 0, 5).as_slice(), &instruction(1, 0, 0), b"a"].concat();
        assert_eq!(written(&pieces, 1).ok(), Some(expected));
    }

    #[test]
    fn instructions_for_another_length_or_cut_short_are_refused() {
        let (numbers, bytes): (&[u8], &[u8]) = (&instruction(1, 1, 0), b"ab");
        assert!(written(&[numbers, bytes], 2).is_ok());
        assert!(written(&[numbers, bytes], 1).is_err());
        assert!(written(&[numbers, bytes], 3).is_err());
        assert!(written(&[numbers, &bytes[..1]], 2).is_err());
        assert!(written(&[&numbers[..23]], 0).is_err());
        assert!(written(&[], 0).is_ok());
    }
}
