//! Keys of tokens from an https address, fetched by a thread of its own, so that no login waits for a network.
//!
//! Not the checking of tokens. Invariant: keys that were fetched count for `jwks_age_max` and no longer; a fetch has a time, a size
//! and a number of redirects that it cannot pass; the address is asked at most once in 30 s, however often an unknown key comes.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use selvedge_access::token::{KeyFormat, Keys, KeysError};
use thiserror::Error;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::web_authorities;
use crate::config::TokensConfig;

/// A whole fetch, from the name to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
const REDIRECTS_MAX: u32 = 3;
/// A key set is a few KiB.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Between two questions.
const PAUSE_MIN: Duration = Duration::from_secs(30);

/// Why there are no new keys.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No authorities to check the address with.
    #[error("read the certificates that {url} is checked with from {path}", path = path.display())]
    Authorities {
        /// Address.
        url: String,
        /// File.
        path: std::path::PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// No answer, or not the right one.
    #[error("get the keys of tokens from {url}")]
    Get {
        /// Address.
        url: String,
        /// Cause.
        source: Box<ureq::Error>,
    },
    /// The answer holds no keys.
    #[error("use the keys of tokens from {url}")]
    Keys {
        /// Address.
        url: String,
        /// Cause.
        source: KeysError,
    },
}

/// What was fetched last, and how the last attempt went.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// A key set that was found to be one, and when it came.
    pub keys: Option<(Vec<u8>, Instant)>,
    /// Why there are no newer ones.
    pub error: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    fetched: Fetched,
    is_wanted: bool,
    is_stopping: bool,
}

/// The thread, and what it has brought.
#[derive(Debug)]
pub struct KeyFetcher {
    state: Mutex<State>,
    wake: Condvar,
    age_max: Duration,
}

impl KeyFetcher {
    /// Starts fetching. `changed` is called, on the thread, after every attempt whose outcome differs from the one before.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(config: &TokensConfig, changed: impl Fn() + Send + 'static) -> io::Result<Arc<Self>> {
        let fetcher = Arc::new(Self { state: Mutex::default(), wake: Condvar::new(), age_max: config.jwks_age_max.0 });
        let (config, own) = (config.clone(), Arc::clone(&fetcher));
        std::thread::Builder::new()
            .name("token-keys".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || own.run(&config, &changed))?;
        Ok(fetcher)
    }

    /// What there is now: keys that are too old are none.
    pub fn fetched(&self) -> Fetched {
        let mut fetched = self.state.lock().fetched.clone();
        if fetched.keys.as_ref().is_some_and(|(_, at)| at.elapsed() > self.age_max) {
            fetched.keys = None;
        }
        fetched
    }

    /// A token named a key that is not known: look, if that has not been done just now.
    pub fn look_again(&self) {
        self.state.lock().is_wanted = true;
        self.wake.notify_all();
    }

    /// Ends the thread, after the fetch under way.
    pub fn stop(&self) {
        self.state.lock().is_stopping = true;
        self.wake.notify_all();
    }

    fn run(&self, config: &TokensConfig, changed: &dyn Fn()) {
        let mut had_keys = false;
        loop {
            let outcome = fetch(config);
            let is_good = outcome.is_ok();
            let differs = self.take(outcome);
            // Keys may also have become too old, while the error is the same as ever.
            let has_keys = self.fetched().keys.is_some();
            if differs || has_keys != had_keys {
                changed();
            }
            had_keys = has_keys;
            let due = Instant::now() + if is_good { config.jwks_refresh.0 } else { PAUSE_MIN };
            if !self.wait(Instant::now() + PAUSE_MIN, due) {
                return;
            }
        }
    }

    /// Keeps the outcome; true if it differs from the one before.
    fn take(&self, outcome: Result<Vec<u8>, FetchError>) -> bool {
        let mut state = self.state.lock();
        let before = state.fetched.clone();
        match outcome {
            Ok(keys) => {
                let is_same = before.error.is_none() && before.keys.is_some_and(|(known, _)| known == keys);
                state.fetched = Fetched { keys: Some((keys, Instant::now())), error: None };
                !is_same
            }
            Err(error) => {
                let text = format!("{:#}", anyhow::Error::from(error));
                let is_same = before.error.as_ref() == Some(&text);
                if !is_same {
                    tracing::warn!(error = text, "keys of tokens not fetched");
                }
                state.fetched.error = Some(text);
                !is_same
            }
        }
    }

    /// Until `due`, or sooner when somebody wants it, but not before `earliest`. False: end.
    fn wait(&self, earliest: Instant, due: Instant) -> bool {
        let mut state = self.state.lock();
        state.is_wanted = false;
        loop {
            if state.is_stopping {
                return false;
            }
            let now = Instant::now();
            if now >= due || (state.is_wanted && now >= earliest) {
                return true;
            }
            let until = if state.is_wanted { earliest } else { due };
            self.wake.wait_until(&mut state, until);
        }
    }
}

/// One attempt.
///
/// # Errors
/// No keys came.
fn fetch(config: &TokensConfig) -> Result<Vec<u8>, FetchError> {
    let url = config.jwks_url.clone();
    let roots = authorities(config)?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .max_redirects(REDIRECTS_MAX)
        .timeout_global(Some(FETCH_TIMEOUT))
        .max_idle_connections(0)
        .build()
        .new_agent();
    let get = |source| FetchError::Get { url: url.clone(), source: Box::new(source) };
    let mut response = agent.get(&url).header("accept", "application/json").call().map_err(get)?;
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(get)?;
    Keys::parse(KeyFormat::PublishedJwks, &body).map_err(|source| FetchError::Keys { url: url.clone(), source })?;
    Ok(body)
}

fn authorities(config: &TokensConfig) -> Result<Vec<Certificate<'static>>, FetchError> {
    web_authorities::read(&config.jwks_ca).map_err(|(path, source)| FetchError::Authorities {
        url: config.jwks_url.clone(),
        path,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(age_max: Duration) -> KeyFetcher {
        KeyFetcher { state: Mutex::default(), wake: Condvar::new(), age_max }
    }

    fn keys() -> Vec<u8> {
        b"{}".to_vec()
    }

    fn failure() -> FetchError {
        FetchError::Keys { url: "https://a".to_owned(), source: KeysError::Empty }
    }

    #[test]
    fn the_last_good_keys_stay_until_they_are_too_old() {
        let fetcher = idle(Duration::from_secs(3600));
        assert!(fetcher.take(Err(failure())) && !fetcher.take(Err(failure())));
        assert!(fetcher.take(Ok(keys())) && !fetcher.take(Ok(keys())));
        assert!(fetcher.take(Err(failure())));
        let fetched = fetcher.fetched();
        assert!(fetched.keys.is_some() && fetched.error.is_some());
        let fetcher = idle(Duration::ZERO);
        fetcher.take(Ok(keys()));
        assert!(fetcher.fetched().keys.is_none());
    }

    #[test]
    fn an_unknown_key_is_looked_for_but_not_at_once() {
        let fetcher = idle(Duration::ZERO);
        let now = Instant::now();
        assert!(fetcher.wait(now, now), "due");
        let fetcher = Arc::new(fetcher);
        let waiting = {
            let fetcher = Arc::clone(&fetcher);
            std::thread::spawn(move || fetcher.wait(now, now + Duration::from_secs(3600)))
        };
        while !waiting.is_finished() {
            fetcher.look_again();
            std::thread::yield_now();
        }
        assert!(waiting.join().unwrap());
        fetcher.stop();
        assert!(!fetcher.wait(now, now));
    }

    #[test]
    fn an_address_without_authorities_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let config = TokensConfig {
            jwks_url: "https://127.0.0.1:1/keys".to_owned(),
            jwks_ca: empty.display().to_string(),
            ..TokensConfig::default()
        };
        assert!(matches!(fetch(&config), Err(FetchError::Authorities { .. })));
    }
}
