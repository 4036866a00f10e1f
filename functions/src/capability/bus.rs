//! `bus`: publish. The messages go out before the returned ones.

use crate::bindings::selvedge::function::bus::{Error, Host, Message};
use crate::invocation::InvocationState;
use crate::outputs::OutputRefusal;

impl Host for InvocationState {
    fn publish(&mut self, message: Message) -> Result<(), Error> {
        self.outputs.push(&self.deployment, message.into()).map_err(|refusal| match refusal {
            OutputRefusal::Invalid(reason) => Error::Invalid(reason),
            OutputRefusal::Denied(reason) => Error::Denied(reason),
            OutputRefusal::Quota(reason) => Error::Quota(reason),
        })
    }
}
