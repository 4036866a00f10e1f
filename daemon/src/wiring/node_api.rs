//! The node as HTTP sees it: each request to the part that knows.

mod twins;

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use selvedge_broker::{Handle, Snapshot};
use selvedge_functions::{FunctionState, HttpMethod, InvocationMessage, LogLine, LogSink, Runtime};
use selvedge_store::{Health, Store};
use selvedge_twin::policy::PolicyRefusal;
use selvedge_twin::{ExchangeError, Operation};
use serde_json::Value;

use super::access::http_login::HttpLogins;
use super::access::reload::Reloader;
use super::exchange::Exchange;
use super::function_api::FunctionApi;
use super::metrics::{self, AccessReadings, Readings};
use super::net::Net;
use super::twin_service::TwinService;
use super::updates::{Job, Updates};
use crate::http::{
    ApiError, BundlePlace, DeployGoal, DeployRequest, Events, Exposition, FunctionCall, FunctionWish, NetWish, Node,
    PartState, Pending, Reader, RouteAnswer, TwinMoment, TwinQuestion, UpdateWish, Watched,
};
use crate::trusted_clock::TrustedClock;

/// A broker that does not answer within this is not ready.
const BROKER_ANSWER_MAX: Duration = Duration::from_secs(2);
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
    /// Twins of other nodes.
    pub exchange: Arc<Exchange>,
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
        let rest = [self.net.part(), self.exchange.part()];
        Box::pin(async move {
            let (ready, detail) = match snapshot(broker).await {
                Some(_) if stopping => (false, "shutting down".to_owned()),
                Some(snapshot) => {
                    (true, format!("{} clients, {} sessions", snapshot.shell.connections, snapshot.core.sessions))
                }
                None => (false, "does not answer".to_owned()),
            };
            let broker = PartState { name: "broker", ready, detail };
            Ok([broker, store, functions].into_iter().chain(access).chain(rest).collect())
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
            compilations: self.functions.runtime.compilations(),
            lines,
            access: self.access_readings(),
            ota: self.updates.readings(),
            net: self.net.readings(),
            sync: self.exchange.readings(),
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
        twins::names(&self.twins, after, limit)
    }

    fn ask_twins(&self, question: TwinQuestion) -> Pending<Value> {
        let twins = Arc::clone(&self.twins);
        blocking(move || twins::ask(&twins, &question))
    }

    fn twin(&self, thing: &str, moment: Option<TwinMoment>) -> Result<Value, ApiError> {
        match moment {
            None => twins::present(&self.twins, thing),
            Some(moment) => twins::past(&self.twins, thing, moment),
        }
    }

    fn twin_history(&self, thing: &str, after: u64, limit: usize) -> Result<Value, ApiError> {
        twins::history(&self.twins, thing, after, limit)
    }

    fn explain_twin(&self, thing: &str) -> Result<Value, ApiError> {
        twins::explain(&self.twins, thing)
    }

    fn patch_twin(&self, thing: &str, patch: Vec<u8>) -> Pending<Value> {
        match twins::update_request(&patch) {
            Ok(request) => twins::request(&self.twins, thing, Operation::Update, request),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn change_twin(&self, thing: &str, ops: Vec<u8>) -> Pending<Value> {
        twins::request(&self.twins, thing, Operation::Ops, ops)
    }

    fn delete_twin(&self, thing: &str) -> Pending<Value> {
        twins::request(&self.twins, thing, Operation::Delete, Vec::new())
    }

    fn watch_twin(&self, thing: &str, last_seen: Option<u64>) -> Pending<Watched> {
        twins::watch(&self.twins, thing, last_seen)
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

    fn function_route(&self, name: &str, method: Option<HttpMethod>, path: &str) -> RouteAnswer {
        self.functions.lines.calls().find(name, method, path)
    }

    fn call_function(&self, call: FunctionCall) -> Pending<Option<InvocationMessage>> {
        self.functions.lines.calls().call(&self.functions.runtime, call)
    }

    fn remove(&self, name: &str) -> Pending<Value> {
        let (functions, name) = (self.functions.clone(), name.to_owned());
        blocking(move || functions.remove(&name))
    }

    fn sync(&self) -> Value {
        self.exchange.report()
    }

    fn adopt_policy(&self, signed: Vec<u8>) -> Pending<Value> {
        let exchange = Arc::clone(&self.exchange);
        Box::pin(async move {
            let (done, wait) = tokio::sync::oneshot::channel();
            let adopting = Arc::clone(&exchange);
            // It may look at all twins, and wait for room in the store's queue.
            let adopted = tokio::task::spawn_blocking(move || {
                adopting.adopt(&signed, move |is_durable| {
                    // Nobody waits any more if the connection is gone.
                    let _ = done.send(is_durable);
                })
            });
            let adopted = adopted.await.map_err(|error| ApiError::new(500, error.to_string()))?;
            adopted.map_err(|error| match error {
                ExchangeError::Unavailable(_) | ExchangeError::Unfit(_) => ApiError::new(500, error.to_string()),
                ExchangeError::Policy(PolicyRefusal::Order { .. }) => ApiError::new(409, error.to_string()),
                error => ApiError::invalid(error.to_string()),
            })?;
            match wait.await {
                Ok(true) => Ok(exchange.report()),
                _ => Err(ApiError::new(500, "the policy could not be made durable".to_owned())),
            }
        })
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
}

pub(super) fn blocking(work: impl FnOnce() -> Result<Value, ApiError> + Send + 'static) -> Pending<Value> {
    Box::pin(async move {
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(ApiError::new(500, error.to_string())))
    })
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
