//! Carrying out what other threads ask for, in their order, so much at a time.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use selvedge_codec::PacketId;
use selvedge_core::{ConnectionId, Input, Message};

use super::{Reactor, consumer::Consumer};
use crate::{
    handle::{Client, Command, Subscription},
    journal::Alongside,
    statistics::Snapshot,
};

/// What commands may still take of a turn.
struct Share {
    cost: usize,
    until: Instant,
}

impl Share {
    /// Something cost `cost`; gives `true` if that was the last of it. The time is looked at now and then only.
    fn spend(&mut self, cost: usize) -> bool {
        const LOOK_AT_CLOCK: usize = 32;
        let before = self.cost;
        self.cost = self.cost.saturating_sub(1 + cost);
        if before / LOOK_AT_CLOCK != self.cost / LOOK_AT_CLOCK && Instant::now() >= self.until {
            self.cost = 0;
        }
        self.is_spent()
    }

    fn is_spent(&self) -> bool {
        self.cost == 0
    }
}

impl Reactor {
    /// Carry out commands until there are none or they had their share of this turn. Gives `true` if some are left.
    pub(super) fn run_commands(&mut self) -> bool {
        let taken = self.commands.take_into(&mut self.backlog);
        self.connections.resources.statistics.commands += taken as u64;
        if self.backlog.is_empty() {
            return false;
        }
        let until = Instant::now() + self.turn_share();
        let mut share = Share { cost: self.config.effects_per_turn_max.max(1), until };
        while let Some(command) = self.backlog.pop_front() {
            if let Some(rest) = self.run(command, &mut share) {
                self.backlog.push_front(rest);
            }
            if share.is_spent() {
                break;
            }
        }
        !self.backlog.is_empty()
    }

    /// Carry out one command as far as its share goes; gives what is left of it.
    fn run(&mut self, command: Command, share: &mut Share) -> Option<Command> {
        match command {
            Command::Publish { mut messages, bytes } => {
                if !self.publish(&mut messages, share) {
                    return Some(Command::Publish { messages, bytes });
                }
                self.commands.done(bytes);
            }
            Command::Attach { key, client_id, receive_maximum, subscriptions, sink } => {
                let consumer = Consumer::new(key, sink);
                let connection = self.connections.insert_consumer(consumer);
                self.attachments.insert(key, connection);
                share.spend(self.handle(Input::Attach { connection, client_id, receive_maximum }));
                return self.set_subscriptions(key, subscriptions?, share);
            }
            Command::SetSubscriptions { key, subscriptions } => {
                return self.set_subscriptions(key, subscriptions, share);
            }
            Command::Subscribe { key, subscriptions } => return self.subscribe(key, subscriptions, share),
            Command::Acknowledge { key, packet_ids, mut outputs, bytes } => {
                // What was put out comes before what it came of is acknowledged, and nothing of others in between.
                if !self.publish(&mut outputs, share) {
                    return Some(Command::Acknowledge { key, packet_ids, outputs, bytes });
                }
                self.commands.done(bytes);
                return self.acknowledge(key, packet_ids, share);
            }
            Command::Commit { key, packet_ids, outputs, alongside, bytes } => {
                share.spend(self.commit(key, packet_ids, outputs, alongside));
                self.commands.done(bytes);
            }
            Command::Fetched { session, messages } => {
                share.spend(self.fetched(session, &messages));
            }
            Command::SetInterceptors { interceptors, sink } => {
                share.spend(self.set_interceptors(interceptors, sink));
            }
            Command::Intercepted { ticket, outcome } => {
                share.spend(self.intercepted(ticket, outcome));
            }
            Command::WriteImage => {
                share.spend(self.handle(Input::WriteImage));
            }
            Command::Detach { key } => self.leave(key, share, |connection| Input::Detach { connection }),
            Command::Release { key } => self.leave(key, share, |connection| Input::Closed { connection }),
            Command::Open => {
                share.spend(self.handle(Input::EndUnclaimed));
                self.opened.send_replace(true);
            }
            Command::Authenticated { connection, verdict } => {
                share.spend(self.reauthenticated(connection, verdict));
            }
            Command::SetRules { authorizer } => {
                share.spend(self.handle(Input::RulesChanged { authorizer }));
            }
            Command::Statistics { answer } => {
                // Whoever asked may have given up.
                let _ = answer.send(self.snapshot());
                share.spend(0);
            }
            Command::Clients { answer } => {
                let clients = self.clients();
                share.spend(clients.len());
                let _ = answer.send(clients);
            }
            Command::TakeOffenders { answer } => {
                let _ = answer.send(self.connections.resources.offenders.take());
                share.spend(0);
            }
            Command::Shutdown { deadline } => {
                share.spend(self.shut_down(deadline));
            }
        }
        None
    }

    /// All of it in this turn, and so in one entry of the journal.
    fn commit(
        &mut self,
        key: Option<u64>,
        packet_ids: Vec<PacketId>,
        outputs: Vec<Message>,
        alongside: Option<Alongside>,
    ) -> usize {
        let connection = key.and_then(|key| self.attached(key));
        // What came of a delivery of QoS 0 alone need not wait for anything.
        let is_kept = alongside.is_some() || !packet_ids.is_empty();
        let mut cost = 0;
        for message in outputs {
            let message = Arc::new(message);
            cost += self.handle(if is_kept { Input::PublishCommitted { message } } else { Input::Publish { message } });
        }
        if let Some(connection) = connection {
            for packet_id in packet_ids {
                cost += self.handle(Input::Acknowledge { connection, packet_id });
            }
        }
        if let (Some(keeping), Some(alongside)) = (&mut self.keeping, alongside) {
            keeping.alongside.push(alongside);
        }
        cost
    }

    /// Gives `false` if messages are left.
    fn publish(&mut self, messages: &mut VecDeque<Message>, share: &mut Share) -> bool {
        while let Some(message) = messages.pop_front() {
            if share.spend(self.handle(Input::Publish { message: Arc::new(message) })) {
                break;
            }
        }
        messages.is_empty()
    }

    fn acknowledge(&mut self, key: u64, mut packet_ids: VecDeque<PacketId>, share: &mut Share) -> Option<Command> {
        let connection = self.attached(key)?;
        while !share.is_spent()
            && let Some(packet_id) = packet_ids.pop_front()
        {
            share.spend(self.handle(Input::Acknowledge { connection, packet_id }));
        }
        let outputs = VecDeque::new();
        (!packet_ids.is_empty()).then_some(Command::Acknowledge { key, packet_ids, outputs, bytes: 0 })
    }

    fn set_subscriptions(
        &mut self,
        key: u64,
        subscriptions: VecDeque<Subscription>,
        share: &mut Share,
    ) -> Option<Command> {
        let connection = self.attached(key)?;
        let filters: Vec<&str> = subscriptions.iter().map(|(filter, _)| &**filter).collect();
        share.spend(self.handle(Input::KeepSubscriptions { connection, filters: &filters }));
        self.subscribe(key, subscriptions, share)
    }

    fn subscribe(&mut self, key: u64, mut subscriptions: VecDeque<Subscription>, share: &mut Share) -> Option<Command> {
        let connection = self.attached(key)?;
        while !share.is_spent()
            && let Some((filter, qos)) = subscriptions.pop_front()
        {
            share.spend(self.handle(Input::SubscribeInternal { connection, filter: &filter, qos }));
        }
        (!subscriptions.is_empty()).then_some(Command::Subscribe { key, subscriptions })
    }

    fn attached(&self, key: u64) -> Option<ConnectionId> {
        self.attachments.get(&key).copied()
    }

    fn leave(&mut self, key: u64, share: &mut Share, input: fn(ConnectionId) -> Input<'static>) {
        let Some(connection) = self.attachments.remove(&key) else { return };
        share.spend(self.handle(input(connection)));
        self.connections.remove(connection);
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut shell = self.connections.resources.statistics.clone();
        self.half_open.count_into(&mut shell);
        self.encryption.buffers.count_into(&mut shell);
        self.authentication.count_into(&mut shell);
        shell.addresses_forgotten = self.admission.forgotten();
        shell.longest_turn_us = u64::try_from(self.turn_times.longest(self.now).as_micros()).unwrap_or(u64::MAX);
        Snapshot { core: self.core.statistics().clone(), shell }
    }

    fn clients(&self) -> Vec<Client> {
        let open = self.connections.open();
        let known = open.filter_map(|(id, connection)| {
            Some(Client {
                client_id: self.core.client_id(id)?.clone(),
                address: connection.peer,
                bytes_in: connection.bytes_in,
                bytes_out: connection.bytes_out,
            })
        });
        known.collect()
    }

    /// Accept nothing more, tell every client, and close.
    fn shut_down(&mut self, deadline: Duration) -> usize {
        for listener in self.listeners.drain(..) {
            listener.abort();
        }
        self.half_open.end_all();
        self.stopping = true;
        // Nobody is served any more who could be kept waiting.
        self.leavers.widen(usize::MAX);
        self.stop_at_the_latest_in(deadline);
        let cost = self.handle(Input::Shutdown);
        self.stop_if_last();
        cost
    }
}
