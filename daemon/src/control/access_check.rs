//! `selvedge access check`: what the rules say, and which of them.

use anyhow::bail;
use selvedge_access::{Operation, Subject};
use serde_json::json;

use super::access_files::AccessFiles;
use super::output::{escaped, print_line};
use crate::arguments::user::{AccessCheckArguments, AccessCommand, WantedName};
use crate::wiring::access::explain::explain;

/// Runs the command.
///
/// # Errors
/// The files are damaged, or it is refused: the exit code tells scripts.
pub fn run(command: AccessCommand) -> anyhow::Result<()> {
    let AccessCommand::Check(arguments) = command;
    check(&arguments)
}

fn check(arguments: &AccessCheckArguments) -> anyhow::Result<()> {
    let files = AccessFiles::find(&arguments.files)?;
    let operation = match arguments.wanted {
        WantedName::Publish => Operation::Publish { retain: false },
        WantedName::Retain => Operation::Publish { retain: true },
        WantedName::Will => Operation::Will { retain: false },
        WantedName::Subscribe => Operation::Subscribe,
    };
    let subject = Subject { user: arguments.user.as_deref(), client_id: &arguments.client };
    let decision = explain(&files.config(), &files.data, &files.rules, subject, operation, &arguments.topic)?;
    if arguments.json {
        print_line(&json!({ "allowed": decision.is_allowed, "because": decision.because }).to_string())?;
    } else if decision.is_allowed {
        print_line(&format!("allowed: {}", escaped(&decision.because)))?;
    }
    if !decision.is_allowed {
        bail!("refused: {}", escaped(&decision.because));
    }
    Ok(())
}
