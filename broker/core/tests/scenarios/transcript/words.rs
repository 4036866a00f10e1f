//! The words of a transcript.

use std::time::Duration;

use selvedge_codec::{PacketId, QoS, ReasonCode, RetainHandling, SubscribeFilter};
use selvedge_core::{Interceptor, Unanswered};

pub(super) fn quality(word: &str) -> QoS {
    QoS::from_bits(word.parse().expect("a QoS")).expect("QoS is 0, 1 or 2")
}

pub(super) fn duration(word: &str) -> Duration {
    let (number, unit) = word.split_at(word.find(|letter: char| letter.is_alphabetic()).expect("a unit"));
    let number: u64 = number.parse().expect("a number");
    match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "h" => Duration::from_secs(number * 3600),
        "d" => Duration::from_secs(number * 24 * 3600),
        other => panic!("no such unit: {other}"),
    }
}

/// `filter:milliseconds:end`, the end `passes` or `drops`.
pub(super) fn interceptor(word: &str) -> Interceptor {
    let parts: Vec<&str> = word.split(':').collect();
    let [filter, timeout_ms, end] = parts[..] else { panic!("no interceptor: {word}") };
    Interceptor {
        filter: filter.into(),
        timeout_ms: timeout_ms.parse().expect("milliseconds"),
        unanswered: if end == "passes" { Unanswered::Passes } else { Unanswered::Drops },
    }
}

/// `filter:qos[:nl][:rap][:new][:never]`
pub(super) fn subscription(word: &str) -> SubscribeFilter<'_> {
    let mut parts = word.split(':');
    let filter = parts.next().expect("a filter");
    let qos = quality(parts.next().unwrap_or("0"));
    let flags: Vec<&str> = parts.collect();
    SubscribeFilter {
        filter,
        qos,
        no_local: flags.contains(&"nl"),
        retain_as_published: flags.contains(&"rap"),
        retain_handling: match () {
            () if flags.contains(&"new") => RetainHandling::SendIfNew,
            () if flags.contains(&"never") => RetainHandling::DoNotSend,
            () => RetainHandling::SendAtSubscribe,
        },
    }
}

/// The words of a line after the verb: plain ones, `key=value` ones, and a payload in quotes (`"x"*100` repeats it).
pub(super) struct Words<'l> {
    all: Vec<&'l str>,
    pub(super) plain: Vec<&'l str>,
    pub(super) payload: String,
}

impl<'l> Words<'l> {
    pub(super) fn split(line: &'l str) -> Self {
        let (line, payload) = match line.split_once('"') {
            Some((line, payload)) => {
                let (text, times) = payload.split_once('"').expect("a closing quote");
                (line, text.repeat(times.strip_prefix('*').map_or(1, |times| times.parse().expect("a number"))))
            }
            None => (line, String::new()),
        };
        let all: Vec<&str> = line.split_whitespace().collect();
        const FLAGS: [&str; 8] =
            ["v3", "resume", "dup", "retain", "will-retain", "no-problem-information", "clean", "again"];
        let plain = all.iter().skip(3).copied().filter(|word| !word.contains('=') && !FLAGS.contains(word)).collect();
        Self { all, plain, payload }
    }

    pub(super) fn at(&self, index: usize) -> &'l str {
        self.all.get(index).copied().unwrap_or_default()
    }

    pub(super) fn has(&self, flag: &str) -> bool {
        self.all.contains(&flag)
    }

    pub(super) fn text(&self, key: &str) -> Option<&'l str> {
        self.all.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.text(key).map(|value| value.parse().expect("a number"))
    }

    pub(super) fn packet_id(&self, index: usize) -> PacketId {
        PacketId::new(self.plain[index].parse().expect("a packet identifier")).expect("not 0")
    }

    pub(super) fn reason(&self) -> Option<ReasonCode> {
        let code = self.text("reason")?.strip_prefix("0x").expect("a hexadecimal reason code");
        ReasonCode::from_byte(u8::from_str_radix(code, 16).expect("a hexadecimal reason code"))
    }
}
