//! Certificates that web servers are checked with: those of a file that the configuration names, else those of the system.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::Certificate;

use crate::client::encryption::SYSTEM_AUTHORITIES;

/// Where none of the usual files is.
const USUAL: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Reads them; `configured` is empty for those of the system.
///
/// # Errors
/// The file cannot be read or holds none; the file comes with it.
pub fn read(configured: &str) -> Result<Vec<Certificate<'static>>, (PathBuf, io::Error)> {
    let system = || SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
    let named = (!configured.is_empty()).then(|| Path::new(configured));
    let path = named.or_else(system).unwrap_or(Path::new(USUAL));
    let failed = |source| (path.to_owned(), source);
    let bytes = std::fs::read(path).map_err(failed)?;
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(&bytes).flatten().map(|der| Certificate::from_der(&der).to_owned()).collect();
    if all.is_empty() { Err(failed(io::Error::other("there is no certificate in it"))) } else { Ok(all) }
}
