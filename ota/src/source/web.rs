//! A repository on a web server: any that serves files. Uses range requests to go on where a download stopped, and ETags to ask
//! cheaply whether anything is new.

use std::io::{self, Cursor};
use std::time::{Duration, Instant};

use super::pace::{Paced, time_for};
use super::{FetchError, Opened, Source};

/// Metadata whose state is asked for again and again.
const POLLED: &str = "metadata/timestamp.json";
/// Largest answer that is remembered with its ETag, bytes.
const REMEMBERED_BYTES_MAX: u64 = 64 << 10;

/// A server's repository. Keeps the last timestamp with its ETag.
pub struct Web {
    agent: ureq::Agent,
    /// Without a slash at the end.
    url: String,
    bytes_per_s_min: u64,
    remembered: Option<Remembered>,
}

#[derive(Clone)]
struct Remembered {
    etag: String,
    bytes: Vec<u8>,
}

impl Web {
    /// The repository at `url`; `agent` says how to reach it (TLS, proxies, time-outs of connecting). A payload that comes with
    /// fewer than `bytes_per_s_min` bytes a second is given up.
    pub fn new(agent: ureq::Agent, url: &str, bytes_per_s_min: u64) -> Self {
        Self { agent, url: url.trim_end_matches('/').to_owned(), bytes_per_s_min, remembered: None }
    }

    fn get(
        &self,
        path: &str,
        headers: &[(&str, String)],
        bytes_max: u64,
    ) -> Result<ureq::http::Response<ureq::Body>, FetchError> {
        let url = self.address(path);
        let patience = time_for(bytes_max, self.bytes_per_s_min);
        let mut request =
            self.agent.get(&url).config().http_status_as_error(false).timeout_recv_body(Some(patience)).build();
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.call().map_err(|source| FetchError::Web { url, source: Box::new(source) })
    }

    /// Where a file is. Names of metadata come as they stand in an address; those of targets may have any character.
    fn address(&self, path: &str) -> String {
        let Some(target) = path.strip_prefix("targets/") else { return format!("{}/{path}", self.url) };
        let mut address = format!("{}/targets/", self.url);
        for byte in target.bytes() {
            // RFC 3986, 2.3, and what parts folders.
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
                address.push(char::from(byte));
            } else {
                address.push_str(&format!("%{byte:02X}"));
            }
        }
        address
    }

    fn status_error(&self, path: &str, status: u16) -> FetchError {
        let url = self.address(path);
        FetchError::Web { url, source: Box::new(ureq::Error::StatusCode(status)) }
    }

    /// The timestamp, asked for with the ETag of the last one.
    fn poll(&mut self, bytes_max: u64) -> Result<Option<Opened<'_>>, FetchError> {
        let known = self.remembered.clone();
        let headers: Vec<_> = known.iter().map(|known| ("if-none-match", known.etag.clone())).collect();
        let response = self.get(POLLED, &headers, bytes_max)?;
        let bytes = match (response.status().as_u16(), known) {
            (304, Some(known)) => known.bytes,
            (200, _) => {
                let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok()).map(str::to_owned);
                let url = format!("{}/{POLLED}", self.url);
                let body = response.into_body().into_with_config().limit(bytes_max.min(REMEMBERED_BYTES_MAX));
                let mut bytes = Vec::new();
                io::copy(&mut body.reader(), &mut bytes)
                    .map_err(|source| FetchError::Web { url, source: Box::new(source.into()) })?;
                self.remembered = etag.map(|etag| Remembered { etag, bytes: bytes.clone() });
                bytes
            }
            (404 | 410, _) => return Ok(None),
            (status, _) => return Err(self.status_error(POLLED, status)),
        };
        Ok(Some(Opened { reader: Box::new(Cursor::new(bytes)), starts_at: 0 }))
    }
}

impl Source for Web {
    fn open(&mut self, path: &str, from: u64, bytes_max: u64) -> Result<Option<Opened<'_>>, FetchError> {
        if path == POLLED {
            return self.poll(bytes_max);
        }
        let headers: Vec<_> = (from > 0).then(|| ("range", format!("bytes={from}-"))).into_iter().collect();
        let response = self.get(path, &headers, bytes_max)?;
        let starts_at = match response.status().as_u16() {
            200 => 0,
            206 if starts_at(response.headers()) == Some(from) => from,
            // Nothing is left to fetch, or the file is another one: from the beginning.
            206 | 416 if from > 0 => return self.open(path, 0, bytes_max),
            404 | 410 => return Ok(None),
            status => return Err(self.status_error(path, status)),
        };
        let started = Instant::now();
        let body = response.into_body().into_with_config().limit(bytes_max.saturating_add(1)).reader();
        let clock = move || -> Duration { started.elapsed() };
        Ok(Some(Opened { reader: Box::new(Paced::new(body, clock, self.bytes_per_s_min)), starts_at }))
    }

    fn name(&self) -> String {
        self.url.clone()
    }
}

/// The first byte of `Content-Range: bytes FIRST-LAST/LENGTH` (RFC 9110, 14.4).
fn starts_at(headers: &ureq::http::HeaderMap) -> Option<u64> {
    let range = headers.get("content-range")?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests;
