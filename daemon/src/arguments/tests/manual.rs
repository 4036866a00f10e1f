//! The manual pages and completions of the package are those of this command line. They lie in the repository, so that the
//! program carries nothing for them and a package for another machine is made without running it.
//!
//! After a change of the command line: `SELVEDGE_WRITE_MANUAL=1 cargo test -p selvedge manual`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;

type Files = BTreeMap<PathBuf, String>;

fn generated() -> Files {
    let folder = tempfile::tempdir().unwrap();
    for name in ["manual", "completions"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    clap_mangen::generate_to(Cli::command(), folder.path().join("manual")).unwrap();
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut Cli::command(), "selvedge", folder.path().join("completions")).unwrap();
    }
    read(folder.path())
}

fn read(root: &Path) -> Files {
    let mut files = Files::new();
    for name in ["manual", "completions"] {
        for entry in fs::read_dir(root.join(name)).into_iter().flatten() {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            files.insert(Path::new(name).join(entry.file_name()), text);
        }
    }
    files
}

#[test]
fn the_manual_of_the_package_is_that_of_this_command_line() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../package");
    let generated = generated();
    if std::env::var_os("SELVEDGE_WRITE_MANUAL").is_some() {
        for name in ["manual", "completions"] {
            let _ = fs::remove_dir_all(package.join(name));
            fs::create_dir_all(package.join(name)).unwrap();
        }
        for (path, text) in &generated {
            fs::write(package.join(path), text).unwrap();
        }
    }
    let kept = read(&package);
    let paths = kept.keys().chain(generated.keys());
    let stale: Vec<_> = paths.filter(|path| kept.get(*path) != generated.get(*path)).collect();
    assert!(stale.is_empty(), "SELVEDGE_WRITE_MANUAL=1 cargo test -p selvedge manual writes {stale:?}");
    assert!(kept.contains_key(Path::new("manual/selvedge-ota-apply.1")), "each command has a page");
    assert!(!kept.keys().any(|path| path.to_string_lossy().contains("internal")), "what is hidden has none");
}
