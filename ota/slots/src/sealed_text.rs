//! Small files of lines that people can read and that tell when they are damaged.
//!
//! ```text
//! file  = kind SP format LF *line "crc32" SP 8hex LF      ; the checksum is over all bytes before its line
//! line  = key [SP value] LF                              ; value: \\, \n and \r stand for a backslash and line ends
//! ```
//! Any other byte breaks it. A newer format is refused with words, never guessed at.

use thiserror::Error;

/// Why such a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum SealError {
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it has format {found}, and this program reads format {known}: it was written by a newer one")]
    Newer { found: u32, known: u32 },
}

/// Writes `lines` as a file of that kind and format.
pub(crate) fn seal(kind: &str, format: u32, lines: &[(&str, String)]) -> Vec<u8> {
    let mut text = format!("{kind} {format}\n");
    for (key, value) in lines {
        text.push_str(key);
        if !value.is_empty() {
            text.push(' ');
            for character in value.chars() {
                match character {
                    '\\' => text.push_str("\\\\"),
                    '\n' => text.push_str("\\n"),
                    '\r' => text.push_str("\\r"),
                    other => text.push(other),
                }
            }
        }
        text.push('\n');
    }
    let checksum = crc32fast::hash(text.as_bytes());
    text.push_str(&format!("crc32 {checksum:08x}\n"));
    text.into_bytes()
}

/// The lines of a file of that kind, in order.
pub(crate) fn unseal(kind: &str, format: u32, bytes: &[u8]) -> Result<Vec<(String, String)>, SealError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SealError::Damaged("it is no text"))?;
    let found = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix(kind)?.strip_prefix(' ')?.parse::<u32>().ok())
        .ok_or(SealError::Damaged("its first line is another one"))?;
    if found > format {
        return Err(SealError::Newer { found, known: format });
    }
    if found != format {
        return Err(SealError::Damaged("there is no such format"));
    }
    let end = text.len().checked_sub("crc32 00000000\n".len()).ok_or(SealError::Damaged("it is cut short"))?;
    let (body, last) = text.split_at_checked(end).ok_or(SealError::Damaged("it is cut short"))?;
    if last != format!("crc32 {:08x}\n", crc32fast::hash(body.as_bytes())) {
        return Err(SealError::Damaged("its checksum is another one"));
    }
    body.lines().skip(1).map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<(String, String), SealError> {
    let (key, written) = line.split_once(' ').unwrap_or((line, ""));
    let mut value = String::with_capacity(written.len());
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            value.push(character);
            continue;
        }
        value.push(match characters.next() {
            Some('\\') => '\\',
            Some('n') => '\n',
            Some('r') => '\r',
            _ => return Err(SealError::Damaged("a backslash stands for nothing")),
        });
    }
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_sealed_comes_back(lines in prop::collection::vec(("[a-z]{1,8}", ".*"), 0..8)) {
            let borrowed: Vec<(&str, String)> = lines.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
            prop_assert_eq!(unseal("thing", 1, &seal("thing", 1, &borrowed)), Ok(lines));
        }

        #[test]
        fn no_change_of_a_byte_goes_unnoticed(place in 0_usize..64, change in 1_u8..=255) {
            let mut bytes = seal("thing", 1, &[("good", "a".into()), ("candidate", "b 1 3".into())]);
            let place = place % bytes.len();
            bytes[place] ^= change;
            prop_assert!(unseal("thing", 1, &bytes).is_err());
        }
    }

    #[test]
    fn a_file_cut_short_anywhere_is_damaged() {
        let bytes = seal("thing", 1, &[("good", "a".into())]);
        for length in 0..bytes.len() {
            assert!(matches!(unseal("thing", 1, &bytes[..length]), Err(SealError::Damaged(_))), "{length}");
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let error = unseal("thing", 1, &seal("thing", 2, &[])).expect_err("newer");
        assert_eq!(error, SealError::Newer { found: 2, known: 1 });
    }
}
