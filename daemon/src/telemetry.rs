//! Logs: what is written to stderr, and how a line looks. Metrics are not here: parts count, `wiring` names the counts, `http`
//! writes them.

use std::str::FromStr;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// A text that selects no log lines.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected error, warn, info, debug, trace or off, or levels by module such as \"info,selvedge_broker=debug\"")]
pub struct DirectivesError;

/// Reads levels, one for all and others by module. A bare word must be a level: a misspelt one would otherwise count as a module.
///
/// # Errors
/// A word is no level.
pub fn parse_directives(text: &str) -> Result<Targets, DirectivesError> {
    let is_level = |word: &str| !word.is_empty() && LevelFilter::from_str(word).is_ok();
    let words_fit = text.split(',').all(|word| word.contains('=') || is_level(word.trim()));
    if !words_fit {
        return Err(DirectivesError);
    }
    text.parse().map_err(|_| DirectivesError)
}

/// Starts writing logs to stderr. `override_level` (from the environment) goes over the configured level.
///
/// # Errors
/// A level is none.
pub fn start(config: &LogConfig, override_level: Option<&str>) -> Result<(), DirectivesError> {
    let targets = parse_directives(override_level.unwrap_or(&config.level))?;
    let registry = tracing_subscriber::registry().with(targets);
    let started = match config.format {
        LogFormat::Text => registry
            .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal()))
            .try_init(),
        LogFormat::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).try_init()
        }
    };
    // Fails only where something logs already, as in tests.
    let _ = started;
    Ok(())
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_modules_are_read_and_slips_are_not() {
        for text in ["info", "off", "TRACE", "info,selvedge_broker=debug", "warn, selvedge_store=trace"] {
            assert!(parse_directives(text).is_ok(), "{text}");
        }
        for text in ["", "inof", "info,debgu", "selvedge=loud", "info,"] {
            assert_eq!(parse_directives(text).err(), Some(DirectivesError), "{text}");
        }
    }
}
