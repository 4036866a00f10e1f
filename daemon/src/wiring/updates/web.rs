//! A repository on a web server, reached with the authorities that the configuration names.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use selvedge_ota::source::web::Web;
use ureq::tls::{RootCerts, TlsConfig};

use crate::config::OtaConfig;
use crate::wiring::web_authorities;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// From the request to the first byte of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: u32 = 5;

/// The repository of `config`.
///
/// # Errors
/// The authorities of an https address cannot be read.
pub fn open(config: &OtaConfig) -> anyhow::Result<Web> {
    let mut builder = ureq::Agent::config_builder()
        .max_redirects(REDIRECTS_MAX)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        .user_agent(concat!("selvedge/", env!("CARGO_PKG_VERSION")));
    if config.repository.starts_with("https://") {
        let authorities = web_authorities::read(&config.ca).map_err(|(path, error)| {
            anyhow::anyhow!(error)
                .context(format!("read the certificates that the repository is checked with from {}", path.display()))
        });
        let authorities = authorities.context("ota.ca")?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(authorities))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        builder = builder.tls_config(tls).https_only(true);
    }
    Ok(Web::new(builder.build().new_agent(), &config.repository, config.bytes_per_s_min.0))
}
