//! What is asked of functions over HTTP: each change of what starts one is kept together with the change of its session.

use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_functions::{
    CatalogError, DeployError, InvocationContext, InvocationMessage, LIVE, Pointed, Runtime, Target, Trigger,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::clock::wall_ms;
use super::function_lines::FunctionLines;
use super::node_api::blocking;
use crate::http::{ApiError, DeployGoal, DeployRequest, FunctionWish, Pending};

/// Functions and their sessions.
#[derive(Clone)]
pub struct FunctionApi {
    /// What runs them.
    pub runtime: Arc<Runtime>,
    /// Their sessions.
    pub lines: Arc<FunctionLines>,
    /// Held while a function and its session change together.
    pub deploying: Arc<Mutex<()>>,
}

impl FunctionApi {
    /// Publishes a function, and makes it live if that is wanted.
    pub fn deploy(&self, request: DeployRequest, goal: DeployGoal) -> Result<Value, ApiError> {
        let _deploying = self.deploying.lock();
        let DeployRequest { manifest, component } = request;
        let deployed = match goal {
            DeployGoal::Live => self.runtime.deploy(&manifest, component),
            DeployGoal::Publish => self.runtime.publish(&manifest, component),
        };
        let deployed = deployed.map_err(refused)?;
        self.subscribe(&deployed.name, deployed.triggers.clone())?;
        value(&deployed)
    }

    /// Removes a function and its session.
    pub fn remove(&self, name: &str) -> Result<Value, ApiError> {
        let _deploying = self.deploying.lock();
        let removed =
            self.runtime.remove(name).map_err(|error| ApiError::new(500, format!("remove {name}: {error}")))?;
        if !removed {
            return Err(refused(DeployError::NoFunction(name.to_owned())));
        }
        self.lines.unsubscribe(name);
        self.lines.wait_durable().map_err(|error| {
            ApiError::unavailable(format!("{name} is removed, but the end of its session is not kept: {error}"))
        })?;
        tracing::info!(function = name, "function removed");
        Ok(json!({ "removed": name }))
    }

    /// Everything else.
    pub fn ask(&self, name: &str, wish: FunctionWish) -> Pending<Value> {
        let (functions, name) = (self.clone(), name.to_owned());
        match wish {
            FunctionWish::Versions => blocking(move || value(&functions.runtime.versions(&name).map_err(refused)?)),
            FunctionWish::Point { alias, to } => {
                blocking(move || functions.point_now(&name, |runtime| runtime.point(&name, &alias, to)))
            }
            FunctionWish::RollBack { alias } => {
                blocking(move || functions.point_now(&name, |runtime| runtime.roll_back(&name, &alias)))
            }
            FunctionWish::ForgetAlias { alias } => blocking(move || {
                functions.runtime.forget_alias(&name, &alias).map_err(refused)?;
                Ok(json!({ "removed": alias }))
            }),
            FunctionWish::Collect { keep } => {
                blocking(move || Ok(json!({ "removed": functions.runtime.collect(&name, keep).map_err(refused)? })))
            }
            FunctionWish::Invoke { at, message } => functions.invoke(name, at, *message),
            FunctionWish::Trial(wish) => functions.try_out(name, wish),
        }
    }

    pub(super) fn point_now(
        &self,
        name: &str,
        change: impl FnOnce(&Runtime) -> Result<Pointed, DeployError>,
    ) -> Result<Value, ApiError> {
        let _deploying = self.deploying.lock();
        let pointed = change(&self.runtime).map_err(refused)?;
        if pointed.alias == LIVE {
            self.subscribe(name, pointed.triggers.clone())?;
        }
        value(&pointed)
    }

    pub(super) fn subscribe(&self, name: &str, triggers: Option<Vec<Trigger>>) -> Result<(), ApiError> {
        self.lines.subscribe(name, triggers);
        self.lines
            .wait_durable()
            .map_err(|error| ApiError::unavailable(format!("{name} runs, but what starts it is not kept: {error}")))
    }

    fn invoke(&self, name: String, at: Target, message: InvocationMessage) -> Pending<Value> {
        let runtime = Arc::clone(&self.runtime);
        let (answer, answered) = tokio::sync::oneshot::channel();
        Box::pin(async move {
            let context = InvocationContext { received_ms: wall_ms(), ..InvocationContext::default() };
            // Whoever asked may be gone.
            let done = Box::new(move |result| drop(answer.send(result)));
            let asked = tokio::task::spawn_blocking(move || runtime.invoke_at(&name, &at, message, context, done));
            asked.await.map_err(|error| ApiError::new(500, error.to_string()))?.map_err(refused)?;
            match answered.await {
                Ok(Ok(success)) => value(&success),
                Ok(Err(error)) if error.deliver_again() => Err(ApiError::unavailable(error.to_string())),
                Ok(Err(error)) => Err(ApiError::new(422, error.to_string())),
                Err(_) => Err(ApiError::unavailable("the function did not answer")),
            }
        })
    }
}

pub(super) fn value(answer: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(answer).map_err(|error| ApiError::new(500, error.to_string()))
}

/// What is not there is 404, what was asked wrongly 422.
pub(super) fn refused(error: DeployError) -> ApiError {
    let status = match &error {
        DeployError::NoFunction(_)
        | DeployError::NotRecorded(_)
        | DeployError::Catalog(CatalogError::NoVersion { .. } | CatalogError::NoAlias { .. }) => 404,
        DeployError::NothingLive(_)
        | DeployError::Catalog(CatalogError::NothingBefore { .. } | CatalogError::Full(_) | CatalogError::IsLive(_)) => {
            409
        }
        _ => 422,
    };
    ApiError::new(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told_from_what_cannot_be() {
        assert_eq!(refused(DeployError::NoFunction("f".to_owned())).status, 404);
        let no_alias = CatalogError::NoAlias { alias: "beta".to_owned(), present: "live".to_owned() };
        assert_eq!(refused(no_alias.into()).status, 404);
        let nothing = CatalogError::NothingBefore { alias: LIVE.to_owned() };
        assert_eq!(refused(nothing.into()).status, 409);
        assert_eq!(refused(DeployError::Start("no".to_owned())).status, 422);
    }
}
