//! The upgrade from HTTP to WebSocket with the subprotocol `mqtt` ([MQTT-6.0.0-3], [MQTT-6.0.0-4]).

use std::io;

use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        self,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderMap, HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

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
pub(crate) async fn upgrade(stream: &mut TcpStream, path: &str) -> Result<(), UpgradeError> {
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let judge = |request: &Request, mut response: Response| {
        if request.uri().path() != path {
            return Err(refusal(StatusCode::NOT_FOUND));
        }
        if !offers_mqtt(request.headers()) {
            return Err(refusal(StatusCode::BAD_REQUEST));
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
