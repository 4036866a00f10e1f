//! The instructions of a patch, as bsdiff writes them, and what may follow what.
//!
//! ```text
//! stream      = { instruction }
//! instruction = mix:i64 copy:i64 seek:i64 mixed literal
//! mixed       = mix bytes, each added to the next byte of the base
//! literal     = copy bytes, taken as they are
//! ```
//! Numbers are little endian, sign and magnitude. After the bytes the position in the base moves on by `seek`.
//!
//! Pure; does not see the bytes. Invariant: what [`Cursor::admit`] takes reads inside of the base, writes inside of the result,
//! and every instruction but the first writes something, so that there are at most as many as bytes in the result, and one.

use thiserror::Error;

/// Bytes of the three numbers of an instruction.
pub const INSTRUCTION_BYTES: usize = 24;

const SIGN: u64 = 1 << 63;

/// One instruction, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Bytes that are added to the base, below 2^63.
    pub mix: u64,
    /// Bytes that are taken as they are, below 2^63.
    pub copy: u64,
    /// How far the position in the base moves afterwards, in bytes.
    pub seek: i64,
}

/// Why an instruction is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InstructionProblem {
    /// The stream ends within the numbers or the bytes.
    #[error("it goes on after the end of the stream")]
    CutShort,
    /// A length below zero.
    #[error("it has a negative length")]
    NegativeLength,
    /// It is not the first and writes nothing.
    #[error("it writes nothing")]
    Empty,
    /// It would write more than the result has.
    #[error("it writes more than the result has")]
    PastResult,
    /// It reads behind the end of the base.
    #[error("it reads behind the end of the base")]
    PastBase,
    /// It moves the position to before the start or behind the end of the base.
    #[error("it moves out of the base")]
    SeekOutside,
}

impl Instruction {
    /// The bytes that the stream has for the three numbers. Magnitudes are cut to 63 bits.
    pub fn encode(self) -> [u8; INSTRUCTION_BYTES] {
        let sign = if self.seek < 0 { SIGN } else { 0 };
        let numbers = [self.mix & !SIGN, self.copy & !SIGN, self.seek.unsigned_abs() & !SIGN | sign];
        let mut bytes = [0; INSTRUCTION_BYTES];
        for (target, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
            *target = number.to_le_bytes();
        }
        bytes
    }

    /// Reads the three numbers.
    ///
    /// # Errors
    /// A negative length.
    pub fn decode(bytes: &[u8; INSTRUCTION_BYTES]) -> Result<Self, InstructionProblem> {
        let mut numbers = [0; 3];
        for (number, field) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = u64::from_le_bytes(*field);
        }
        let [mix, copy, seek] = numbers;
        if (mix | copy) & SIGN != 0 {
            return Err(InstructionProblem::NegativeLength);
        }
        // 63 bits fit into an i64 with either sign.
        let magnitude = (seek & !SIGN) as i64;
        Ok(Self { mix, copy, seek: if seek & SIGN == 0 { magnitude } else { -magnitude } })
    }
}

/// Where in the base and in the result the next instruction begins.
#[derive(Debug)]
pub(crate) struct Cursor {
    base: u64,
    base_bytes: u64,
    made: u64,
    result_bytes: u64,
    begun: bool,
}

impl Cursor {
    pub(crate) fn new(base_bytes: u64, result_bytes: u64) -> Self {
        Self { base: 0, base_bytes, made: 0, result_bytes, begun: false }
    }

    /// Bytes of the result that the instructions so far make.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Takes the next instruction and says where in the base it begins to mix.
    pub(crate) fn admit(&mut self, instruction: &Instruction) -> Result<u64, InstructionProblem> {
        let Instruction { mix, copy, seek } = *instruction;
        let writes = mix.checked_add(copy).ok_or(InstructionProblem::PastResult)?;
        if writes == 0 && self.begun {
            return Err(InstructionProblem::Empty);
        }
        let made = self.made.checked_add(writes).filter(|made| *made <= self.result_bytes);
        let made = made.ok_or(InstructionProblem::PastResult)?;
        let start = self.base;
        let end = start.checked_add(mix).filter(|end| *end <= self.base_bytes);
        let end = end.ok_or(InstructionProblem::PastBase)?;
        let base = end.checked_add_signed(seek).filter(|base| *base <= self.base_bytes);
        self.base = base.ok_or(InstructionProblem::SeekOutside)?;
        self.made = made;
        self.begun = true;
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn admit(instruction: (u64, u64, i64)) -> Result<u64, InstructionProblem> {
        // Ten bytes of base of which four are behind, ten bytes of result of which two are made.
        let mut cursor = Cursor { base: 4, base_bytes: 10, made: 2, result_bytes: 10, begun: true };
        let (mix, copy, seek) = instruction;
        cursor.admit(&Instruction { mix, copy, seek })
    }

    #[test]
    fn both_sides_of_every_limit() {
        assert_eq!(admit((6, 2, 0)), Ok(4));
        assert_eq!(admit((6, 3, 0)), Err(InstructionProblem::PastResult));
        assert_eq!(admit((7, 1, 0)), Err(InstructionProblem::PastBase));
        assert_eq!(admit((1, 0, 5)), Ok(4));
        assert_eq!(admit((1, 0, 6)), Err(InstructionProblem::SeekOutside));
        assert_eq!(admit((1, 0, -5)), Ok(4));
        assert_eq!(admit((1, 0, -6)), Err(InstructionProblem::SeekOutside));
        assert_eq!(admit((0, 1, 0)), Ok(4));
        assert_eq!(admit((0, 0, 1)), Err(InstructionProblem::Empty));
    }

    #[test]
    fn the_largest_numbers_are_refused_and_do_not_overflow() {
        let largest = SIGN - 1;
        assert_eq!(admit((largest, largest, 0)), Err(InstructionProblem::PastResult));
        assert_eq!(admit((u64::MAX, 1, 0)), Err(InstructionProblem::PastResult));
        assert_eq!(admit((1, 1, i64::MAX)), Err(InstructionProblem::SeekOutside));
        assert_eq!(admit((1, 1, i64::MIN)), Err(InstructionProblem::SeekOutside));
        let mut cursor = Cursor { base: u64::MAX, base_bytes: u64::MAX, ..Cursor::new(0, u64::MAX) };
        let instruction = Instruction { mix: 1, copy: 0, seek: 0 };
        assert_eq!(cursor.admit(&instruction), Err(InstructionProblem::PastBase));
    }

    #[test]
    fn only_the_first_instruction_may_write_nothing() {
        let mut cursor = Cursor::new(10, 10);
        let nothing = Instruction { mix: 0, copy: 0, seek: 3 };
        assert_eq!(cursor.admit(&nothing), Ok(0));
        assert_eq!(cursor.admit(&nothing), Err(InstructionProblem::Empty));
        assert_eq!(cursor.admit(&Instruction { mix: 7, copy: 0, seek: 0 }), Ok(3));
        assert_eq!(cursor.made(), 7);
    }

    #[test]
    fn a_refused_instruction_moves_nothing() {
        let mut cursor = Cursor::new(10, 10);
        assert_eq!(cursor.admit(&Instruction { mix: 5, copy: 5, seek: 6 }), Err(InstructionProblem::SeekOutside));
        assert_eq!((cursor.base, cursor.made(), cursor.begun), (0, 0, false));
    }

    #[test]
    fn negative_lengths_are_refused_also_where_the_magnitude_is_zero() {
        for field in 0..2 {
            let mut bytes = Instruction { mix: 1, copy: 1, seek: 0 }.encode();
            bytes[field * 8 + 7] |= 0x80;
            assert_eq!(Instruction::decode(&bytes), Err(InstructionProblem::NegativeLength));
            bytes[field * 8] = 0;
            assert_eq!(Instruction::decode(&bytes), Err(InstructionProblem::NegativeLength));
        }
    }

    proptest! {
        #[test]
        fn no_more_instructions_are_taken_than_bytes_come_out_and_one(
            instructions in proptest::collection::vec((0_u64..3, 0_u64..3, -3_i64..4), 0..60), result_bytes in 0_u64..20
        ) {
            let mut cursor = Cursor::new(10, result_bytes);
            let taken = instructions.iter().filter(|(mix, copy, seek)| {
                cursor.admit(&Instruction { mix: *mix, copy: *copy, seek: *seek }).is_ok()
            });
            prop_assert!(taken.count() as u64 <= result_bytes + 1);
            prop_assert!(cursor.made() <= result_bytes && cursor.base <= 10);
        }

        #[test]
        fn an_instruction_is_read_as_it_was_written(mix in 0..SIGN, copy in 0..SIGN, seek in -i64::MAX..=i64::MAX) {
            let instruction = Instruction { mix, copy, seek };
            prop_assert_eq!(Instruction::decode(&instruction.encode()), Ok(instruction));
        }
    }
}
