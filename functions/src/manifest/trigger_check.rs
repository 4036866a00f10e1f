//! What starts a function: `[[trigger]]`, of whatever kind, becomes a topic filter.

use toml::Spanned;

use super::check::Check;
use super::{ManifestError, RawTrigger, Source, Trigger, is_valid_function_name};
use crate::alias::digest_of;
use crate::config::Config;
use crate::cron::Schedule;
use crate::message::Qos;

/// Topics under which the node tells of events of the network.
const NET_EVENTS: &str = "$net/event/";
/// What a trigger can be.
const KINDS: &str = "mqtt = \"…\" (a topic filter), http = \"…\" (a route of HTTP), net = \"…\" (an event of the network), twin = \"…\" (changes of a thing's twin, + for all), cron = \"…\" (a schedule), start = true or pipeline = true (what functions hand on)";
/// Longest name of a thing or a time zone, bytes.
const NAME_BYTES_MAX: usize = 256;

/// What a message is known by that came through a pipeline; no client can publish to it.
pub(crate) fn pipeline_topic(function: &str) -> String {
    format!("$fn/pipeline/{function}")
}

impl Check<'_> {
    pub(super) fn trigger(
        &self,
        name: &Spanned<String>,
        trigger: &Spanned<RawTrigger>,
        config: &Config,
    ) -> Result<Trigger, ManifestError> {
        let span = trigger.span();
        let raw = trigger.get_ref();
        let kinds = [&raw.mqtt, &raw.http, &raw.net, &raw.twin, &raw.cron].map(Option::is_some);
        match kinds.iter().chain([&raw.start.is_some(), &raw.pipeline.is_some()]).filter(|is_there| **is_there).count()
        {
            1 => {}
            0 => return self.wrong(&span, format!("a [[trigger]] has {KINDS}")),
            _ => return self.wrong(&span, format!("a [[trigger]] has one of {KINDS}: write one for each")),
        }
        if let Some(zone) = raw.zone.as_ref().filter(|_| raw.cron.is_none()) {
            return self.wrong(&zone.span(), "trigger.zone belongs to trigger.cron".to_owned());
        }
        let window = self.window(raw)?;
        let intercept = self.intercept(raw, config)?;
        let has_no_messages = raw.cron.is_some() || raw.start.is_some() || raw.http.is_some() || raw.pipeline.is_some();
        if let Some(wanted) = raw.window.as_ref().filter(|_| has_no_messages) {
            let words = "trigger.window belongs to messages: mqtt, net or twin".to_owned();
            return self.wrong(&wanted.span(), words);
        }
        if let Some(path) = &raw.http {
            let route = self.http_route(path, raw)?;
            let mqtt = route.filter(name.get_ref());
            return Ok(Trigger { mqtt, qos: Qos::AtMostOnce, source: Source::Http(route), window: None });
        }
        self.no_http_route(raw)?;
        let qos = self.qos(raw)?;
        let messages = |mqtt: String| Trigger { mqtt, qos, source: Source::Messages, window: window.clone() };
        if let Some(filter) = &raw.mqtt {
            self.filter("trigger.mqtt", filter)?;
            let trigger = messages(filter.get_ref().clone());
            return Ok(match intercept {
                Some(rule) => Trigger { source: Source::Intercept(rule), ..trigger },
                None => trigger,
            });
        }
        if let Some(event) = &raw.net {
            return Ok(messages(self.net_event(event)?));
        }
        if let Some(thing) = &raw.twin {
            return Ok(messages(self.twin(thing)?));
        }
        if let Some(cron) = &raw.cron {
            let (cron, zone) = (self.cron(cron)?, self.zone(raw.zone.as_ref())?);
            let mqtt = format!("$fn/cron/{}/{:08x}", name.get_ref(), digest_of(&[&cron, &zone]) as u32);
            return Ok(Trigger { mqtt, qos, source: Source::Schedule { cron, zone }, window: None });
        }
        for (key, flag) in [("start", &raw.start), ("pipeline", &raw.pipeline)] {
            if let Some(flag) = flag.as_ref().filter(|flag| !flag.get_ref()) {
                return self.wrong(&flag.span(), format!("trigger.{key} = false: leave the trigger out"));
            }
        }
        if raw.pipeline.is_some() {
            if let Some(qos) = &raw.qos {
                let words = "trigger.qos belongs to messages of the broker: what is handed on has none".to_owned();
                return self.wrong(&qos.span(), words);
            }
            let mqtt = pipeline_topic(name.get_ref());
            return Ok(Trigger { mqtt, qos, source: Source::Pipeline, window: None });
        }
        let mqtt = format!("$fn/start/{}", name.get_ref());
        Ok(Trigger { mqtt, qos, source: Source::Start, window: None })
    }

    /// The next function of a pipeline.
    pub(super) fn then(
        &self,
        name: &Spanned<String>,
        then: Option<&Spanned<String>>,
    ) -> Result<Option<String>, ManifestError> {
        let Some(then) = then else { return Ok(None) };
        let next = then.get_ref();
        if !is_valid_function_name(next) {
            return self.wrong(&then.span(), format!("then = {next:?} is not the name of a function"));
        }
        if next == name.get_ref() {
            return self.wrong(&then.span(), format!("then = {next:?}: a function does not hand on to itself"));
        }
        Ok(Some(next.clone()))
    }

    fn qos(&self, raw: &RawTrigger) -> Result<Qos, ManifestError> {
        let Some(qos) = &raw.qos else { return Ok(Qos::AtLeastOnce) };
        match qos.get_ref() {
            0 => Ok(Qos::AtMostOnce),
            1 => Ok(Qos::AtLeastOnce),
            2 => Ok(Qos::ExactlyOnce),
            other => self.wrong(&qos.span(), format!("trigger.qos = {other}: allowed are 0, 1 and 2")),
        }
    }

    /// Changes of twins are messages of the node with the documents before and after.
    fn twin(&self, thing: &Spanned<String>) -> Result<String, ManifestError> {
        let text = thing.get_ref();
        let is_name = !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.contains(['/', '+', '#', '\0']);
        if text == "+" || is_name {
            return Ok(format!("$twin/{text}/update/documents"));
        }
        self.wrong(&thing.span(), format!("trigger.twin {text:?}: allowed are the name of a thing, and + for all"))
    }

    fn cron(&self, cron: &Spanned<String>) -> Result<String, ManifestError> {
        match Schedule::parse(cron.get_ref()) {
            Ok(_) => Ok(cron.get_ref().clone()),
            Err(error) => self.wrong(&cron.span(), format!("trigger.cron: {error}")),
        }
    }

    /// Whether the machine knows the zone is seen when the function is deployed.
    fn zone(&self, zone: Option<&Spanned<String>>) -> Result<String, ManifestError> {
        let Some(zone) = zone else { return Ok("UTC".to_owned()) };
        let text = zone.get_ref();
        let is_name =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+'));
        if is_name && !text.is_empty() && text.len() <= NAME_BYTES_MAX {
            return Ok(text.clone());
        }
        self.wrong(
            &zone.span(),
            format!("trigger.zone {text:?}: expected the name of a time zone such as \"Europe/Berlin\""),
        )
    }

    /// Events of the network are messages of the node: `new-peer`, `above/NAME` and `below/NAME` of a threshold, or all (`#`).
    fn net_event(&self, event: &Spanned<String>) -> Result<String, ManifestError> {
        let text = event.get_ref();
        let is_known = match text.split_once('/') {
            None => matches!(text.as_str(), "new-peer" | "#"),
            Some(("above" | "below", name)) => {
                name == "+" || (!name.is_empty() && !name.contains(['/', '+', '#', '\0']))
            }
            Some(_) => false,
        };
        if is_known {
            return Ok(format!("{NET_EVENTS}{text}"));
        }
        let message = format!(
            "trigger.net {text:?}: allowed are new-peer, above/NAME and below/NAME (NAME of a threshold, or +), and # for all"
        );
        self.wrong(&event.span(), message)
    }
}
