//! What the test machine does once it is up, as a shell script: mount folders of the host, run programs, write down their
//! exit codes, stop.
//!
//! Invariant: every word from outside is quoted; the script does nothing but what it was given.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// `cross/arm64-vm/prepare.sh` comes first.
const PREPARE: &str = include_str!("../../../cross/arm64-vm/prepare.sh");
/// Where exit codes go, one a line, in the exchange folder.
pub const EXIT_CODES: &str = "exit-codes";

/// A program to run.
pub struct Command {
    /// A path, or the name of a program of the machine.
    pub program: String,
    pub arguments: Vec<String>,
    pub folder: PathBuf,
    pub environment: Vec<(String, String)>,
}

/// Folders of the host and the names that the machine mounts them by.
pub struct Share {
    pub tag: String,
    pub folder: PathBuf,
}

/// Folders as shares, without those that lie in another one.
pub fn shares(folders: &[&Path]) -> Vec<Share> {
    let mut outermost: Vec<&Path> = Vec::new();
    for folder in folders {
        if !outermost.iter().any(|other| folder.starts_with(other)) {
            outermost.retain(|other| !other.starts_with(folder));
            outermost.push(folder);
        }
    }
    let numbered = outermost.into_iter().enumerate();
    numbered.map(|(index, folder)| Share { tag: format!("share{index}"), folder: folder.to_owned() }).collect()
}

/// The script. `now_s`: seconds since 1970, for the machine's clock.
pub fn script(shares: &[Share], modules: &[String], commands: &[Command], now_s: u64) -> String {
    let mut text = PREPARE.to_owned();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "date -s @{now_s} >/dev/null");
    for share in shares {
        let _ = writeln!(text, "share {} {}", share.tag, quoted(&share.folder.to_string_lossy()));
    }
    for module in modules {
        let _ = writeln!(text, "modprobe {} || poweroff -f", quoted(module));
    }
    for command in commands {
        let _ = writeln!(text, "(cd {} || exit 127", quoted(&command.folder.to_string_lossy()));
        for (name, value) in &command.environment {
            let _ = writeln!(text, "export {name}={}", quoted(value));
        }
        let words: Vec<String> =
            std::iter::once(&command.program).chain(&command.arguments).map(|word| quoted(word)).collect();
        let _ = writeln!(text, "exec {})\necho $? >>/exchange/{EXIT_CODES}", words.join(" "));
    }
    text.push_str("sync\npoweroff -f\n");
    text
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Exit codes of the programs that came to an end.
pub fn exit_codes(text: &str) -> Vec<i32> {
    text.lines().map_while(|line| line.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_inside_another_is_no_share_of_its_own() {
        let folders = |given: &[&str]| -> Vec<String> {
            let paths: Vec<&Path> = given.iter().map(Path::new).collect();
            shares(&paths).iter().map(|share| share.folder.display().to_string()).collect()
        };
        assert_eq!(folders(&["/r", "/r/target/arm64"]), ["/r"]);
        assert_eq!(folders(&["/r/target/arm64", "/r"]), ["/r"]);
        assert_eq!(folders(&["/r", "/rest"]), ["/r", "/rest"]);
    }

    #[test]
    fn words_reach_the_program_as_they_were_given() {
        let command = Command {
            program: "/r/a b".to_owned(),
            arguments: vec!["it's $HOME".to_owned()],
            folder: PathBuf::from("/r"),
            environment: vec![("NAME".to_owned(), "`x`".to_owned())],
        };
        let text = script(&[], &["veth".to_owned()], &[command], 5);
        assert!(text.contains("exec '/r/a b' 'it'\\''s $HOME')"), "{text}");
        assert!(text.contains("export NAME='`x`'") && text.contains("modprobe 'veth' || poweroff"), "{text}");
        assert!(text.contains("date -s @5 ") && text.ends_with("poweroff -f\n"), "{text}");
    }

    #[test]
    fn exit_codes_end_where_the_file_does() {
        assert_eq!(exit_codes("0\n101\n"), [0, 101]);
        assert_eq!(exit_codes("0\n1x"), [0]);
        assert_eq!(exit_codes(""), Vec::<i32>::new());
    }
}
