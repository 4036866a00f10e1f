//! The node as HTTP sees it: each request to the part that knows.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use selvedge_broker::{Handle, Snapshot};
use selvedge_functions::{FunctionState, LogLine, LogSink, Runtime};
use selvedge_store::{Health, Store};
use selvedge_twin::{Operation, Query, TwinError};
use serde_json::{Value, json};

use super::access::http_login::HttpLogins;
use super::access::reload::Reloader;
use super::function_api::FunctionApi;
use super::metrics::{self, AccessReadings, Readings};
use super::net::Net;
use super::twin_service::TwinService;
use super::updates::{Job, Updates};
use crate::http::{
    ApiError, BundlePlace, DeployGoal, DeployRequest, Events, Exposition, FunctionWish, NetWish, Node, PartState,
    Pending, Reader, TwinQuestion, UpdateWish,
};
use crate::trusted_clock::TrustedClock;

/// A broker that does not answer within this is not ready.
const BROKER_ANSWER_MAX: Duration = Duration::from_secs(2);
/// Twins that one question looks at before it answers with where to go on.
const TWINS_LOOKED_AT_MAX: usize = 5000;
/// Twins whose names are listed at once for it.
const TWINS_PER_LOOK: usize = 256;
/// Log lines that a follower may be behind before it is dropped.
const LOG_LINES_BEHIND_MAX: usize = 256;

/// Everything that answers.
pub struct NodeApi {
    /// Durable state.
    pub store: Store,
    /// MQTT.
    pub broker: Handle,
    /// Twins.
    pub twins: Arc<TwinService>,
    /// Functions.
    pub functions: FunctionApi,
    /// Set when the node shuts down.
    pub stopping: Arc<AtomicBool>,
    /// When it started.
    pub started: Instant,
    /// Logins of requests.
    pub logins: HttpLogins,
    /// Files of access and certificates.
    pub reloader: Arc<Reloader>,
    /// The time by which certificates and tokens are judged.
    pub clock: Arc<TrustedClock>,
    /// Updates.
    pub updates: Arc<Updates>,
    /// Packets, counted in the kernel.
    pub net: Arc<Net>,
    /// What `about` says besides the time.
    pub about: Value,
}

async fn snapshot(broker: Handle) -> Option<Snapshot> {
    tokio::time::timeout(BROKER_ANSWER_MAX, broker.statistics()).await.ok()?.ok()
}

/// Whether the broker answers in time; for threads that may wait.
pub(super) fn broker_answers(broker: &Handle) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.is_ok_and(|runtime| runtime.block_on(snapshot(broker.clone())).is_some())
}

impl Node for NodeApi {
    fn parts(&self) -> Pending<Vec<PartState>> {
        let broker = self.broker.clone();
        let store = store_state(&self.store.health());
        let functions = functions_state(&self.functions.runtime);
        let stopping = self.stopping.load(Ordering::Acquire);
        let access = self.reloader.states();
        let net = self.net.part();
        Box::pin(async move {
            let (ready, detail) = match snapshot(broker).await {
                Some(_) if stopping => (false, "shutting down".to_owned()),
                Some(snapshot) => {
                    (true, format!("{} clients, {} sessions", snapshot.shell.connections, snapshot.core.sessions))
                }
                None => (false, "does not answer".to_owned()),
            };
            let broker = PartState { name: "broker", ready, detail };
            Ok([broker, store, functions].into_iter().chain(access).chain([net]).collect())
        })
    }

    fn metrics(&self) -> Pending<Exposition> {
        let broker = self.broker.clone();
        let functions = self.functions.runtime.list();
        let lines = functions.iter().map(|function| self.functions.lines.counts(&function.name)).collect();
        let mut readings = Readings {
            uptime: self.started.elapsed(),
            broker: None,
            store: self.store.metrics(),
            store_is_good: self.store.health() == Health::Good,
            twins: self.twins.twins().metrics(),
            twin_requests_dropped: self.twins.dropped(),
            functions,
            lines,
            access: self.access_readings(),
            ota: self.updates.readings(),
            net: self.net.readings(),
        };
        Box::pin(async move {
            readings.broker = snapshot(broker).await;
            Ok(metrics::exposition(&readings))
        })
    }

    fn about(&self) -> Value {
        let mut about = self.about.clone();
        if let Value::Object(members) = &mut about {
            members.insert("uptime_s".to_owned(), self.started.elapsed().as_secs().into());
        }
        about
    }

    fn login(&self, address: IpAddr, authorization: Option<String>) -> Pending<Reader> {
        self.logins.login(address, authorization.as_deref())
    }

    fn reload(&self) -> Pending<Value> {
        let reloader = Arc::clone(&self.reloader);
        blocking(move || Ok(reloader.report()))
    }

    fn twins(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ApiError> {
        let found = self.twins.twins().list("", after, limit).map_err(twin_error)?;
        Ok(found.into_iter().map(|summary| summary.thing).collect())
    }

    fn ask_twins(&self, question: TwinQuestion) -> Pending<Value> {
        let twins = Arc::clone(&self.twins);
        blocking(move || ask_twins(&twins, &question))
    }

    fn twin(&self, thing: &str) -> Result<Value, ApiError> {
        let view = self.twins.twins().get(thing).map_err(twin_error)?;
        let view = view.ok_or_else(|| ApiError::not_found(format!("there is no twin of {thing:?}")))?;
        serde_json::to_value(view).map_err(|error| ApiError::new(500, error.to_string()))
    }

    fn patch_twin(&self, thing: &str, patch: Vec<u8>) -> Pending<Value> {
        match update_request(&patch) {
            Ok(request) => self.twin_request(thing, Operation::Update, request),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn delete_twin(&self, thing: &str) -> Pending<Value> {
        self.twin_request(thing, Operation::Delete, Vec::new())
    }

    fn watch_twin(&self, thing: &str) -> Result<Events, ApiError> {
        selvedge_twin::thing::check(thing).map_err(|error| ApiError::invalid(error.to_string()))?;
        self.twins.watch(thing).ok_or_else(|| ApiError::unavailable("as many twins are watched as may be"))
    }

    fn functions(&self) -> Value {
        serde_json::to_value(self.functions.runtime.list()).unwrap_or_default()
    }

    fn deploy(&self, request: DeployRequest, goal: DeployGoal) -> Pending<Value> {
        let functions = self.functions.clone();
        blocking(move || functions.deploy(request, goal))
    }

    fn function(&self, name: &str, wish: FunctionWish) -> Pending<Value> {
        self.functions.ask(name, wish)
    }

    fn remove(&self, name: &str) -> Pending<Value> {
        let (functions, name) = (self.functions.clone(), name.to_owned());
        blocking(move || functions.remove(&name))
    }

    fn net(&self, top: usize) -> Pending<Value> {
        self.net.report(top)
    }

    fn guard(&self, wish: NetWish) -> Pending<Value> {
        self.net.ask(wish)
    }

    fn updates(&self) -> Value {
        self.updates.status()
    }

    fn bundle_place(&self) -> Result<BundlePlace, ApiError> {
        let path =
            self.updates.incoming().map_err(|error| ApiError::new(507, format!("no place for a bundle: {error}")))?;
        Ok(BundlePlace { path, bytes_max: self.updates.bundle_bytes_max() })
    }

    fn update(&self, wish: UpdateWish) -> Pending<Value> {
        self.updates.ask(match wish {
            UpdateWish::Bundle(path) => Job::Bundle(path),
            UpdateWish::Check => Job::Check,
            UpdateWish::RollBack => Job::RollBack,
            UpdateWish::Pause => Job::Pause(true),
            UpdateWish::Resume => Job::Pause(false),
            UpdateWish::Retry => Job::Retry,
            UpdateWish::Trust(root) => Job::Trust(root),
        })
    }

    fn logs(&self, name: &str, follow: bool) -> Result<(Vec<Value>, Option<Events>), ApiError> {
        let value = |line: &LogLine| serde_json::to_value(line).unwrap_or_default();
        let (sink, events) = if follow {
            let (sender, events) = tokio::sync::mpsc::channel(LOG_LINES_BEHIND_MAX);
            let sink: LogSink = Box::new(move |line| match sender.try_send(value(line)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            });
            (Some(sink), Some(events))
        } else {
            (None, None)
        };
        let kept = self
            .functions
            .runtime
            .logs(name, sink)
            .ok_or_else(|| ApiError::not_found(format!("there is no function {name:?}")))?;
        Ok((kept.iter().map(value).collect(), events))
    }
}

impl NodeApi {
    fn access_readings(&self) -> AccessReadings {
        let (logins, statistics) = self.reloader.gate().counts();
        AccessReadings {
            logins,
            statistics,
            problems: self.reloader.problem_count(),
            certificate_ends_s: self.reloader.certificate_ends_s(),
            clock_is_trusted: self.clock.judgement().is_trusted,
        }
    }

    fn twin_request(&self, thing: &str, operation: Operation, payload: Vec<u8>) -> Pending<Value> {
        let (twins, thing) = (Arc::clone(&self.twins), thing.to_owned());
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
}

pub(super) fn blocking(work: impl FnOnce() -> Result<Value, ApiError> + Send + 'static) -> Pending<Value> {
    Box::pin(async move {
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(ApiError::new(500, error.to_string())))
    })
}

/// A merge patch with `desired`, `reported` and perhaps `version`, as the twins take it. What has a `state` is that already.
fn update_request(patch: &[u8]) -> Result<Vec<u8>, ApiError> {
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
fn ask_twins(twins: &TwinService, question: &TwinQuestion) -> Result<Value, ApiError> {
    let query = Query::parse(&question.text).map_err(|error| ApiError::invalid(format!("where: {error}")))?;
    let may_see = |thing: &str| question.reader.as_ref().is_none_or(|reader| reader.0.may_read_twin(thing));
    let mut found = Vec::new();
    let mut after = question.after.clone();
    let mut looked_at = 0;
    loop {
        let page = twins.twins().list("", after.as_deref(), TWINS_PER_LOOK).map_err(twin_error)?;
        let is_last = page.len() < TWINS_PER_LOOK;
        for summary in page {
            looked_at += 1;
            // One that is deleted in between is left out.
            let view =
                if may_see(&summary.thing) { twins.twins().get(&summary.thing).map_err(twin_error)? } else { None };
            after = Some(summary.thing);
            if let Some(view) = view.filter(|view| query.holds(view)) {
                found.push(serde_json::to_value(view).map_err(|error| ApiError::new(500, error.to_string()))?);
            }
            if found.len() >= question.limit || looked_at >= TWINS_LOOKED_AT_MAX {
                return Ok(json!({ "twins": found, "next": after, "looked_at": looked_at }));
            }
        }
        if is_last {
            return Ok(json!({ "twins": found, "next": null, "looked_at": looked_at }));
        }
    }
}

fn twin_error(error: TwinError) -> ApiError {
    match error {
        TwinError::Name(error) => ApiError::invalid(error.to_string()),
        TwinError::Read(error) => ApiError::new(500, error.to_string()),
    }
}

fn store_state(health: &Health) -> PartState {
    let (ready, detail) = match health {
        Health::Good => (true, "good".to_owned()),
        Health::DiskFull { free_bytes } => (false, format!("the disk is full: {free_bytes} bytes are free")),
        Health::Poisoned { cause } => (false, format!("refuses to write: {cause}")),
    };
    PartState { name: "store", ready, detail }
}

/// Broken functions do not make the node unready: everything else works, and a restart would not mend them.
fn functions_state(runtime: &Runtime) -> PartState {
    let all = runtime.list();
    let broken: Vec<_> = all
        .iter()
        .filter(|function| matches!(function.state, FunctionState::Broken { .. }))
        .map(|function| function.name.as_str())
        .collect();
    let detail = if broken.is_empty() {
        format!("{} deployed", all.len())
    } else {
        format!("{} deployed, broken: {}", all.len(), broken.join(", "))
    };
    PartState { name: "functions", ready: true, detail }
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
}
