//! What a function returned, as the answer to a request.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use selvedge_functions::{HttpResponse, InvocationMessage};

use crate::http::answer::ApiError;
use crate::http::gate::OfFunction;

const UNKNOWN_CONTENT: &str = "application/octet-stream";

/// 204 where it returned nothing for the caller.
///
/// # Errors
/// The message cannot be sent, which the runtime has made sure of before.
pub(super) fn of(reply: Option<&InvocationMessage>) -> Result<Response, ApiError> {
    let Some(reply) = reply else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let cannot = |words: String| ApiError::new(500, words);
    let reply = HttpResponse::of(reply).map_err(cannot)?;
    let status = StatusCode::from_u16(reply.status).map_err(|error| cannot(error.to_string()))?;
    let mut response = (status, reply.body.to_vec()).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(reply.content_type.unwrap_or(UNKNOWN_CONTENT));
    headers.insert(header::CONTENT_TYPE, kind.map_err(|error| cannot(error.to_string()))?);
    if reply.body.is_empty() && reply.content_type.is_none() {
        headers.remove(header::CONTENT_TYPE);
    }
    for (name, value) in reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| cannot(error.to_string()))?;
        headers.append(name, HeaderValue::from_str(value).map_err(|error| cannot(error.to_string()))?);
    }
    response.extensions_mut().insert(OfFunction);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(user_properties: &[(&str, &str)]) -> InvocationMessage {
        let mut message = InvocationMessage { payload: b"{}".to_vec(), ..InvocationMessage::default() };
        message.properties.user_properties =
            user_properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        message
    }

    #[test]
    fn a_reply_is_sent_as_it_is_and_nothing_is_204() {
        let reply = reply(&[("http-status", "404"), ("http-header-x-one", "1"), ("http-header-x-one", "2")]);
        let response = of(Some(&reply)).unwrap();
        assert_eq!(response.status(), 404);
        assert!(response.extensions().get::<OfFunction>().is_some(), "it is not taken for one of the node's refusals");
        assert_eq!(response.headers()[header::CONTENT_TYPE], UNKNOWN_CONTENT);
        assert_eq!(response.headers().get_all("x-one").iter().count(), 2);
        assert_eq!(of(None).unwrap().status(), 204);
    }

    #[test]
    fn an_answer_without_a_body_names_no_content() {
        let mut reply = reply(&[("http-status", "204")]);
        reply.payload.clear();
        assert!(!of(Some(&reply)).unwrap().headers().contains_key(header::CONTENT_TYPE));
    }
}
