//! From certificate files to what the encrypted listeners use, at the start and whenever the files change.
//!
//! Not the making of certificates. Invariant: settings that are handed out are complete: a certificate that its key fits, and
//! authorities where clients are asked. What cannot be read leaves the last good settings in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;

use crate::certificates::facts::{self, Facts};
use crate::certificates::folder::read_bounded;
use crate::certificates::revocation::{self, RevocationError, Revocations};
use crate::config::surroundings::{FilePlaces, Watched};
use crate::config::tls::ClientCertificates;
use crate::trusted_clock::TrustedClock;

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {what} {path}", path = path.display())]
    Read {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// It holds nothing of the kind.
    #[error("{path} holds no {what} (expected PEM)", path = path.display())]
    Empty {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("{path} is damaged", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: rustls::pki_types::pem::Error,
    },
    /// Key and certificate do not fit, or are of a kind that is not taken.
    #[error("use {path} with its key", path = path.display())]
    Refused {
        /// The certificate.
        path: PathBuf,
        /// Cause.
        source: rustls::Error,
    },
    /// The authorities cannot be used.
    #[error("use the authorities of client certificates in {path}: {cause}", path = path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// The library's words.
        cause: String,
    },
}

/// Why the list of withdrawn certificates does not count.
#[derive(Debug, Error)]
pub enum ListError {
    /// It cannot be read.
    #[error("read the revocation list {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// It is damaged or foreign.
    #[error("use the revocation list {path}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: RevocationError,
    },
}

/// What the files say.
#[derive(Debug)]
pub struct Loaded {
    /// For new handshakes.
    pub config: Arc<ServerConfig>,
    /// The node's certificate.
    pub facts: Option<Facts>,
}

/// Reads the certificate, its key and, where clients are asked, their authorities. `revocations` are enforced in the handshake.
///
/// # Errors
/// A file is missing, damaged, or does not fit the others.
pub fn load(
    places: &FilePlaces,
    clients: ClientCertificates,
    revocations: Option<&Revocations>,
    clock: &Arc<TrustedClock>,
) -> Result<Loaded, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&places.certificate)?;
    let facts = read("the certificate", &places.certificate)
        .ok()
        .and_then(|bytes| facts::read(&bytes).ok())
        .and_then(|all| all.into_iter().next());
    let key_bytes = read("the private key", &places.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key_bytes).map_err(|source| match source {
        rustls::pki_types::pem::Error::NoItemsFound => {
            TlsError::Empty { what: "private key", path: places.key.clone() }
        }
        source => TlsError::Damaged { path: places.key.clone(), source },
    })?;
    let lists = revocations.map(|revocations| revocations.lists.clone()).unwrap_or_default();
    let verifier = verifier(&places.client_ca, clients, lists, &provider)?;
    let refused = |source| TlsError::Refused { path: places.certificate.clone(), source };
    let builder = ServerConfig::builder_with_details(provider, Arc::clone(clock) as _)
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).map_err(refused)?;
    Ok(Loaded { config: Arc::new(config), facts })
}

/// The list of withdrawn certificates; none where there is none and need be none.
///
/// # Errors
/// It is missing although it was there or is configured, or it is damaged or foreign: then no certificate counts.
pub fn revocations(places: &FilePlaces) -> Result<Option<Revocations>, ListError> {
    let list_failed = |source| ListError::Read { path: places.crl.clone(), source };
    let list = match read_bounded(&places.crl) {
        Ok(bytes) => bytes,
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound && !places.must_be_there(Watched::RevocationList) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(list_failed(error)),
    };
    let authorities =
        read_bounded(&places.client_ca).map_err(|source| ListError::Read { path: places.client_ca.clone(), source })?;
    revocation::read(&list, &authorities)
        .map(Some)
        .map_err(|source| ListError::Refused { path: places.crl.clone(), source })
}

/// The library looks at the whole chain where there is a list; a certificate of an authority without one is refused then.
fn verifier(
    authorities: &Path,
    clients: ClientCertificates,
    lists: Vec<CertificateRevocationListDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if clients == ClientCertificates::Off {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let failed = |cause: String| TlsError::Authorities { path: authorities.to_owned(), cause };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities)? {
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .with_crls(lists)
        .only_check_end_entity_revocation();
    let builder = if clients == ClientCertificates::Optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| failed(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read("the certificate", path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|source| TlsError::Damaged { path: path.to_owned(), source })?;
    if all.is_empty() { Err(TlsError::Empty { what: "certificate", path: path.to_owned() }) } else { Ok(all) }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    read_bounded(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::authority::Moment;
    use crate::certificates::folder::Folder;
    use crate::config::Config;
    use crate::trusted_clock;

    fn now() -> Moment {
        Moment::new(trusted_clock::system_s(), true, trusted_clock::built_at_s())
    }

    fn made() -> (tempfile::TempDir, FilePlaces, Arc<TrustedClock>, Folder) {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::new(data.path().join("tls"));
        folder.create(&[], false, now()).unwrap();
        let places = FilePlaces::new(&Config::default(), data.path());
        let clock = Arc::new(TrustedClock::open(data.path()));
        (data, places, clock, folder)
    }

    #[test]
    fn certificates_of_the_box_make_settings_of_every_kind() {
        let (_data, places, clock, _) = made();
        for clients in [ClientCertificates::Off, ClientCertificates::Optional, ClientCertificates::Required] {
            let loaded = load(&places, clients, None, &clock).unwrap();
            assert!(loaded.facts.unwrap().names.contains(&"localhost".to_owned()));
        }
    }

    #[test]
    fn a_key_that_does_not_fit_and_damaged_files_are_named() {
        let (_data, places, clock, folder) = made();
        let (off, asked) = (ClientCertificates::Off, ClientCertificates::Optional);
        folder.create_client("other", None, false, now()).unwrap();
        let own = std::fs::read(&places.key).unwrap();
        std::fs::copy(folder.file("clients/other.key"), &places.key).unwrap();
        assert!(matches!(load(&places, off, None, &clock), Err(TlsError::Refused { .. })));
        std::fs::write(&places.key, "").unwrap();
        assert!(matches!(load(&places, off, None, &clock), Err(TlsError::Empty { .. })));
        std::fs::write(&places.key, own).unwrap();
        std::fs::write(&places.client_ca, "").unwrap();
        assert!(load(&places, off, None, &clock).is_ok());
        assert!(matches!(load(&places, asked, None, &clock), Err(TlsError::Empty { .. })));
        std::fs::remove_file(&places.certificate).unwrap();
        let error = load(&places, off, None, &clock).unwrap_err().to_string();
        assert!(error.contains("server.pem"), "{error}");
    }

    #[test]
    fn a_list_that_was_there_must_stay_there() {
        let (_data, places, _, folder) = made();
        assert!(revocations(&places).unwrap().is_none());
        folder.create_client("bad", None, false, now()).unwrap();
        folder.revoke("bad", now()).unwrap();
        assert_eq!(revocations(&places).unwrap().unwrap().own.len(), 1);
        places.remember().unwrap();
        std::fs::remove_file(&places.crl).unwrap();
        assert!(matches!(revocations(&places), Err(ListError::Read { .. })));
        std::fs::write(&places.crl, "").unwrap();
        assert!(matches!(revocations(&places), Err(ListError::Refused { .. })));
    }
}
