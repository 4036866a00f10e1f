//! Updates.

use crate::http::Exposition;
use crate::wiring::updates::OtaReadings;

/// Looks, contents put in place, trials.
pub fn updates(out: &mut Exposition, ota: &OtaReadings) {
    out.counter("selvedge_ota_checks_total", "Looks at the repository of updates").value(ota.checks);
    out.counter("selvedge_ota_check_failures_total", "Looks at the repository that failed").value(ota.check_failures);
    out.counter("selvedge_ota_bundles_total", "Bundles of updates that were pushed").value(ota.bundles);
    out.counter("selvedge_ota_installed_total", "Programs, functions and files that updates put in place")
        .value(ota.installed);
    out.counter("selvedge_ota_install_failures_total", "Updates that could not be put in place")
        .value(ota.install_failures);
    out.counter("selvedge_ota_downloaded_bytes_total", "Bytes of payloads of updates that were fetched")
        .value(ota.downloaded_bytes);
    out.gauge("selvedge_ota_on_probation", "Whether a new version is on probation").value(ota.on_trial);
    out.gauge("selvedge_ota_rolled_back", "Whether the last new version was given up").value(ota.rolled_back);
    out.gauge("selvedge_ota_paused", "Whether updates are paused").value(ota.paused);
}
