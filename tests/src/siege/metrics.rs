//! What the node counts, read from `/metrics`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::ensure;

use crate::http;

/// Every sample of one scrape, by name and labels as they are printed.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    /// Reads them.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn read(address: SocketAddr) -> anyhow::Result<Self> {
        let response = http::get(address, "/metrics")?;
        ensure!(response.status == 200, "/metrics is answered with {}", response.status);
        let samples = response.body.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Self { samples: samples.collect() })
    }

    /// The value of a sample, such as `selvedge_mqtt_closed_total{cause="quota"}`; 0 if there is none.
    pub fn get(&self, sample: &str) -> f64 {
        self.samples.get(sample).copied().unwrap_or_default()
    }

    /// By how much a sample grew since `before`.
    pub fn grew(&self, before: &Self, sample: &str) -> f64 {
        self.get(sample) - before.get(sample)
    }

    /// Everything that grew since `before`, for failure messages.
    pub fn difference(&self, before: &Self) -> String {
        let grown = self.samples.iter().filter(|(name, value)| **value != before.get(name));
        grown.map(|(name, value)| format!("\n  {name} {} -> {value}", before.get(name))).collect()
    }
}
