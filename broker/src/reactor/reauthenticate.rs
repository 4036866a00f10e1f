//! Clients that authenticate again while they are served (MQTT 5, 4.12.1): questions to the authentication thread, and its
//! answers.

use selvedge_codec::ReasonCode;
use selvedge_core::{ConnectionId, Input};

use super::Reactor;
use crate::{authentication::Verdict, handle::Command};

impl Reactor {
    /// A client has sent an AUTH with `data`.
    pub(super) fn reauthenticate(&mut self, id: ConnectionId, reason: ReasonCode, data: &[u8]) {
        let commands = self.commands.clone();
        let answer = move |verdict| {
            // A broker that has stopped asks no more.
            let _ = commands.push(Command::Authenticated { connection: id, verdict });
        };
        let Some(connection) = self.connections.connection(id) else { return };
        let login = connection.login.as_deref_mut();
        let Some((login, question)) = login.and_then(|login| login.question(reason, data).map(|asked| (login, asked)))
        else {
            // Not while the core keeps its order; answered as a command, because an effect is being carried out.
            answer(Verdict::Refuse(ReasonCode::ProtocolError));
            return;
        };
        match self.authentication.ask(question, Box::new(answer.clone())) {
            Ok(waiting) => login.waiting = Some(waiting),
            Err(busy) => {
                tracing::debug!(%busy, "client cannot authenticate again");
                self.connections.resources.statistics.authentications_busy += 1;
                answer(Verdict::Refuse(ReasonCode::ServerBusy));
            }
        }
    }

    /// The answer has come; the client may be gone. Gives what it cost.
    pub(super) fn reauthenticated(&mut self, id: ConnectionId, verdict: Verdict) -> usize {
        let Some(login) = self.connections.connection(id).and_then(|connection| connection.login.as_deref_mut()) else {
            return 0;
        };
        let outcome = login.outcome(verdict);
        self.handle(Input::Authenticated { connection: id, outcome })
    }
}
