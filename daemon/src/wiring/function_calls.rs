//! Functions that somebody waits for: which of their routes a HTTP request is for, how often, and what became of it as an answer.
//!
//! The runtime stops what nobody waits for any more; nothing here outlives the request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use selvedge_functions::{
    Bucket, Caller, HttpMethod, HttpRoute, InvocationContext, InvocationError, InvocationMessage, InvocationResult,
    RouteMatch, Runtime, Trigger, Wanted, find_route,
};

use super::clock::wall_ms;
use crate::http::{ApiError, FoundRoute, FunctionCall, Pending, RouteAnswer};

/// What a caller whose function cannot run now is asked to wait, seconds.
const NOT_READY_S: u64 = 5;

/// The routes of all functions.
#[derive(Default)]
pub struct FunctionCalls {
    functions: RwLock<BTreeMap<String, Routes>>,
}

#[derive(Default)]
struct Routes {
    routes: Vec<Arc<Route>>,
    /// By the hundreds of the status, from 2xx.
    answers: Arc<[AtomicU64; 4]>,
}

struct Route {
    /// What the runtime knows it by.
    filter: String,
    route: Arc<HttpRoute>,
    /// What is left of its rate, and from when its time counts.
    rate: Mutex<Option<(Bucket, Instant)>>,
}

impl FunctionCalls {
    /// The function has these triggers now. Of a route that stays, the rate goes on.
    pub fn set(&self, name: &str, triggers: &[Trigger]) {
        let mut functions = self.functions.write();
        let mut before = functions.remove(name).unwrap_or_default();
        let routes = triggers.iter().filter_map(|trigger| Some((trigger, trigger.http_route()?)));
        let routes: Vec<Arc<Route>> = routes
            .map(|(trigger, route)| {
                let same = |old: &Arc<Route>| old.filter == trigger.mqtt && *old.route == *route;
                match before.routes.iter().position(same) {
                    Some(index) => before.routes.swap_remove(index),
                    None => Arc::new(Route {
                        filter: trigger.mqtt.clone(),
                        route: Arc::new(route.clone()),
                        rate: Mutex::default(),
                    }),
                }
            })
            .collect();
        if !routes.is_empty() {
            functions.insert(name.to_owned(), Routes { routes, answers: before.answers });
        }
    }

    /// Which route a request is for.
    pub fn find(&self, name: &str, method: Option<HttpMethod>, path: &str) -> RouteAnswer {
        let functions = self.functions.read();
        let Some(function) = functions.get(name) else { return RouteAnswer::NoRoute };
        match find_route(&function.routes, |route| &route.route, method, path) {
            RouteMatch::Found { route, parameters } => RouteAnswer::Found(FoundRoute {
                filter: route.filter.clone(),
                route: Arc::clone(&route.route),
                parameters,
            }),
            RouteMatch::WrongMethod(methods) => RouteAnswer::WrongMethod(methods),
            RouteMatch::NoRoute => RouteAnswer::NoRoute,
            RouteMatch::NoPath => RouteAnswer::NoPath,
        }
    }

    /// How often requests were answered with each class of status.
    pub fn answers(&self, name: &str) -> [u64; 4] {
        let functions = self.functions.read();
        functions
            .get(name)
            .map_or([0; 4], |function| std::array::from_fn(|class| function.answers[class].load(Ordering::Relaxed)))
    }

    fn route(&self, name: &str, filter: &str) -> Option<(Arc<Route>, Arc<[AtomicU64; 4]>)> {
        let functions = self.functions.read();
        let function = functions.get(name)?;
        let route = function.routes.iter().find(|route| route.filter == filter)?;
        Some((Arc::clone(route), Arc::clone(&function.answers)))
    }

    /// Runs a function for somebody who waits; dropped, it does not run, or is stopped.
    pub fn call(&self, runtime: &Runtime, call: FunctionCall) -> Pending<Option<InvocationMessage>> {
        let Some((route, answers)) = self.route(&call.function, &call.filter) else {
            let gone = format!("function {:?} has no such route any more", call.function);
            return Box::pin(std::future::ready(Err(ApiError::not_found(gone))));
        };
        let began = begin(runtime, &route, call);
        Box::pin(async move {
            let answer = match began {
                Ok((deadline, answered)) => {
                    let ended = tokio::time::timeout_at(deadline.into(), answered).await;
                    ended.map_or(Err(InvocationError::CallerLeft), |ended| {
                        ended.unwrap_or(Err(InvocationError::Stopping))
                    })
                }
                Err(refusal) => {
                    count(&answers, refusal.status);
                    return Err(refusal);
                }
            };
            let answer = answer.map(|success| success.replies.into_iter().next()).map_err(|error| refused(&error));
            count(&answers, answer.as_ref().map_or_else(|error| error.status, status_of));
            answer
        })
    }
}

type Began = (Instant, Answered);

/// The end of an invocation; dropped, nobody waits for it.
struct Answered {
    answered: tokio::sync::oneshot::Receiver<InvocationResult>,
    _waiting: selvedge_functions::Waiting,
}

impl Future for Answered {
    type Output = Result<InvocationResult, tokio::sync::oneshot::error::RecvError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.answered).poll(context)
    }
}

fn begin(runtime: &Runtime, route: &Route, call: FunctionCall) -> Result<Began, ApiError> {
    let now = Instant::now();
    route.take(now)?;
    let deadline = now + Duration::from_millis(route.route.timeout_ms);
    let (caller, waiting) = Caller::new(deadline, Wanted::HttpResponse);
    let trace_parent =
        call.message.properties.user_properties.iter().find(|(name, _)| name == "http-header-traceparent");
    let context = InvocationContext {
        client_id: call.user,
        matched_filter: call.filter,
        received_ms: wall_ms(),
        trace_parent: trace_parent.map(|(_, value)| value.clone()),
        caller: Some(caller),
        ..InvocationContext::default()
    };
    let (answer, answered) = tokio::sync::oneshot::channel();
    // Whoever asked may be gone.
    runtime.invoke(&call.function, call.message, context, Box::new(move |result| drop(answer.send(result))));
    Ok((deadline, Answered { answered, _waiting: waiting }))
}

impl Route {
    fn take(&self, now: Instant) -> Result<(), ApiError> {
        let Some(rate) = self.route.rate else { return Ok(()) };
        let mut left = self.rate.lock();
        let (bucket, began) = left.get_or_insert_with(|| (Bucket::new(rate, Duration::ZERO), now));
        let now = now.saturating_duration_since(*began);
        bucket.take(rate, now).map_err(|until| ApiError {
            retry_after_s: Some(until.saturating_sub(now).as_millis().div_ceil(1000) as u64),
            ..ApiError::new(429, "this route is called too often")
        })
    }
}

fn status_of(reply: &Option<InvocationMessage>) -> u16 {
    let reply = reply.as_ref().map(selvedge_functions::HttpResponse::of);
    reply.map_or(204, |reply| reply.map_or(500, |response| response.status))
}

fn count(answers: &[AtomicU64; 4], status: u16) {
    if let Some(class) = usize::from(status / 100).checked_sub(2).and_then(|class| answers.get(class)) {
        class.fetch_add(1, Ordering::Relaxed);
    }
}

/// How a function that did not answer is told to its caller. What went wrong inside stands in the function's log.
fn refused(error: &InvocationError) -> ApiError {
    let later = |seconds: u64, words: String| ApiError { retry_after_s: Some(seconds), ..ApiError::unavailable(words) };
    match error {
        InvocationError::Rejected { reason } => ApiError::new(422, reason.as_str()),
        InvocationError::Failed { reason, .. } => later(1, reason.clone()),
        InvocationError::TimedOut { .. } | InvocationError::CallerLeft => {
            ApiError::new(504, "the function did not answer in time")
        }
        InvocationError::NotDeployed { .. } | InvocationError::Removed { .. } => ApiError::not_found(error.to_string()),
        InvocationError::NotReady { .. } | InvocationError::CircuitOpen { .. } => later(NOT_READY_S, error.to_string()),
        InvocationError::Conflict { .. } => later(1, "the function collided with other writers".to_owned()),
        error if error.deliver_again() => later(1, error.to_string()),
        _ => ApiError::new(500, "the function failed; its log says why"),
    }
}

#[cfg(test)]
mod tests {
    use selvedge_functions::{Config, Manifest};

    use super::*;

    fn triggers(text: &str) -> Vec<Trigger> {
        Manifest::parse(&format!("name = \"f\"\n{text}"), &Config::default()).unwrap().triggers
    }

    fn found(calls: &FunctionCalls, method: HttpMethod, path: &str) -> Option<FoundRoute> {
        match calls.find("f", Some(method), path) {
            RouteAnswer::Found(found) => Some(found),
            _ => None,
        }
    }

    #[test]
    fn requests_find_the_routes_of_their_function_until_it_has_none() {
        let calls = FunctionCalls::default();
        calls.set("f", &triggers("[[trigger]]\nhttp = \"/a/{id}\"\n[[trigger]]\nmqtt = \"a\""));
        let route = found(&calls, HttpMethod::Post, "/a/7").unwrap();
        assert_eq!(route.parameters, [("id".to_owned(), "7".to_owned())]);
        assert!(matches!(calls.find("g", Some(HttpMethod::Post), "/a/7"), RouteAnswer::NoRoute));
        assert!(matches!(calls.find("f", Some(HttpMethod::Get), "/a/7"), RouteAnswer::WrongMethod(_)));
        calls.set("f", &[]);
        assert!(found(&calls, HttpMethod::Post, "/a/7").is_none());
    }

    #[test]
    fn a_route_that_stays_keeps_its_rate_and_one_that_changes_begins_anew() {
        let calls = FunctionCalls::default();
        let text = "[[trigger]]\nhttp = \"/a\"\nrate_per_s = 1\nburst = 2";
        let take = |now| {
            let filter = found(&calls, HttpMethod::Post, "/a").unwrap().filter;
            calls.route("f", &filter).unwrap().0.take(now).map_err(|error| (error.status, error.retry_after_s))
        };
        let now = Instant::now();
        calls.set("f", &triggers(text));
        assert_eq!((take(now), take(now)), (Ok(()), Ok(())));
        calls.set("f", &triggers(text));
        assert_eq!(take(now), Err((429, Some(1))));
        assert_eq!(take(now + Duration::from_secs(1)), Ok(()));
        calls.set("f", &triggers(&text.replace("burst = 2", "burst = 3")));
        assert_eq!(take(now), Ok(()));
    }

    #[test]
    fn each_end_has_its_status() {
        let reason = || "no".to_owned();
        let function = || "f".to_owned();
        for (error, status, retries) in [
            (InvocationError::Rejected { reason: reason() }, 422, false),
            (InvocationError::Failed { reason: reason(), attempts: 3 }, 503, true),
            (InvocationError::TimedOut { limit_ms: 1, attempts: 1 }, 504, false),
            (InvocationError::CallerLeft, 504, false),
            (InvocationError::Overloaded { function: function() }, 503, true),
            (InvocationError::NotReady { function: function() }, 503, true),
            (InvocationError::CircuitOpen { function: function() }, 503, true),
            (InvocationError::Removed { function: function() }, 404, false),
            (InvocationError::Trapped { reason: reason(), attempts: 1 }, 500, false),
        ] {
            let answer = refused(&error);
            assert_eq!((answer.status, answer.retry_after_s.is_some()), (status, retries), "{error}");
        }
        assert!(
            !refused(&InvocationError::Trapped { reason: "secret".to_owned(), attempts: 1 }).message.contains("secret")
        );
    }
}
