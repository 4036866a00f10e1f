//! The way of one message through the functions that intercept it. Pure: who is asked next, and what came of it at the end.
//!
//! Functions are asked by their order and then their name, each at most once for a message: what one returns goes on to those behind
//! it whose filters match its topic then. Invariant: it ends after as many questions as there are messages times functions, and both
//! are bounded.

use std::collections::VecDeque;

use serde::Serialize;

use crate::message::InvocationMessage;
use crate::topic;

/// Messages that one message may become.
const MESSAGES_MAX: usize = 256;

/// What becomes of a message when a function that intercepts it does not come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It goes on as it came to the function.
    Pass,
    /// Nobody gets it, and its client is told where the protocol has words for that.
    Drop,
}

/// How a function intercepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterceptRule {
    /// Its place among others, the smallest first.
    pub order: u32,
    /// How long a message may be held for it. Milliseconds.
    pub timeout_ms: u64,
    /// What becomes of a message that it does not answer for.
    pub on_failure: OnFailure,
}

/// One function on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// The function.
    pub function: String,
    /// Of the topics.
    pub filter: String,
    /// How.
    pub rule: InterceptRule,
}

/// All functions that intercept, in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Itinerary(Vec<Station>);

impl Itinerary {
    /// Puts them in order.
    pub fn new(mut stations: Vec<Station>) -> Self {
        stations.sort_by(|left, right| {
            (left.rule.order, &left.function, &left.filter).cmp(&(right.rule.order, &right.function, &right.filter))
        });
        Self(stations)
    }

    /// In order.
    pub fn stations(&self) -> &[Station] {
        &self.0
    }

    /// The first station from `from` on that is for the topic.
    fn next(&self, topic: &str, from: usize) -> Option<usize> {
        let rest = self.0.iter().enumerate().skip(from);
        rest.into_iter().find(|(_, station)| topic::filter_matches(&station.filter, topic)).map(|(index, _)| index)
    }
}

/// What a function came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StationEnd {
    /// It returned these.
    Returned(Vec<InvocationMessage>),
    /// It does not want the message.
    Rejected,
    /// It did not come to an end.
    Failed,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the function of this station about this message.
    Ask {
        /// Index in the itinerary.
        station: usize,
        /// The message.
        message: InvocationMessage,
    },
    /// It is over.
    Arrived(Arrival),
}

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing was changed.
    AsItCame,
    /// These in its place.
    Instead(Vec<InvocationMessage>),
    /// Nobody gets it, and its client is told why.
    Refused(&'static str),
}

/// One message on its way.
#[derive(Clone, Debug)]
pub struct Passage {
    /// With the station from which on it has not been asked about.
    open: VecDeque<(InvocationMessage, usize)>,
    asked: Option<(InvocationMessage, usize)>,
    arrived: Vec<InvocationMessage>,
    is_changed: bool,
    refused: Option<&'static str>,
}

impl Passage {
    /// At its beginning.
    pub fn new(message: InvocationMessage) -> Self {
        Self {
            open: VecDeque::from([(message, 0)]),
            asked: None,
            arrived: Vec::new(),
            is_changed: false,
            refused: None,
        }
    }

    /// What is to be done; after an `Ask`, [`Passage::ended`] comes first.
    pub fn step(&mut self, itinerary: &Itinerary) -> Step {
        while let Some((message, from)) = self.open.pop_front() {
            match itinerary.next(&message.topic, from) {
                Some(station) => {
                    self.asked = Some((message.clone(), station));
                    return Step::Ask { station, message };
                }
                None => self.arrived.push(message),
            }
        }
        let arrived = std::mem::take(&mut self.arrived);
        Step::Arrived(match self.refused {
            Some(words) if arrived.is_empty() => Arrival::Refused(words),
            None if !self.is_changed => Arrival::AsItCame,
            _ => Arrival::Instead(arrived),
        })
    }

    /// What the function that was asked came to. True when it changed something.
    pub fn ended(&mut self, itinerary: &Itinerary, end: StationEnd) -> bool {
        let Some((message, station)) = self.asked.take() else { return false };
        let on_failure = itinerary.stations().get(station).map_or(OnFailure::Drop, |station| station.rule.on_failure);
        match (end, on_failure) {
            (StationEnd::Failed, OnFailure::Pass) => self.go_on(vec![message], station),
            (StationEnd::Failed, OnFailure::Drop) => self.refuse("a function that has to look at this message failed"),
            (StationEnd::Rejected, _) => self.refuse("a function does not want this message"),
            (StationEnd::Returned(messages), _) => {
                let is_same = messages.as_slice() == std::slice::from_ref(&message);
                if self.open.len() + self.arrived.len() + messages.len() > MESSAGES_MAX {
                    self.refuse("functions made too many messages of this one");
                    return true;
                }
                self.is_changed |= !is_same;
                self.go_on(messages, station);
                return !is_same;
            }
        }
        false
    }

    fn go_on(&mut self, messages: Vec<InvocationMessage>, station: usize) {
        for message in messages.into_iter().rev() {
            self.open.push_front((message, station + 1));
        }
    }

    fn refuse(&mut self, words: &'static str) {
        self.refused.get_or_insert(words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str) -> InvocationMessage {
        InvocationMessage { topic: topic.to_owned(), ..InvocationMessage::default() }
    }

    fn station(function: &str, filter: &str, order: u32, on_failure: OnFailure) -> Station {
        let rule = InterceptRule { order, timeout_ms: 100, on_failure };
        Station { function: function.to_owned(), filter: filter.to_owned(), rule }
    }

    /// Who was asked about what, and what came of it.
    fn travel(
        itinerary: &Itinerary,
        topic: &str,
        mut answer: impl FnMut(&str, &str) -> StationEnd,
    ) -> (String, Arrival) {
        let mut passage = Passage::new(message(topic));
        let mut asked = Vec::new();
        loop {
            match passage.step(itinerary) {
                Step::Ask { station, message } => {
                    let function = &itinerary.stations()[station].function;
                    asked.push(format!("{function} {}", message.topic));
                    let end = answer(function, &message.topic);
                    passage.ended(itinerary, end);
                }
                Step::Arrived(arrival) => return (asked.join(", "), arrival),
            }
        }
    }

    fn same(topic: &str) -> StationEnd {
        StationEnd::Returned(vec![message(topic)])
    }

    #[test]
    fn functions_are_asked_by_order_and_name_and_only_about_their_topics() {
        let itinerary = Itinerary::new(vec![
            station("z", "a/#", 1, OnFailure::Pass),
            station("b", "a/#", 2, OnFailure::Pass),
            station("a", "a/#", 2, OnFailure::Pass),
            station("other", "b/#", 0, OnFailure::Pass),
        ]);
        let (asked, arrival) = travel(&itinerary, "a/x", |_, topic| same(topic));
        assert_eq!((asked.as_str(), arrival), ("z a/x, a a/x, b a/x", Arrival::AsItCame));
        let (asked, arrival) = travel(&itinerary, "c", |_, topic| same(topic));
        assert_eq!((asked.as_str(), arrival), ("", Arrival::AsItCame));
    }

    #[test]
    fn what_is_rerouted_goes_on_to_those_behind_and_never_back() {
        let itinerary = Itinerary::new(vec![
            station("first", "b", 0, OnFailure::Pass),
            station("second", "a", 1, OnFailure::Pass),
            station("third", "b", 2, OnFailure::Pass),
        ]);
        let (asked, arrival) = travel(&itinerary, "a", |_, _| same("b"));
        assert_eq!((asked.as_str(), arrival), ("second a, third b", Arrival::Instead(vec![message("b")])));
    }

    #[test]
    fn several_keep_their_order_and_one_may_be_dropped() {
        let itinerary =
            Itinerary::new(vec![station("split", "a", 0, OnFailure::Pass), station("look", "+", 1, OnFailure::Pass)]);
        let (asked, arrival) = travel(&itinerary, "a", |function, topic| match (function, topic) {
            ("split", _) => StationEnd::Returned(vec![message("x"), message("y"), message("z")]),
            (_, "y") => StationEnd::Returned(Vec::new()),
            (_, topic) => same(topic),
        });
        assert_eq!(asked, "split a, look x, look y, look z");
        assert_eq!(arrival, Arrival::Instead(vec![message("x"), message("z")]));
        let (_, arrival) = travel(&itinerary, "a", |_, _| StationEnd::Returned(Vec::new()));
        assert_eq!(arrival, Arrival::Instead(Vec::new()));
    }

    #[test]
    fn a_failure_passes_or_drops_as_its_function_says() {
        let itinerary =
            Itinerary::new(vec![station("pass", "a", 0, OnFailure::Pass), station("drop", "a", 1, OnFailure::Drop)]);
        let fails = |which: &'static str| {
            travel(
                &itinerary,
                "a",
                move |function, topic| if function == which { StationEnd::Failed } else { same(topic) },
            )
            .1
        };
        assert_eq!(fails("pass"), Arrival::AsItCame);
        assert_eq!(fails("drop"), Arrival::Refused("a function that has to look at this message failed"));
        let (_, arrival) = travel(&itinerary, "a", |_, _| StationEnd::Rejected);
        assert_eq!(arrival, Arrival::Refused("a function does not want this message"));
    }

    #[test]
    fn one_message_becomes_only_so_many() {
        let itinerary = Itinerary::new((0..9).map(|order| station("f", "a", order, OnFailure::Pass)).collect());
        let twice = || StationEnd::Returned(vec![message("a"), message("a")]);
        let (asked, _) = travel(&itinerary, "a", |_, _| twice());
        assert!(asked.split(", ").count() <= MESSAGES_MAX * 9, "{}", asked.len());
    }
}
