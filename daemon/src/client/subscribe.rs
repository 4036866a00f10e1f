//! `selvedge sub`.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use selvedge_codec::{
    Packet, PublishProperties, QoS, RetainHandling, Subscribe, SubscribeFilter, Unsubscribe, UserProperties, decode,
    encode, topic,
};

use super::connect_options::{self, ConnectOptions, borrowed, qos};
use super::format::{Format, Received};
use super::link::{Link, LinkError};
use super::session::{Event, OutgoingMessage, Session};
use crate::arguments::SubscribeArguments;
use crate::arguments::broker_client::RetainHandlingName;
use crate::signals::Signals;

/// First pause before connecting again; doubles up to the last.
const RECONNECT_FIRST: Duration = Duration::from_secs(1);
const RECONNECT_LAST: Duration = Duration::from_secs(30);

/// Prints what arrives until a count, a time or a signal ends it.
///
/// # Errors
/// No first connection, every subscription refused, or the time was over before the count.
pub fn run(arguments: &SubscribeArguments) -> anyhow::Result<()> {
    let random = super::random_u64()?;
    let (options, url_topic) = connect_options::from_arguments(&arguments.connection, "sub", random)?;
    let interrupt = Signals::new().context("wait for signals")?;
    let now = Instant::now();
    let mut subscriber = Subscriber {
        arguments,
        options: &options,
        filters: arguments.topics.iter().cloned().chain(url_topic).collect(),
        format: output_format(arguments)?,
        session: Session::new(options.version),
        left: arguments.count,
        deadline: arguments.timeout_s.and_then(|seconds| now.checked_add(Duration::from_secs(seconds))),
        random,
    };
    subscriber.run(&interrupt)
}

fn output_format(arguments: &SubscribeArguments) -> anyhow::Result<Format> {
    let format = match (&arguments.format, arguments.json, arguments.verbose) {
        (Some(format), _, _) => format.as_str(),
        (None, true, _) => "%j",
        (None, false, true) => "%t %p",
        (None, false, false) => "%p",
    };
    Ok(Format::parse(format)?)
}

struct Subscriber<'a> {
    arguments: &'a SubscribeArguments,
    options: &'a ConnectOptions,
    filters: Vec<String>,
    format: Format,
    session: Session,
    left: Option<u64>,
    deadline: Option<Instant>,
    random: u64,
}

/// Why a connection is over.
enum End {
    /// As wanted.
    Done(Link),
    /// -W.
    TimeIsOver(Link),
    /// Try again.
    Lost(anyhow::Error),
}

impl Subscriber<'_> {
    fn run(&mut self, interrupt: &Signals) -> anyhow::Result<()> {
        let (mut link, greeting) = Link::open(self.options)?;
        let mut session_present = greeting.session_present;
        let mut pause = RECONNECT_FIRST;
        loop {
            match self.serve(link, session_present, interrupt)? {
                End::Done(link) => {
                    link.close(self.options);
                    return Ok(());
                }
                End::TimeIsOver(link) => {
                    link.close(self.options);
                    match self.left {
                        Some(left) => bail!("time is over, {left} messages have not come"),
                        None => return Ok(()),
                    }
                }
                End::Lost(error) => self.say(&format!("{error:#}; connecting again")),
            }
            loop {
                if self.rest(pause, interrupt)? {
                    return Ok(());
                }
                match Link::open(self.options) {
                    Ok((again, greeting)) => {
                        link = again;
                        session_present = greeting.session_present;
                        pause = RECONNECT_FIRST;
                        break;
                    }
                    Err(error) => {
                        self.say(&format!("{:#}", anyhow::Error::from(error)));
                        pause = (pause * 2).min(RECONNECT_LAST);
                    }
                }
            }
        }
    }

    fn say(&self, words: &str) {
        if !self.options.quiet {
            eprintln!("selvedge sub: {words}");
        }
    }

    /// Waits; true when the user wants an end.
    fn rest(&self, pause: Duration, interrupt: &Signals) -> anyhow::Result<bool> {
        let until = Instant::now() + pause;
        let until = self.deadline.map_or(until, |deadline| deadline.min(until));
        let timeout = rustix::event::Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        let mut wanted = [rustix::event::PollFd::from_borrowed_fd(interrupt.as_fd(), rustix::event::PollFlags::IN)];
        let count = rustix::event::poll(&mut wanted, timeout.as_ref()).context("wait for signals")?;
        if count == 0 && self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            bail!("time is over and the server cannot be reached");
        }
        Ok(count > 0)
    }

    /// One connection, from SUBSCRIBE to its end. What cannot be mended by connecting again is an error.
    fn serve(&mut self, mut link: Link, session_present: bool, interrupt: &Signals) -> anyhow::Result<End> {
        let mut out = Vec::new();
        self.session.connected(session_present, &mut out)?;
        self.ask(&mut out)?;
        if let Err(error) = link.send(&out) {
            return Ok(End::Lost(error.into()));
        }
        loop {
            match self.receive(&mut link)? {
                Outcome::GoOn => {}
                Outcome::Enough => return Ok(End::Done(link)),
                Outcome::Lost(error) => return Ok(End::Lost(error)),
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(End::TimeIsOver(link));
            }
            match link.wait(&[interrupt.as_fd()], self.deadline) {
                Ok(ready) if ready.first => return Ok(End::Done(link)),
                Ok(ready) if ready.server => {
                    if let Err(error) = link.fill() {
                        return Ok(End::Lost(error.into()));
                    }
                }
                Ok(_) => return Ok(End::TimeIsOver(link)),
                Err(error) => return Ok(End::Lost(error.into())),
            }
        }
    }

    /// Appends UNSUBSCRIBE and SUBSCRIBE as the flags say.
    fn ask(&mut self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let properties = &self.options.properties;
        if !self.arguments.unsubscribe.is_empty() {
            let user = borrowed(&properties.unsubscribe);
            let packet_id = self.session.fresh_id().context("no packet identifier is free")?;
            let filters = self.arguments.unsubscribe.iter().map(String::as_str).collect();
            let unsubscribe = Unsubscribe { packet_id, filters, user_properties: UserProperties::from_pairs(&user) };
            encode(self.options.version, &Packet::Unsubscribe(unsubscribe), out).context("unsubscribe")?;
        }
        if !self.filters.is_empty() {
            let user = borrowed(&properties.subscribe);
            let packet_id = self.session.fresh_id().context("no packet identifier is free")?;
            let filters = self.filters.iter().map(|filter| self.subscription(filter)).collect();
            let subscribe = Subscribe {
                packet_id,
                subscription_identifier: properties.subscription_identifier,
                user_properties: UserProperties::from_pairs(&user),
                filters,
            };
            encode(self.options.version, &Packet::Subscribe(subscribe), out)
                .with_context(|| format!("subscribe to {}", self.filters.join(" ")))?;
        }
        Ok(())
    }

    fn subscription<'f>(&self, filter: &'f str) -> SubscribeFilter<'f> {
        SubscribeFilter {
            filter,
            qos: qos(self.arguments.qos),
            no_local: self.arguments.no_local,
            retain_as_published: self.arguments.retain_as_published,
            retain_handling: match self.arguments.retain_handling {
                RetainHandlingName::Always => RetainHandling::SendAtSubscribe,
                RetainHandlingName::New => RetainHandling::SendIfNew,
                RetainHandlingName::Never => RetainHandling::DoNotSend,
            },
        }
    }

    /// Takes all packets that have arrived.
    fn receive(&mut self, link: &mut Link) -> anyhow::Result<Outcome> {
        let mut answers = Vec::new();
        let mut outcome = Outcome::GoOn;
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        while matches!(outcome, Outcome::GoOn) {
            let frame = match link.take_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return Ok(Outcome::Lost(error.into())),
            };
            let packet = match decode(self.options.version, &frame) {
                Ok(packet) => packet,
                Err(error) => return Ok(Outcome::Lost(LinkError::from(error).into())),
            };
            let event = match self.session.receive(packet, &mut answers) {
                Ok(event) => event,
                Err(error) => return Ok(Outcome::Lost(error.into())),
            };
            outcome = self.react(event, &mut answers, &mut stdout)?;
        }
        if let Err(error) = stdout.flush() {
            return outcome_of_print(error);
        }
        if !answers.is_empty()
            && let Err(error) = link.send(&answers)
        {
            return Ok(Outcome::Lost(error.into()));
        }
        Ok(outcome)
    }

    fn react(&mut self, event: Event<'_>, answers: &mut Vec<u8>, stdout: &mut impl Write) -> anyhow::Result<Outcome> {
        match event {
            Event::Message { publish, topic } => {
                let received = Received { topic: &topic, publish };
                self.message(&received, answers, stdout)
            }
            Event::Subscribed { reasons, .. } => {
                let refused = reasons.iter().filter(|reason| reason.is_error()).count();
                if !reasons.is_empty() && refused == reasons.len() {
                    bail!("all subscriptions were refused: {reasons:?}");
                }
                for (filter, reason) in self.filters.iter().zip(&reasons).filter(|(_, reason)| reason.is_error()) {
                    self.say(&format!("subscription to {filter} refused: {reason:?}"));
                }
                Ok(if self.arguments.exit_when_subscribed { Outcome::Enough } else { Outcome::GoOn })
            }
            Event::Unsubscribed { .. } if self.filters.is_empty() => Ok(Outcome::Enough),
            Event::Disconnected { reason, reason_string } => Ok(Outcome::Lost(anyhow::anyhow!(
                "the server disconnected: {reason:?}{}",
                reason_string.map_or_else(String::new, |words| format!(" - {words}"))
            ))),
            _ => Ok(Outcome::GoOn),
        }
    }

    fn message(
        &mut self,
        received: &Received<'_>,
        answers: &mut Vec<u8>,
        stdout: &mut impl Write,
    ) -> anyhow::Result<Outcome> {
        let retained = received.publish.retain;
        if self.arguments.retained_only && !retained {
            return Ok(Outcome::Enough);
        }
        if retained && self.arguments.remove_retained {
            let removal = OutgoingMessage {
                topic: received.topic,
                payload: b"",
                qos: QoS::AtLeastOnce,
                retain: true,
                properties: PublishProperties::default(),
            };
            self.session
                .publish(&removal, answers)
                .with_context(|| format!("remove the retained message of {}", received.topic))?;
        }
        let hidden = retained && self.arguments.no_retained
            || self.arguments.filter_out.iter().any(|filter| topic::matches(filter, received.topic))
            || self.left_out_by_chance();
        if hidden {
            return Ok(Outcome::GoOn);
        }
        let mut line = self.format.apply(received, SystemTime::now());
        if !self.arguments.no_newline {
            line.push(b'\n');
        }
        if let Err(error) = stdout.write_all(&line) {
            return outcome_of_print(error);
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(if self.left == Some(0) { Outcome::Enough } else { Outcome::GoOn })
    }

    /// A sequence that is random enough to thin out a display (xorshift).
    fn left_out_by_chance(&mut self) -> bool {
        let Some(percent) = self.arguments.random_filter else { return false };
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % 1_000_000) as f64 >= percent * 10_000.0
    }
}

/// What to do after a packet.
enum Outcome {
    GoOn,
    Enough,
    Lost(anyhow::Error),
}

/// Whoever read our output (`| head -1`) has enough; anything else is an error.
fn outcome_of_print(error: io::Error) -> anyhow::Result<Outcome> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(Outcome::Enough),
        _ => Err(error).context("print"),
    }
}
