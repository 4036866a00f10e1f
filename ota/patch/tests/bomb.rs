//! A payload that inflates to 256 MiB is refused, and costs no memory. Alone in its process, because that is measured.

use std::io::{self, Read as _, Write};

use selvedge_ota_patch::{
    APPLY_BYTES_MAX, ApplyError, CheckedBase, Digest, Expected, Header, InflateError, Instruction, Kind, apply,
};

const BOMB_BYTES: u64 = 1 << 28;

/// Peak of resident memory of this process, in bytes; `None` where the kernel does not tell.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A frame of `start` and 256 MiB of zeros, with the largest window that is allowed.
fn bomb(start: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(23).expect("a window");
    encoder.write_all(start).expect("memory");
    io::copy(&mut io::repeat(0).take(BOMB_BYTES), &mut encoder).expect("memory");
    encoder.finish().expect("memory")
}

#[derive(Default)]
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_bomb_is_refused_at_the_signed_length_and_in_bounded_memory() {
    let base: &[u8] = b"base";
    let checked = CheckedBase::check(&base, &Digest::of(base), &mut |_| {}).expect("the base");
    let result = Digest { length: 1000, sha256: [1; 32] };
    let greedy = Instruction { mix: 0, copy: BOMB_BYTES, seek: 0 }.encode();
    let modest = Instruction { mix: 0, copy: 1000, seek: 0 }.encode();
    let full = Header { kind: Kind::Full, window_log: 23, base: None, result, stream_bytes: 1000 };
    let patch = Header { kind: Kind::Patch, base: Some(Digest::of(base)), stream_bytes: 1024, ..full };
    let whole = Digest { length: BOMB_BYTES, sha256: [1; 32] };
    // The last one is signed: it is followed to its end and is still refused by its hash.
    let signed = Header { result: whole, stream_bytes: BOMB_BYTES, ..full };
    let cases = [(full, bomb(b"")), (patch, bomb(&modest)), (patch, bomb(&greedy)), (signed, bomb(b""))];
    assert!(cases.iter().all(|(_, frame)| frame.len() < 1 << 20), "the bombs are small");

    let before = peak_bytes();
    for (index, (header, frame)) in cases.iter().enumerate() {
        let payload = [header.encode().as_slice(), frame].concat();
        let mut output = Counter::default();
        let expected = Expected::of(header);
        let refused = apply(&mut payload.as_slice(), Some(&checked), &mut output, &expected, &mut |_| {});
        match (index, &refused) {
            (0, Err(ApplyError::Inflate(InflateError::TooLong { declared: 1000 })))
            | (1, Err(ApplyError::Inflate(InflateError::TooLong { declared: 1024 })))
            | (2, Err(ApplyError::Instruction { offset: 0, .. }))
            | (3, Err(ApplyError::ResultHash { .. })) => {}
            other => panic!("{other:?}"),
        }
        assert!(output.0 <= header.result.length, "{} bytes were written", output.0);
    }
    match before.zip(peak_bytes()) {
        Some((before, after)) => assert!(after - before <= APPLY_BYTES_MAX as u64, "{before} to {after} bytes"),
        None => drop(writeln!(std::io::stdout(), "SKIPPED the memory of a patch: the kernel tells no VmHWM")),
    }
}
