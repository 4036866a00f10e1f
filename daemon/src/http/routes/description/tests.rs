//! That the description of the API and its routes say the same. Routes stand in the sources as literals, so they are read there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Listener, OPENAPI, of};

const SOURCES: [&str; 8] = [
    include_str!("../../routes.rs"),
    include_str!("../function_trials.rs"),
    include_str!("../calls.rs"),
    include_str!("../functions.rs"),
    include_str!("../net.rs"),
    include_str!("../sync.rs"),
    include_str!("../twins.rs"),
    include_str!("../updates.rs"),
];
const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

type Routes = BTreeMap<String, BTreeSet<String>>;

/// Methods by path, from `.route("PATH", get(a).put(b))`. What only says that it is served elsewhere is no method.
fn routed() -> Routes {
    let mut routes = Routes::new();
    for source in SOURCES {
        for rest in source.split(".route(\"").skip(1) {
            let (path, rest) = rest.split_once('"').unwrap();
            let handlers = &rest[..end_of_call(rest)];
            let methods = routes.entry(path.replace("{*", "{")).or_default();
            for method in METHODS {
                let call = format!("{method}(");
                let mut calls = handlers.split(&call).skip(1);
                if calls.any(|call| !call.starts_with("only_over_the_socket")) {
                    methods.insert(method.to_owned());
                }
            }
        }
    }
    routes
}

/// Where the parenthesis closes that is open before `rest`.
fn end_of_call(rest: &str) -> usize {
    let mut open = 1;
    let closes = |(_, c): &(usize, char)| {
        open += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        open == 0
    };
    rest.char_indices().find(closes).unwrap().0
}

fn described() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

#[test]
fn every_route_is_described_and_what_is_described_is_a_route() {
    let description = described();
    let paths = description["paths"].as_object().unwrap();
    let described: Routes = paths
        .iter()
        .map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys().filter(|key| METHODS.contains(&key.as_str()));
            (path.clone(), methods.cloned().collect())
        })
        .collect();
    let routed = routed();
    assert!(routed.len() > 20, "routes are found in the sources: {routed:?}");
    assert_eq!(described, routed);
}

#[test]
fn a_listener_describes_what_it_serves() {
    let methods = |listener: Listener, path: &str| -> Vec<String> {
        let description: Value = serde_json::from_str(&of(listener)).unwrap();
        let members = description["paths"][path].as_object().cloned().unwrap_or_default();
        members.keys().filter(|key| METHODS.contains(&key.as_str())).cloned().collect()
    };
    assert_eq!(methods(Listener::Tcp, "/v1/twins/{thing}"), ["get"]);
    assert_eq!(methods(Listener::Socket, "/v1/twins/{thing}"), ["get", "patch", "delete"]);
    assert_eq!(methods(Listener::Tcp, "/v1/ota"), ["get"]);
    assert_eq!(methods(Listener::TcpWithLogin, "/v1/ota"), ["get", "post"]);
    assert_eq!(methods(Listener::Tcp, "/v1/reload"), [""; 0], "a path without operations is left out");
    assert_eq!(serde_json::from_str::<Value>(&of(Listener::Socket)).unwrap(), described());
}

#[test]
fn every_operation_has_a_name_an_answer_and_parameters_for_its_path() {
    let description = described();
    let mut names = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        let in_path: BTreeSet<&str> = path.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
        let shared = operations["parameters"].as_array().cloned().unwrap_or_default();
        for (method, operation) in
            operations.as_object().unwrap().iter().filter(|(key, _)| METHODS.contains(&key.as_str()))
        {
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
            assert!(operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')));
            let own = operation["parameters"].as_array().cloned().unwrap_or_default();
            let all = [shared.clone(), own].concat();
            let resolved = all.iter().map(|parameter| resolve(&description, parameter));
            let named: BTreeSet<&str> = resolved
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(named, in_path, "{method} {path}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn look(description: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                if members.contains_key("$ref") {
                    assert!(!resolve(description, value).is_null(), "{value}");
                }
                members.values().for_each(|value| look(description, value));
            }
            Value::Array(items) => items.iter().for_each(|value| look(description, value)),
            _ => {}
        }
    }
    let description = described();
    look(&description, &description);
}

fn resolve<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => description.pointer(reference.strip_prefix('#').unwrap()).unwrap_or(&Value::Null),
        None => value,
    }
}
