//! A function for tests that does what the first word of the payload says: the misbehaviours a node has to survive, and
//! one small call of every capability. Whatever comes back is one message on `hostile/reply`; what a capability refused
//! comes back as text that starts with the name of the error case.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use exports::selvedge::function::handler::{Failure, Guest};
use selvedge::function::types::{Error, Message, Properties, Qos};
use selvedge::function::{bus, context, env, kv, log, twin};

wit_bindgen::generate!({ path: "../../../wit", world: "function" });

struct Hostile;

export!(Hostile);

const REPLY: &str = "hostile/reply";

impl Guest for Hostile {
    fn handle(message: Message) -> Result<Vec<Message>, Failure> {
        let command = String::from_utf8_lossy(&message.payload).into_owned();
        let mut words = command.split_whitespace();
        match words.next().unwrap_or("echo") {
            "echo" => Ok(vec![Message { topic: REPLY.into(), ..message }]),
            "retry" => Err(Failure::Retry("as told".into())),
            "reject" => Err(Failure::Reject("as told".into())),
            "return" => Ok(flood(count(&mut words), count(&mut words)).collect()),
            word => match misbehave(word, &mut words).unwrap_or_else(|| capability(word, &mut words)) {
                Ok(text) => Ok(vec![reply(text.into_bytes())]),
                Err(error) => Ok(vec![reply(error_text(error).into_bytes())]),
            },
        }
    }
}

type Outcome = Result<String, Error>;

/// `loop`, `loop-host`, `grow [MIB]`, `trap`, `stack`, `log N BYTES`, `kv N BYTES`, `publish N BYTES`, `random BYTES`.
/// `None` for any other word.
fn misbehave<'a>(word: &str, words: &mut impl Iterator<Item = &'a str>) -> Option<Outcome> {
    Some(match word {
        "loop" => loop {
            black_box(());
        },
        "loop-host" => loop {
            black_box(env::now_ms());
        },
        "grow" => Ok(grow(words.next().and_then(|mib| mib.parse().ok()))),
        "trap" => std::process::abort(),
        "stack" => Ok(deeper(1).to_string()),
        "log" => {
            let (lines, bytes) = (count(words), count(words));
            let line = "l".repeat(bytes);
            (0..lines).for_each(|_| log::log(log::Level::Info, "flood", &line));
            Ok(format!("logged {lines}"))
        }
        "kv" => {
            let (keys, bytes) = (count(words), count(words));
            let value = vec![b'v'; bytes];
            (0..keys)
                .try_for_each(|key| kv::set(&format!("flood/{key}"), &value, None).map(drop))
                .map(|()| format!("set {keys}"))
        }
        "publish" => flood(count(words), count(words))
            .try_for_each(|message| bus::publish(&message))
            .map(|()| "published".into()),
        "random" => Ok(env::random(count(words) as u32).len().to_string()),
        _ => return None,
    })
}

/// `fresh`, `get KEY`, `set KEY VALUE`, `cas KEY VALUE [REVISION]`, `delete KEY`, `add KEY NUMBER`, `list PREFIX LIMIT`,
/// `publish-to TOPIC`, `twin-get DEVICE SECTION POINTER`, `twin-patch DEVICE SECTION JSON [REVISION]`, `config KEY`,
/// `context`, `remaining`, `clock`, `publish-then-trap`.
fn capability<'a>(word: &str, words: &mut impl Iterator<Item = &'a str>) -> Outcome {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let first = words.next().unwrap_or_default();
    match word {
        "fresh" => Ok(CALLS.fetch_add(1, Ordering::Relaxed).to_string()),
        "get" => kv::get(first).map(|entry| match entry {
            Some(entry) => format!("{} {}", entry.revision, String::from_utf8_lossy(&entry.value)),
            None => "none".into(),
        }),
        "set" => kv::set(first, text(words).as_bytes(), None).map(|revision| revision.to_string()),
        "cas" => {
            let value = text(words);
            kv::cas(first, revision(words), value.as_bytes()).map(|revision| revision.to_string())
        }
        "delete" => kv::delete(first).map(|()| "deleted".into()),
        "add" => kv::increment(first, text(words).parse().unwrap_or(1)).map(|number| number.to_string()),
        "list" => kv::list(first, None, count(words) as u32).map(|keys| keys.join(" ")),
        "publish-to" => {
            bus::publish(&Message { topic: first.into(), ..reply(Vec::new()) }).map(|()| "published".into())
        }
        "twin-get" => {
            let section = section(words);
            twin::get(first, section, text(words)).map(|document| match document {
                Some(document) => format!("{} {}", document.revision, document.json),
                None => "none".into(),
            })
        }
        "twin-patch" => {
            let (section, merge) = (section(words), text(words));
            twin::patch(first, section, merge, revision(words)).map(|revision| revision.to_string())
        }
        "config" => Ok(env::config(first).unwrap_or_else(|| "none".into())),
        "context" => Ok(describe(&context::get())),
        "remaining" => Ok(context::remaining_us().to_string()),
        "clock" => Ok(format!("{} {}", env::now_ms(), env::monotonic_us())),
        "publish-then-trap" => {
            bus::publish(&reply(b"must never be seen".to_vec()))?;
            kv::set("must-never-be-seen", b"1", None)?;
            std::process::abort()
        }
        _ => Err(Error::Invalid(format!("no such command: {word}"))),
    }
}

/// Touches every page it gets. Without a limit of its own it ends in the allocator's abort.
fn grow(mib: Option<usize>) -> String {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    while mib.is_none_or(|mib| kept.len() < mib) {
        kept.push(vec![1; 1 << 20]);
        black_box(&mut kept);
    }
    format!("grown {}", kept.len())
}

#[expect(unconditional_recursion, reason = "the test is that the stack limit ends it")]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    black_box(deeper(depth + 1)) + frame[63]
}

fn flood(messages: usize, bytes: usize) -> impl Iterator<Item = Message> {
    (0..messages).map(move |_| reply(vec![b'p'; bytes]))
}

fn reply(payload: Vec<u8>) -> Message {
    Message {
        topic: REPLY.into(),
        payload,
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: Properties {
            utf8_payload: false,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            message_expiry: None,
            user_properties: Vec::new(),
        },
    }
}

fn error_text(error: Error) -> String {
    match error {
        Error::Denied(why) => format!("denied: {why}"),
        Error::Quota(why) => format!("quota: {why}"),
        Error::Invalid(why) => format!("invalid: {why}"),
        Error::Conflict(revision) => format!("conflict: {revision}"),
        Error::Unavailable(why) => format!("unavailable: {why}"),
    }
}

fn describe(info: &context::Info) -> String {
    format!(
        "function={} version={} client={} filter={} attempt={} replay={} memory={} cpu-us={}",
        info.function,
        info.version,
        info.client_id.as_deref().unwrap_or("none"),
        info.matched_filter,
        info.attempt,
        info.is_replay,
        info.memory_limit,
        info.cpu_limit_us
    )
}

fn text<'a>(words: &mut impl Iterator<Item = &'a str>) -> &'a str {
    words.next().unwrap_or_default()
}

fn count<'a>(words: &mut impl Iterator<Item = &'a str>) -> usize {
    text(words).parse().unwrap_or(1)
}

fn revision<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<u64> {
    text(words).parse().ok()
}

fn section<'a>(words: &mut impl Iterator<Item = &'a str>) -> twin::Section {
    if text(words) == "desired" { twin::Section::Desired } else { twin::Section::Reported }
}
