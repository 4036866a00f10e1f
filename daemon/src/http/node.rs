//! What HTTP needs of the node. Reads are answered at once, from any thread; what has to reach the disk first is a future.

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use selvedge_functions::{Alias, HttpMethod, HttpRoute, InvocationMessage, Target};
use serde_json::Value;

use super::answer::ApiError;
use super::exposition::Exposition;
use super::login::Reader;
use super::trial_wish::TrialWish;

/// An answer that comes later.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send>>;

/// Values that come as they happen; bounded, so a slow reader loses the connection and not the node its memory.
pub type Events = tokio::sync::mpsc::Receiver<Value>;

/// How one part of the node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartState {
    /// Name of the part.
    pub name: &'static str,
    /// Whether it does its work.
    pub ready: bool,
    /// One sentence for people.
    pub detail: String,
}

/// A function to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployRequest {
    /// TOML.
    pub manifest: String,
    /// WebAssembly component.
    pub component: Vec<u8>,
}

/// What becomes of a function that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeployGoal {
    /// It gets all messages, in place of its predecessor.
    Live,
    /// It is kept as a version, to be given messages later.
    Publish,
}

/// What somebody wants of a function and its versions.
#[derive(Clone, Debug, PartialEq)]
pub enum FunctionWish {
    /// Which versions and aliases there are.
    Versions,
    /// Point an alias at versions.
    Point {
        /// The alias.
        alias: String,
        /// Versions with weights.
        to: Alias,
    },
    /// Point an alias where it pointed before.
    RollBack {
        /// The alias.
        alias: String,
    },
    /// Forget an alias.
    ForgetAlias {
        /// The alias.
        alias: String,
    },
    /// Remove versions that are not needed until so many are left.
    Collect {
        /// How many.
        keep: usize,
    },
    /// Run it once on a message, with all effects.
    Invoke {
        /// By which alias or version.
        at: Target,
        /// On what.
        message: Box<InvocationMessage>,
    },
    /// Something about its recordings, or a version on trial.
    Trial(TrialWish),
}

/// Which route of a function a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAnswer {
    /// This one.
    Found(FoundRoute),
    /// There are routes for the path, for these methods.
    WrongMethod(Vec<HttpMethod>),
    /// There is no such function, or it has no such route.
    NoRoute,
    /// The path is no path of text.
    NoPath,
}

/// A route of a function that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRoute {
    /// By which the node knows it.
    pub filter: String,
    /// The route.
    pub route: Arc<HttpRoute>,
    /// Parameters of the path, decoded, in its order.
    pub parameters: Vec<(String, String)>,
}

/// A request for a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    /// The function.
    pub function: String,
    /// Of the route.
    pub filter: String,
    /// The request, as the function sees it.
    pub message: InvocationMessage,
    /// Who asks, if they logged in.
    pub user: Option<String>,
}

/// Where a bundle of updates goes that comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundlePlace {
    /// A file that is not there yet.
    pub path: PathBuf,
    /// Bytes that it may have.
    pub bytes_max: u64,
}

/// What somebody wants of updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateWish {
    /// Put the bundle in this file in place, and remove it.
    Bundle(PathBuf),
    /// Look at the repository now.
    Check,
    /// End the probation, or go back to the version before.
    RollBack,
    /// Take none by itself.
    Pause,
    /// Take them again.
    Resume,
    /// Try what did not hold once more.
    Retry,
    /// Trust this first root.
    Trust(Vec<u8>),
}

/// A question about all twins.
#[derive(Clone)]
pub struct TwinQuestion {
    /// `reported.temp > 50`
    pub text: String,
    /// Only twins after this one, in the order of names.
    pub after: Option<String>,
    /// Twins in the answer.
    pub limit: usize,
    /// Who asks, if not everybody may see everything.
    pub reader: Option<Reader>,
}

/// Which state of a twin is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwinMoment {
    /// The one with this version.
    Revision(u64),
    /// The one at this time, in milliseconds since 1970.
    Time(u64),
}

/// A twin that is watched.
#[derive(Debug)]
pub struct Watched {
    /// The version up to which `missed` goes, or which there was to begin with. What comes of it in `events` is known.
    pub version: u64,
    /// Changes before, the oldest first.
    pub missed: Vec<Value>,
    /// Changes from then on.
    pub events: Events,
}

/// What somebody wants of the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetWish {
    /// Drop what comes from there, for so long.
    Deny {
        /// From where.
        peer: IpAddr,
        /// For how long.
        time: Duration,
    },
    /// No more.
    Undeny(IpAddr),
    /// Never drop what comes from this address or network.
    Allow(String),
    /// No more.
    Disallow(String),
    /// Who is denied, and allowed.
    Denials,
}

/// The node, as HTTP sees it.
pub trait Node: Send + Sync + 'static {
    /// How each part is; the node is ready when all are.
    fn parts(&self) -> Pending<Vec<PartState>>;
    /// All metrics.
    fn metrics(&self) -> Pending<Exposition>;
    /// What `selvedge status` shows besides the parts: version, listeners, data directory.
    fn about(&self) -> Value;

    /// Who asks from `address` with this Authorization header, if they may read at all.
    fn login(&self, address: IpAddr, authorization: Option<String>) -> Pending<Reader>;
    /// Reads users, rules, keys and certificates again. Gives what is wrong with them.
    fn reload(&self) -> Pending<Value>;

    /// Names of twins after `after`, in order, at most `limit`.
    fn twins(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ApiError>;
    /// The twins of which something holds, and where to go on.
    fn ask_twins(&self, question: TwinQuestion) -> Pending<Value>;
    /// A twin's documents and version, now or as they were.
    fn twin(&self, thing: &str, moment: Option<TwinMoment>) -> Result<Value, ApiError>;
    /// Changes of a twin after the revision `after`, the oldest first, at most `limit`.
    fn twin_history(&self, thing: &str, after: u64, limit: usize) -> Result<Value, ApiError>;
    /// Who wrote each field of a twin.
    fn explain_twin(&self, thing: &str) -> Result<Value, ApiError>;
    /// Applies `{"desired": …, "reported": …, "version": …}`; answers when it is durable.
    fn patch_twin(&self, thing: &str, patch: Vec<u8>) -> Pending<Value>;
    /// Applies `{"ops": […]}`; answers when it is durable.
    fn change_twin(&self, thing: &str, ops: Vec<u8>) -> Pending<Value>;
    /// Deletes a twin; answers when that is durable.
    fn delete_twin(&self, thing: &str) -> Pending<Value>;
    /// Changes of a twin from now on, or from the revision on that was seen last.
    fn watch_twin(&self, thing: &str, last_seen: Option<u64>) -> Pending<Watched>;

    /// All functions.
    fn functions(&self) -> Value;
    /// Compiles and starts a function once, and keeps it.
    fn deploy(&self, request: DeployRequest, goal: DeployGoal) -> Pending<Value>;
    /// Does something with a function; answers when it is done.
    fn function(&self, name: &str, wish: FunctionWish) -> Pending<Value>;
    /// Which route of a function a request is for; `path` is what follows the name, as sent.
    fn function_route(&self, name: &str, method: Option<HttpMethod>, path: &str) -> RouteAnswer;
    /// Runs a function for somebody who waits; the message to answer with, if it returned one. Dropped, it does not run, or is stopped.
    fn call_function(&self, call: FunctionCall) -> Pending<Option<InvocationMessage>>;
    /// Stops and forgets a function.
    fn remove(&self, name: &str) -> Pending<Value>;
    /// Log lines kept, and with `follow` all later ones.
    fn logs(&self, name: &str, follow: bool) -> Result<(Vec<Value>, Option<Events>), ApiError>;

    /// What was counted in the kernel, with the `top` busiest peers.
    fn net(&self, top: usize) -> Pending<Value>;
    /// Does something about the guard; answers when it is done.
    fn guard(&self, wish: NetWish) -> Pending<Value>;

    /// How the exchange of twins with other nodes stands.
    fn sync(&self) -> Value;
    /// Takes the group's next policy, signed; answers when it is durable.
    fn adopt_policy(&self, signed: Vec<u8>) -> Pending<Value>;

    /// How updates are.
    fn updates(&self) -> Value;
    /// Where a bundle goes that comes in.
    fn bundle_place(&self) -> Result<BundlePlace, ApiError>;
    /// Does something about updates; answers when it is done.
    fn update(&self, wish: UpdateWish) -> Pending<Value>;
}

impl DeployRequest {
    /// `<length of the manifest: 4 bytes, big endian><manifest><component>`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.manifest.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(4 + self.manifest.len() + self.component.len());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(self.manifest.as_bytes());
        bytes.extend_from_slice(&self.component);
        bytes
    }

    /// Reads what `to_bytes` wrote; none if it is cut or the manifest is no text.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (manifest, component) = rest.split_at_checked(length)?;
        Some(Self { manifest: std::str::from_utf8(manifest).ok()?.to_owned(), component: component.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deploy_request_survives_its_bytes() {
        let request = DeployRequest { manifest: "name = \"f\"".to_owned(), component: vec![0, 97, 115, 109] };
        let bytes = request.to_bytes();
        assert_eq!(DeployRequest::from_bytes(&bytes), Some(request));
        for cut in 0..14 {
            assert_eq!(DeployRequest::from_bytes(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(DeployRequest::from_bytes(&[0, 0, 0, 1, 0xff]), None);
        assert_eq!(DeployRequest::from_bytes(&[0xff, 0xff, 0xff, 0xff]), None);
    }
}
