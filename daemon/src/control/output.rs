//! Standard output of the commands that ask a node. A reader that has enough (`… | head -1`, `… | grep -q x`) is no failure.

use std::io::{self, Write};

use thiserror::Error;

/// Why something was not printed.
#[derive(Debug, Error)]
pub enum PrintError {
    /// Whoever reads has closed the pipe: the command ends, quietly and well.
    #[error("nobody reads the output any more")]
    ReaderGone,
    /// Standard output is broken.
    #[error("print")]
    Io(#[source] io::Error),
}

/// Prints `text` and ends the line.
///
/// # Errors
/// It cannot be printed.
pub fn print_line(text: &str) -> Result<(), PrintError> {
    write_line(&mut io::stdout().lock(), text)
}

fn write_line(output: &mut impl Write, text: &str) -> Result<(), PrintError> {
    let written =
        output.write_all(text.as_bytes()).and_then(|()| output.write_all(b"\n")).and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => PrintError::ReaderGone,
        _ => PrintError::Io(error),
    })
}

/// Text from elsewhere on one line, without what a terminal would obey.
pub fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, character| {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_told_from_a_broken_output() {
        let (reader, mut writer) = io::pipe().unwrap();
        write_line(&mut writer, "one").unwrap();
        drop(reader);
        assert!(matches!(write_line(&mut writer, "two"), Err(PrintError::ReaderGone)));
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(matches!(write_line(&mut full, "three"), Err(PrintError::Io(_))));
    }

    #[test]
    fn control_characters_are_shown_and_everything_else_is_left() {
        assert_eq!(escaped("a\x1b[2J\n\t\r\0\u{7f}\u{9b}"), "a\\u{1b}[2J\\n\\t\\r\\u{0}\\u{7f}\\u{9b}");
        assert_eq!(escaped("21.5 °C \"quoted\" \\n 温度"), "21.5 °C \"quoted\" \\n 温度");
    }
}
