//! Bounds of counting packets. What the kernel's part can say itself, it says.

use selvedge_ebpf::ConfigError;

use super::{Found, quoted};
use crate::config::Config;
use crate::config::quantity::Period;

/// Ports of operators.
const OPERATOR_PORTS_MAX: usize = 16;

pub(super) fn net(config: &Config, found: &mut Found) {
    let net = &config.net;
    found.period("net.interval", net.interval, Period::milliseconds(200), Period::seconds(3600));
    found.number("net.guard.failed_logins_max", net.guard.failed_logins_max, 0, 1_000_000);
    found.number("net.guard.protocol_errors_max", net.guard.protocol_errors_max, 0, 1_000_000);
    found.period("net.guard.window", net.guard.window, Period::seconds(1), Period::seconds(86_400));
    found.period("net.guard.deny_for", net.guard.deny_for, Period::seconds(1), Period::seconds(30 * 86_400));
    if net.guard.operator_ports.len() > OPERATOR_PORTS_MAX {
        let allowed = format!("expected at most {OPERATOR_PORTS_MAX} ports");
        found.refuse("net.guard.operator_ports", net.guard.operator_ports.len(), allowed);
    }
    // They are a level of a topic.
    let names = net.events.thresholds.iter().map(|threshold| &threshold.name);
    for name in names.filter(|name| name.contains(['/', '+', '#', '\0'])) {
        found.refuse("net.events.thresholds.name", quoted(name), "expected a name without /, + and #");
    }
    if let Err(error) = net.kernel().check() {
        let (key, value) = place(&error);
        found.refuse(key, value, error.to_string());
    }
}

/// Key and value of what is wrong, as the file has them.
fn place(error: &ConfigError) -> (&'static str, String) {
    match error {
        ConfigError::Range { key, value, .. } => (under_net(key), value.to_string()),
        ConfigError::TooMany { key, length, .. } => (under_net(key), length.to_string()),
        ConfigError::NoInterfaces => ("net.interfaces", "[]".to_owned()),
        ConfigError::PortTwice { port, second, .. } => (under_net(second), port.to_string()),
        ConfigError::ThresholdTwice(name) | ConfigError::ThresholdName(name) => {
            ("net.events.thresholds.name", quoted(name))
        }
    }
}

fn under_net(key: &str) -> &'static str {
    const KEYS: [&str; 15] = [
        "net.interfaces",
        "net.flows_max",
        "net.ports.mqtt",
        "net.ports.mqtts",
        "net.ports.websocket",
        "net.ports.http",
        "net.ports.dns",
        "net.guard.attempts_per_s",
        "net.guard.attempts_burst",
        "net.guard.denied_max",
        "net.guard.buckets_max",
        "net.guard.allow",
        "net.events.thresholds",
        "net.events.thresholds.above_per_s",
        "net.events.thresholds.name",
    ];
    let ends = |whole: &&&str| whole.strip_suffix(key).is_some_and(|before| before.ends_with('.'));
    KEYS.iter().filter(ends).min_by_key(|whole| whole.len()).copied().unwrap_or("net")
}

#[cfg(test)]
mod tests {
    use crate::config::Surroundings;
    use crate::config::checks::violations;
    use crate::config::{Config, Period};

    fn keys(change: impl FnOnce(&mut Config)) -> Vec<&'static str> {
        let mut config = Config::default();
        change(&mut config);
        violations(&config, &Surroundings::default()).into_iter().map(|violation| violation.key).collect()
    }

    #[test]
    fn what_the_kernels_part_refuses_is_named_by_the_key_of_the_file() {
        assert_eq!(keys(|config| config.net.flows_max = 63), ["net.flows_max"]);
        assert_eq!(keys(|config| config.net.interfaces.clear()), ["net.interfaces"]);
        assert_eq!(keys(|config| config.net.guard.attempts_burst = 0), ["net.guard.attempts_burst"]);
        assert_eq!(keys(|config| config.net.ports.http.push(1883)), ["net.ports.http"]);
    }

    #[test]
    fn both_ends_of_the_bounds_are_inside() {
        for inside in [Period::milliseconds(200), Period::seconds(3600)] {
            assert_eq!(keys(|config| config.net.interval = inside), Vec::<&str>::new());
        }
        for outside in [Period::milliseconds(199), Period::milliseconds(3_600_001)] {
            assert_eq!(keys(|config| config.net.interval = outside), ["net.interval"]);
        }
    }
}
