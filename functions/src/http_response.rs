//! A returned message as the answer to an HTTP request. Pure.
//!
//! `http-status` and `http-header-NAME` are user properties. Invariant: what is accepted can be sent as it is; the headers that
//! belong to the connection, to the node's own rules or to the length of the body cannot be set.

use crate::message::InvocationMessage;

/// The topic on which a function returns the answer to an HTTP request.
pub const RESPONSE_TOPIC: &str = "$fn/http/response";
const STATUS: &str = "http-status";
const HEADER_PREFIX: &str = "http-header-";
/// Headers of one answer.
const HEADERS_MAX: usize = 32;
/// Longest value of a header, bytes.
const VALUE_BYTES_MAX: usize = 4096;
/// What a function does not decide about.
const NOT_ITS_OWN: [&str; 13] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
];

/// What an HTTP request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse<'a> {
    /// 200 to 599.
    pub status: u16,
    /// The content type of the message; `None`: it has none, and the payload is not said to be text.
    pub content_type: Option<&'a str>,
    /// Names in lower case, without those that the node sets.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> HttpResponse<'a> {
    /// Reads a message on [`RESPONSE_TOPIC`].
    ///
    /// # Errors
    /// A sentence about what cannot be sent.
    pub fn of(message: &'a InvocationMessage) -> Result<Self, String> {
        let properties = &message.properties;
        let mut response = HttpResponse {
            status: 200,
            content_type: content_type(message)?,
            headers: Vec::new(),
            body: &message.payload,
        };
        for (name, value) in &properties.user_properties {
            if name == STATUS {
                response.status = status(value)?;
            } else if let Some(name) = name.strip_prefix(HEADER_PREFIX) {
                response.headers.push(header(name, value)?);
            }
        }
        if response.headers.len() > HEADERS_MAX {
            return Err(format!("{} headers, allowed are {HEADERS_MAX}", response.headers.len()));
        }
        if matches!(response.status, 204 | 304) && !response.body.is_empty() {
            return Err(format!("an answer {} with a payload", response.status));
        }
        Ok(response)
    }
}

fn content_type(message: &InvocationMessage) -> Result<Option<&str>, String> {
    match message.properties.content_type.as_deref() {
        Some(kind) if !is_value(kind) => Err("the content type cannot be that of an HTTP answer".to_owned()),
        Some(kind) => Ok(Some(kind)),
        None => Ok(message.properties.utf8_payload.then_some("text/plain; charset=utf-8")),
    }
}

fn status(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(status @ 200..=599) if text.len() == 3 => Ok(status),
        _ => Err(format!("{STATUS} {:?}: allowed are 200 to 599", crate::log_ring::cut(text, 40))),
    }
}

fn header<'a>(name: &'a str, value: &'a str) -> Result<(&'a str, &'a str), String> {
    if !is_header_name(name) {
        let name = crate::log_ring::cut(name, 80);
        return Err(format!("{HEADER_PREFIX}{name}: {name:?} is not the name of a header in lower case"));
    }
    if NOT_ITS_OWN.contains(&name) || name.starts_with("access-control-") {
        return Err(format!("{HEADER_PREFIX}{name}: this header is the node's to set"));
    }
    if !is_value(value) {
        let words = "a value has visible ASCII characters, spaces and tabs, at most 4,096";
        return Err(format!("{HEADER_PREFIX}{name}: {words}"));
    }
    Ok((name, value))
}

/// A token in lower case (RFC 9110, 5.6.2), at most 64 characters.
pub(crate) fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(is_token)
}

/// RFC 9110, 5.5, without what is obsolete: no line ends, nothing beyond ASCII.
fn is_value(value: &str) -> bool {
    value.len() <= VALUE_BYTES_MAX && value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(user_properties: &[(&str, &str)]) -> InvocationMessage {
        let mut message = InvocationMessage { payload: b"body".to_vec(), ..InvocationMessage::default() };
        message.properties.user_properties =
            user_properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        message
    }

    #[test]
    fn a_message_becomes_an_answer() {
        let mut message =
            message(&[("http-status", "201"), ("http-header-location", "/orders/7"), ("other", "\r\n"), ("key", "k")]);
        message.properties.content_type = Some("application/json".to_owned());
        let response = HttpResponse::of(&message).unwrap();
        let headers = vec![("location", "/orders/7")];
        let expected = HttpResponse { status: 201, content_type: Some("application/json"), headers, body: b"body" };
        assert_eq!(response, expected);
    }

    #[test]
    fn text_without_a_content_type_is_said_to_be_text() {
        let mut message = message(&[]);
        assert_eq!(
            HttpResponse::of(&message).map(|response| (response.status, response.content_type)),
            Ok((200, None))
        );
        message.properties.utf8_payload = true;
        assert_eq!(HttpResponse::of(&message).unwrap().content_type, Some("text/plain; charset=utf-8"));
    }

    #[test]
    fn both_sides_of_what_a_status_can_be() {
        for (status, is_allowed) in
            [("199", false), ("200", true), ("599", true), ("600", false), ("+20", false), ("0200", false), ("", false)]
        {
            assert_eq!(HttpResponse::of(&message(&[("http-status", status)])).is_ok(), is_allowed, "{status}");
        }
        assert!(HttpResponse::of(&message(&[("http-status", "204")])).is_err(), "a body has no place there");
    }

    #[test]
    fn headers_that_would_break_the_answer_or_the_rules_are_refused() {
        for (name, value) in [
            ("http-header-content-length", "1"),
            ("http-header-transfer-encoding", "chunked"),
            ("http-header-access-control-allow-origin", "*"),
            ("http-header-X-Upper", "1"),
            ("http-header-", "1"),
            ("http-header-a b", "1"),
            ("http-header-x", "a\r\nset-cookie: b"),
            ("http-header-x", "é"),
        ] {
            assert!(HttpResponse::of(&message(&[(name, value)])).is_err(), "{name}: {value:?}");
        }
        let long = "v".repeat(VALUE_BYTES_MAX);
        assert!(HttpResponse::of(&message(&[("http-header-x", &long)])).is_ok());
        assert!(HttpResponse::of(&message(&[("http-header-x", &format!("{long}v"))])).is_err());
        let many = [("http-header-x", "1"); HEADERS_MAX + 1];
        assert!(HttpResponse::of(&message(&many[1..])).is_ok() && HttpResponse::of(&message(&many)).is_err());
    }
}
