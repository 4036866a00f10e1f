use std::sync::{Arc, LazyLock};

use proptest::{collection::vec, prelude::*};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    pki_types::PrivatePkcs8KeyDer,
    version::{TLS12, TLS13},
};

use super::*;
use crate::tls::buffers::Buffers;

/// Settings of a server and of a client that trusts it, made once.
static SETTINGS: LazyLock<(Arc<ServerConfig>, RootCertStore)> = LazyLock::new(|| {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let private = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into();
    let mut roots = RootCertStore::empty();
    roots.add(key.cert.der().clone()).expect("an authority");
    let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .expect("a certificate and its key");
    (Arc::new(server), roots)
});

/// Both ends, and the bytes that are on their way to the server.
struct Pair {
    client: ClientConnection,
    server: Records,
    kept: Vec<u8>,
    plain: Vec<u8>,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let (server, roots) = &*SETTINGS;
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        Self {
            client: ClientConnection::new(Arc::new(client), "localhost".try_into().expect("a name")).expect("settings"),
            server: Records::new(server.clone()).expect("settings"),
            kept: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// What the client has to say.
    fn client_says(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).expect("written");
        }
        bytes
    }

    /// Gives the client what the server has to say.
    fn tell_client(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).expect("read");
            self.client.process_new_packets().expect("acceptable");
        }
    }

    fn serve(&mut self, bytes: &[u8]) -> Result<(Taken, Vec<u8>), RecordError> {
        self.kept.extend_from_slice(bytes);
        let mut out = Vec::new();
        let plain = &mut self.plain;
        let taken = self.server.take(&mut self.kept, &mut |bytes| plain.extend_from_slice(bytes), &mut out)?;
        self.kept.drain(..taken.bytes);
        Ok((taken, out))
    }

    /// The whole handshake, in pieces of `piece` bytes.
    fn shake(mut self, piece: usize) -> Self {
        while self.client.is_handshaking() || self.server.is_handshaking() {
            for piece in self.client_says().chunks(piece) {
                let (_, out) = self.serve(piece).expect("acceptable");
                self.tell_client(&out);
            }
        }
        self
    }

    fn client_writes(&mut self, plain: &[u8]) -> Vec<u8> {
        std::io::Write::write_all(&mut self.client.writer(), plain).expect("buffered");
        self.client_says()
    }

    /// Has the server send `plain`, and gives what the client then reads.
    fn server_writes(&mut self, plain: &[u8]) -> Vec<u8> {
        let buffers = Buffers::new();
        let mut room = buffers.outgoing.borrow_mut();
        let mut read = Vec::new();
        for plain in plain.chunks(PLAIN_BYTES_MAX) {
            let mut before = Vec::new();
            let length = self.server.encrypt(plain, &mut self.kept, &mut before, &mut room).expect("encrypted");
            self.tell_client(&[&before, &room[..length]].concat());
            let mut part = vec![0; plain.len()];
            std::io::Read::read_exact(&mut self.client.reader(), &mut part).expect("all of it");
            read.extend_from_slice(&part);
        }
        read
    }
}

fn version() -> impl Strategy<Value = &'static SupportedProtocolVersion> {
    prop_oneof![Just(&TLS12), Just(&TLS13)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out_however_the_bytes_are_cut(
        version in version(),
        sizes in vec(prop_oneof![0_usize..100, 16_000_usize..40_000], 0..4),
        piece in prop_oneof![1_usize..40, 1_000_usize..40_000],
    ) {
        let mut pair = Pair::new(version).shake(piece);
        let mut expected = Vec::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let message = vec![number as u8; size];
            for piece in pair.client_writes(&message).chunks(piece) {
                let (taken, out) = pair.serve(piece).expect("acceptable");
                prop_assert!(!taken.peer_closed && out.is_empty());
                prop_assert!(pair.kept.len() < RECORD_BYTES_MAX);
            }
            expected.extend_from_slice(&message);
            prop_assert!(pair.plain == expected && pair.kept.is_empty());
            prop_assert!(pair.server_writes(&message) == message);
        }
    }

    #[test]
    fn bytes_that_are_no_handshake_are_refused_in_order(bytes in vec(any::<u8>(), 0..400), record in any::<bool>()) {
        // Random bytes rarely look like a record.
        let bytes = if record {
            [&[0x16, 3, 1][..], &(bytes.len() as u16).to_be_bytes(), &bytes].concat()
        } else {
            bytes
        };
        if let Err(error) = Pair::new(&TLS13).serve(&bytes) {
            prop_assert!(matches!(error, RecordError::Refused(_)), "{error:?}");
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_and_nothing_worse(
        version in version(),
        early in any::<bool>(),
        place in any::<prop::sample::Index>(),
        change in 1_u8..=255,
    ) {
        let mut pair = Pair::new(version);
        let mut bytes = if early {
            pair.client_says()
        } else {
            pair = pair.shake(usize::MAX);
            [pair.client_writes(b"one"), pair.client_writes(&[2; 1000]), pair.client_writes(b"three")].concat()
        };
        let place = place.index(bytes.len());
        bytes[place] ^= change;
        match pair.serve(&bytes) {
            Err(error) => prop_assert!(matches!(error, RecordError::Refused(_)), "{error:?}"),
            // A part of the record layer's version is not looked at, as the standard has it (RFC 8446, 5.1); a length may
            // promise more than came; and much of a ClientHello means nothing by itself.
            Ok(_) => prop_assert!(early || pair.plain.len() <= 1008),
        }
        let whole = [&b"one"[..], &[2; 1000], b"three"].concat();
        prop_assert!(whole.starts_with(&pair.plain));
    }
}

#[test]
fn a_write_between_the_halves_of_a_record_disturbs_neither() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::new(version).shake(usize::MAX);
        let record = pair.client_writes(b"in two halves");
        let (first, second) = record.split_at(9);
        pair.serve(first).expect("acceptable");
        assert_eq!(pair.kept, first);
        assert_eq!(pair.server_writes(b"in between"), b"in between");
        pair.serve(second).expect("acceptable");
        assert_eq!(pair.plain, b"in two halves");
    }
}

#[test]
fn both_sides_say_when_they_send_no_more() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::new(version).shake(usize::MAX);
        pair.client.send_close_notify();
        let bytes = pair.client_says();
        let (taken, _) = pair.serve(&bytes).expect("acceptable");
        assert!(taken.peer_closed);
        assert_eq!(pair.server_writes(b"the other way stays open"), b"the other way stays open");
        let mut room = [0; 100];
        let length = pair.server.close(&mut [], &mut Vec::new(), &mut room).expect("announced");
        pair.tell_client(&room[..length]);
        let end = std::io::Read::read(&mut pair.client.reader(), &mut [0]).expect("an announced end");
        assert_eq!(end, 0);
    }
}

#[test]
fn an_alert_tells_the_client_what_was_wrong() {
    let mut pair = Pair::new(&TLS13);
    let mut out = Vec::new();
    // A ClientHello that ends in its middle.
    let mut hello = [0x16, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3];
    let error = pair.server.take(&mut hello, &mut |_| (), &mut out).expect_err("refused");
    assert!(matches!(error, RecordError::Refused(_)), "{error:?}");
    // Fatal, decode_error (RFC 8446, 6.2).
    assert_eq!(out, [0x15, 3, 3, 0, 2, 2, 50]);
}
