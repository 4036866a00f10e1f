//! The node: the only place that names several parts. Opens them in order, connects them, waits, takes them down in order.
//!
//! Up: certificates, ports, data directory, store, access, twins, functions, broker, HTTP. Down: functions and twins finish what they have, the broker
//! tells its clients and closes, HTTP ends, the store writes what is left. Invariant: nothing is invoked before it is connected,
//! and the store outlives everything that writes to it.

pub mod access;
mod backlog;
pub mod broker_journal;
mod clock;
mod exchange;
mod function_api;
mod function_calls;
mod function_clock;
mod function_host;
mod function_intercepts;
mod function_lines;
mod function_trials;
mod function_web;
mod function_windows;
mod greeting;
pub mod handed_over;
mod identity;
mod jwks;
mod key_values;
mod listen;
mod messages;
mod metrics;
mod net;
mod node_api;
mod port_holder;
pub mod settings;
mod tls;
mod twin_service;
pub mod updates;
mod watchdog;
mod web_authorities;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use selvedge_broker::{Attachment, Broker, Continuation, Running, TlsSettings};
use selvedge_core::Restored;
use selvedge_functions::Runtime;
use selvedge_store::{Health, LocalDisk, Store};
use selvedge_twin::Twins;

use crate::certificates::facts::Facts;
use crate::config::surroundings::FilePlaces;
use crate::config::tls::ClientCertificates;
use crate::config::{Config, data_directory};
use crate::http::{self, HttpServer, Listeners, control_socket};
use crate::signals::{Signals, Wish};
use crate::trusted_clock::TrustedClock;
use access::Gate;
use access::authenticator::Authenticator;
use access::authorizer::Rules;
use access::http_login::HttpLogins;
use access::reload::{First, Reloader};
use access::sources::SourceFiles;
use broker_journal::{BrokerPath, Replay, StoreJournal};
use exchange::Exchange;
use function_api::FunctionApi;
use function_host::FunctionHost;
use function_lines::FunctionLines;
use handed_over::HandedOver;
use jwks::KeyFetcher;
use listen::Bound;
use net::Net;
use node_api::NodeApi;
use twin_service::TwinService;
use updates::{NodeHost, SelfTest, Updates};

/// How often the node looks at its own health.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often expired key-values are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// For functions and twins to finish what they have, when shutting down.
const DRAIN_MAX: Duration = Duration::from_secs(2);
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(10);
/// For clients to take their last bytes.
const BROKER_STOP_MAX: Duration = Duration::from_secs(5);

/// How the greeting looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// For people.
    Text,
    /// One line of JSON.
    Json,
}

/// Why the node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Somebody asked for it.
    Asked,
    /// Another version is to run: through the launcher.
    ForUpdate,
}

/// Runs the node until a signal or an update ends it. `signals` was made before any thread; `config_file` is where `config` is from.
///
/// # Errors
/// It could not start, or had to give up: the text says why.
pub fn run(
    config: &Config,
    config_file: Option<&Path>,
    greeting: Greeting,
    signals: &Signals,
) -> anyhow::Result<Ended> {
    let node = start(config, config_file)?;
    node.greet(config, greeting).context("print the greeting")?;
    watchdog::ready();
    let ended = node.wait(signals);
    // After an update this process goes on as another program: nobody must wait for its end.
    if !matches!(ended, Ok(Ended::ForUpdate)) {
        watchdog::stopping();
    }
    tracing::info!("shutting down");
    // A second signal ends the process at once.
    signals.release().context("release signals")?;
    node.stop();
    ended
}

/// Everything that runs.
struct RunningNode {
    data: PathBuf,
    socket: PathBuf,
    addresses: listen::Addresses,
    store: Store,
    twins: Arc<TwinService>,
    runtime: Arc<Runtime>,
    host: Arc<FunctionHost>,
    lines: Arc<FunctionLines>,
    broker: Running,
    http: HttpServer,
    reloader: Arc<Reloader>,
    watcher: JoinHandle<()>,
    fetcher: Option<Arc<KeyFetcher>>,
    clock: Arc<TrustedClock>,
    updates: Arc<Updates>,
    update_threads: Vec<JoinHandle<()>>,
    /// Where bundles come in over MQTT.
    pushes: Option<Attachment>,
    net: Arc<Net>,
    net_thread: Option<JoinHandle<()>>,
    exchange: Arc<Exchange>,
    exchange_thread: Option<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

fn start(config: &Config, config_file: Option<&Path>) -> anyhow::Result<RunningNode> {
    let started = Instant::now();
    // What the node makes is for its owner only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let data = data_directory::locate(&config.data);
    let clock = Arc::new(TrustedClock::open(&data));
    let places = FilePlaces::new(config, &data);
    let certificates = open_certificates(config, &places, &clock)?;
    let Bound { mqtt, lets_anonymous_in, http: http_listener, addresses } =
        listen::bind(config, certificates.settings.as_ref(), HandedOver::take()?)?;
    data_directory::prepare(&data)?;
    updates::require_readable(&data)?;
    let data = data.canonicalize().with_context(|| format!("find the data directory {}", data.display()))?;
    clock.keep();
    let (store, restored) = open_store(config, &data)?;
    let socket = data.join(control_socket::FILE_NAME);
    let unix = control_socket::bind(&socket)?;

    let node_id = identity::node_id(&store)?;
    let opened = Twins::open(store.clone(), node_id, settings::twins(config)).context("open the twins")?;
    let twins = TwinService::new(opened, config.twins.requests_in_flight_max, config.twins.aws_topics);
    let host = FunctionHost::new(store.clone(), Arc::clone(&twins));
    let functions = settings::functions(config);
    let runtime = Runtime::open(data.join("functions"), settings::compile_child(), functions, Arc::clone(&host) as _)
        .context("open the functions")?;
    let runtime = Arc::new(runtime);

    if let Err(error) = places.remember() {
        // On a full disk, say: no reason not to run.
        tracing::warn!(%error, "which files are there is not remembered");
    }
    let files = SourceFiles::new(config, places, identity::node_secret(&store)?);
    let first = files.read(None, None);
    let boot_key = identity::random()?;
    let gate = Arc::new(Gate::new(first.access, &config.access, lets_anonymous_in, Arc::clone(&clock), boot_key));
    let functions_before = function_lines::names(restored.client_ids());
    let continuation = continue_from(config, &store, &clock, restored);
    let broker = Broker {
        continuation,
        config: settings::broker(config),
        core: settings::core(config),
        authorizer: Box::new(Rules(gate.access())),
        authenticator: Arc::new(Authenticator(Arc::clone(&gate))),
        seed: random_u64()?,
        listeners: mqtt,
    };
    let broker = broker.start().context("start the broker")?;
    let images = broker.handle.clone();
    store.on_image_wanted(Box::new(move || images.write_image()));
    let path = BrokerPath::new(broker.handle.clone(), store.clone());
    twins.twins().commit_through(path.clone());
    let lines = FunctionLines::new(path, config.functions.in_flight_max);
    lines.connect(&runtime);
    host.connect(Arc::clone(&lines));
    twins.attach(&broker.handle).context("attach the twins")?;
    let exchange = Exchange::new(&config.sync, &store, node_id, Arc::clone(&twins)).context("exchange twins")?;
    for function in runtime.list() {
        lines.subscribe(&function.name, function.triggers);
    }
    lines.end_left_behind(&functions_before);
    let first = First {
        problems: first.problems,
        digest: first.digest,
        revocations: first.revocations.unwrap_or(None),
        certificate: certificates.facts,
    };
    let reloader = Reloader::new(
        files,
        Arc::clone(&gate),
        certificates.settings,
        Arc::clone(&clock),
        broker.handle.clone(),
        first,
    );
    let fetcher = start_fetching(config, &gate, &reloader)?;
    let watcher = reloader.start().context("start watching the files of access")?;
    broker.handle.open();
    lines.tell_start();

    let deploying = Arc::default();
    let update_host = NodeHost {
        data: data.clone(),
        config_file: config_file.map(Path::to_owned),
        runtime: Arc::clone(&runtime),
        lines: Arc::clone(&lines),
        deploying: Arc::clone(&deploying),
        files: config.ota.files.clone(),
    };
    let updates = Updates::open(updates::Parts {
        data: data.clone(),
        config: config.ota.clone(),
        node_id: format!("{:016x}", node_id.0),
        host: update_host,
        clock: Arc::clone(&clock),
    })
    .with_context(|| format!("open the folder of updates {}", updates::folder(&data).display()))?;
    let net = Net::new(config, &addresses, broker.handle.clone(), Arc::clone(&gate));
    let stopping = Arc::new(AtomicBool::new(false));
    let functions = FunctionApi { runtime: Arc::clone(&runtime), lines: Arc::clone(&lines), deploying };
    function_trials::start_judging(&functions).context("start the thread that judges canaries")?;
    let api = NodeApi {
        updates: Arc::clone(&updates),
        net: Arc::clone(&net),
        exchange: Arc::clone(&exchange),
        store: store.clone(),
        broker: broker.handle.clone(),
        twins: Arc::clone(&twins),
        functions,
        stopping: Arc::clone(&stopping),
        started,
        about: greeting::facts(&addresses, &data, &socket, reloader.places()),
        logins: HttpLogins::new(gate),
        reloader: Arc::clone(&reloader),
        clock: Arc::clone(&clock),
    };
    let listeners = Listeners { tcp: http_listener, unix };
    let http = http::start(listeners, &config.http, Arc::new(api)).context("start HTTP")?;
    let self_test = SelfTest {
        broker: broker.handle.clone(),
        mqtt: addresses.mqtt,
        socket: socket.clone(),
        twins: Arc::clone(&twins),
        store: store.clone(),
        functions: settings::functions(config),
        scratch: data.join(updates::FOLDER).join("self-test"),
        function_ran: AtomicBool::new(false),
    };
    let update_threads = updates.start(self_test).context("start the threads of updates")?;
    let pushes = if config.ota.mqtt {
        Some(updates::over_mqtt::start(&updates, &broker.handle).context("take updates over MQTT")?)
    } else {
        None
    };
    let net_thread = net.start().context("start the thread that counts packets")?;
    let exchange_thread = exchange.start().context("start the thread that exchanges twins")?;
    Ok(RunningNode {
        data,
        socket,
        addresses,
        store,
        twins,
        runtime,
        host,
        lines,
        broker,
        http,
        reloader,
        watcher,
        fetcher,
        clock,
        updates,
        update_threads,
        pushes,
        net,
        net_thread,
        exchange,
        exchange_thread,
        stopping,
    })
}

/// Settings of the encrypted listeners, and what stands in the node's certificate.
#[derive(Default)]
struct Certificates {
    settings: Option<TlsSettings>,
    facts: Option<Facts>,
}

/// A damaged certificate keeps the node from starting; a damaged list of withdrawn ones only keeps clients with certificates out.
fn open_certificates(config: &Config, places: &FilePlaces, clock: &Arc<TrustedClock>) -> anyhow::Result<Certificates> {
    if !config.has_tls_listener() {
        return Ok(Certificates::default());
    }
    let clients = config.tls.client_certificates;
    let list = if clients == ClientCertificates::Off { None } else { tls::revocations(places).unwrap_or(None) };
    let loaded = tls::load(places, clients, list.as_ref(), clock)
        .context("prepare TLS (`selvedge cert show` looks at the files, `selvedge cert create` makes new ones)")?;
    Ok(Certificates { settings: Some(TlsSettings::new(loaded.config)), facts: loaded.facts })
}

/// Keys of tokens from an address, if they come from one.
fn start_fetching(
    config: &Config,
    gate: &Arc<Gate>,
    reloader: &Arc<Reloader>,
) -> anyhow::Result<Option<Arc<KeyFetcher>>> {
    if config.access.tokens.jwks_url.is_empty() {
        return Ok(None);
    }
    let asking = Arc::clone(reloader);
    let fetcher =
        KeyFetcher::start(&config.access.tokens, move || asking.wish()).context("start fetching keys of tokens")?;
    gate.set_fetcher(Arc::clone(&fetcher));
    Ok(Some(fetcher))
}

/// Opens the store, with what it keeps for the broker.
fn open_store(config: &Config, data: &Path) -> anyhow::Result<(Store, Restored)> {
    let mut replay = Replay::default();
    let disk = Arc::new(LocalDisk);
    let store = Store::open_with(&data.join("store"), settings::store(config), disk, &mut |entry| replay.take(&entry))
        .context("open the store (another directory: --data DIR)")?;
    let restored = replay.finish().with_context(|| format!("open the sessions in {}", data.join("store").display()))?;
    if let Some(quarantine) = &store.report().quarantine {
        tracing::error!(path = %quarantine.path.display(), cause = quarantine.cause, "the database was damaged and set aside");
    }
    store.adopt(&mut broker_journal::holders(&restored));
    Ok((store, restored))
}

/// Where the broker keeps durable sessions, and what it kept before.
fn continue_from(config: &Config, store: &Store, clock: &TrustedClock, restored: Restored) -> Option<Continuation> {
    if restored.sessions() > 0 {
        let (sessions, messages) = (restored.sessions(), restored.queued_messages());
        tracing::info!(sessions, messages, "durable sessions go on");
    }
    let wall_ms = broker_journal::time_to_go_on_by(clock, store.last_wall_ms());
    let journal = StoreJournal::new(store.clone(), wall_ms, config.store.queue_bytes_max.as_usize());
    let fetching = store.clone();
    Some(Continuation {
        journal: Box::new(journal),
        restored,
        wall_ms,
        next_message: store.next_message(),
        fetch: Box::new(move |number| fetching.load_blocking(number)),
    })
}

fn random_u64() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
    Ok(u64::from_le_bytes(bytes))
}

impl RunningNode {
    fn facts(&self) -> serde_json::Value {
        greeting::facts(&self.addresses, &self.data, &self.socket, self.reloader.places())
    }

    fn greet(&self, config: &Config, greeting: Greeting) -> std::io::Result<()> {
        let text = match greeting {
            Greeting::Text => greeting::text(&self.addresses, &config.websocket.path, &self.data, &self.socket),
            Greeting::Json => format!("{}\n", self.facts()),
        };
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Until a signal, or until something is broken that only a restart mends.
    fn wait(&self, signals: &Signals) -> anyhow::Result<Ended> {
        let mut swept = Instant::now();
        loop {
            match signals.wait(LOOK_EVERY).context("wait for signals")? {
                Some(Wish::End) => return Ok(Ended::Asked),
                Some(Wish::Reload) => self.reloader.wish(),
                None => {}
            }
            if self.updates.wants_restart() {
                return Ok(Ended::ForUpdate);
            }
            // Not said while the broker's thread hangs: then whoever watches kills the node.
            if watchdog::is_asked() && node_api::broker_answers(&self.broker.handle) {
                watchdog::alive();
            }
            self.clock.keep();
            if let Health::Poisoned { cause } = self.store.health() {
                bail!("the store cannot write any more: {cause}");
            }
            if self.broker.is_finished() {
                bail!("the broker has ended");
            }
            if swept.elapsed() >= SWEEP_EVERY {
                swept = Instant::now();
                if let Err(error) = self.host.sweep_key_values(clock::wall_ms()) {
                    tracing::warn!(%error, "expired key-values not removed");
                }
            }
        }
    }

    fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        self.runtime.stop_compiling();
        let deadline = Instant::now() + DRAIN_MAX;
        while !(self.lines.is_idle() && self.twins.is_idle()) && Instant::now() < deadline {
            std::thread::sleep(DRAIN_LOOK_EVERY);
        }
        self.lines.stop();
        self.updates.stop();
        self.net.stop();
        // Before the broker: what it takes in goes through that.
        self.exchange.stop(self.exchange_thread);
        drop(self.pushes);
        self.reloader.stop();
        if let Some(fetcher) = &self.fetcher {
            // Not waited for: it may be in the middle of a fetch.
            fetcher.stop();
        }
        if self.watcher.join().is_err() {
            tracing::error!("the thread that watches the files of access panicked");
        }
        self.broker.handle.shutdown(BROKER_STOP_MAX);
        if let Err(error) = self.broker.join() {
            tracing::error!(%error, "broker not stopped in order");
        }
        self.http.stop();
        let _ = std::fs::remove_file(&self.socket);
        for thread in self.update_threads.into_iter().chain(self.net_thread) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(thread = name, "a thread panicked");
            }
        }
        drop(self.updates);
        // Waiting invocations end here; what they held of the broker's messages is gone with it.
        drop(self.runtime);
        drop(self.host);
        drop(self.lines);
        drop(self.exchange);
        drop(self.twins);
        // The last handle of the store: it writes what is left.
        drop(self.store);
        tracing::info!("stopped");
    }
}

#[cfg(test)]
mod tests;
