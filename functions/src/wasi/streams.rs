//! `wasi:io`: an input that is at its end, outputs that become log lines, pollables that are always ready.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource, ResourceType};

use crate::invocation::InvocationState;
use crate::log_ring::LogLevel;

type Instance<'a> = LinkerInstance<'a, InvocationState>;
type State<'a> = StoreContextMut<'a, InvocationState>;

pub(super) struct InputStream;
pub(super) struct OutputStream;
pub(super) struct Pollable;
struct IoError;

/// Resource number of standard output.
pub(super) const STDOUT: u32 = 1;
/// Resource number of standard error.
pub(super) const STDERR: u32 = 2;
/// Most bytes that one write takes.
const WRITE_BYTES_MAX: u64 = 4096;
/// A line that gets longer is broken here.
const LINE_BYTES_MAX: usize = 2048;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

/// Bytes of a line that has not ended yet.
#[derive(Debug, Default)]
pub(crate) struct Line(Vec<u8>);

impl Line {
    /// Takes bytes and gives each finished line to `emit`.
    fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&str)) {
        for &byte in bytes {
            if byte != b'\n' {
                self.0.push(byte);
            }
            if byte == b'\n' || self.0.len() >= LINE_BYTES_MAX {
                self.finish(&mut emit);
            }
        }
    }

    /// Gives what is left to `emit`.
    fn finish(&mut self, mut emit: impl FnMut(&str)) {
        if !self.0.is_empty() {
            emit(&String::from_utf8_lossy(&self.0));
            self.0.clear();
        }
    }
}

impl InvocationState {
    fn write(&mut self, stream: &Resource<OutputStream>, bytes: &[u8]) {
        let is_stderr = stream.rep() == STDERR;
        let mut line = std::mem::take(if is_stderr { &mut self.wasi.stderr } else { &mut self.wasi.stdout });
        let (level, context) = if is_stderr { (LogLevel::Warn, "stderr") } else { (LogLevel::Info, "stdout") };
        line.push(bytes, |text| self.log_line(level, context, text));
        *(if is_stderr { &mut self.wasi.stderr } else { &mut self.wasi.stdout }) = line;
    }

    /// Writes lines that the run did not end.
    pub(crate) fn finish_standard_output(&mut self) {
        let (mut stdout, mut stderr) = (std::mem::take(&mut self.wasi.stdout), std::mem::take(&mut self.wasi.stderr));
        stdout.finish(|text| self.log_line(LogLevel::Info, "stdout", text));
        stderr.finish(|text| self.log_line(LogLevel::Warn, "stderr", text));
    }
}

pub(super) fn error(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.resource("error", ResourceType::host::<IoError>(), |_, _| Ok(()))?;
    instance.func_wrap("[method]error.to-debug-string", |_: State<'_>, (_error,): (Resource<IoError>,)| {
        Ok((String::new(),))
    })
}

pub(super) fn poll(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.resource("pollable", ResourceType::host::<Pollable>(), |_, _| Ok(()))?;
    instance.func_wrap("[method]pollable.ready", |_: State<'_>, (_pollable,): (Resource<Pollable>,)| Ok((true,)))?;
    instance.func_wrap("[method]pollable.block", |_: State<'_>, (_pollable,): (Resource<Pollable>,)| Ok(()))?;
    instance.func_wrap("poll", |_: State<'_>, (pollables,): (Vec<Resource<Pollable>>,)| {
        if pollables.is_empty() {
            return Err(wasmtime::format_err!("poll with an empty list"));
        }
        Ok(((0..pollables.len() as u32).collect::<Vec<u32>>(),))
    })
}

pub(super) fn streams(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.resource("input-stream", ResourceType::host::<InputStream>(), |_, _| Ok(()))?;
    instance.resource("output-stream", ResourceType::host::<OutputStream>(), |_, _| Ok(()))?;
    for name in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        instance.func_wrap(name, |_: State<'_>, (_stream, _count): (Resource<InputStream>, u64)| {
            Ok((Err::<Vec<u8>, StreamError>(StreamError::Closed),))
        })?;
    }
    instance.func_wrap("[method]input-stream.subscribe", |_: State<'_>, (_stream,): (Resource<InputStream>,)| {
        Ok((Resource::<Pollable>::new_own(0),))
    })?;
    instance.func_wrap("[method]output-stream.subscribe", |_: State<'_>, (_stream,): (Resource<OutputStream>,)| {
        Ok((Resource::<Pollable>::new_own(0),))
    })?;
    instance
        .func_wrap("[method]output-stream.check-write", |_: State<'_>, (_stream,): (Resource<OutputStream>,)| {
            Ok((Ok::<u64, StreamError>(WRITE_BYTES_MAX),))
        })?;
    for name in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        instance.func_wrap(name, |mut store: State<'_>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
            if bytes.len() as u64 > WRITE_BYTES_MAX {
                return Err(wasmtime::format_err!("{} bytes in one write, allowed are {WRITE_BYTES_MAX}", bytes.len()));
            }
            store.data_mut().write(&stream, &bytes);
            Ok((Ok::<(), StreamError>(()),))
        })?;
    }
    for name in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        instance
            .func_wrap(name, |_: State<'_>, (_stream,): (Resource<OutputStream>,)| Ok((Ok::<(), StreamError>(()),)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(writes: &[&[u8]]) -> Vec<String> {
        let mut line = Line::default();
        let mut lines = Vec::new();
        for bytes in writes {
            line.push(bytes, |text| lines.push(text.to_owned()));
        }
        line.finish(|text| lines.push(text.to_owned()));
        lines
    }

    #[test]
    fn writes_become_lines() {
        assert_eq!(lines(&[b"a", b"b\n\nc\nd"]), ["ab", "c", "d"]);
        assert_eq!(lines(&[b"\xff\n"]), ["\u{fffd}"]);
    }

    #[test]
    fn an_endless_line_is_broken() {
        assert_eq!(
            lines(&[&[b'x'; LINE_BYTES_MAX + 1]]).iter().map(String::len).collect::<Vec<_>>(),
            [LINE_BYTES_MAX, 1]
        );
    }
}
