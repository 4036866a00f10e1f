//! Carrying out what other threads ask for, in their order, so much at a time.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use selvedge_core::{ConnectionId, Input, Message};

use super::{Reactor, consumer::Consumer};
use crate::{
    handle::{Command, Subscription},
    statistics::Snapshot,
};

impl Reactor {
    /// Carry out commands until there are none or they had their share of this turn. Gives `true` if some are left.
    pub(super) fn run_commands(&mut self) -> bool {
        let taken = self.commands.take_into(&mut self.backlog);
        self.connections.resources.statistics.commands += taken as u64;
        let mut cost = 0;
        while let Some(command) = self.backlog.pop_front() {
            if cost >= self.config.effects_per_turn_max {
                self.backlog.push_front(command);
                return true;
            }
            cost += 1 + self.run(command, cost);
        }
        false
    }

    /// Publish until the share of this turn is used up; the rest is put back.
    fn run_publish(&mut self, mut messages: VecDeque<Message>, bytes: usize, before: usize) -> usize {
        let mut cost = 0;
        while let Some(message) = messages.pop_front() {
            cost += 1 + self.handle(Input::Publish { message: Arc::new(message) });
            if before + cost >= self.config.effects_per_turn_max && !messages.is_empty() {
                self.backlog.push_front(Command::Publish { messages, bytes });
                return cost;
            }
        }
        self.commands.done(bytes);
        cost
    }

    /// Carry out one command; gives what it cost, after `before` in this turn.
    fn run(&mut self, command: Command, before: usize) -> usize {
        match command {
            Command::Publish { messages, bytes } => self.run_publish(messages, bytes, before),
            Command::Attach { key, client_id, receive_maximum, subscriptions, sink } => {
                let consumer = Consumer { key, sink, deliveries: Vec::new(), ended: false };
                let connection = self.connections.insert_consumer(consumer);
                self.attachments.insert(key, connection);
                self.handle(Input::Attach { connection, client_id, receive_maximum })
                    + self.subscribe(connection, &subscriptions)
            }
            Command::Subscribe { key, subscriptions } => {
                self.attached(key).map_or(0, |connection| self.subscribe(connection, &subscriptions))
            }
            Command::Unsubscribe { key, filters } => self.attached(key).map_or(0, |connection| {
                filters.iter().map(|filter| self.handle(Input::UnsubscribeInternal { connection, filter })).sum()
            }),
            Command::Acknowledge { key, packet_ids, outputs, bytes } => {
                self.commands.done(bytes);
                // All of it in this turn: outputs and acknowledgement belong together.
                let published = outputs
                    .into_iter()
                    .map(|message| self.handle(Input::Publish { message: Arc::new(message) }))
                    .sum::<usize>();
                let Some(connection) = self.attached(key) else { return published };
                packet_ids
                    .into_iter()
                    .map(|packet_id| self.handle(Input::Acknowledge { connection, packet_id }))
                    .sum::<usize>()
                    + published
            }
            Command::Detach { key } => self.leave(key, |connection| Input::Detach { connection }),
            Command::Release { key } => self.leave(key, |connection| Input::Closed { connection }),
            Command::Open => {
                self.opened.send_replace(true);
                0
            }
            Command::Statistics { answer } => {
                // Whoever asked may have given up.
                let _ = answer.send(self.snapshot());
                0
            }
            Command::Shutdown { deadline } => self.shut_down(deadline),
        }
    }

    fn attached(&self, key: u64) -> Option<ConnectionId> {
        self.attachments.get(&key).copied()
    }

    fn subscribe(&mut self, connection: ConnectionId, subscriptions: &[Subscription]) -> usize {
        subscriptions
            .iter()
            .map(|(filter, qos)| self.handle(Input::SubscribeInternal { connection, filter, qos: *qos }))
            .sum()
    }

    fn leave(&mut self, key: u64, input: fn(ConnectionId) -> Input<'static>) -> usize {
        let Some(connection) = self.attachments.remove(&key) else { return 0 };
        let cost = self.handle(input(connection));
        self.connections.remove(connection);
        cost
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut shell = self.connections.resources.statistics.clone();
        self.half_open.count_into(&mut shell);
        Snapshot { core: self.core.statistics().clone(), shell }
    }

    /// Accept nothing more, tell every client, and close.
    fn shut_down(&mut self, deadline: Duration) -> usize {
        for listener in self.listeners.drain(..) {
            listener.abort();
        }
        self.half_open.end_all();
        self.stopping = true;
        self.stop_at_the_latest_in(deadline);
        let cost = self.handle(Input::Shutdown);
        self.stop_if_last();
        cost
    }
}
