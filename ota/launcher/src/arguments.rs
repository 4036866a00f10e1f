//! The command line of the launcher. Pure.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
Starts the slot that is to run: an update on probation, else the last good one, else the program of the package.

Usage: selvedge-launch [OPTIONS] [-- ARGUMENTS OF THE NODE]

Options:
  --folder DIR        where boot, current and slots are
                      [$SELVEDGE_OTA, else $STATE_DIRECTORY/ota, else /var/lib/selvedge/ota]
  --package FILE      the installed program, for as long as no slot is good [/usr/lib/selvedge/selvedge]
  --supervise         stay, start the node again when it ends, and kill it when it hangs; for machines without systemd
  --ready-within S    with --supervise: seconds that the node has to get ready [90]
  --watchdog S        with --supervise: seconds after which a silent node is killed [30]
  --help, --version

Examples:
  selvedge-launch -- run --config /etc/selvedge.toml
  selvedge-launch --supervise --folder /data/ota --package /opt/selvedge -- run --data /data

Exit codes: 1 nothing can be started, 2 wrong usage; else the node's own.
";

/// How the node is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The launcher becomes it; a service manager looks after it.
    Become,
    /// The launcher stays and looks after it.
    Supervise,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The folder of the slots.
    pub folder: PathBuf,
    /// The installed program.
    pub package: Option<PathBuf>,
    /// How to start.
    pub mode: Mode,
    /// For the node to get ready.
    pub ready_within: Duration,
    /// For the node to say that it is alive.
    pub watchdog: Duration,
    /// Passed on.
    pub program_arguments: Vec<OsString>,
}

/// What the command line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Start something.
    Run(Arguments),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Reads `arguments` (without the program's name); `environment` looks up variables.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Parsed, String> {
    let mut arguments = arguments.into_iter();
    let mut parsed = Arguments {
        folder: default_folder(environment),
        package: Some("/usr/lib/selvedge/selvedge".into()),
        mode: Mode::Become,
        ready_within: Duration::from_secs(90),
        watchdog: Duration::from_secs(30),
        program_arguments: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let name = argument.to_string_lossy().into_owned();
        let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(Parsed::Help),
            "--version" | "-V" => return Ok(Parsed::Version),
            "--folder" => parsed.folder = value()?.into(),
            "--package" => parsed.package = Some(value()?.into()),
            "--supervise" => parsed.mode = Mode::Supervise,
            "--ready-within" => parsed.ready_within = seconds(&name, &value()?)?,
            "--watchdog" => parsed.watchdog = seconds(&name, &value()?)?,
            "--" => {
                parsed.program_arguments = arguments.collect();
                break;
            }
            other => return Err(format!("{other:?} is no option; what the node is to get comes behind --")),
        }
    }
    Ok(Parsed::Run(parsed))
}

fn default_folder(environment: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(folder) = environment("SELVEDGE_OTA") {
        return folder.into();
    }
    // systemd names several, separated by colons; the first is ours.
    let state = environment("STATE_DIRECTORY").map(|folders| folders.to_string_lossy().into_owned());
    let first = state.as_deref().and_then(|folders| folders.split(':').next()).filter(|folder| !folder.is_empty());
    PathBuf::from(first.unwrap_or("/var/lib/selvedge")).join("ota")
}

fn seconds(name: &str, value: &OsString) -> Result<Duration, String> {
    let text = value.to_string_lossy();
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("{name} {text:?} is no number of seconds between 0.001 and 86400")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str], state: Option<&str>) -> Result<Parsed, String> {
        let environment = |name: &str| state.filter(|_| name == "STATE_DIRECTORY").map(OsString::from);
        parse(arguments.iter().map(OsString::from), &environment)
    }

    #[test]
    fn everything_behind_two_dashes_is_the_nodes() {
        let Ok(Parsed::Run(arguments)) = parsed(&["--supervise", "--", "run", "--help"], None) else {
            panic!("it starts");
        };
        assert_eq!(arguments.program_arguments, ["run", "--help"]);
        assert_eq!(arguments.mode, Mode::Supervise);
        assert_eq!(arguments.folder, PathBuf::from("/var/lib/selvedge/ota"));
    }

    #[test]
    fn the_folder_is_that_of_the_service() {
        for (state, folder) in
            [("/var/lib/private/s", "/var/lib/private/s/ota"), ("/a:/b", "/a/ota"), ("", "/var/lib/selvedge/ota")]
        {
            let Ok(Parsed::Run(arguments)) = parsed(&[], Some(state)) else { panic!("it starts") };
            assert_eq!(arguments.folder, PathBuf::from(folder), "{state}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for (arguments, text) in [
            (&["run"][..], "\"run\" is no option; what the node is to get comes behind --"),
            (&["--folder"], "--folder needs a value"),
            (&["--watchdog", "0"], "--watchdog \"0\" is no number of seconds between 0.001 and 86400"),
            (&["--watchdog", "NaN"], "--watchdog \"NaN\" is no number of seconds between 0.001 and 86400"),
        ] {
            assert_eq!(parsed(arguments, None), Err(text.to_owned()));
        }
        assert_eq!(parsed(&["--help", "--nonsense"], None), Ok(Parsed::Help));
    }
}
