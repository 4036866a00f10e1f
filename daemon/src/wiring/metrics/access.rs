//! Logins, the files that they need, and the clock.

use selvedge_access::LoginStatistics;

use crate::http::Exposition;
use crate::wiring::access::counters::Counts;

/// What is counted about logins.
pub struct AccessReadings {
    /// By kind and result.
    pub logins: Counts,
    /// What the throttle counted.
    pub statistics: LoginStatistics,
    /// Files that are missing or damaged.
    pub problems: usize,
    /// When the node's certificate ends, seconds since 1970.
    pub certificate_ends_s: Option<u64>,
    /// Whether the system's clock is believed.
    pub clock_is_trusted: bool,
}

/// Logins, their files, the clock.
pub fn logins(out: &mut Exposition, access: &AccessReadings) {
    let mut logins = out.counter("selvedge_logins_total", "Logins over MQTT and HTTP by kind and result");
    for (kind, result, count) in &access.logins {
        logins.sample(&[("kind", kind), ("result", result)], *count);
    }
    let statistics = &access.statistics;
    out.counter("selvedge_login_failures_total", "Logins that count against their address").value(statistics.failed);
    out.counter("selvedge_login_passwords_remembered_total", "Logins whose password need not be computed again")
        .value(statistics.remembered);
    out.counter("selvedge_login_addresses_forgotten_total", "Addresses forgotten before their time, for want of room")
        .value(statistics.addresses_evicted);
    out.gauge("selvedge_access_problems", "Files of access or certificates that are missing or damaged")
        .value(access.problems);
    out.gauge("selvedge_clock_trusted", "Whether the system's clock is not behind the latest time known")
        .value(access.clock_is_trusted);
    if let Some(ends_s) = access.certificate_ends_s {
        out.gauge("selvedge_tls_certificate_ends_seconds", "End of the node's certificate, seconds since 1970")
            .value(ends_s);
    }
}
