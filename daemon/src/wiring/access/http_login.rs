//! Logins of HTTP requests: the same users, tokens and throttle as those of MQTT, and the right to read.

use std::net::IpAddr;
use std::sync::Arc;

use selvedge_access::http_credentials::{self, HttpCredentials};
use selvedge_access::{Answer, ApiRight, Computation, Grant, Identity, Login, Operation, Refusal, Step, Subject};
use tokio::sync::Semaphore;

use super::Gate;
use super::counters::Kind;
use crate::http::{ApiError, Pending, Reader, Reads};

/// Requests that wait for the computation of a password; more are turned away.
const WAITING_MAX: usize = 16;

/// The gate as HTTP asks it.
#[derive(Clone, Debug)]
pub struct HttpLogins {
    gate: Arc<Gate>,
    /// One password is computed at a time.
    computing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// Somebody who may read.
struct GrantReader {
    gate: Arc<Gate>,
    grant: Arc<Grant>,
}

impl HttpLogins {
    /// For requests to a node with this gate.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, computing: Arc::new(Semaphore::new(1)), waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// Who asks, if they may read. What takes argon2id is computed on a thread that may wait.
    pub fn login(&self, address: IpAddr, authorization: Option<&str>) -> Pending<Reader> {
        let credentials = match authorization.map(http_credentials::parse) {
            Some(Ok(credentials)) => Some(credentials),
            Some(Err(error)) => return ready(Err(ApiError::new(401, error.to_string()))),
            None => None,
        };
        let (kind, login) = match &credentials {
            Some(credentials) => {
                let kind = match credentials {
                    HttpCredentials::Basic { .. } => Kind::Password,
                    HttpCredentials::Bearer { .. } => Kind::Token,
                };
                (kind, credentials.login(address))
            }
            None => (Kind::Anonymous, nobody(address)),
        };
        match self.gate.begin(&login) {
            Step::Done(outcome) => ready(answer(&self.gate, kind, address, outcome)),
            Step::Compute(computation) => self.compute(kind, address, computation),
        }
    }

    fn compute(&self, kind: Kind, address: IpAddr, computation: Computation) -> Pending<Reader> {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return ready(answer(&self.gate, kind, address, Err(Refusal::Busy)));
        };
        let (gate, computing) = (Arc::clone(&self.gate), Arc::clone(&self.computing));
        Box::pin(async move {
            let _place = place;
            let _turn = computing.acquire_owned().await;
            let work = move || {
                let outcome = gate.compute(computation);
                answer(&gate, kind, address, outcome)
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(ApiError::new(500, error.to_string())))
        })
    }
}

fn ready(answer: Result<Reader, ApiError>) -> Pending<Reader> {
    Box::pin(std::future::ready(answer))
}

fn nobody(address: IpAddr) -> Login<'static> {
    Login { address, client_id: None, username: None, password: None, certificate: None, anonymous_allowed: false }
}

fn answer(
    gate: &Arc<Gate>,
    kind: Kind,
    address: IpAddr,
    outcome: Result<Identity, Refusal>,
) -> Result<Reader, ApiError> {
    gate.note(kind, address, &outcome);
    match outcome {
        Ok(identity) if gate.access().may_use_api(&identity.grant, ApiRight::Read) => {
            Ok(Reader(Arc::new(GrantReader { gate: Arc::clone(gate), grant: identity.grant })))
        }
        Ok(_) => Err(ApiError::new(403, "the rules do not give this user api = [\"read\"]")),
        Err(refusal) => Err(refused(kind, &refusal)),
    }
}

fn refused(kind: Kind, refusal: &Refusal) -> ApiError {
    match refusal.answer() {
        Answer::NotAuthorized if kind != Kind::Anonymous => ApiError::new(403, "this login may not read"),
        Answer::NotAuthorized => ApiError::new(401, "a login is needed: Authorization: Basic or Bearer"),
        Answer::BadCredentials | Answer::BadMethod | Answer::Malformed => {
            ApiError::new(401, "the user, the password or the token is wrong")
        }
        Answer::Unavailable => ApiError::unavailable(
            "a file that this login needs is missing or damaged; `selvedge status` on the box says which",
        ),
        Answer::Busy => ApiError { retry_after_s: Some(1), ..ApiError::unavailable("too many logins at once") },
        Answer::TooManyAttempts => {
            let retry_after_s = match refusal {
                Refusal::Throttled { retry_in_ms } => Some(retry_in_ms.div_ceil(1000)),
                _ => None,
            };
            ApiError { retry_after_s, ..ApiError::new(429, "too many failed logins from this address") }
        }
    }
}

impl Reads for GrantReader {
    fn may_read_twin(&self, thing: &str) -> bool {
        let filter = format!("$twin/{thing}/#");
        let said = self.grant.allows("", Operation::Subscribe, &filter);
        let subject = Subject { user: self.grant.user(), client_id: "" };
        self.gate.access().may_with(subject, said, Operation::Subscribe, &filter)
    }

    fn may_change(&self) -> bool {
        self.gate.access().may_use_api(&self.grant, ApiRight::Write)
    }

    fn user(&self) -> Option<String> {
        self.grant.user().map(|user| user.to_string())
    }
}
