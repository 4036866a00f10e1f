//! A watched twin: server-sent events whose identifier is the version that the twin has since.
//!
//! Who comes back says with `Last-Event-ID` what it saw last, and gets what it missed, or one event `reset` with what there
//! is. To begin with, everybody is told the present version in an event without data, which no client shows and every
//! client remembers.

use std::convert::Infallible;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;

use super::super::{Answer, MaybeReader, Serving, StreamSlot};
use crate::http::answer::ApiError;
use crate::http::login;
use crate::http::node::{Events, Watched};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub async fn watch(
    State(serving): State<Serving>,
    reader: MaybeReader,
    headers: HeaderMap,
    Path(thing): Path<String>,
) -> Answer {
    login::check_twin(reader.as_deref(), &thing)?;
    let last_seen = last_seen(&headers)?;
    let slot = serving.stream_slot()?;
    let watched = serving.node.watch_twin(&thing, last_seen).await?;
    Ok(Sse::new(stream_of(watched, slot)).keep_alive(KeepAlive::default()).into_response())
}

/// The version that the client saw last.
fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    match value.to_str().unwrap_or("?").trim() {
        "" => Ok(None),
        text => {
            let version = text.parse().map_err(|_| {
                ApiError::invalid("Last-Event-ID is not the identifier of an event, which is the version of a twin")
            })?;
            Ok(Some(version))
        }
    }
}

/// What was missed and what comes. The slot is given back when the stream is dropped.
fn stream_of(watched: Watched, slot: StreamSlot) -> impl Stream<Item = Result<Event, Infallible>> {
    let Watched { version, missed, events } = watched;
    let first = if missed.is_empty() { Some(Event::default().id(version.to_string())) } else { None };
    let missed: Vec<Event> = missed.iter().map(event).collect();
    let live = stream::unfold((events, slot, Some(version)), |(mut events, slot, mut known)| async move {
        let value = next(&mut events, &mut known).await?;
        Some((event(&value), (events, slot, known)))
    });
    stream::iter(first.into_iter().chain(missed)).chain(live).map(Ok)
}

/// The next change that is not known; from the first one on, all are new.
async fn next(events: &mut Events, known: &mut Option<u64>) -> Option<Value> {
    loop {
        let value = events.recv().await?;
        let version = value.get("version").and_then(Value::as_u64);
        if known.is_none_or(|known| version.is_none_or(|version| version > known)) {
            *known = None;
            return Some(value);
        }
    }
}

fn event(value: &Value) -> Event {
    let event = Event::default().data(value.to_string());
    match value.get("version").and_then(Value::as_u64) {
        Some(version) => event.id(version.to_string()),
        None => event,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_is_known_is_left_out_until_something_new_comes() {
        let (sender, mut events) = tokio::sync::mpsc::channel(8);
        for version in [3, 5, 6, 1, 7] {
            sender.try_send(json!({ "version": version })).unwrap();
        }
        drop(sender);
        let (mut known, mut seen) = (Some(5), Vec::new());
        while let Some(value) = next(&mut events, &mut known).await {
            seen.push(value["version"].as_u64().unwrap());
        }
        // A twin that was forgotten and begins anew counts from 1.
        assert_eq!(seen, [6, 1, 7]);
    }

    #[test]
    fn the_last_identifier_is_a_version() {
        let read = |text: &str| last_seen(&HeaderMap::from_iter([(LAST_EVENT_ID, text.parse().unwrap())]));
        assert_eq!((read("7"), read(""), last_seen(&HeaderMap::new())), (Ok(Some(7)), Ok(None), Ok(None)));
        assert_eq!((read("-1").unwrap_err().status, read("x").unwrap_err().status), (400, 400));
    }
}
