//! How fast one client may publish. Pure: decides how long it is not read; not reading is `reactor/drive`.

use std::time::Duration;

use selvedge_core::Moment;

use crate::{
    admission::bucket::{Bucket, Rate},
    config::Config,
    statistics::Statistics,
};

/// A client over its rate is not read for at least so long: letting it send one packet at a time would cost a timer each.
const PAUSE_MS: u64 = 10;
/// How often a client that is not read for long is looked at meanwhile.
const LOOK: Duration = Duration::from_secs(1);

/// The limits; the same for all clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishRates {
    packets: Option<Rate>,
    bytes: Option<Rate>,
}

impl PublishRates {
    pub(crate) fn new(config: &Config) -> Self {
        let bytes_per_s = config.publish_bytes_per_client_per_s;
        Self {
            packets: Rate::new(config.publish_rate_per_client_per_s, config.publish_burst_per_client),
            bytes: Rate::new(bytes_per_s, bytes_per_s),
        }
    }

    /// What a new client starts with; `None` if there is no limit to keep account of.
    pub(crate) fn start(&self) -> Option<Box<PublishBudget>> {
        (self.packets.is_some() || self.bytes.is_some()).then(Box::default)
    }
}

/// What one client has left.
#[derive(Debug, Default)]
pub(crate) struct PublishBudget {
    packets: Bucket,
    bytes: Bucket,
    /// Until when it is not read.
    pub(crate) until: Option<Moment>,
}

impl PublishBudget {
    /// The client sent a PUBLISH of `bytes`. Gives `true` if it is not to be read until [`Self::until`].
    pub(crate) fn spend(
        &mut self,
        bytes: usize,
        rates: &PublishRates,
        now: Moment,
        statistics: &mut Statistics,
    ) -> bool {
        let mut until: Option<Moment> = None;
        let limits = [
            (rates.packets, &mut self.packets, 1, &mut statistics.throttled_publish_rate),
            (rates.bytes, &mut self.bytes, bytes as u64, &mut statistics.throttled_publish_bytes),
        ];
        for (rate, bucket, count, throttled) in limits {
            let Some(rate) = rate else { continue };
            bucket.take(count, rate, now);
            if !bucket.has_one(rate, now) {
                *throttled += 1;
                until = until.max(Some(bucket.one_at(rate)));
            }
        }
        self.until = until.map(|until| until.max(now.plus_millis(PAUSE_MS)));
        self.until.is_some()
    }

    /// For how long to sleep before looking at it again; `None` if it may be read.
    pub(crate) fn pause(&mut self, now: Moment) -> Option<Duration> {
        let left = self.until?.since(now);
        if left.is_zero() {
            self.until = None;
            return None;
        }
        Some(left.min(LOOK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    fn rates(packets: u32, burst: u32, bytes: u32) -> PublishRates {
        PublishRates::new(&Config {
            publish_rate_per_client_per_s: packets,
            publish_burst_per_client: burst,
            publish_bytes_per_client_per_s: bytes,
            ..Config::default()
        })
    }

    #[test]
    fn a_burst_passes_and_the_next_waits_until_the_bucket_fills() {
        let rates = rates(10, 3, 0);
        let mut budget = rates.start().expect("limited");
        let mut statistics = Statistics::default();
        assert!(!budget.spend(50, &rates, at(0), &mut statistics));
        assert!(!budget.spend(50, &rates, at(0), &mut statistics));
        assert!(budget.spend(50, &rates, at(0), &mut statistics), "the third empties it");
        assert_eq!(budget.pause(at(0)), Some(Duration::from_millis(100)));
        assert_eq!(budget.pause(at(99)), Some(Duration::from_millis(1)));
        assert_eq!(budget.pause(at(100)), None);
        assert_eq!((statistics.throttled_publish_rate, statistics.throttled_publish_bytes), (1, 0));
    }

    #[test]
    fn bytes_are_limited_by_themselves_and_one_large_packet_is_paid_for_afterwards() {
        let rates = rates(0, 1, 1000);
        let mut budget = rates.start().expect("limited");
        let mut statistics = Statistics::default();
        assert!(!budget.spend(999, &rates, at(0), &mut statistics));
        assert!(budget.spend(5001, &rates, at(0), &mut statistics));
        assert_eq!(budget.until, Some(at(5001)));
        assert_eq!(budget.pause(at(0)), Some(LOOK));
        assert_eq!((statistics.throttled_publish_rate, statistics.throttled_publish_bytes), (0, 1));
    }

    #[test]
    fn a_pause_is_long_enough_to_be_worth_a_timer() {
        let rates = rates(100_000, 1, 0);
        let mut budget = rates.start().expect("limited");
        assert!(budget.spend(50, &rates, at(0), &mut Statistics::default()));
        assert_eq!(budget.pause(at(0)), Some(Duration::from_millis(PAUSE_MS)));
    }

    #[test]
    fn without_limits_no_account_is_kept() {
        assert!(rates(0, 5, 0).start().is_none());
    }
}
