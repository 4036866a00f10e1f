//! Who gets in: addresses that other machines reach, certificates, users, tokens.

use std::time::Duration;

use super::{Found, quoted};
use crate::config::access::TokenAlgorithm;
use crate::config::quantity::Period;
use crate::config::tls::ClientCertificates;
use crate::config::{Config, Listen, Surroundings};

/// One listener as the rules see it.
struct Listener {
    key: &'static str,
    section: &'static str,
    listen: Listen,
    allow_anonymous: bool,
    /// Clients can log in here with a certificate.
    certificates: bool,
}

fn all(config: &Config) -> [Listener; 5] {
    let certificates = config.tls.client_certificates != ClientCertificates::Off;
    let listener = |key, section, listen, allow_anonymous, certificates| Listener {
        key,
        section,
        listen,
        allow_anonymous,
        certificates,
    };
    [
        listener("mqtt.listen", "mqtt", config.mqtt.listen, config.mqtt.allow_anonymous, false),
        listener("mqtts.listen", "mqtts", config.mqtts.listen, config.mqtts.allow_anonymous, certificates),
        listener("websocket.listen", "websocket", config.websocket.listen, config.websocket.allow_anonymous, false),
        listener(
            "secure_websocket.listen",
            "secure_websocket",
            config.secure_websocket.listen,
            config.secure_websocket.allow_anonymous,
            certificates,
        ),
        listener("http.listen", "http", config.http.listen, config.http.allow_anonymous, false),
    ]
}

pub(super) fn listeners(config: &Config, around: &Surroundings, found: &mut Found) {
    let listeners = all(config);
    let logins = around.users || config.access.is_configured();
    for listener in &listeners {
        if listener.listen.is_exposed() && !listener.allow_anonymous && !logins && !listener.certificates {
            found.refuse(
                listener.key,
                quoted(listener.listen),
                format!(
                    "other machines could connect and nobody could log in: make a user with `selvedge user add NAME`, \
                     keep to a loopback address such as 127.0.0.1, or let everybody in by setting \
                     allow_anonymous = true in [{}] (flag: --allow-anonymous)",
                    listener.section
                ),
            );
        }
    }
    for (index, listener) in listeners.iter().enumerate() {
        let earlier = listeners.iter().take(index).find(|other| collides(listener.listen, other.listen));
        if let Some(other) = earlier {
            found.refuse(
                listener.key,
                quoted(listener.listen),
                format!("is also the address of {}; give each listener a port of its own", other.key),
            );
        }
    }
}

fn collides(a: Listen, b: Listen) -> bool {
    match (a.address(), b.address()) {
        (Some(a), Some(b)) => a == b && a.port() != 0,
        _ => false,
    }
}

pub(super) fn tls(config: &Config, around: &Surroundings, found: &mut Found) {
    if !config.has_tls_listener() {
        return;
    }
    if let Some(missing) = &around.missing_certificate {
        let key =
            if config.tls.certificate.is_empty() || config.tls.key.is_empty() { "tls.certificate" } else { "tls.key" };
        found.refuse(
            key,
            quoted(missing.display()),
            "this file is missing and [mqtts] or [secure_websocket] needs it: make one with `selvedge cert create`, \
             or name yours",
        );
    }
    let asks = config.tls.client_certificates != ClientCertificates::Off;
    if let (true, Some(missing)) = (asks, &around.missing_client_ca) {
        found.refuse(
            "tls.client_ca",
            quoted(missing.display()),
            "this file is missing and client_certificates needs it: make one with `selvedge cert create`, or name \
             that of your authority",
        );
    }
}

pub(super) fn access(config: &Config, found: &mut Found) {
    let access = &config.access;
    let day = Period::seconds(24 * 3600);
    found.number("access.failures_max", access.failures_max, 1, 1_000_000);
    found.period("access.failure_window", access.failure_window, Period::seconds(1), day);
    found.period("access.penalty", access.penalty, Period::milliseconds(100), day);
    found.period("access.penalty_max", access.penalty_max, access.penalty, day);
    found.number("access.addresses_max", access.addresses_max, 16, 1_000_000);
    found.number("access.passwords_remembered_max", access.passwords_remembered_max, 0, 1_000_000);
    found.number("access.computations_per_s", access.computations_per_s, 1, 100_000);
    found.number("access.computations_burst", access.computations_burst, 4, 1_000_000);
    let tokens = &access.tokens;
    let year = Period(Duration::from_secs(366 * 24 * 3600));
    found.period("access.tokens.jwks_refresh", tokens.jwks_refresh, Period::seconds(30), year);
    found.period("access.tokens.jwks_age_max", tokens.jwks_age_max, tokens.jwks_refresh, year);
    found.period("access.tokens.leeway", tokens.leeway, Period::seconds(0), Period::seconds(3600));
    found.period("access.tokens.lifetime_max", tokens.lifetime_max, Period::seconds(0), Period(year.0 * 10));
    let url = &tokens.jwks_url;
    if !url.is_empty() && !url.starts_with("https://") {
        found.refuse("access.tokens.jwks_url", quoted(url), "expected an address that begins with https://");
    }
    if !url.is_empty() && !tokens.keys.is_empty() {
        found.refuse("access.tokens.jwks_url", quoted(url), "access.tokens.keys is set, too: choose one of them");
    }
    if !url.is_empty() && tokens.algorithms.contains(&TokenAlgorithm::HS256) {
        found.refuse(
            "access.tokens.algorithms",
            "HS256",
            "a secret is not fetched from an address: put it into a file and name that with access.tokens.keys",
        );
    }
    if tokens.algorithms.is_empty() {
        found.refuse("access.tokens.algorithms", "[]", "expected one or more of EdDSA, ES256, RS256, HS256");
    }
    let claims = [
        ("access.tokens.user_claim", &tokens.user_claim),
        ("access.tokens.client_id_claim", &tokens.client_id_claim),
        ("access.tokens.publish_claim", &tokens.publish_claim),
        ("access.tokens.subscribe_claim", &tokens.subscribe_claim),
        ("access.tokens.retain_claim", &tokens.retain_claim),
        ("access.tokens.will_claim", &tokens.will_claim),
        ("access.tokens.api_claim", &tokens.api_claim),
    ];
    for (key, claim) in claims {
        if claim.is_empty() {
            found.refuse(key, "\"\"", "expected the name of a claim such as \"sub\"");
        }
    }
}
