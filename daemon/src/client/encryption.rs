//! TLS of `pub` and `sub`: which servers are believed, and what the client shows.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};
use thiserror::Error;

/// Where distributions keep the authorities that they trust.
pub const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncryptionOptions {
    /// Authorities of the server; none: those of the system.
    pub authorities: Option<PathBuf>,
    /// Certificate that the client shows.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Believe any server.
    pub insecure: bool,
}

/// Why there is no encryption.
#[derive(Debug, Error)]
pub enum EncryptionError {
    /// A file cannot be used.
    #[error("read {what} from {path}", path = path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        source: rustls::pki_types::pem::Error,
    },
    /// Nothing of the kind is in it.
    #[error("there is no certificate in {path}", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The system has no list of authorities.
    #[error("this system has no list of trusted authorities: name that of the server with --cafile FILE")]
    NoAuthorities,
    /// The host is no name.
    #[error("{host:?} is no name that a certificate could have")]
    Host {
        /// The host.
        host: String,
    },
    /// The library refused: certificate and key do not belong together, for example.
    #[error("prepare TLS")]
    Tls(#[from] rustls::Error),
}

/// Bytes to and from the server, encrypted or not.
#[derive(Debug)]
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Through TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection for `host`, ready for the handshake that the first byte begins.
///
/// # Errors
/// A file is missing or damaged, or the host has no name.
pub fn connection(options: &EncryptionOptions, host: &str) -> Result<ClientConnection, EncryptionError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = if options.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
    } else {
        builder.with_root_certificates(authorities(options.authorities.as_deref())?)
    };
    let config = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|source| EncryptionError::File {
                what: "a private key",
                path: key.clone(),
                source,
            })?;
            builder.with_client_auth_cert(chain, key)?
        }
        _ => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|_| EncryptionError::Host { host: host.to_owned() })?;
    Ok(ClientConnection::new(Arc::new(config), name)?)
}

/// Authorities in `path`, or those of the system.
///
/// # Errors
/// There are none.
pub fn authorities(path: Option<&Path>) -> Result<RootCertStore, EncryptionError> {
    let system = || SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
    let path = path.or_else(system).ok_or(EncryptionError::NoAuthorities)?;
    let mut roots = RootCertStore::empty();
    // Systems carry a few that the library does not take.
    roots.add_parsable_certificates(certificates(path)?);
    if roots.is_empty() { Err(EncryptionError::Empty { path: path.to_owned() }) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EncryptionError> {
    let failed = |source| EncryptionError::File { what: "certificates", path: path.to_owned(), source };
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    let all = all.map_err(failed)?;
    if all.is_empty() { Err(EncryptionError::Empty { path: path.to_owned() }) } else { Ok(all) }
}

impl Stream {
    /// Reads what has arrived, blocking for the first byte, and appends it to `input`. Everything that TLS has deciphered is
    /// taken: a later wait looks at the socket only. 0 is the end.
    ///
    /// # Errors
    /// The connection is broken, or the server's certificate is not believed.
    pub fn read_into(&mut self, input: &mut Vec<u8>, piece_bytes: usize) -> io::Result<usize> {
        let before = input.len();
        input.resize(before + piece_bytes, 0);
        let room = input.get_mut(before..).unwrap_or_default();
        let first = match self {
            Self::Plain(stream) => stream.read(room),
            Self::Tls(stream) => match stream.read(room) {
                // A server that closes without a word of TLS: the protocol above knows whether it was the end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
        };
        input.truncate(before + first.as_ref().map_or(0, |read| *read));
        let read = first?;
        if let (Self::Tls(stream), true) = (self, read > 0) {
            let rest = stream.conn.process_new_packets().map_err(io::Error::other)?.plaintext_bytes_to_read();
            let length = input.len();
            input.resize(length + rest, 0);
            stream.conn.reader().read_exact(input.get_mut(length..).unwrap_or_default())?;
        }
        Ok(input.len() - before)
    }

    /// No more bytes will be sent.
    pub fn finish(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            // The connection ends either way.
            let _ = stream.flush();
        }
        let _ = self.socket().shutdown(std::net::Shutdown::Write);
    }

    /// Limits how long a read may wait.
    ///
    /// # Errors
    /// The system refused.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket().set_read_timeout(timeout)
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

/// Believes every server, and still checks that it has the key that it shows.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_no_certificate_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        for path in [empty, folder.path().join("missing.pem")] {
            let options = EncryptionOptions { authorities: Some(path.clone()), ..EncryptionOptions::default() };
            let error = connection(&options, "localhost").unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_host_must_be_a_name_or_an_address() {
        let options = EncryptionOptions { insecure: true, ..EncryptionOptions::default() };
        assert!(connection(&options, "127.0.0.1").is_ok() && connection(&options, "gw.local").is_ok());
        assert!(matches!(connection(&options, "a b"), Err(EncryptionError::Host { .. })));
    }
}
