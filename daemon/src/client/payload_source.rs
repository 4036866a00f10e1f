//! Where `pub` gets its payloads from: a flag, a file, all of standard input, or one line of it after the other.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::arguments::PublishArguments;

/// No payload can be larger, by the protocol.
const PAYLOAD_BYTES_MAX: usize = 268_435_455;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Publish this.
    Payload(Vec<u8>),
    /// Wait until the descriptor is readable, then call `fill`.
    WaitForInput,
    /// Not before then.
    WaitUntil(Instant),
    /// No more.
    End,
}

/// The payloads of one `pub`.
#[derive(Debug)]
pub enum PayloadSource<R> {
    /// The same, some times.
    Repeated {
        /// Payload.
        payload: Vec<u8>,
        /// Times that are left.
        left: u64,
        /// Between two of them.
        pause: Duration,
        /// When the next one is due.
        due: Option<Instant>,
    },
    /// Lines of a stream.
    Lines {
        /// The stream.
        input: R,
        /// Read and not published.
        buffer: Vec<u8>,
        /// Nothing more will be read.
        ended: bool,
    },
}

impl PayloadSource<io::Stdin> {
    /// As the flags say.
    ///
    /// # Errors
    /// A file or standard input cannot be read, or is larger than a payload may be.
    pub fn new(arguments: &PublishArguments) -> io::Result<Self> {
        let payload = if arguments.stdin_lines {
            return Ok(Self::Lines { input: io::stdin(), buffer: Vec::new(), ended: false });
        } else if arguments.stdin_file {
            bounded(io::stdin().lock())?
        } else if let Some(file) = &arguments.file {
            read_file(file)?
        } else {
            arguments.message.clone().unwrap_or_default().into_bytes()
        };
        let pause = Duration::try_from_secs_f64(arguments.repeat_delay)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "--repeat-delay: expected seconds, 0 or more"))?;
        Ok(Self::Repeated { payload, left: arguments.repeat, pause, due: None })
    }
}

impl<R: Read> PayloadSource<R> {
    /// What to do at `now`.
    pub fn next(&mut self, now: Instant) -> Next {
        match self {
            Self::Repeated { left: 0, .. } => Next::End,
            Self::Repeated { due: Some(due), .. } if now < *due => Next::WaitUntil(*due),
            Self::Repeated { payload, left, pause, due } => {
                *left -= 1;
                *due = Some(now + *pause);
                Next::Payload(if *left == 0 { std::mem::take(payload) } else { payload.clone() })
            }
            Self::Lines { buffer, ended, .. } => next_line(buffer, *ended),
        }
    }

    /// Reads once; blocks if nothing is there.
    ///
    /// # Errors
    /// The stream failed, or a line is longer than a payload may be.
    pub fn fill(&mut self) -> io::Result<()> {
        let Self::Lines { input, buffer, ended } = self else { return Ok(()) };
        if buffer.len() > PAYLOAD_BYTES_MAX {
            return Err(too_large());
        }
        let mut chunk = [0; 16 * 1024];
        match input.read(&mut chunk) {
            Ok(0) => *ended = true,
            Ok(read) => buffer.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl<R: AsFd> PayloadSource<R> {
    /// What to wait for after [`Next::WaitForInput`].
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Repeated { .. } => None,
            Self::Lines { input, .. } => Some(input.as_fd()),
        }
    }
}

/// The next line that is not empty; the last one may have no end.
fn next_line(buffer: &mut Vec<u8>, ended: bool) -> Next {
    loop {
        let line: Vec<u8> = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => buffer.drain(..=end).collect(),
            None if ended && !buffer.is_empty() => std::mem::take(buffer),
            None if ended => return Next::End,
            None => return Next::WaitForInput,
        };
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            return Next::Payload(line.to_vec());
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::File::open(path)
        .and_then(bounded)
        .map_err(|error| io::Error::new(error.kind(), format!("read {}: {error}", path.display())))
}

fn bounded(input: impl Read) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    input.take(PAYLOAD_BYTES_MAX as u64 + 1).read_to_end(&mut payload)?;
    if payload.len() > PAYLOAD_BYTES_MAX { Err(too_large()) } else { Ok(payload) }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "larger than an MQTT payload may be (268435455 bytes)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Vec<u8>> {
        let mut source = PayloadSource::Lines { input: text.as_bytes(), buffer: Vec::new(), ended: false };
        let mut found = Vec::new();
        loop {
            match source.next(Instant::now()) {
                Next::Payload(payload) => found.push(payload),
                Next::WaitForInput => source.fill().unwrap(),
                Next::End => return found,
                Next::WaitUntil(_) => panic!("lines have no time"),
            }
        }
    }

    #[test]
    fn each_line_is_a_message_and_blank_ones_are_none() {
        assert_eq!(lines("a\n\nb\r\n\r\nlast"), [b"a".to_vec(), b"b".to_vec(), b"last".to_vec()]);
        assert!(lines("").is_empty());
        let long = "x".repeat(40_000);
        assert_eq!(lines(&format!("{long}\ny\n")), [long.as_bytes(), b"y"]);
    }

    #[test]
    fn repetitions_wait_for_each_other() {
        let begin = Instant::now();
        let pause = Duration::from_secs(5);
        let mut source: PayloadSource<&[u8]> =
            PayloadSource::Repeated { payload: b"p".to_vec(), left: 2, pause, due: None };
        assert_eq!(source.next(begin), Next::Payload(b"p".to_vec()));
        assert_eq!(source.next(begin), Next::WaitUntil(begin + pause));
        assert_eq!(source.next(begin + pause), Next::Payload(b"p".to_vec()));
        assert_eq!(source.next(begin + pause), Next::End);
    }
}
