//! The upgrade from HTTP to WebSocket with the subprotocol `mqtt` ([MQTT-6.0.0-3], [MQTT-6.0.0-4]).

use std::io;

use tokio::io::AsyncWriteExt;
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        self,
        handshake::server::{ErrorResponse, Request, Response},
        http::{
            HeaderMap, HeaderValue, StatusCode, Uri,
            header::{HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_PROTOCOL},
        },
        protocol::WebSocketConfig,
    },
};

use crate::connection::stream::Stream;

/// Why a request was not upgraded. It has been answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error("websocket upgrade refused with {0}")]
    Refused(StatusCode),
    #[error("request is no websocket upgrade")]
    NotAnUpgrade(#[source] tungstenite::Error),
    #[error("websocket upgrade failed")]
    Failed(#[source] io::Error),
}

const SUBPROTOCOL: &str = "mqtt";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Answer the request that begins `stream`. Nothing beyond the request is read.
pub(crate) async fn upgrade(stream: &mut Stream, path: &str) -> Result<(), UpgradeError> {
    let on_loopback = stream.local_addr().is_ok_and(|address| address.ip().is_loopback());
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let judge = |request: &Request, mut response: Response| {
        if request.uri().path() != path {
            return Err(refusal(StatusCode::NOT_FOUND));
        }
        if !offers_mqtt(request.headers()) {
            return Err(refusal(StatusCode::BAD_REQUEST));
        }
        if !is_welcome(request.headers(), on_loopback) {
            return Err(refusal(StatusCode::FORBIDDEN));
        }
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    // Frames are read and written by `connection`, so the library needs no buffer for them.
    let config = WebSocketConfig::default().read_buffer_size(0);
    match accept_hdr_async_with_config(&mut *stream, judge, Some(config)).await {
        Ok(_) => Ok(()),
        Err(tungstenite::Error::Http(response)) => {
            // The library has sent it.
            let _ = stream.shutdown().await;
            Err(UpgradeError::Refused(response.status()))
        }
        Err(tungstenite::Error::Io(error)) => Err(UpgradeError::Failed(error)),
        Err(error) => {
            stream.write_all(BAD_REQUEST).await.map_err(UpgradeError::Failed)?;
            let _ = stream.shutdown().await;
            Err(UpgradeError::NotAnUpgrade(error))
        }
    }
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    response.headers_mut().insert("connection", HeaderValue::from_static("close"));
    response.headers_mut().insert("content-length", HeaderValue::from_static("0"));
    response
}

fn offers_mqtt(headers: &HeaderMap) -> bool {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offered| offered.trim() == SUBPROTOCOL)
}

/// A browser says on whose page a connection is made (RFC 6455, 10.2). Pages of this machine may always connect. On a
/// loopback listener no other page may, not even one whose name was made to point here (DNS rebinding); on others, a page of the
/// host that it connects to may. Clients that are no browsers send no `Origin` and may connect.
fn is_welcome(headers: &HeaderMap, on_loopback: bool) -> bool {
    if headers.get(ORIGIN).is_none() {
        return true;
    }
    let Some(origin) = host(headers, ORIGIN) else { return false };
    is_local(&origin) || (!on_loopback && host(headers, HOST).is_some_and(|host| host == origin))
}

fn host(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let uri: Uri = headers.get(name)?.to_str().ok()?.parse().ok()?;
    uri.host().map(str::to_ascii_lowercase)
}

fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_reach_a_loopback_listener_and_pages_of_the_node_any_other() {
        let cases = [
            (None, "gateway:8083", true, true),
            (Some("http://localhost:3000"), "127.0.0.1:8083", true, true),
            (Some("http://[::1]:3000"), "127.0.0.1:8083", true, true),
            (Some("http://evil.example"), "127.0.0.1:8083", false, false),
            (Some("http://rebind.example"), "rebind.example:8083", false, true),
            (Some("https://gateway.lan"), "gateway.lan:8083", false, true),
            (Some("http://127.0.0.1.evil.example"), "127.0.0.1:8083", false, false),
            (Some("null"), "127.0.0.1:8083", false, false),
            (Some("file://"), "127.0.0.1:8083", false, false),
        ];
        for (origin, host, on_loopback, elsewhere) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_welcome(&headers, true), on_loopback, "{origin:?} on loopback");
            assert_eq!(is_welcome(&headers, false), elsewhere, "{origin:?} elsewhere");
        }
    }
}
