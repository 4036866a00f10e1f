//! `fn dev`: builds and deploys a function again at each change of its directory, and prints what it logs meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use hyper::Method;
use selvedge_functions::author;

use super::{built_project, log_text, project, warn, word};
use crate::arguments::SocketArguments;
use crate::arguments::function::FunctionDevArguments;
use crate::control::node_client::{NodeClient, segment};
use crate::control::output::print_line;
use crate::http::DeployRequest;

/// How often the directory is looked at. Looking works on every file system, also on those that tell nobody of changes.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Files that are looked at.
const FILES_MAX: usize = 10_000;
/// What tools write.
const NOT_SOURCES: [&str; 5] = ["target", "node_modules", ".git", "__pycache__", ".venv"];

/// Runs until it is interrupted.
pub(super) fn run(arguments: &FunctionDevArguments) -> anyhow::Result<()> {
    let directory = &arguments.directory;
    let follower = Follower::default();
    let mut last = None;
    loop {
        let now = fingerprint(directory)?;
        if last.as_ref() != Some(&now) {
            match build_and_deploy(directory, &arguments.socket) {
                Ok(name) => follower.follow(&name, &arguments.socket)?,
                // The next change may mend it. A directory that is no function will not become one by waiting.
                Err(error) if last.is_none() && !directory.join(super::MANIFEST).is_file() => return Err(error),
                Err(error) => eprintln!("{error:#}\nwaiting for a change"),
            }
            // What is saved while it builds counts. A file that the first build writes makes a second one, which changes nothing.
            last = Some(now);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn build_and_deploy(directory: &Path, socket: &SocketArguments) -> anyhow::Result<String> {
    author::build(directory, &mut |line| eprintln!("{line}"))?;
    let (manifest, component) = built_project(directory, "dev")?;
    let client = NodeClient::new(socket)?;
    let body = DeployRequest { manifest, component }.to_bytes();
    let deployed = client.call(Method::POST, "/v1/functions", body)?;
    warn(&deployed);
    let name = word(&deployed["name"]);
    print_line(&format!("{name} {} is live; waiting for a change", word(&deployed["version"])))?;
    Ok(name)
}

/// Files with their times and sizes, without what tools write and without the component.
fn fingerprint(directory: &Path) -> anyhow::Result<BTreeMap<PathBuf, (SystemTime, u64)>> {
    let component = project(directory).ok().map(|project| project.component);
    let mut files = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // It may be gone since it was seen.
            Err(error) if folder != directory && error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => anyhow::bail!("read {}: {error}", folder.display()),
        };
        for entry in entries.flatten() {
            let (path, Ok(facts)) = (entry.path(), entry.metadata()) else { continue };
            let is_source = !NOT_SOURCES.iter().any(|name| entry.file_name() == *name);
            if facts.is_dir() && is_source {
                folders.push(path);
            } else if facts.is_file() && component.as_ref() != Some(&path) {
                files.insert(path, (facts.modified().unwrap_or(SystemTime::UNIX_EPOCH), facts.len()));
            }
        }
        anyhow::ensure!(
            files.len() <= FILES_MAX,
            "more than {FILES_MAX} files in {}: is it the directory of a function?",
            directory.display()
        );
    }
    Ok(files)
}

/// Prints the log of the function on a thread of its own.
#[derive(Default)]
struct Follower {
    follows: Arc<AtomicBool>,
}

impl Follower {
    /// Begins, unless it goes on from before: a new version writes to the same log.
    fn follow(&self, name: &str, socket: &SocketArguments) -> anyhow::Result<()> {
        if self.follows.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let client = NodeClient::new(socket)?;
        let path = format!("/v1/functions/{}/logs?follow=true", segment(name));
        let follows = Arc::clone(&self.follows);
        std::thread::Builder::new().name("fn-logs".to_owned()).spawn(move || {
            if let Err(error) = client.follow(&path, |line| print_line(&log_text(&line)).is_ok()) {
                eprintln!("the log is not followed any more until the next change: {error}");
            }
            follows.store(false, Ordering::Release);
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_count_and_what_tools_write_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::write(root.join("function.toml"), "name = \"f\"\n[[trigger]]\nmqtt = \"a\"\n").unwrap();
        std::fs::write(root.join("f.wasm"), "1").unwrap();
        for folder in ["src", "target", "src/.git"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join("file"), "1").unwrap();
        }
        let before = fingerprint(root).unwrap();
        assert_eq!(
            before.keys().filter_map(|path| path.strip_prefix(root).ok()).collect::<Vec<_>>(),
            [Path::new("function.toml"), Path::new("src/file")]
        );
        std::fs::write(root.join("f.wasm"), "22").unwrap();
        std::fs::write(root.join("target/file"), "22").unwrap();
        assert_eq!(fingerprint(root).unwrap(), before);
        std::fs::write(root.join("src/file"), "22").unwrap();
        assert_ne!(fingerprint(root).unwrap(), before);
    }
}
