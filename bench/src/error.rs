//! Why a run could not be finished. What a finished run found wrong is in its report instead.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use selvedge_codec::{DecodeError, ReasonCode};
use thiserror::Error;

use crate::exposition::ExpositionError;
use crate::plan::OptionsError;
use crate::process::MeterError;

/// A run could not be started or finished.
#[derive(Debug, Error)]
pub enum RunError {
    /// The options ask for what is not there.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The host name has no address.
    #[error("could not resolve {host}:{port}: check --host")]
    Resolve {
        /// As given.
        host: String,
        /// As given.
        port: u16,
        /// Why not; absent if there is just no address.
        source: Option<io::Error>,
    },
    /// Nobody accepts the connection.
    #[error(
        "could not connect to {address}: is a broker running there? start one (`selvedge run`), or name it with --host and --port"
    )]
    Connect {
        /// The broker's address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The broker answered CONNECT with a refusal.
    #[error("{address} refused CONNECT of client {client}: {reason}")]
    Refused {
        /// The broker's address.
        address: SocketAddr,
        /// The client id.
        client: String,
        /// In words.
        reason: String,
    },
    /// The broker refused a subscription or a publication.
    #[error("{address} refused {packet} of client {client}: {}", words(*.reason))]
    Denied {
        /// The broker's address.
        address: SocketAddr,
        /// The client id.
        client: String,
        /// What was refused.
        packet: &'static str,
        /// Why.
        reason: u8,
    },
    /// The broker sent DISCONNECT.
    #[error("{address} disconnected client {client}: {}", words(*.reason))]
    Dismissed {
        /// The broker's address.
        address: SocketAddr,
        /// The client id.
        client: String,
        /// Why.
        reason: u8,
    },
    /// The connection ended in the middle of the run.
    #[error("{address} closed the connection of client {client} during the run (did the broker stop?)")]
    Lost {
        /// The broker's address.
        address: SocketAddr,
        /// The client id.
        client: String,
        /// The system's reason; absent if it was closed in order.
        source: Option<io::Error>,
    },
    /// What arrived is no MQTT.
    #[error("{address} sent client {client} what is no MQTT packet")]
    Malformed {
        /// The broker's address.
        address: SocketAddr,
        /// The client id.
        client: String,
        /// Where it stops making sense.
        source: DecodeError,
    },
    /// Encryption or WebSocket framing failed.
    #[error("{address} and client {client} do not come to terms below MQTT: {what}")]
    Layer {
        /// The broker's address.
        address: SocketAddr,
        /// The client id.
        client: String,
        /// What happened.
        what: String,
    },
    /// The certificates cannot be used.
    #[error("could not prepare encryption: {what}")]
    Encryption {
        /// What is wrong, with its file.
        what: String,
    },
    /// A packet that makes no sense at this place.
    #[error("{address} sent client {client} {packet}, which does not belong here")]
    Unexpected {
        /// The broker's address.
        address: SocketAddr,
        /// The client id.
        client: String,
        /// What it was.
        packet: &'static str,
    },
    /// Nothing happened for too long.
    #[error("{address} did not answer within {} s while {waiting_for}", .after.as_secs())]
    TimedOut {
        /// The broker's address.
        address: SocketAddr,
        /// What was expected.
        waiting_for: String,
        /// The patience that ran out (`--timeout-s`).
        after: Duration,
    },
    /// The limit of open files is too low.
    #[error(
        "could not open {needed} connections: the limit of open files is {limit}; raise it with `ulimit -n {needed}`"
    )]
    Descriptors {
        /// Descriptors that the run takes.
        needed: u64,
        /// What the system allows.
        limit: u64,
    },
    /// Every local port towards the broker is taken.
    #[error(
        "could not open one more connection to {address}: local ports are used up; wait a minute or ask for fewer connections"
    )]
    LocalPorts {
        /// The broker's address.
        address: SocketAddr,
    },
    /// The system refused a descriptor, a timer or a thread.
    #[error("could not {what}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The relay cannot listen.
    #[error("could not listen on {address}: take another one with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A packet of the generator's own cannot be encoded.
    #[error("could not encode {packet}")]
    Encode {
        /// Which one.
        packet: &'static str,
        /// What the codec says.
        source: selvedge_codec::EncodeError,
    },
    /// The broker's process cannot be measured.
    #[error("could not measure the broker")]
    Meter(#[from] MeterError),
    /// The broker's counters cannot be read.
    #[error(transparent)]
    Exposition(#[from] ExpositionError),
    /// The run finished, and its report shows what must not be.
    #[error("the run failed: {0}")]
    Verdict(String),
}

/// A reason code of MQTT 5 in words and as a number.
pub(crate) fn words(code: u8) -> String {
    let Some(reason) = ReasonCode::from_byte(code) else { return format!("reason code {code:#04x}") };
    let mut text = String::new();
    for letter in format!("{reason:?}").chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    format!("{text} ({code:#04x})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_codes_are_told_in_words_and_unknown_ones_as_numbers() {
        assert_eq!(words(0x87), "not authorized (0x87)");
        assert_eq!(words(0x03), "reason code 0x03");
    }
}
