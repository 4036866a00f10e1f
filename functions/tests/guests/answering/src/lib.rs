//! A function for tests of what somebody waits for: requests over HTTP, and messages that are held until it has looked at them. It
//! does what the first word of the payload says, and answers in the way that was asked.

use std::hint::black_box;

use exports::selvedge::function::handler::{Failure, Guest};
use selvedge::function::types::{Error, Message, Properties, Qos};
use selvedge::function::{bus, env, http, kv};

wit_bindgen::generate!({ path: "../../../wit", world: "function" });

struct Answering;

export!(Answering);

const RESPONSE: &str = "$fn/http/response";
const SEEN: &str = "answering/seen";

impl Guest for Answering {
    /// `loop`, `trap`, `retry`, `reject`, `nothing`, `wait MILLISECONDS`, `count KEY`, `publish TEXT`, `fetch METHOD URL [BODY]`; of
    /// requests also `respond STATUS TEXT` and `tell`; of other messages `upper`, `to TOPIC`, `twice`. Anything else is returned
    /// as it came.
    fn handle(message: Message) -> Result<Vec<Message>, Failure> {
        let command = String::from_utf8_lossy(&message.payload).into_owned();
        let (word, rest) = command.split_once(' ').unwrap_or((&command, ""));
        let is_request = message.topic.starts_with("$fn/http/");
        let text = match word {
            "loop" => loop {
                black_box(());
            },
            "trap" => std::process::abort(),
            "retry" => return Err(Failure::Retry("not now".into())),
            "reject" => return Err(Failure::Reject("no such order".into())),
            "nothing" => return Ok(Vec::new()),
            "wait" => wait(rest.parse().unwrap_or(0)),
            "count" => kv::increment(rest, 1).map_or_else(error_text, |count| count.to_string()),
            "publish" => bus::publish(&on(SEEN, rest)).map_or_else(error_text, |()| "published".into()),
            "fetch" => fetch(rest).unwrap_or_else(error_text),
            "tell" => told(&message),
            "respond" => return Ok(vec![respond(rest)]),
            "upper" => command.to_uppercase(),
            "to" => return Ok(vec![Message { topic: rest.into(), ..message }]),
            "twice" => return Ok(vec![message.clone(), Message { payload: b"second".to_vec(), ..message }]),
            _ if !is_request => return Ok(vec![message]),
            _ => command.clone(),
        };
        let topic = if is_request { RESPONSE.into() } else { message.topic.clone() };
        Ok(vec![Message { topic, payload: text.into_bytes(), properties: utf8(), ..message }])
    }
}

fn wait(milliseconds: u64) -> String {
    let end = env::monotonic_us() + milliseconds * 1000;
    while env::monotonic_us() < end {}
    format!("waited {milliseconds}")
}

/// `METHOD URL [BODY]`: status, body, and the key by which the request is known again.
fn fetch(order: &str) -> Result<String, Error> {
    let mut words = order.splitn(3, ' ');
    let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body = words.next().map(|body| body.as_bytes().to_vec());
    let headers = [("accept".to_owned(), "text/plain".to_owned())];
    let response = http::request(method, url, &headers, body.as_deref(), None)?;
    Ok(format!("{} {}", response.status, String::from_utf8_lossy(&response.body)))
}

fn told(message: &Message) -> String {
    let properties = message.properties.user_properties.iter().map(|(name, value)| format!("{name}={value}\n"));
    format!("{}\n{}", message.topic, properties.collect::<String>())
}

fn respond(order: &str) -> Message {
    let (status, text) = order.split_once(' ').unwrap_or((order, ""));
    let mut message = on(RESPONSE, text);
    message.properties.content_type = Some("application/json".into());
    message.properties.user_properties =
        vec![("http-status".into(), status.into()), ("http-header-x-made-by".into(), "answering".into())];
    message
}

fn on(topic: &str, text: &str) -> Message {
    Message {
        topic: topic.into(),
        payload: text.as_bytes().to_vec(),
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: utf8(),
    }
}

fn utf8() -> Properties {
    Properties {
        utf8_payload: true,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        message_expiry: None,
        user_properties: Vec::new(),
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
