//! What encryption costs the broker, as time of its threads (from the kernel's `schedstat`), over real sockets: handshakes with
//! ECDSA P-256 certificates, full and resumed, with and without a client certificate; and messages, beside plain text.
//!
//! `cargo bench -p selvedge-broker --bench encryption -- [--handshakes N] [--messages N]`
//!
//! Clients run in this process, on threads of their own, whose time is not counted.

use std::{
    error::Error,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use selvedge_broker::{AnonymousAccess, Broker, Config, Listener, Running, TlsSettings, Transport};
use selvedge_codec::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, Subscribe, SubscribeFilter,
    UserProperties, encode,
};
use selvedge_core::OpenAccess;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A certificate and its key, DER.
struct Holder {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

struct Certificates {
    authority: CertificateDer<'static>,
    server: Holder,
    client: Holder,
}

impl Certificates {
    fn make() -> Outcome<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let issue = || -> Outcome<Holder> {
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &issuer)?;
            Ok(Holder { certificate: certificate.der().clone(), key: key.serialize_der() })
        };
        Ok(Self { server: issue()?, client: issue()?, authority: issuer.der().clone() })
    }

    fn roots(&self) -> Outcome<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        Ok(roots)
    }

    fn serving(&self, mutual: bool) -> Outcome<TlsSettings> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS12, &TLS13])?;
        let builder = if mutual {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivatePkcs8KeyDer::from(self.server.key.clone()).into();
        Ok(TlsSettings::new(Arc::new(builder.with_single_cert(vec![self.server.certificate.clone()], key)?)))
    }

    fn trusting(
        &self,
        version: &'static SupportedProtocolVersion,
        resumes: bool,
        mutual: bool,
    ) -> Outcome<Arc<ClientConfig>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])?
            .with_root_certificates(self.roots()?);
        let mut config = if mutual {
            let key = PrivatePkcs8KeyDer::from(self.client.key.clone()).into();
            builder.with_client_auth_cert(vec![self.client.certificate.clone()], key)?
        } else {
            builder.with_no_client_auth()
        };
        if !resumes {
            config.resumption = rustls::client::Resumption::disabled();
        }
        Ok(Arc::new(config))
    }
}

fn start(tls: &TlsSettings) -> Outcome<Running> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let running = Broker {
        config: Config { connect_rate_per_address_per_s: 0, ..Config::default() },
        core: selvedge_core::Config::default(),
        authorizer: Box::new(OpenAccess),
        authenticator: Arc::new(AnonymousAccess),
        seed: 1,
        continuation: None,
        listeners: vec![
            Listener::bind(any_port, Transport::Tcp)?,
            Listener::bind(any_port, Transport::Tcp)?.with_tls(tls.clone()),
        ],
    }
    .start()?;
    running.handle.open();
    Ok(running)
}

/// Stop the broker, and wait for the threads that it does not wait for.
fn stop(running: Running) -> Outcome<()> {
    running.handle.shutdown(Duration::ZERO);
    running.join()?;
    while !times("tls-handshake")?.is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// How long the thread `name` has run, which there is once.
fn ran(name: &str) -> Outcome<Duration> {
    // A thread gives itself its name, some time after it was started.
    for _ in 0..1_000 {
        if let [only] = times(name)?.as_slice() {
            return Ok(*only);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("there is not one thread that is called {name}").into())
}

fn times(name: &str) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        // A thread may end meanwhile.
        if fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
            && let Ok(statistics) = fs::read_to_string(task.join("schedstat"))
        {
            let nanoseconds = statistics.split_whitespace().next().unwrap_or_default().parse()?;
            times.push(Duration::from_nanos(nanoseconds));
        }
    }
    Ok(times)
}

/// Time of the two threads while `work` is done, for each of `count`, in microseconds.
fn time_of(count: u32, work: impl FnOnce() -> Outcome<()>) -> Outcome<(f64, f64)> {
    let both = || Ok::<_, Box<dyn Error>>((ran("tls-handshake")?, ran("mqtt-reactor")?));
    let before = both()?;
    work()?;
    let after = both()?;
    let each = |before: Duration, after: Duration| (after - before).as_secs_f64() * 1e6 / f64::from(count);
    Ok((each(before.0, after.0), each(before.1, after.1)))
}

fn connect_packet(name: &str) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let connect = Connect::new(ProtocolVersion::V311, name, true);
    encode(ProtocolVersion::V311, &Packet::Connect(Box::new(connect)), &mut bytes)?;
    Ok(bytes)
}

fn handshakes(
    running: &Running,
    config: &Arc<ClientConfig>,
    count: u32,
    expected: rustls::HandshakeKind,
) -> Outcome<(f64, f64)> {
    let once = || -> Outcome<()> {
        let connection = ClientConnection::new(config.clone(), "localhost".try_into()?)?;
        let socket = TcpStream::connect(running.addresses[1])?;
        socket.set_nodelay(true)?;
        let mut stream = StreamOwned::new(connection, socket);
        stream.write_all(&connect_packet("c")?)?;
        // With TLS 1.3, this also brings the tickets.
        stream.read_exact(&mut [0; 4])?;
        match stream.conn.handshake_kind() {
            Some(kind) if kind == expected => Ok(()),
            other => Err(format!("handshake is {other:?}, expected {expected:?}").into()),
        }
    };
    time_of(count, || (0..count).try_for_each(|_| once()))
}

/// Both kinds of stream as one.
trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

fn open(running: &Running, tls: Option<&Arc<ClientConfig>>, name: &str) -> Outcome<Box<dyn Both>> {
    let mut stream: Box<dyn Both> = match tls {
        None => Box::new(TcpStream::connect(running.addresses[0])?),
        Some(config) => {
            let connection = ClientConnection::new(config.clone(), "localhost".try_into()?)?;
            Box::new(StreamOwned::new(connection, TcpStream::connect(running.addresses[1])?))
        }
    };
    stream.write_all(&connect_packet(name)?)?;
    stream.read_exact(&mut [0; 4])?;
    Ok(stream)
}

/// One publisher, one subscriber, QoS 0, `size` bytes, in bursts of `burst`, each of which arrives before the next begins.
fn messages(
    running: &Running,
    tls: Option<&Arc<ClientConfig>>,
    count: u32,
    size: usize,
    burst: u32,
) -> Outcome<(f64, f64)> {
    let mut subscriber = open(running, tls, "subscriber")?;
    let mut publisher = open(running, tls, "publisher")?;
    let mut bytes = Vec::new();
    let subscribe = Subscribe {
        packet_id: PacketId::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::EMPTY,
        filters: [SubscribeFilter::new("t", QoS::AtMostOnce)].into_iter().collect(),
    };
    encode(ProtocolVersion::V311, &Packet::Subscribe(subscribe), &mut bytes)?;
    subscriber.write_all(&bytes)?;
    subscriber.read_exact(&mut [0; 5])?;
    let payload = vec![7; size];
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "t",
        packet_id: None,
        properties: PublishProperties::default(),
        payload: &payload,
    };
    let mut packets = Vec::new();
    for _ in 0..burst {
        encode(ProtocolVersion::V311, &Packet::Publish(publish), &mut packets)?;
    }
    let mut came = vec![0; packets.len()];
    let rounds = count / burst;
    time_of(rounds * burst, || {
        for _ in 0..rounds {
            publisher.write_all(&packets)?;
            publisher.flush()?;
            subscriber.read_exact(&mut came)?;
        }
        Ok(())
    })
}

fn main() -> Outcome<()> {
    let (mut handshake_count, mut message_count) = (1_000, 200_000);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => {}
            "--handshakes" => handshake_count = value()?.parse()?,
            "--messages" => message_count = value()?.parse()?,
            other => return Err(format!("{other} is not known").into()),
        }
    }
    let certificates = Certificates::make()?;
    println!("{:<44} {:>14} {:>12}", "handshakes, µs each", "tls-handshake", "mqtt-reactor");
    for mutual in [false, true] {
        let running = start(&certificates.serving(mutual)?)?;
        for (name, version) in [("TLS 1.3", &TLS13), ("TLS 1.2", &TLS12)] {
            for (kind, resumes) in [(rustls::HandshakeKind::Full, false), (rustls::HandshakeKind::Resumed, true)] {
                let config = certificates.trusting(version, resumes, mutual)?;
                if resumes {
                    // The first of them cannot be resumed.
                    handshakes(&running, &config, 1, rustls::HandshakeKind::Full)?;
                }
                let (handshake, reactor) = handshakes(&running, &config, handshake_count, kind)?;
                let with = if mutual { ", client certificate" } else { "" };
                println!("{:<44} {handshake:>14.1} {reactor:>12.1}", format!("{name} {kind:?}{with}"));
            }
        }
        stop(running)?;
    }
    let running = start(&certificates.serving(false)?)?;
    let config = certificates.trusting(&TLS13, true, false)?;
    println!("{:<44} {:>14} {:>12}", "messages 1 to 1 QoS 0, reactor µs each", "plain", "TLS 1.3");
    for (size, burst) in [(64, 1), (64, 100), (1_000, 100), (100_000, 10)] {
        let count = (message_count / if burst == 1 { 10 } else { 1 } / if size > 10_000 { 50 } else { 1 }).max(burst);
        let (_, plain) = messages(&running, None, count, size, burst)?;
        let (_, encrypted) = messages(&running, Some(&config), count, size, burst)?;
        println!("{:<44} {plain:>14.2} {encrypted:>12.2}", format!("{size} bytes, {burst} at a time"));
    }
    stop(running)?;
    Ok(())
}
