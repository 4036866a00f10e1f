//! A package of two pretended programs: what is in it, whose, and what it says of itself.

use std::io::Write as _;

use super::*;

/// The head of a program for aarch64, and the names of two versions of glibc.
fn pretended_program(folder: &Path, name: &str, glibc: &str) -> PathBuf {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0".to_vec();
    bytes.extend(format!("GLIBC_2.17\0GLIBC_{glibc}\0").bytes());
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn ingredients(folder: &Path) -> Ingredients {
    Ingredients {
        architecture: Architecture::Aarch64,
        version: "1.2.3".to_owned(),
        node: pretended_program(folder, "node", "2.34"),
        launcher: pretended_program(folder, "launcher", "2.28"),
        made_unix_s: 1_700_000_000,
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("selvedge-xtask-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_package_holds_what_a_gateway_needs_for_root_and_asks_for_the_library_that_it_needs() {
    if process::find(&["dpkg-deb"]).is_none() {
        let _ = writeln!(std::io::stdout(), "SKIPPED tests of the package: dpkg-deb is not installed");
        return;
    }
    let folder = folder("package");
    let [package, bill] = make(&ingredients(&folder), &folder).unwrap();
    assert_eq!(package.file_name().unwrap(), "selvedge_1.2.3_arm64.deb");
    assert!(bill.to_string_lossy().ends_with("selvedge_1.2.3_arm64.cdx.json") && bill.is_file());

    let package = package.to_string_lossy();
    let contents = process::output("dpkg-deb", &["--contents", &package]).unwrap();
    for (mode, end) in [
        ("-rwxr-xr-x", " ./usr/lib/selvedge/selvedge"),
        ("-rwxr-xr-x", " ./usr/lib/selvedge/selvedge-launch"),
        ("lrwxrwxrwx", " ./usr/bin/selvedge -> ../lib/selvedge/selvedge"),
        ("-rw-r--r--", " ./usr/lib/systemd/system/selvedge.service"),
        ("-rw-r--r--", " ./usr/lib/systemd/system/selvedge.socket"),
        ("-rw-r--r--", " ./usr/lib/sysusers.d/selvedge.conf"),
        ("-rw-r--r--", " ./usr/lib/tmpfiles.d/selvedge.conf"),
        ("-rw-r--r--", " ./etc/selvedge/selvedge.toml"),
        ("-rw-r--r--", " ./usr/share/man/man1/selvedge.1.gz"),
        ("-rw-r--r--", " ./usr/share/man/man1/selvedge-ota-apply.1.gz"),
        ("-rw-r--r--", " ./usr/share/bash-completion/completions/selvedge"),
        ("-rw-r--r--", " ./usr/share/doc/selvedge/copyright"),
        ("-rw-r--r--", " ./usr/share/doc/selvedge/changelog.gz"),
        ("-rw-r--r--", " ./usr/share/doc/selvedge/selvedge.cdx.json.gz"),
    ] {
        let found = contents.lines().any(|line| line.starts_with(mode) && line.ends_with(end));
        assert!(found, "{mode} {end} is missing in\n{contents}");
    }
    assert!(contents.lines().all(|line| line.contains(" root/root ")), "{contents}");
    let field = |name: &str| process::output("dpkg-deb", &["--field", &package, name]).unwrap();
    assert_eq!(field("Architecture"), "arm64");
    assert!(field("Depends").starts_with("libc6 (>= 2.34), "), "{}", field("Depends"));
    assert!(process::output("dpkg-deb", &["--info", &package, "conffiles"]).unwrap() == "/etc/selvedge/selvedge.toml");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_same_ingredients_give_the_same_bytes() {
    if process::find(&["dpkg-deb"]).is_none() {
        let _ = writeln!(std::io::stdout(), "SKIPPED tests of the package: dpkg-deb is not installed");
        return;
    }
    let folder = folder("same");
    let of_run =
        |run: &str| make(&ingredients(&folder), &folder.join(run)).unwrap().map(|path| fs::read(path).unwrap());
    assert!(of_run("first") == of_run("second"), "the package differs");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_program_for_another_processor_is_refused() {
    let folder = folder("other");
    let wrong = Ingredients { architecture: Architecture::X86_64, ..ingredients(&folder) };
    let error = make(&wrong, &folder).unwrap_err().to_string();
    assert!(error.ends_with("is for aarch64"), "{error}");
    fs::remove_dir_all(&folder).unwrap();
}
