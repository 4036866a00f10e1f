//! Running other programs so that what was run, and how to repeat it, is always visible.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Runs a program in the repository's root with its output shown; an exit code other than 0 is an error.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    run_with(program, arguments, &[])
}

/// As [`run`], with additional environment variables.
pub fn run_with(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    eprintln!("$ {}", line(program, arguments, environment));
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(crate::repository::root())
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("start {program}"))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(program, arguments, environment));
    }
    Ok(())
}

/// As [`run`], and gives the lines of its standard output, which is shown as it comes.
pub fn run_and_read(program: &str, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    run_with_and_read(program, arguments, &[])
}

/// As [`run_with`], and gives the lines of its standard output, which is shown as it comes.
pub fn run_with_and_read(
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> anyhow::Result<Vec<String>> {
    eprintln!("$ {}", line(program, arguments, environment));
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(crate::repository::root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let mut lines = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // Tests print what they were given, which need not be text.
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("read what {program} prints"))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            println!("{line}");
            lines.push(line);
        }
    }
    let status = child.wait().with_context(|| format!("wait for {program}"))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(program, arguments, environment));
    }
    Ok(lines)
}

/// Whether a program runs with these arguments and ends well; its output is dropped.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a program prints on standard output, trimmed; none when it cannot be run or fails.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first of some paths or names on `PATH` that is a file.
pub fn find(candidates: &[&str]) -> Option<String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    candidates.iter().find_map(|candidate| {
        if candidate.starts_with('/') {
            return Path::new(candidate).is_file().then(|| (*candidate).to_owned());
        }
        std::env::split_paths(&folders)
            .map(|folder| folder.join(candidate))
            .find(|path| path.is_file())
            .map(|path| path.to_string_lossy().into_owned())
    })
}

/// A command as one would type it.
pub fn line(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut words: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    words.push(quoted(program));
    words.extend(arguments.iter().map(|argument| quoted(argument)));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_printed_command_can_be_pasted_into_a_shell() {
        let shown = line("cargo", &["test", "--", "it's here"], &[("FLAGS", "-C a")]);
        assert_eq!(shown, r"FLAGS='-C a' cargo test -- 'it'\''s here'");
    }
}
