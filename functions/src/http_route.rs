//! HTTP routes of a function: what a request must be to reach it, and which of its routes is meant. Pure.
//!
//! Not the server, and not who may call: [`RouteAuth`] only says what is asked for. Two functions cannot meet, because the name of
//! the function is part of the path.

mod pattern;

use std::fmt;

use serde::Serialize;

use crate::rate::Rate;
pub use pattern::RoutePattern;

/// Topic of requests, followed by the name of the function. Nobody can publish to it.
pub const REQUEST_TOPIC: &str = "$fn/http/";

/// A method of HTTP that a route can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "RFC 9110, 9.3")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl HttpMethod {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// Reads what stands in a request.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteAuth {
    /// Who may use the HTTP API of the node: to read for GET, HEAD and OPTIONS, to change for the rest.
    Token,
    /// Anyone who reaches the listener.
    Public,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpRoute {
    /// Paths after `/fn/NAME`.
    pub path: RoutePattern,
    /// Ascending, at least one.
    pub methods: Vec<HttpMethod>,
    /// Who may call it.
    pub auth: RouteAuth,
    /// How often it may be called; more are refused. `None`: as often as the function can.
    pub rate: Option<Rate>,
    /// Origins of web pages that may call it; `*` is any.
    pub cors: Vec<String>,
    /// Headers of requests that are handed on besides the usual ones, in lower case.
    pub headers: Vec<String>,
    /// How long a caller waits, queue and attempts included. Milliseconds.
    pub timeout_ms: u64,
}

impl HttpRoute {
    /// What tells the route of a function from its others; stands where other triggers have their filter.
    pub(crate) fn filter(&self, function: &str) -> String {
        format!("{REQUEST_TOPIC}{function}/{}{}", self.method_names(), self.path)
    }

    fn method_names(&self) -> String {
        self.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Would some request be for both, with nothing to tell which is meant?
    pub(crate) fn is_ambiguous_with(&self, other: &Self) -> bool {
        self.path.has_shape_of(&other.path) && self.methods.iter().any(|method| other.methods.contains(method))
    }

    /// May a page of this origin call it?
    pub fn lets_in(&self, origin: &str) -> bool {
        self.cors.iter().any(|allowed| allowed == "*" || allowed == origin)
    }
}

impl fmt::Display for HttpRoute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let auth = match self.auth {
            RouteAuth::Token => "with a login",
            RouteAuth::Public => "PUBLIC",
        };
        write!(formatter, "http {} {}, {auth}, {} ms", self.method_names(), self.path, self.timeout_ms)?;
        if let Some(rate) = self.rate {
            write!(formatter, ", {} a second, {} at once", rate.per_s, rate.burst)?;
        }
        if !self.cors.is_empty() {
            write!(formatter, ", pages of {}", self.cors.join(" "))?;
        }
        Ok(())
    }
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch<'a, T> {
    /// This route, with the parameters of its path.
    Found {
        /// The route, and what goes with it.
        route: &'a T,
        /// Names and decoded values, in the order of the path.
        parameters: Vec<(String, String)>,
    },
    /// There are routes for the path, for these methods.
    WrongMethod(Vec<HttpMethod>),
    /// There is no route.
    NoRoute,
    /// The path is not one.
    NoPath,
}

/// The route that is meant by a request: the most literal one that is for the path and the method. `path` is what follows
/// `/fn/NAME`, as sent.
pub fn find_route<'a, T>(
    routes: &'a [T],
    route: impl Fn(&T) -> &HttpRoute,
    method: Option<HttpMethod>,
    path: &str,
) -> RouteMatch<'a, T> {
    let Some(path) = pattern::segments(path) else { return RouteMatch::NoPath };
    let of_path: Vec<_> = routes.iter().filter_map(|each| Some((each, route(each).path.matches(&path)?))).collect();
    if of_path.is_empty() {
        return RouteMatch::NoRoute;
    }
    let fitting = of_path.iter().filter(|(each, _)| method.is_some_and(|method| route(each).methods.contains(&method)));
    match fitting.min_by(|(left, _), (right, _)| route(left).path.precedence(&route(right).path)) {
        Some((found, parameters)) => RouteMatch::Found { route: found, parameters: parameters.clone() },
        None => {
            let mut methods: Vec<HttpMethod> =
                of_path.iter().flat_map(|(each, _)| &route(each).methods).copied().collect();
            methods.sort_unstable();
            methods.dedup();
            RouteMatch::WrongMethod(methods)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, methods: &[HttpMethod]) -> HttpRoute {
        HttpRoute {
            path: RoutePattern::parse(path).unwrap(),
            methods: methods.to_vec(),
            auth: RouteAuth::Token,
            rate: None,
            cors: Vec::new(),
            headers: Vec::new(),
            timeout_ms: 1000,
        }
    }

    fn found(routes: &[HttpRoute], method: HttpMethod, path: &str) -> String {
        match find_route(routes, |route| route, Some(method), path) {
            RouteMatch::Found { route, parameters } => format!("{} {parameters:?}", route.path),
            RouteMatch::WrongMethod(methods) => format!("{methods:?}"),
            RouteMatch::NoRoute => "no route".to_owned(),
            RouteMatch::NoPath => "no path".to_owned(),
        }
    }

    #[test]
    fn the_most_literal_route_for_path_and_method_is_meant() {
        use HttpMethod::{Delete, Get, Post};
        let routes = [route("/orders/{id}", &[Get, Delete]), route("/orders/new", &[Get]), route("/{*rest}", &[Post])];
        assert_eq!(found(&routes, Get, "/orders/new"), "/orders/new []");
        assert_eq!(found(&routes, Get, "/orders/7"), "/orders/{id} [(\"id\", \"7\")]");
        assert_eq!(found(&routes, Delete, "/orders/new"), "/orders/{id} [(\"id\", \"new\")]", "for this method it is");
        assert_eq!(found(&routes, HttpMethod::Put, "/orders/7"), "[Get, Post, Delete]");
        assert_eq!(found(&routes, Get, "/"), "no route");
        assert_eq!(found(&routes, Get, "/%zz"), "no path");
        assert_eq!(
            find_route(&routes, |route| route, None, "/other"),
            RouteMatch::WrongMethod(vec![Post]),
            "a method that there is not"
        );
    }

    #[test]
    fn routes_of_one_shape_are_ambiguous_where_they_share_a_method() {
        use HttpMethod::{Get, Post};
        assert!(route("/a/{x}", &[Get, Post]).is_ambiguous_with(&route("/a/{y}", &[Post])));
        assert!(!route("/a/{x}", &[Get]).is_ambiguous_with(&route("/a/{y}", &[Post])));
        assert!(!route("/a/{x}", &[Get]).is_ambiguous_with(&route("/a/b", &[Get])));
    }

    #[test]
    fn a_route_is_told_in_words() {
        let mut route = route("/orders/{id}", &[HttpMethod::Get, HttpMethod::Post]);
        assert_eq!(route.to_string(), "http GET,POST /orders/{id}, with a login, 1000 ms");
        route.auth = RouteAuth::Public;
        route.rate = Some(Rate { per_s: 5, burst: 10 });
        route.cors.push("https://a.example".to_owned());
        let expected =
            "http GET,POST /orders/{id}, PUBLIC, 1000 ms, 5 a second, 10 at once, pages of https://a.example";
        assert_eq!(route.to_string(), expected);
        assert!(route.lets_in("https://a.example") && !route.lets_in("https://b.example"));
    }
}
