//! What a node keeps beside its twins: what it counted, and what it knows of its group.
//!
//! ```text
//! key                                value
//! 's'                                state:   2 time:u64le twins incarnation last_seq floor known pull
//! 'g'                                group:   1 key:32, the key that signs the first policy
//! 'p' version:u32be                  policy:  its bytes with the signature
//! 'q' node:u64be life:u32be seq:u64be   held: 1 key event signature(0 | 1 bytes:64)
//!
//! pull = 0 | 1 peer:u64le number mode:u8 since (0 | 1 claim) (0 | 1 key (0 | 1 dot)) turned_away:u8
//! ```

use selvedge_twin_core::dot::{Dot, Origin};
use selvedge_twin_core::event::Event;
use selvedge_twin_core::place::Key;
use selvedge_twin_core::sync::knowledge::{Mode, Pull};
use selvedge_twin_core::sync::message::Cursor;
use selvedge_twin_core::vector::VersionVector;
use selvedge_twin_core::wire::{self, DecodeError, Reader};

use super::{VERSION, format_1};
use crate::clock::HybridTime;

/// The key of the state record.
pub(crate) const STATE_KEY: &[u8] = b"s";
/// The key of the group's record.
pub(crate) const GROUP_KEY: &[u8] = b"g";
/// What the keys of policies begin with.
pub(crate) const POLICY_PREFIX: &[u8] = b"p";
/// What the keys of held events begin with.
pub(crate) const HELD_PREFIX: &[u8] = b"q";

const GROUP_VERSION: u8 = 1;
const HELD_VERSION: u8 = 1;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// The greatest time of any stamp.
    pub(crate) time: HybridTime,
    /// How many twins exist.
    pub(crate) twins: u64,
    /// In which of its lives the node is.
    pub(crate) incarnation: u32,
    /// The number of the last event that it made in it.
    pub(crate) last_seq: u64,
    /// Removals that were forgotten, and what they had removed.
    pub(crate) floor: VersionVector,
    /// What the node has, its own events too.
    pub(crate) known: VersionVector,
    /// Whether `known` says it.
    pub(crate) known_of: Known,
    /// A transfer that is not finished.
    pub(crate) pull: Option<Pull>,
}

/// Where a state's `known` is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Known {
    /// It was written with the state.
    #[default]
    Kept,
    /// It was not: it has to be counted from the cells.
    Counted,
}

impl Default for State {
    fn default() -> Self {
        let (time, floor, known) = (HybridTime::default(), VersionVector::default(), VersionVector::default());
        Self { time, twins: 0, incarnation: 1, last_seq: 0, floor, known, known_of: Known::Kept, pull: None }
    }
}

pub(crate) fn encode_state(state: &State) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    wire::put_time(&mut bytes, state.time);
    wire::put_number(&mut bytes, state.twins);
    wire::put_number(&mut bytes, state.incarnation.into());
    wire::put_number(&mut bytes, state.last_seq);
    wire::put_vector(&mut bytes, &state.floor);
    wire::put_vector(&mut bytes, &state.known);
    put_option(&mut bytes, state.pull.as_ref(), put_pull);
    bytes
}

pub(crate) fn decode_state(bytes: &[u8]) -> Option<State> {
    let (version, rest) = bytes.split_first()?;
    match *version {
        format_1::VERSION => format_1::decode_state(rest),
        VERSION => read_state(Reader::of_own(rest)).ok(),
        _ => None,
    }
}

pub(crate) fn encode_group(key: &[u8; 32]) -> Vec<u8> {
    [&[GROUP_VERSION][..], key].concat()
}

pub(crate) fn decode_group(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.strip_prefix(&[GROUP_VERSION])?.try_into().ok()
}

pub(crate) fn policy_key(version: u32) -> Vec<u8> {
    [POLICY_PREFIX, &version.to_be_bytes()].concat()
}

pub(crate) fn held_key(dot: Dot) -> Vec<u8> {
    let Origin { node, incarnation } = dot.origin;
    [HELD_PREFIX, &node.0.to_be_bytes(), &incarnation.to_be_bytes(), &dot.seq.to_be_bytes()].concat()
}

pub(crate) fn encode_held(key: &Key, event: &Event) -> Vec<u8> {
    let mut bytes = vec![HELD_VERSION];
    wire::put_cell_key(&mut bytes, key);
    wire::put_event(&mut bytes, event);
    put_option(&mut bytes, event.signature.as_deref(), |bytes, signature| bytes.extend_from_slice(signature));
    bytes
}

pub(crate) fn decode_held(bytes: &[u8]) -> Option<(Key, Event)> {
    read_held(Reader::of_own(bytes.strip_prefix(&[HELD_VERSION])?)).ok()
}

fn put_pull(bytes: &mut Vec<u8>, pull: &Pull) {
    bytes.extend_from_slice(&pull.peer.0.to_le_bytes());
    wire::put_number(bytes, pull.number);
    bytes.push(pull.mode as u8);
    wire::put_vector(bytes, &pull.since);
    put_option(bytes, pull.claim.as_ref(), wire::put_vector);
    put_option(bytes, pull.after.as_ref(), |bytes, cursor| {
        wire::put_cell_key(bytes, &cursor.key);
        put_option(bytes, cursor.dot.as_ref(), |bytes, dot| wire::put_dot(bytes, *dot));
    });
    bytes.push(u8::from(pull.turned_away));
}

fn put_option<T: ?Sized>(bytes: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(bytes, value);
    }
}

fn read_state(mut reader: Reader<'_>) -> Result<State, DecodeError> {
    let (time, twins) = (reader.time()?, reader.number()?);
    let (incarnation, last_seq) = (reader.number_u32()?, reader.number()?);
    let (floor, known) = (reader.vector()?, reader.vector()?);
    let pull = if is_some(&mut reader)? { Some(read_pull(&mut reader)?) } else { None };
    reader.end()?;
    Ok(State { time, twins, incarnation, last_seq, floor, known, known_of: Known::Kept, pull })
}

fn read_pull(reader: &mut Reader<'_>) -> Result<Pull, DecodeError> {
    let (peer, number) = (reader.node()?, reader.number()?);
    let mode = reader.byte()?;
    let mode = [Mode::Since, Mode::Whole, Mode::Repair].into_iter().find(|known| *known as u8 == mode);
    let mode = mode.ok_or(DecodeError::Malformed("the purpose of a transfer"))?;
    let since = reader.vector()?;
    let claim = if is_some(reader)? { Some(reader.vector()?) } else { None };
    let after = if is_some(reader)? {
        let key = reader.cell_key()?;
        let dot = if is_some(reader)? { Some(reader.dot()?) } else { None };
        Some(Cursor { key, dot })
    } else {
        None
    };
    let turned_away = is_some(reader)?;
    let (window_left, asked_ms, tries, dead) = (0, 0, 0, Vec::new());
    Ok(Pull { peer, number, mode, since, claim, after, window_left, asked_ms, tries, dead, turned_away })
}

fn read_held(mut reader: Reader<'_>) -> Result<(Key, Event), DecodeError> {
    let key = reader.cell_key()?;
    let mut event = reader.event(&key.part)?;
    if is_some(&mut reader)? {
        event.signature = Some(Box::new(reader.array()?));
    }
    reader.end()?;
    Ok((key, event))
}

fn is_some(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Malformed("a choice")),
    }
}

#[cfg(test)]
mod tests {
    use selvedge_twin_core::event::{Body, PolicyVersion};
    use selvedge_twin_core::place::{Part, Section};

    use super::*;
    use crate::clock::NodeId;
    use crate::path::Path;

    fn dot(node: u64, seq: u64) -> Dot {
        Origin::first(NodeId(node)).dot(seq)
    }

    fn key() -> Key {
        Key { thing: "pump".into(), section: Section::Desired, path: Path::root_member("a"), part: Part::Register }
    }

    #[test]
    fn a_state_comes_back_with_its_unfinished_transfer() {
        let pull = Pull {
            peer: NodeId(9),
            number: 77,
            mode: Mode::Repair,
            since: [dot(1, 4)].into_iter().collect(),
            claim: Some([dot(2, 6)].into_iter().collect()),
            after: Some(Cursor { key: key(), dot: Some(dot(2, 3)) }),
            window_left: 0,
            asked_ms: 0,
            tries: 0,
            dead: Vec::new(),
            turned_away: true,
        };
        let known: VersionVector = [dot(1, 5), dot(2, 3)].into_iter().collect();
        let time = HybridTime(99);
        let state = State { time, twins: 3, incarnation: 2, last_seq: 8, known, pull: Some(pull), ..State::default() };
        let bytes = encode_state(&state);
        assert_eq!(decode_state(&bytes), Some(state.clone()));
        for length in 0..bytes.len() {
            assert_eq!(decode_state(&bytes[..length]), None, "{length} bytes of a state");
        }
        let idle = State { pull: None, ..state };
        assert_eq!(decode_state(&encode_state(&idle)), Some(idle));
    }

    #[test]
    fn a_held_event_comes_back_with_its_signature() {
        let (time, policy) = (HybridTime(9), PolicyVersion(1));
        let (body, context) = (Body::Json("1".into()), VersionVector::default());
        let mut event = Event { dot: dot(2, 3), time, policy, context, body, signature: None };
        for signature in [None, Some(Box::new([7; 64]))] {
            event.signature = signature;
            let bytes = encode_held(&key(), &event);
            assert_eq!(decode_held(&bytes), Some((key(), event.clone())));
            assert_eq!(decode_held(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn a_group_is_its_key() {
        assert_eq!(decode_group(&encode_group(&[3; 32])), Some([3; 32]));
        assert_eq!(decode_group(&[1; 32]), None);
    }
}
