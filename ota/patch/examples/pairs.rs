//! What an update from OLD to NEW costs: sizes against other tools, time and peak memory of making and applying.
//!
//! `cargo run --release -p selvedge-ota-patch --example pairs -- OLD NEW` prints a table. Making and applying run in processes of
//! their own, so that each peak (VmHWM) is its own. `xz` and `zstd` are asked where they are installed. The other forms are
//! what those processes are started with:
//!
//! ```text
//! pairs full NEW PAYLOAD
//! pairs patch OLD NEW PAYLOAD
//! pairs apply OLD PAYLOAD RESULT
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use selvedge_ota_patch::{
    CheckedBase, Digest, Expected, HEADER_BYTES, Header, Options, Progress, apply, make_full, make_patch,
};

const USAGE: &str = "use: pairs OLD NEW";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["full", new, payload] => {
            let made = make_full(&fs::read(new)?, &Options::default(), &mut quiet)?;
            fs::write(payload, made.bytes)?;
            print_peak()
        }
        ["patch", old, new, payload] => {
            let made = make_patch(&fs::read(old)?, &fs::read(new)?, &Options::default(), &mut quiet)?;
            fs::write(payload, made.bytes)?;
            print_peak()
        }
        ["apply", old, payload, result] => {
            apply_file(old, payload, result)?;
            print_peak()
        }
        [old, new] => print_table(old, new),
        _ => Err(USAGE.into()),
    }
}

fn quiet(_: Progress) {}

/// As on the device, but for the signature: what the header says counts as signed.
fn apply_file(old: &str, payload: &str, result: &str) -> Result<(), Box<dyn Error>> {
    let mut bytes = [0; HEADER_BYTES];
    File::open(payload)?.read_exact(&mut bytes)?;
    let expected = Expected::of(&Header::decode(&bytes)?);
    let base = File::open(old)?;
    let base = expected.base.map(|digest| CheckedBase::check(&base, &digest, &mut quiet)).transpose()?;
    apply(&mut File::open(payload)?, base.as_ref(), &mut File::create(result)?, &expected, &mut quiet)?;
    Ok(())
}

/// Peak of resident memory of this process, in KiB.
fn print_peak() -> Result<(), Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel tells no VmHWM")?;
    println!("{}", line.trim().trim_end_matches(" kB"));
    Ok(())
}

fn print_table(old: &str, new: &str) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (full, patch, result) = (place("full"), place("patch"), place("result"));
    let new_bytes = size(new)?;

    let make_full = own_process(&["full", new, &full])?;
    let make_patch = own_process(&["patch", old, new, &patch])?;
    let apply_full = own_process(&["apply", old, &full, &result])?;
    same(new, &result)?;
    let apply_patch = own_process(&["apply", old, &patch, &result])?;
    same(new, &result)?;

    println!("{} -> {}", size(old)?, new_bytes);
    println!("| delivered | bytes | of the full image | made in | peak memory | applied in | peak memory |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    row("as it is", Some(new_bytes), new_bytes, "| - | - | - | - |");
    let zstd = ["zstd", "-19", "-q", "-c", new];
    row("`zstd -19`", piped_bytes(&zstd)?, new_bytes, "| | | | |");
    row("`xz -9`", piped_bytes(&["xz", "-9", "-c", new])?, new_bytes, "| | | | |");
    row("payload, full", Some(size(&full)?), new_bytes, &costs(&make_full, &apply_full));
    let from = format!("--patch-from={old}");
    let patch_from = ["zstd", &from, "-19", "--long=27", "-q", "-c", new];
    row("`zstd --patch-from -19 --long=27`", piped_bytes(&patch_from)?, new_bytes, "| | | | |");
    row("payload, patch", Some(size(&patch)?), new_bytes, &costs(&make_patch, &apply_patch));
    Ok(())
}

fn row(name: &str, bytes: Option<u64>, new_bytes: u64, costs: &str) {
    match bytes {
        Some(bytes) => println!("| {name} | {bytes} | {:.2} % {costs}", bytes as f64 * 100.0 / new_bytes as f64),
        None => println!("| {name} | not installed | {costs}"),
    }
}

fn costs(make: &Run, apply: &Run) -> String {
    let run = |run: &Run| format!("{:.2} s | {:.1} MiB", run.time.as_secs_f64(), run.peak_kib as f64 / 1024.0);
    format!("| {} | {} |", run(make), run(apply))
}

struct Run {
    time: Duration,
    peak_kib: u64,
}

fn own_process(arguments: &[&str]) -> Result<Run, Box<dyn Error>> {
    let start = Instant::now();
    let output = Command::new(std::env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{} failed", arguments.join(" ")).into());
    }
    let peak_kib = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Run { time: start.elapsed(), peak_kib })
}

/// How much a tool writes; `None` where it is not installed.
fn piped_bytes(words: &[&str]) -> Result<Option<u64>, Box<dyn Error>> {
    let [tool, arguments @ ..] = words else { return Err(USAGE.into()) };
    let mut child = match Command::new(tool).args(arguments).stdout(Stdio::piped()).spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let bytes = child.stdout.take().map_or(Ok(0), |mut output| io::copy(&mut output, &mut io::sink()))?;
    if child.wait()?.success() { Ok(Some(bytes)) } else { Err(format!("{} failed", words.join(" ")).into()) }
}

fn size(path: &str) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

fn same(new: &str, result: &str) -> Result<(), Box<dyn Error>> {
    let digest = |path: &str| fs::read(Path::new(path)).map(|bytes| Digest::of(&bytes));
    if digest(new)? == digest(result)? { Ok(()) } else { Err(format!("{result} is not {new}").into()) }
}
