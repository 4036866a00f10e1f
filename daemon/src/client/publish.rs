//! `selvedge pub`.

use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::{Context, bail};
use selvedge_codec::{QoS, ReasonCode, decode};

use super::connect_options::{self, ConnectOptions, qos};
use super::link::Link;
use super::payload_source::{Next, PayloadSource};
use super::session::{Event, OutgoingMessage, Session};
use crate::arguments::PublishArguments;
use crate::signals::Signals;

/// Publishes everything that the flags name and waits for the last acknowledgement.
///
/// # Errors
/// No connection, a lost one, or a message that the server refused.
pub fn run(arguments: &PublishArguments) -> anyhow::Result<()> {
    let (options, url_topic) = connect_options::from_arguments(&arguments.connection, "pub", super::random_u64()?)?;
    let topic = arguments.topic.clone().or(url_topic).unwrap_or_default();
    connect_options::check_topic_name(&topic)?;
    let interrupt = Signals::new().context("wait for signals")?;
    let mut source = PayloadSource::new(arguments).context("read the payload")?;
    let (link, greeting) = Link::open(&options)?;
    let mut publisher = Publisher {
        options: &options,
        topic: &topic,
        qos: qos(arguments.qos),
        retain: arguments.retain,
        window: usize::from(arguments.in_flight_max.min(greeting.receive_maximum)),
        session: Session::new(options.version),
        link,
    };
    let ended = publisher.publish_all(&mut source, &interrupt);
    let refused = publisher.session.refused();
    if ended.is_ok() {
        publisher.link.close(&options);
    }
    ended?;
    if refused > 0 {
        bail!("the server refused {refused} of the messages");
    }
    Ok(())
}

struct Publisher<'a> {
    options: &'a ConnectOptions,
    topic: &'a str,
    qos: QoS,
    retain: bool,
    window: usize,
    session: Session,
    link: Link,
}

impl Publisher<'_> {
    fn publish_all(&mut self, source: &mut PayloadSource<std::io::Stdin>, interrupt: &Signals) -> anyhow::Result<()> {
        loop {
            let (wants_input, due, ended) = self.publish_ready(source)?;
            if ended && self.session.in_flight() == 0 {
                return Ok(());
            }
            let input = if wants_input { source.descriptor() } else { None };
            let others: Vec<_> = [Some(interrupt.as_fd()), input].into_iter().flatten().collect();
            let ready = self.link.wait(&others, due)?;
            if ready.first {
                bail!("interrupted with {} messages unacknowledged", self.session.in_flight());
            }
            if ready.second {
                source.fill().context("read standard input")?;
            }
            if ready.server {
                self.link.fill()?;
                self.receive()?;
            }
        }
    }

    /// Publishes what is there and fits in the window. Gives: input is wanted; a time to wait for; nothing will come.
    fn publish_ready(
        &mut self,
        source: &mut PayloadSource<std::io::Stdin>,
    ) -> anyhow::Result<(bool, Option<Instant>, bool)> {
        let mut out = Vec::new();
        let state = loop {
            if self.session.in_flight() >= self.window {
                break (false, None, false);
            }
            match source.next(Instant::now()) {
                Next::Payload(payload) => {
                    let message = OutgoingMessage {
                        topic: self.topic,
                        payload: &payload,
                        qos: self.qos,
                        retain: self.retain,
                        properties: self.options.properties.publish.as_properties(),
                    };
                    self.session.publish(&message, &mut out).with_context(|| format!("publish to {}", self.topic))?;
                    self.link.send(&out)?;
                    out.clear();
                }
                Next::WaitForInput => break (true, None, false),
                Next::WaitUntil(due) => break (false, Some(due), false),
                Next::End => break (false, None, true),
            }
        };
        Ok(state)
    }

    fn receive(&mut self) -> anyhow::Result<()> {
        let mut answers = Vec::new();
        while let Some(frame) = self.link.take_frame()? {
            let packet = decode(self.options.version, &frame).map_err(super::link::LinkError::from)?;
            match self.session.receive(packet, &mut answers)? {
                Event::Done { reason, .. } if reason.is_error() && !self.options.quiet => {
                    eprintln!("selvedge pub: message refused: {reason:?}");
                }
                Event::Done { reason: ReasonCode::NoMatchingSubscribers, .. } if self.options.debug => {
                    eprintln!("no subscriber");
                }
                Event::Disconnected { reason, reason_string } => {
                    bail!(
                        "the server disconnected: {reason:?}{}",
                        reason_string.map_or_else(String::new, |words| format!(" - {words}"))
                    );
                }
                _ => {}
            }
        }
        if !answers.is_empty() {
            self.link.send(&answers)?;
        }
        Ok(())
    }
}
