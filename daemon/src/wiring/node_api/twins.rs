//! Twins for HTTP: as they are, as they were, why, and as they change.

use std::sync::Arc;

use selvedge_twin::history::{Deed, History, PastTwin};
use selvedge_twin::{Moment, MomentError, Operation, Query, TwinError, thing};
use serde_json::{Map, Value, json};

use super::super::clock::wall_ms;
use super::super::twin_service::{TwinService, WATCHER_EVENTS_MAX};
use crate::http::{ApiError, Pending, TwinMoment, TwinQuestion, Watched};

/// Twins that one question looks at before it answers with where to go on.
const TWINS_LOOKED_AT_MAX: usize = 5000;

/// Names in order.
pub fn names(twins: &TwinService, after: Option<&str>, limit: usize) -> Result<Vec<String>, ApiError> {
    let found = twins.twins().list("", after, limit).map_err(twin_error)?;
    Ok(found.into_iter().map(|summary| summary.thing).collect())
}

/// The whole twin.
pub fn present(twins: &TwinService, thing: &str) -> Result<Value, ApiError> {
    let view = twins.twins().get(thing).map_err(twin_error)?;
    json_of(view.ok_or_else(|| no_twin(thing))?)
}

/// The twin as it was.
pub fn past(twins: &TwinService, thing: &str, moment: TwinMoment) -> Result<Value, ApiError> {
    let moment = match moment {
        TwinMoment::Revision(revision) => Moment::Revision(revision),
        TwinMoment::Time(ms) => Moment::Time(ms),
    };
    let found = history_of(twins, thing)?.at(moment).map_err(|error| match error {
        MomentError::Forgotten { .. } => ApiError::new(410, error.to_string()),
        MomentError::NotYet { .. } | MomentError::DidNotExist { .. } => ApiError::not_found(error.to_string()),
    })?;
    json_of(found)
}

/// The changes after a revision, the oldest first.
pub fn history(twins: &TwinService, thing: &str, after: u64, limit: usize) -> Result<Value, ApiError> {
    let history = history_of(twins, thing)?;
    let changes = history.changes(after, limit);
    let last = changes.last().map(|change| change.revision);
    let next = last.filter(|last| *last < history.version());
    Ok(json!({
        "thing": thing,
        "version": history.version(),
        "oldest": history.oldest(),
        "changes": json_of(changes)?,
        "next": next,
    }))
}

/// Who wrote each field, and what lost.
pub fn explain(twins: &TwinService, thing: &str) -> Result<Value, ApiError> {
    json_of(twins.twins().explain(thing).map_err(twin_error)?.ok_or_else(|| no_twin(thing))?)
}

fn history_of(twins: &TwinService, thing: &str) -> Result<History, ApiError> {
    twins.twins().history(thing).map_err(twin_error)?.ok_or_else(|| no_twin(thing))
}

/// Changes from now on, and before them those after `last_seen`.
pub fn watch(twins: &Arc<TwinService>, thing: &str, last_seen: Option<u64>) -> Pending<Watched> {
    let (twins, thing) = (Arc::clone(twins), thing.to_owned());
    Box::pin(async move {
        thing::check(&thing).map_err(|error| ApiError::invalid(error.to_string()))?;
        // First what is to come, then what was: nothing falls between, and what is in both is left out of the first.
        let events = twins.watch(&thing).ok_or_else(|| ApiError::unavailable("as many twins are watched as may be"))?;
        let (answer, answered) = tokio::sync::oneshot::channel();
        let (asked, of) = (Arc::clone(&twins), thing.clone());
        let asking = tokio::task::spawn_blocking(move || {
            // Is answered when all is durable that was changed before.
            asked.twins().handle(&of, Operation::Get, &[], wall_ms(), move |replies| drop(answer.send(replies)));
        });
        asking.await.map_err(|error| ApiError::new(500, error.to_string()))?;
        let replies = answered.await.map_err(|_| ApiError::unavailable("the twins do not answer"))?;
        let durable = replies.first().and_then(|reply| serde_json::from_slice::<Value>(&reply.payload).ok());
        let durable = durable.and_then(|reply| reply.get("version")?.as_u64());
        let history = twins.twins().history(&thing).map_err(twin_error)?;
        let version = durable.or_else(|| history.as_ref().map(History::version)).unwrap_or(0);
        let missed = match last_seen {
            None => Vec::new(),
            Some(last) => missed(&thing, history.as_ref(), last, version),
        };
        Ok(Watched { version, missed, events })
    })
}

/// What somebody missed who knows revision `last`, up to `version`; the present state if that cannot be said any more.
fn missed(thing: &str, history: Option<&History>, last: u64, version: u64) -> Vec<Value> {
    if last == version {
        return Vec::new();
    }
    let reset = || {
        let now = history.and_then(|history| history.at(Moment::Revision(version)).ok());
        vec![event("reset", thing, version, now.as_ref(), wall_ms())]
    };
    let Some(history) = history.filter(|history| (history.oldest()..version).contains(&last)) else { return reset() };
    let mut changes = history.changes(last, usize::MAX);
    changes.retain(|change| change.revision <= version);
    if changes.len() > WATCHER_EVENTS_MAX {
        return reset();
    }
    let told = changes.iter().map(|change| {
        let (name, then) = match change.deed {
            Deed::Delete => ("delete", None),
            Deed::Create | Deed::Update => ("update", history.at(Moment::Revision(change.revision)).ok()),
        };
        event(name, thing, change.revision, then.as_ref(), change.time_ms)
    });
    told.collect()
}

/// As [`TwinService::tell_watchers`] has them, but without the metadata, which is not kept.
fn event(name: &str, thing: &str, version: u64, then: Option<&PastTwin>, time_ms: u64) -> Value {
    let current = then.map(|twin| {
        let sections = [("desired", &twin.desired), ("reported", &twin.reported)];
        let sections = sections.into_iter().filter(|(_, members)| !members.is_empty());
        let state: Map<String, Value> =
            sections.map(|(name, members)| (name.to_owned(), members.clone().into())).collect();
        json!({ "state": state, "version": version })
    });
    json!({ "event": name, "thing": thing, "version": version, "current": current, "timestamp": time_ms / 1000 })
}

/// Has a request answered when it is durable.
pub fn request(twins: &Arc<TwinService>, thing: &str, operation: Operation, payload: Vec<u8>) -> Pending<Value> {
    let (twins, thing) = (Arc::clone(twins), thing.to_owned());
    let (answer, answered) = tokio::sync::oneshot::channel();
    Box::pin(async move {
        // May wait for room before the disk; not on the thread that serves everybody.
        let asked = tokio::task::spawn_blocking(move || {
            // Whoever asked may be gone.
            twins.request(&thing, operation, &payload, move |result| drop(answer.send(result)));
        });
        asked.await.map_err(|error| ApiError::new(500, error.to_string()))?;
        match answered.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(rejection)) => Err(rejected(&rejection)),
            Err(_) => Err(ApiError::unavailable("the twins do not answer")),
        }
    })
}

/// A merge patch with `desired`, `reported` and perhaps `version`, as the twins take it. What has a `state` is that already.
pub fn update_request(patch: &[u8]) -> Result<Vec<u8>, ApiError> {
    let value: Value =
        serde_json::from_slice(patch).map_err(|error| ApiError::invalid(format!("the patch is not JSON: {error}")))?;
    let Value::Object(mut members) = value else {
        return Err(ApiError::invalid("the patch is not a JSON object"));
    };
    if members.contains_key("state") {
        return Ok(patch.to_vec());
    }
    let mut request = json!({});
    for name in ["version", "clientToken"] {
        if let Some(value) = members.shift_remove(name) {
            request[name] = value;
        }
    }
    request["state"] = members.into();
    Ok(request.to_string().into_bytes())
}

fn rejected(rejection: &Value) -> ApiError {
    let code = rejection.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
    let message = rejection.get("message").and_then(Value::as_str).unwrap_or("the request was refused");
    ApiError::new(code, message)
}

/// Looks through the twins in the order of their names, so many at a time.
pub fn ask(twins: &TwinService, question: &TwinQuestion) -> Result<Value, ApiError> {
    let query = Query::parse(&question.text).map_err(|error| ApiError::invalid(format!("where: {error}")))?;
    let may_see = |thing: &str| question.reader.as_ref().is_none_or(|reader| reader.0.may_read_twin(thing));
    let after = question.after.as_deref();
    let found = twins.twins().ask(&query, after, question.limit, TWINS_LOOKED_AT_MAX, may_see).map_err(twin_error)?;
    Ok(json!({ "twins": found.twins, "next": found.next, "looked_at": found.looked_at }))
}

fn twin_error(error: TwinError) -> ApiError {
    match error {
        TwinError::Name(error) => ApiError::invalid(error.to_string()),
        TwinError::Read(error) => ApiError::new(500, error.to_string()),
    }
}

fn json_of(value: impl serde::Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|error| ApiError::new(500, error.to_string()))
}

fn no_twin(thing: &str) -> ApiError {
    ApiError::not_found(format!("there is no twin of {thing:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_becomes_the_state_of_a_request() {
        let read =
            |text: &str| update_request(text.as_bytes()).map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
        assert_eq!(read("{\"desired\": {\"a\": 1}}").unwrap(), json!({ "state": { "desired": { "a": 1 } } }));
        assert_eq!(
            read("{\"reported\": null, \"version\": 3}").unwrap(),
            json!({ "version": 3, "state": { "reported": null } })
        );
        assert_eq!(read("{\"state\": {\"desired\": {}}}").unwrap(), json!({ "state": { "desired": {} } }));
        assert_eq!(read("[]").unwrap_err().status, 400);
        assert_eq!(read("{").unwrap_err().status, 400);
    }

    #[test]
    fn a_rejection_keeps_its_code() {
        assert_eq!(rejected(&json!({ "code": 409, "message": "no" })), ApiError::new(409, "no"));
        assert_eq!(rejected(&Value::Null).status, 500);
    }

    /// Twins without a broker, and requests to them.
    fn service(directory: &tempfile::TempDir, history_changes_max: usize) -> Arc<TwinService> {
        let store = selvedge_store::Store::open(directory.path(), selvedge_store::Config::default()).unwrap();
        let config = selvedge_twin::Config { history_changes_max, ..selvedge_twin::Config::default() };
        let twins = selvedge_twin::Twins::open(store, selvedge_twin::NodeId(1), config).unwrap();
        TwinService::new(twins, 16, false)
    }

    async fn change(twins: &Arc<TwinService>, operation: Operation, payload: Value) -> u64 {
        let payload = if payload.is_null() { Vec::new() } else { payload.to_string().into_bytes() };
        let answer = request(twins, "pump", operation, payload).await.unwrap();
        answer["version"].as_u64().unwrap()
    }

    fn told(events: &[Value]) -> Vec<(String, u64)> {
        let told = |event: &Value| (event["event"].as_str().unwrap().to_owned(), event["version"].as_u64().unwrap());
        events.iter().map(told).collect()
    }

    #[tokio::test]
    async fn who_comes_back_gets_what_was_missed_or_what_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let twins = service(&directory, 4);
        assert_eq!(watch(&twins, "pump", Some(9)).await.unwrap().missed[0]["current"], Value::Null);
        for value in 1..=4 {
            change(&twins, Operation::Update, json!({ "state": { "reported": { "a": value } } })).await;
        }
        change(&twins, Operation::Delete, Value::Null).await;
        change(&twins, Operation::Update, json!({ "state": { "desired": { "b": 1 } } })).await;

        let mut watched = watch(&twins, "pump", Some(3)).await.unwrap();
        let expected = [("update", 4), ("delete", 5), ("update", 6)].map(|(name, version)| (name.to_owned(), version));
        assert_eq!((told(&watched.missed), watched.version), (expected.to_vec(), 6));
        assert_eq!(watched.missed[0]["current"]["state"], json!({ "reported": { "a": 4 } }));
        assert_eq!(watched.missed[2]["current"]["state"], json!({ "desired": { "b": 1 } }));

        assert_eq!(watch(&twins, "pump", Some(6)).await.unwrap().missed, [Value::Null; 0]);
        assert_eq!(watch(&twins, "pump", None).await.unwrap().missed, [Value::Null; 0]);
        for last in [1, 7] {
            let missed = watch(&twins, "pump", Some(last)).await.unwrap().missed;
            assert_eq!(told(&missed), [("reset".to_owned(), 6)], "{last}");
            assert_eq!(missed[0]["current"]["state"], json!({ "desired": { "b": 1 } }));
        }

        change(&twins, Operation::Ops, json!({ "ops": [{ "op": "inc", "path": "/n" }] })).await;
        let live = watched.events.recv().await.unwrap();
        assert_eq!((&live["event"], &live["version"]), (&json!("update"), &json!(7)));
        assert_eq!(watch(&twins, "a/b", None).await.unwrap_err().status, 400);
    }

    #[tokio::test]
    async fn who_is_too_far_behind_gets_what_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let twins = service(&directory, 1000);
        for value in 0..=WATCHER_EVENTS_MAX as u64 {
            change(&twins, Operation::Update, json!({ "state": { "reported": { "a": value } } })).await;
        }
        assert_eq!(watch(&twins, "pump", Some(1)).await.unwrap().missed.len(), WATCHER_EVENTS_MAX);
        assert_eq!(told(&watch(&twins, "pump", Some(0)).await.unwrap().missed)[0].0, "reset");
    }

    #[tokio::test]
    async fn what_is_too_old_is_gone_and_what_never_was_is_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let twins = service(&directory, 2);
        assert_eq!(history(&twins, "pump", 0, 10).unwrap_err().status, 404);
        for value in 1..=5 {
            change(&twins, Operation::Update, json!({ "state": { "reported": { "a": value } } })).await;
        }
        let at = |revision| past(&twins, "pump", TwinMoment::Revision(revision));
        assert_eq!(at(3).unwrap()["reported"], json!({ "a": 3 }));
        assert_eq!((at(2).unwrap_err().status, at(6).unwrap_err().status), (410, 404));
        let page = history(&twins, "pump", 0, 1).unwrap();
        assert_eq!((&page["oldest"], &page["next"], &page["version"]), (&json!(3), &json!(4), &json!(5)));
        assert_eq!(history(&twins, "pump", 4, 1).unwrap()["next"], Value::Null);
        assert_eq!(explain(&twins, "pump").unwrap()["reported"][0]["shown"], 5);
    }
}
