//! `http`: requests to other machines, as granted. The only capability with effects outside of the commit.
//!
//! It waits for others, so it makes room first: the thread does not count as a worker any more, and where there is no room for one
//! more such thread the request is not made.

use std::time::{Duration, Instant};

use crate::bindings::selvedge::function::http::{Error, Host, Response};
use crate::hex::hex;
use crate::host::HostError;
use crate::invocation::InvocationState;
use crate::outgoing::{self, BODY_BYTES_MAX, HttpRequest, REQUESTS_MAX, Refused};

/// By which a request is known again that is made once more.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl Host for InvocationState {
    fn request(
        &mut self,
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        body: Option<Vec<u8>>,
        timeout_ms: Option<u32>,
    ) -> Result<Response, Error> {
        let granted = &self.deployment.manifest.grants.http;
        let may_be_private = outgoing::check_url(granted, &url).map_err(|refused| match refused {
            Refused::Invalid(reason) => Error::Invalid(reason),
            Refused::Denied(reason) => Error::Denied(reason),
        })?;
        outgoing::check_request(&method, &headers, body.as_deref()).map_err(Error::Invalid)?;
        if self.http_requests >= REQUESTS_MAX {
            return Err(Error::Quota(format!("more than {REQUESTS_MAX} requests of one invocation")));
        }
        self.http_requests += 1;
        let headers = self.with_idempotency_key(headers);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = timeout_ms.map_or(left, |wanted| left.min(Duration::from_millis(u64::from(wanted))));
        if !self.make_room() {
            return Err(Error::Unavailable("as many functions wait for others as may".to_owned()));
        }
        let request =
            HttpRequest { method, url, may_be_private, headers, body, timeout, response_bytes_max: BODY_BYTES_MAX };
        let reply = self.host.http(&request).map_err(|error| match error {
            HostError::Invalid(reason) => Error::Denied(reason),
            HostError::Unavailable(reason) => Error::Unavailable(reason),
        })?;
        Ok(Response { status: reply.status, headers: reply.headers, body: reply.body })
    }
}

impl InvocationState {
    /// The same key for the same request at each attempt, as far as the function asks in the same order.
    fn with_idempotency_key(&self, mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
        if !headers.iter().any(|(name, _)| name == IDEMPOTENCY_KEY) {
            let (message, request) = (self.context.message_key, self.http_requests);
            let name = &self.deployment.manifest.name;
            headers.push((IDEMPOTENCY_KEY.to_owned(), format!("{name}-{}-{request}", hex(&message.to_be_bytes()))));
        }
        headers
    }
}
