//! Passwords from where they cannot be seen: a terminal without echo, a file, standard input, or chance. Never the command line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Write};

use anyhow::{Context, bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::arguments::user::PasswordArguments;

/// A longer one is refused by the users file, too.
const PASSWORD_BYTES_MAX: u64 = 1024;
/// 32 letters and digits that are not mistaken for each other.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Of 5 bits each.
const GENERATED_LETTERS: usize = 24;

/// A password, and whether somebody has to be told.
#[derive(Debug)]
pub struct Password {
    /// The password.
    pub text: String,
    /// It was made here and nobody knows it yet.
    pub is_generated: bool,
}

/// Gets it from where the flags say; without one, from the terminal, twice.
///
/// # Errors
/// There is none, or it is empty.
pub fn get(arguments: &PasswordArguments, name: &str) -> anyhow::Result<Password> {
    let (text, is_generated) = if arguments.generate {
        (generate()?, true)
    } else if let Some(path) = &arguments.password_file {
        let file = File::open(path).with_context(|| format!("read the password from {}", path.display()))?;
        (first_line(file).with_context(|| format!("read the password from {}", path.display()))?, false)
    } else if arguments.stdin {
        (first_line(io::stdin()).context("read the password from standard input")?, false)
    } else {
        let first = prompt(&format!("Password of {name}: "))?;
        ensure!(prompt("Again: ")? == first, "the two passwords differ");
        (first, false)
    };
    ensure!(!text.is_empty(), "the password is empty");
    Ok(Password { text, is_generated })
}

/// All of the first line, without its end.
fn first_line(input: impl Read) -> anyhow::Result<String> {
    let mut line = Vec::new();
    io::BufReader::new(input.take(PASSWORD_BYTES_MAX + 3)).read_until(b'\n', &mut line)?;
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    ensure!(line.len() as u64 <= PASSWORD_BYTES_MAX, "it is longer than {PASSWORD_BYTES_MAX} bytes");
    String::from_utf8(line).ok().context("it is not UTF-8")
}

fn generate() -> anyhow::Result<String> {
    let mut bytes = [0u8; GENERATED_LETTERS];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
    Ok(bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32))).map(|byte| char::from(*byte)).collect())
}

fn prompt(text: &str) -> anyhow::Result<String> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.context("there is no terminal to ask: use --password-file, --stdin or --generate")?;
    terminal.write_all(text.as_bytes())?;
    let silent = Silent::new(terminal.try_clone()?)?;
    let typed = typed(&mut terminal);
    drop(silent);
    terminal.write_all(b"\n")?;
    typed
}

/// Byte by byte, so that Ctrl-C leaves the terminal as it was.
fn typed(terminal: &mut impl Read) -> anyhow::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0u8; 1];
    while terminal.read(&mut byte)? == 1 {
        match byte {
            [b'\n' | b'\r'] => break,
            [3 | 4] => bail!("given up"),
            [0x7f | 8] => {
                // The whole of a character.
                while line.pop().is_some_and(|removed: u8| removed & 0xc0 == 0x80) {}
            }
            [0x15] => line.clear(),
            [other] => line.push(other),
        }
        ensure!(line.len() as u64 <= PASSWORD_BYTES_MAX, "the password is longer than {PASSWORD_BYTES_MAX} bytes");
    }
    String::from_utf8(line).ok().context("the password is not UTF-8")
}

/// A terminal that shows nothing and passes every key on, until dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn new(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to put back.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_without_its_end_and_has_a_length() {
        assert_eq!(first_line(&b"secret\r\nrest"[..]).unwrap(), "secret");
        assert_eq!(first_line(&b" spaced "[..]).unwrap(), " spaced ");
        assert!(first_line(vec![b'x'; 1024].as_slice()).is_ok());
        assert!(first_line(vec![b'x'; 1025].as_slice()).is_err());
        assert!(first_line(&[0xff][..]).is_err());
    }

    #[test]
    fn what_is_typed_can_be_mended_and_given_up() {
        let type_it = |bytes: &[u8]| typed(&mut &bytes[..]).ok();
        assert_eq!(type_it(b"abc\x7f\x7fX\n").as_deref(), Some("aX"));
        assert_eq!(type_it("aé\x08b\r".as_bytes()).as_deref(), Some("ab"));
        assert_eq!(type_it(b"abc\x15d\n").as_deref(), Some("d"));
        assert_eq!(type_it(b"ab\x03"), None);
    }

    #[test]
    fn two_generated_passwords_differ_and_are_long() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert!(a != b && a.len() == GENERATED_LETTERS && a.bytes().all(|byte| ALPHABET.contains(&byte)));
    }
}
