//! What one run asked of the node, with the answers: enough to run the same or another version again as if it were then.
//!
//! [`Recorder`] lends the node and writes down what it said; [`Player`] says it again. Invariants: the same version gets the same
//! answers in the same order, so it gives the same output byte for byte; a tape is bounded, and one that would grow past its bound is
//! thrown away whole, never cut; nothing that is played changes anything.
//!
//! Another version may ask for something else. What is on the tape for that key is given again, the last answer for ever; what is not
//! comes from where [`Player::new`] is told, and is counted.

mod answers;
mod player;
mod recorder;

use serde::{Deserialize, Serialize};

use crate::hex::{from_hex, hex, to_hex};
use crate::host::{HostError, KvEntry, TwinDoc, TwinSection};
use crate::outgoing::{HttpReply, HttpRequest};
use answers::{Answers, Keyed};
pub(crate) use player::Player;
pub(crate) use recorder::Recorder;

/// A question for keys: prefix, after, limit.
type ListQuestion = (String, Option<String>, usize);
/// A request to another machine: method, address, body in hexadecimal.
type HttpQuestion = (String, String, Option<String>);
/// A question for a part of a twin: thing, section, path.
type TwinQuestion = (String, TwinSection, String);

/// The answers of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tape {
    /// Clock, milliseconds since 1970.
    now_ms: Answers<u64>,
    /// Time since the start of the run, nanoseconds.
    elapsed_ns: Answers<u64>,
    /// Time that was left, nanoseconds.
    remaining_ns: Answers<u64>,
    /// Random bytes in the order of asking.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    random: Vec<u8>,
    kv: Keyed<String, Result<Option<KvEntry>, HostError>>,
    kv_lists: Keyed<ListQuestion, Result<Vec<String>, HostError>>,
    http: Keyed<HttpQuestion, Result<HttpReply, HostError>>,
    twins: Keyed<TwinQuestion, Result<Option<TwinDoc>, HostError>>,
}

/// Headers are no part of it: the idempotency key is in them.
fn http_question(request: &HttpRequest) -> HttpQuestion {
    (request.method.clone(), request.url.clone(), request.body.as_deref().map(hex))
}

#[cfg(test)]
mod tests;
