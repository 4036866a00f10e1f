//! HTTP routes of a trigger: `http`, `methods`, `auth`, `rate_per_s`, `burst`, `cors`, `headers`, `timeout_ms`.

use toml::Spanned;

use super::check::Check;
use super::{ManifestError, RawTrigger, Source, Trigger};
use crate::http_response::is_header_name;
use crate::http_route::{HttpMethod, HttpRoute, RouteAuth, RoutePattern};

/// How long a caller waits at most, and without a word about it. Milliseconds.
const TIMEOUT_MS_MAX: u64 = 60_000;
const TIMEOUT_MS: u64 = 10_000;
/// Origins and headers of one route.
const LIST_MAX: usize = 16;
const ORIGIN_BYTES_MAX: usize = 256;
/// What shows who somebody is stays with the node.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "sec-websocket-key"];

impl Check<'_> {
    /// The route that `http` describes.
    pub(super) fn http_route(&self, path: &Spanned<String>, raw: &RawTrigger) -> Result<HttpRoute, ManifestError> {
        if let Some(qos) = &raw.qos {
            return self.wrong(&qos.span(), "trigger.qos belongs to messages: a request has none".to_owned());
        }
        let pattern = RoutePattern::parse(path.get_ref())
            .or_else(|problem| self.wrong(&path.span(), format!("trigger.http {:?} {problem}", path.get_ref())))?;
        let auth = self.auth(raw.auth.as_ref())?;
        Ok(HttpRoute {
            path: pattern,
            methods: self.methods(raw.methods.as_deref())?,
            auth,
            rate: self.rate_of("trigger", &raw.rate_per_s, &raw.burst)?,
            cors: self.origins(raw.cors.as_deref().unwrap_or_default(), auth)?,
            headers: self.headers(raw.headers.as_deref().unwrap_or_default())?,
            timeout_ms: self.integer("trigger.timeout_ms", &raw.timeout_ms, TIMEOUT_MS, 1..TIMEOUT_MS_MAX + 1)?,
        })
    }

    /// What belongs to `http` alone stands with it.
    pub(super) fn no_http_route(&self, raw: &RawTrigger) -> Result<(), ManifestError> {
        let spans = [
            raw.auth.as_ref().map(Spanned::span),
            raw.rate_per_s.as_ref().map(Spanned::span),
            raw.burst.as_ref().map(Spanned::span),
            raw.methods.as_ref().and_then(|list| list.first()).map(Spanned::span),
            raw.cors.as_ref().and_then(|list| list.first()).map(Spanned::span),
            raw.headers.as_ref().and_then(|list| list.first()).map(Spanned::span),
        ];
        match spans.into_iter().flatten().next() {
            None => Ok(()),
            Some(span) => self.wrong(&span, "this belongs to trigger.http".to_owned()),
        }
    }

    /// Two routes must differ in what they are for.
    pub(super) fn routes_apart(&self, triggers: &[Trigger]) -> Result<(), ManifestError> {
        let routes: Vec<&HttpRoute> = triggers.iter().filter_map(Trigger::http_route).collect();
        for (index, route) in routes.iter().enumerate() {
            if let Some(other) = routes[..index].iter().find(|other| other.is_ambiguous_with(route)) {
                let message = format!(
                    "trigger.http {:?} and {:?} are for the same requests: give them different methods or paths",
                    other.path.as_str(),
                    route.path.as_str()
                );
                return Err(ManifestError { line: None, message });
            }
        }
        Ok(())
    }

    fn methods(&self, methods: Option<&[Spanned<String>]>) -> Result<Vec<HttpMethod>, ManifestError> {
        let Some(methods) = methods else { return Ok(vec![HttpMethod::Post]) };
        let all = HttpMethod::ALL.map(HttpMethod::as_str).join(", ");
        let mut known = Vec::new();
        for method in methods {
            match HttpMethod::parse(method.get_ref()) {
                Some(found) => known.push(found),
                None => {
                    let words = format!("trigger.methods has {:?}: allowed are {all}", method.get_ref());
                    return self.wrong(&method.span(), words);
                }
            }
        }
        known.sort_unstable();
        known.dedup();
        if known.is_empty() {
            let message = format!("trigger.methods is empty: leave it out for POST, or name some of {all}");
            return Err(ManifestError { line: None, message });
        }
        Ok(known)
    }

    fn auth(&self, auth: Option<&Spanned<String>>) -> Result<RouteAuth, ManifestError> {
        match auth.map(|auth| (auth.get_ref().as_str(), auth.span())) {
            None | Some(("token", _)) => Ok(RouteAuth::Token),
            Some(("public", _)) => Ok(RouteAuth::Public),
            Some((other, span)) => {
                let words = format!(
                    "trigger.auth = {other:?}: allowed are \"token\" (as the HTTP API itself) and \"public\" (anyone)"
                );
                self.wrong(&span, words)
            }
        }
    }

    /// `https://shop.example`, as browsers send it; `*` only where anyone may call.
    fn origins(&self, origins: &[Spanned<String>], auth: RouteAuth) -> Result<Vec<String>, ManifestError> {
        self.count("trigger.cors", origins.len(), LIST_MAX)?;
        for origin in origins {
            let text = origin.get_ref();
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            let is_host = |host: &str| {
                let is_plain =
                    |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:[]".contains(&byte);
                !host.is_empty() && host.bytes().all(is_plain)
            };
            let is_any = text == "*";
            if is_any && auth == RouteAuth::Token {
                let words = "trigger.cors \"*\" needs auth = \"public\": name the origins instead".to_owned();
                return self.wrong(&origin.span(), words);
            }
            if !is_any && (text.len() > ORIGIN_BYTES_MAX || !host.is_some_and(is_host)) {
                let words = format!(
                    "trigger.cors {text:?} is no origin: expected scheme, host in lower case and port if it is not the usual one, such as \"https://shop.example\""
                );
                return self.wrong(&origin.span(), words);
            }
        }
        Ok(super::texts(origins))
    }

    fn headers(&self, headers: &[Spanned<String>]) -> Result<Vec<String>, ManifestError> {
        self.count("trigger.headers", headers.len(), LIST_MAX)?;
        for header in headers {
            let text = header.get_ref().as_str();
            if !is_header_name(text) || SECRET_HEADERS.contains(&text) {
                let words = format!(
                    "trigger.headers {text:?}: expected the name of a header in lower case, other than {}",
                    SECRET_HEADERS.join(", ")
                );
                return self.wrong(&header.span(), words);
            }
        }
        Ok(super::texts(headers))
    }
}

impl Trigger {
    /// The HTTP route that it is, if it is one.
    pub fn http_route(&self) -> Option<&HttpRoute> {
        match &self.source {
            Source::Http(route) => Some(route),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::http_route::{HttpMethod, RouteAuth};
    use crate::manifest::{Manifest, ManifestError, Trigger};

    fn parse(triggers: &str) -> Result<Vec<Trigger>, ManifestError> {
        Manifest::parse(&format!("name = \"f\"\n{triggers}"), &Config::default()).map(|manifest| manifest.triggers)
    }

    #[test]
    fn a_route_needs_a_login_unless_it_says_public() {
        let triggers = parse("[[trigger]]\nhttp = \"/orders/{id}\"").unwrap();
        let route = triggers[0].http_route().unwrap();
        assert_eq!(
            (route.auth, &route.methods[..], route.timeout_ms),
            (RouteAuth::Token, &[HttpMethod::Post][..], 10_000)
        );
        assert_eq!(triggers[0].mqtt, "$fn/http/f/POST/orders/{id}");
        let text = "[[trigger]]\nhttp = \"/\"\nmethods = [\"POST\", \"GET\", \"GET\"]\nauth = \"public\"\nrate_per_s = 5\ncors = [\"*\"]\nheaders = [\"x-hub-signature-256\"]\ntimeout_ms = 50";
        let triggers = parse(text).unwrap();
        let route = triggers[0].http_route().unwrap();
        assert_eq!((route.auth, &route.methods[..]), (RouteAuth::Public, &[HttpMethod::Get, HttpMethod::Post][..]));
        assert_eq!((route.rate.unwrap().burst, route.timeout_ms), (5, 50));
    }

    #[test]
    fn what_is_wrong_with_a_route_is_said_with_its_line() {
        for (more, words) in [
            ("http = \"orders\"", "must begin with '/'"),
            ("http = \"/a\"\nmethods = [\"TRACE\"]", "\"TRACE\""),
            ("http = \"/a\"\nauth = \"none\"", "\"public\" (anyone)"),
            ("http = \"/a\"\ncors = [\"*\"]", "needs auth = \"public\""),
            ("http = \"/a\"\ncors = [\"shop.example\"]", "is no origin"),
            ("http = \"/a\"\ncors = [\"https://shop.example/x\"]", "is no origin"),
            ("http = \"/a\"\nheaders = [\"cookie\"]", "other than"),
            ("http = \"/a\"\ntimeout_ms = 60001", "allowed are 1 to 60000"),
            ("http = \"/a\"\nqos = 1", "a request has none"),
            ("http = \"/a\"\nwindow = \"tumbling\"\nsize_s = 5", "belongs to messages"),
            ("http = \"/a\"\nmqtt = \"a\"", "write one for each"),
            ("mqtt = \"a\"\nauth = \"public\"", "belongs to trigger.http"),
            ("mqtt = \"a\"\nburst = 3", "belongs to trigger.http"),
        ] {
            let error = parse(&format!("[[trigger]]\n{more}")).unwrap_err();
            assert!(error.message.contains(words) && error.line.is_some(), "{more}: {error}");
        }
        assert!(parse("[[trigger]]\nhttp = \"/a\"\nmethods = []").is_err());
    }

    #[test]
    fn two_routes_for_the_same_requests_are_refused() {
        let two =
            |first: &str, second: &str| parse(&format!("[[trigger]]\nhttp = {first}\n[[trigger]]\nhttp = {second}"));
        assert!(two("\"/a/{x}\"", "\"/a/{y}\"").unwrap_err().message.contains("same requests"));
        assert!(two("\"/a/{x}\"", "\"/a/{y}\"\nmethods = [\"GET\"]").is_ok());
        assert!(two("\"/a/{x}\"", "\"/a/b\"").is_ok());
    }
}
