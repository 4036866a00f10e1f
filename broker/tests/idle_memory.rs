//! Memory of idle connections. A test program of its own, because it measures the whole process.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    pki_types::PrivatePkcs8KeyDer,
    version::{TLS12, TLS13},
};
use selvedge_broker::{AnonymousAccess, Broker, Config, Listener, Running, TlsSettings, Transport};
use selvedge_codec::{Connect, Packet, ProtocolVersion, encode};
use selvedge_core::OpenAccess;

/// P8: what one idle TCP connection may cost, in all.
const BYTES_MAX: u64 = 5 * 1024;
/// What the keys and the state of TLS may add to that.
const TLS_BYTES_MAX: u64 = 5 * 1024;
const CONNECTIONS: u64 = 5_000;
const TLS_CONNECTIONS: u64 = 2_000;
/// Descriptors for other things than connections.
const SPARE_DESCRIPTORS: u64 = 100;
/// Connections before the first measurement, so that what is made once is there.
const FIRST: u64 = 100;

/// Proportional set size of this process, bytes.
fn memory() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("a Linux kernel");
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("Pss");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") * 1024
}

/// Descriptors that this process may have, after asking for as many as allowed.
fn descriptors() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("raising the soft limit is always allowed");
    limit.current.unwrap_or(u64::MAX)
}

fn start(tls: Option<TlsSettings>) -> Running {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener { tls, ..Listener::bind(any_port, Transport::Tcp).expect("bind") };
    let config = Config { connect_rate_per_address_per_s: 0, ..Config::default() };
    let running = Broker {
        config,
        core: selvedge_core::Config::default(),
        authorizer: Box::new(OpenAccess),
        authenticator: Arc::new(AnonymousAccess),
        seed: 1,
        continuation: None,
        listeners: vec![listener],
    }
    .start()
    .expect("start");
    running.handle.open();
    running
}

/// Both sides of an encryption that verifies nothing but the server.
fn encryption() -> (TlsSettings, Arc<ClientConfig>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS12, &TLS13])
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate and its key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("an authority");
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    (TlsSettings::new(Arc::new(server)), Arc::new(client))
}

fn connected(address: SocketAddr, number: u64, tls: Option<&Arc<ClientConfig>>) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connect");
    let client_id = format!("idle-client-{number}");
    let mut bytes = Vec::new();
    let connect = Connect { keep_alive_s: 600, ..Connect::new(ProtocolVersion::V311, &client_id, true) };
    encode(ProtocolVersion::V311, &Packet::Connect(Box::new(connect)), &mut bytes).expect("encodable");
    let mut connack = [0; 4];
    match tls {
        None => {
            stream.write_all(&bytes).expect("write");
            stream.read_exact(&mut connack).expect("read");
        }
        Some(config) => {
            // The client's side of the encryption is given up, so that only the broker's is measured.
            let mut connection =
                ClientConnection::new(config.clone(), "localhost".try_into().expect("a name")).expect("settings");
            let mut encrypted = rustls::Stream::new(&mut connection, &mut stream);
            encrypted.write_all(&bytes).expect("write");
            encrypted.read_exact(&mut connack).expect("read");
        }
    }
    assert_eq!(connack, [0x20, 2, 0, 0]);
    stream
}

/// A broker with its clients.
struct Crowd {
    running: Running,
    streams: Vec<TcpStream>,
}

impl Crowd {
    fn leave(self) {
        drop(self.streams);
        self.running.handle.shutdown(Duration::ZERO);
        self.running.join().expect("no panic");
    }
}

/// Bytes that one idle connection costs.
fn measure(tls: Option<(TlsSettings, Arc<ClientConfig>)>, connections: u64) -> (u64, Crowd) {
    let (settings, client) = tls.unzip();
    let running = start(settings);
    let mut streams = Vec::with_capacity((FIRST + connections) as usize);
    streams.extend((0..FIRST).map(|number| connected(running.addresses[0], number, client.as_ref())));
    let before = memory();
    streams.extend((0..connections).map(|number| connected(running.addresses[0], FIRST + number, client.as_ref())));
    let each = memory().saturating_sub(before) / connections;
    (each, Crowd { running, streams })
}

#[test]
fn an_idle_connection_costs_little() {
    // Both ends are in this process, and the first stay while the second are measured: what they would leave free would
    // not be counted again.
    let most = (descriptors() - SPARE_DESCRIPTORS) / 4 - FIRST;
    let (plain, first) = measure(None, CONNECTIONS.min(most));
    let (encrypted, second) = measure(Some(encryption()), TLS_CONNECTIONS.min(most));
    first.leave();
    second.leave();
    println!("bytes for an idle connection: {plain}, encrypted {encrypted}");
    assert!(plain <= BYTES_MAX, "{plain} bytes for an idle connection");
    assert!(encrypted <= BYTES_MAX + TLS_BYTES_MAX, "{encrypted} bytes for an idle encrypted connection");
}
