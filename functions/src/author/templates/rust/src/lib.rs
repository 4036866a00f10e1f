//! Answers each message on `{{name}}/in/<who>` with a greeting on `{{name}}/out/<who>`, and counts them.
//!
//! Every message gets a fresh instance: what has to be remembered goes into the key-value store. Everything that a call
//! does takes effect when `handle` returns `Ok`, all at once; on an error nothing of it happens.

use exports::selvedge::function::handler::{Failure, Guest};
use selvedge::function::types::Message;
use selvedge::function::{env, kv, log};

wit_bindgen::generate!({ path: "wit", world: "function" });

struct Function;

export!(Function);

impl Guest for Function {
    /// `Err(Failure::Retry(..))` asks for the same message again later, `Err(Failure::Reject(..))` gives it up.
    fn handle(message: Message) -> Result<Vec<Message>, Failure> {
        let Some((prefix, who)) = message.topic.split_once("/in/") else {
            return Err(Failure::Reject("the topic has no /in/".into()));
        };
        let greeting = env::config("greeting").unwrap_or_else(|| "Hello".into());
        let number = kv::increment(&format!("greeted/{who}"), 1)
            .map_err(|error| Failure::Retry(format!("cannot count: {error:?}")))?;
        log::log(log::Level::Info, who, &format!("greeting number {number}"));

        let payload = format!(
            "{greeting} {who}, number {number}: {}",
            String::from_utf8_lossy(&message.payload)
        );
        Ok(vec![Message {
            topic: format!("{prefix}/out/{who}"),
            payload: payload.into_bytes(),
            ..message
        }])
    }
}
