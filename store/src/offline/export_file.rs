//! The bytes of an exported store: one file, every record with a checksum, an end that says how much there must be.
//!
//! ```text
//! file    = "SELVEXPT" version:u32 record* end
//! record  = kind:u8 length:u32 crc32:u32 content                 the checksum covers kind, length and content
//! batch   = 1: wall_ms:u64 first_message:u64 count:u32 (start:u32 end:u32)* records
//! message = 2: number:u64 bytes
//! put     = 3: key_length:u16 tree_key value
//! numbers = 4: next_message:u64                                   after the last batch, before the first message
//! end     = 9: records:u64 crc32:u32                              how many records before it, checksum of all their
//!                                                                 checksums in turn
//! ```
//! Numbers are little endian. A file without its end is none: it was cut off.

use std::io::{self, Read, Write};
use std::ops::Range;

use crate::journal::BODY_BYTES_MAX;

/// The version that this program writes and reads.
pub(super) const EXPORT_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"SELVEXPT";
const BATCH: u8 = 1;
const MESSAGE: u8 = 2;
const PUT: u8 = 3;
const NUMBERS: u8 = 4;
const END: u8 = 9;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Batch { wall_ms: u64, first_message: u64, messages: Vec<Range<u32>>, records: Vec<u8> },
    Message { number: u64, message: Vec<u8> },
    Put { tree_key: Vec<u8>, value: Vec<u8> },
    Numbers { next_message: u64 },
}

/// Why a file was not read to its end.
#[derive(Debug)]
pub(super) enum ReadFailure {
    Io(io::Error),
    /// It is no exported store.
    Foreign,
    Newer(u32),
    /// Offset of the record that is not what was written.
    Damaged(u64),
    /// It ends too early.
    CutOff(u64),
}

pub(super) struct Writer<W> {
    out: W,
    records: u64,
    hasher: crc32fast::Hasher,
    pub(super) bytes: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&EXPORT_VERSION.to_le_bytes())?;
        Ok(Self { out, records: 0, hasher: crc32fast::Hasher::new(), bytes: 12 })
    }

    pub(super) fn write(&mut self, record: &Record) -> io::Result<()> {
        let (kind, content) = encode(record);
        self.records += 1;
        self.write_raw(kind, &content)
    }

    /// Ends the file and gives what it was written to.
    pub(super) fn end(mut self) -> io::Result<W> {
        let mut content = self.records.to_le_bytes().to_vec();
        content.extend_from_slice(&self.hasher.clone().finalize().to_le_bytes());
        self.write_raw(END, &content)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_raw(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let crc = checksum(kind, content);
        self.hasher.update(&crc.to_le_bytes());
        self.out.write_all(&[kind])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&crc.to_le_bytes())?;
        self.out.write_all(content)?;
        self.bytes += 9 + content.len() as u64;
        Ok(())
    }
}

pub(super) struct Reader<R> {
    source: R,
    records: u64,
    hasher: crc32fast::Hasher,
    pub(super) offset: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn begin(mut source: R) -> Result<Self, ReadFailure> {
        let mut start = [0; 12];
        source.read_exact(&mut start).map_err(|error| short(error, ReadFailure::Foreign))?;
        if start[..8] != *MAGIC {
            return Err(ReadFailure::Foreign);
        }
        match u32::from_le_bytes([start[8], start[9], start[10], start[11]]) {
            EXPORT_VERSION => Ok(Self { source, records: 0, hasher: crc32fast::Hasher::new(), offset: 12 }),
            version if version > EXPORT_VERSION => Err(ReadFailure::Newer(version)),
            _ => Err(ReadFailure::Damaged(8)),
        }
    }

    /// The next record; `None` at the end, if everything before it was there.
    pub(super) fn next(&mut self) -> Result<Option<Record>, ReadFailure> {
        let (offset, so_far) = (self.offset, self.hasher.clone().finalize());
        let (kind, content) = self.read_raw()?;
        if kind != END {
            self.records += 1;
            return decode(kind, &content).map(Some).ok_or(ReadFailure::Damaged(offset));
        }
        let mut expected = self.records.to_le_bytes().to_vec();
        expected.extend_from_slice(&so_far.to_le_bytes());
        let mut more = [0; 1];
        let nothing_behind = self.source.read(&mut more).map_err(ReadFailure::Io)? == 0;
        if content == expected && nothing_behind { Ok(None) } else { Err(ReadFailure::Damaged(offset)) }
    }

    fn read_raw(&mut self) -> Result<(u8, Vec<u8>), ReadFailure> {
        let offset = self.offset;
        let mut start = [0; 9];
        self.source.read_exact(&mut start).map_err(|error| short(error, ReadFailure::CutOff(offset)))?;
        let [kind, length @ .., _, _, _, _] = start;
        let length = u64::from(u32::from_le_bytes(length));
        if length > BODY_BYTES_MAX + 64 {
            return Err(ReadFailure::Damaged(offset));
        }
        let mut content = Vec::new();
        (&mut self.source).take(length).read_to_end(&mut content).map_err(ReadFailure::Io)?;
        if content.len() as u64 != length {
            return Err(ReadFailure::CutOff(offset));
        }
        let crc = checksum(kind, &content);
        if start[5..] != crc.to_le_bytes() {
            return Err(ReadFailure::Damaged(offset));
        }
        self.hasher.update(&crc.to_le_bytes());
        self.offset += 9 + length;
        Ok((kind, content))
    }
}

fn short(error: io::Error, otherwise: ReadFailure) -> ReadFailure {
    if error.kind() == io::ErrorKind::UnexpectedEof { otherwise } else { ReadFailure::Io(error) }
}

fn checksum(kind: u8, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&(content.len() as u32).to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

fn encode(record: &Record) -> (u8, Vec<u8>) {
    let mut out = Vec::new();
    let kind = match record {
        Record::Batch { wall_ms, first_message, messages, records } => {
            out.extend_from_slice(&wall_ms.to_le_bytes());
            out.extend_from_slice(&first_message.to_le_bytes());
            out.extend_from_slice(&(messages.len() as u32).to_le_bytes());
            for range in messages {
                out.extend_from_slice(&range.start.to_le_bytes());
                out.extend_from_slice(&range.end.to_le_bytes());
            }
            out.extend_from_slice(records);
            BATCH
        }
        Record::Message { number, message } => {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(message);
            MESSAGE
        }
        Record::Put { tree_key, value } => {
            out.extend_from_slice(&(tree_key.len() as u16).to_le_bytes());
            out.extend_from_slice(tree_key);
            out.extend_from_slice(value);
            PUT
        }
        Record::Numbers { next_message } => {
            out.extend_from_slice(&next_message.to_le_bytes());
            NUMBERS
        }
    };
    (kind, out)
}

fn decode(kind: u8, content: &[u8]) -> Option<Record> {
    let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    match kind {
        BATCH => {
            let (wall_ms, rest) = content.split_first_chunk::<8>()?;
            let (first_message, rest) = rest.split_first_chunk::<8>()?;
            let (count, rest) = rest.split_first_chunk::<4>()?;
            let table = (u32::from_le_bytes(*count) as usize).checked_mul(8)?;
            let (table, records) = rest.split_at_checked(table)?;
            let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
            let messages = table.chunks_exact(8).map(|pair| word(&pair[..4])..word(&pair[4..])).collect();
            let (wall_ms, first_message) = (number(wall_ms), number(first_message));
            Some(Record::Batch { wall_ms, first_message, messages, records: records.to_vec() })
        }
        MESSAGE => {
            let (of, message) = content.split_first_chunk::<8>()?;
            Some(Record::Message { number: number(of), message: message.to_vec() })
        }
        PUT => {
            let (length, rest) = content.split_first_chunk::<2>()?;
            let (tree_key, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            Some(Record::Put { tree_key: tree_key.to_vec(), value: value.to_vec() })
        }
        NUMBERS => Some(Record::Numbers { next_message: number(content.try_into().ok()?) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records() -> Vec<Record> {
        vec![
            Record::Batch { wall_ms: 1, first_message: 2, messages: vec![1..3, 4..4], records: b"abcdef".to_vec() },
            Record::Numbers { next_message: 9 },
            Record::Message { number: 3, message: Vec::new() },
            Record::Put { tree_key: b"\x01k".to_vec(), value: b"v".to_vec() },
        ]
    }

    fn written() -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new()).unwrap();
        records().iter().for_each(|record| writer.write(record).unwrap());
        let bytes = writer.bytes;
        let file = writer.end().unwrap();
        assert_eq!(file.len() as u64, bytes + 9 + 12);
        file
    }

    fn read(bytes: &[u8]) -> Result<Vec<Record>, ReadFailure> {
        let mut reader = Reader::begin(bytes)?;
        let mut all = Vec::new();
        while let Some(record) = reader.next()? {
            all.push(record);
        }
        Ok(all)
    }

    #[test]
    fn what_is_written_is_read_and_anything_shorter_or_longer_is_not() {
        let file = written();
        assert_eq!(read(&file).unwrap(), records());
        assert!((0..file.len()).all(|length| read(&file[..length]).is_err()));
        assert!(read(&[&file[..], b"x"].concat()).is_err());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let file = written();
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_file_is_told_from_damage() {
        let mut file = written();
        file[8] = 7;
        assert!(matches!(read(&file), Err(ReadFailure::Newer(7))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
            let mut file = written();
            file.extend_from_slice(&bytes);
            let _ = read(&file[20..]);
            for kind in 0..10 {
                let _ = decode(kind, &bytes);
            }
        }
    }
}
