//! HTTP from the outside: raw bytes over TCP and the socket, against a node that is a table in memory.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

mod calls;

use selvedge_functions::{HttpMethod, InvocationMessage};
use serde_json::{Value, json};

use super::*;
use crate::config::quantity::ByteSize;
use crate::config::{HttpConfig, Period};
use crate::http::exposition::strict_parser;

struct ReadsOnlyA {
    changes: bool,
}

impl Reads for ReadsOnlyA {
    fn may_read_twin(&self, thing: &str) -> bool {
        thing == "a"
    }
    fn may_change(&self) -> bool {
        self.changes
    }
    fn user(&self) -> Option<String> {
        Some("someone".to_owned())
    }
}

#[derive(Default)]
struct FakeNode {
    broken: AtomicBool,
    /// Streams that do not end.
    endless: std::sync::Mutex<Vec<tokio::sync::mpsc::Sender<Value>>>,
    bundles: std::sync::Mutex<Option<tempfile::TempDir>>,
}

impl FakeNode {
    /// Versions 7 and 8 of `thing`, and no end if that is its name.
    fn events(&self, thing: &str) -> Events {
        let (sender, events) = tokio::sync::mpsc::channel(4);
        for version in [7, 8] {
            sender.try_send(json!({ "thing": thing, "version": version })).unwrap();
        }
        if thing == "endless" {
            self.endless.lock().unwrap().push(sender);
        }
        events
    }
}

impl Node for FakeNode {
    fn parts(&self) -> Pending<Vec<PartState>> {
        let ready = !self.broken.load(Ordering::SeqCst);
        Box::pin(async move { Ok(vec![PartState { name: "store", ready, detail: "said so".to_owned() }]) })
    }
    fn metrics(&self) -> Pending<Exposition> {
        let mut exposition = Exposition::default();
        exposition.gauge("selvedge_up", "Whether it runs").value(true);
        Box::pin(async { Ok(exposition) })
    }
    fn about(&self) -> Value {
        json!({ "version": "0" })
    }
    fn login(&self, _address: IpAddr, authorization: Option<String>) -> Pending<Reader> {
        let answer = match authorization.as_deref() {
            Some("Bearer good") => Ok(Reader(Arc::new(ReadsOnlyA { changes: false }))),
            Some("Bearer changes") => Ok(Reader(Arc::new(ReadsOnlyA { changes: true }))),
            Some("Bearer eager") => {
                Err(ApiError { retry_after_s: Some(7), ..ApiError::new(429, "too many failed logins") })
            }
            _ => Err(ApiError::new(401, "a login is needed")),
        };
        Box::pin(std::future::ready(answer))
    }
    fn reload(&self) -> Pending<Value> {
        Box::pin(async { Ok(json!({ "changed": false, "problems": [] })) })
    }
    fn twins(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ApiError> {
        let all = ["a", "b", "c"];
        Ok(all
            .iter()
            .filter(|name| after.is_none_or(|after| **name > after))
            .take(limit)
            .map(ToString::to_string)
            .collect())
    }
    fn ask_twins(&self, question: TwinQuestion) -> Pending<Value> {
        let TwinQuestion { text, after, limit, .. } = question;
        Box::pin(async move { Ok(json!({ "text": text, "after": after, "limit": limit })) })
    }
    fn twin(&self, thing: &str, moment: Option<TwinMoment>) -> Result<Value, ApiError> {
        if moment.is_some() {
            Ok(json!({ "moment": format!("{moment:?}") }))
        } else if thing == "a" {
            Ok(json!({ "desired": { "x": { "y": 1, "z": 2 } }, "reported": {}, "version": 7 }))
        } else {
            Err(ApiError::not_found(format!("no twin {thing}")))
        }
    }
    fn patch_twin(&self, thing: &str, patch: Vec<u8>) -> Pending<Value> {
        let mut patch: Value = serde_json::from_slice(&patch).unwrap_or_else(|_| patch.len().into());
        let answer = match patch.get("version").and_then(Value::as_u64) {
            Some(version) if version != 7 && thing == "a" => Err(ApiError::new(409, "the version is 7")),
            _ => Ok(json!({ "thing": thing, "patch": patch.take(), "version": 8 })),
        };
        Box::pin(async { answer })
    }
    fn twin_history(&self, thing: &str, after: u64, limit: usize) -> Result<Value, ApiError> {
        Ok(json!({ "thing": thing, "after": after, "limit": limit }))
    }
    fn explain_twin(&self, thing: &str) -> Result<Value, ApiError> {
        Ok(json!({ "explained": thing }))
    }
    fn change_twin(&self, thing: &str, ops: Vec<u8>) -> Pending<Value> {
        self.patch_twin(thing, ops)
    }
    fn delete_twin(&self, _thing: &str) -> Pending<Value> {
        Box::pin(std::future::pending())
    }
    fn watch_twin(&self, thing: &str, last_seen: Option<u64>) -> Pending<Watched> {
        let missed = last_seen.map(|last| json!({ "missed": last, "version": 7 })).into_iter().collect();
        let watched = Watched { version: 7, missed, events: self.events(thing) };
        Box::pin(async { Ok(watched) })
    }
    fn functions(&self) -> Value {
        json!([])
    }
    fn function(&self, name: &str, wish: FunctionWish) -> Pending<Value> {
        let answer = json!({ "function": name, "wish": format!("{wish:?}") });
        Box::pin(async { Ok(answer) })
    }
    fn deploy(&self, request: DeployRequest, goal: DeployGoal) -> Pending<Value> {
        Box::pin(async move {
            if request.manifest == "slow" {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let goal = format!("{goal:?}");
            Ok(json!({ "manifest": request.manifest, "bytes": request.component.len(), "goal": goal }))
        })
    }
    fn function_route(&self, name: &str, method: Option<HttpMethod>, path: &str) -> RouteAnswer {
        calls::route(name, method, path)
    }
    fn call_function(&self, call: FunctionCall) -> Pending<Option<InvocationMessage>> {
        calls::answer(call)
    }
    fn remove(&self, name: &str) -> Pending<Value> {
        let answer = json!({ "removed": name });
        Box::pin(async { Ok(answer) })
    }
    fn logs(&self, _name: &str, follow: bool) -> Result<(Vec<Value>, Option<Events>), ApiError> {
        let events = follow.then(|| self.events("endless"));
        Ok((vec![json!({ "text": "one" }), json!({ "text": "two\nlines" })], events))
    }
    fn sync(&self) -> Value {
        json!({ "node": "0000000000000001" })
    }

    fn adopt_policy(&self, signed: Vec<u8>) -> Pending<Value> {
        Box::pin(async move { Ok(json!({ "policy_bytes": signed.len() })) })
    }

    fn net(&self, top: usize) -> Pending<Value> {
        Box::pin(async move { Ok(json!({ "top": top })) })
    }
    fn guard(&self, wish: NetWish) -> Pending<Value> {
        Box::pin(async move { Ok(json!({ "wish": format!("{wish:?}") })) })
    }
    fn updates(&self) -> Value {
        json!({ "on_trial": null })
    }
    fn bundle_place(&self) -> Result<BundlePlace, ApiError> {
        let folder = self.bundles.lock().unwrap().get_or_insert_with(|| tempfile::tempdir().unwrap()).path().to_owned();
        Ok(BundlePlace { path: folder.join("1.bundle"), bytes_max: 1000 })
    }
    fn update(&self, wish: UpdateWish) -> Pending<Value> {
        let answer = match wish {
            UpdateWish::Bundle(path) => json!({ "bytes": std::fs::read(path).unwrap().len() }),
            other => json!({ "wish": format!("{other:?}") }),
        };
        Box::pin(async { Ok(answer) })
    }
}

struct Running {
    server: HttpServer,
    node: Arc<FakeNode>,
    tcp: std::net::SocketAddr,
    unix: PathBuf,
    _directory: tempfile::TempDir,
}

fn serve(adjust: impl FnOnce(&mut HttpConfig)) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let mut config = HttpConfig::default();
    adjust(&mut config);
    let unix = directory.path().join(control_socket::FILE_NAME);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let node = Arc::new(FakeNode::default());
    let listeners = Listeners { tcp: Some(tcp), unix: control_socket::bind(&unix).unwrap() };
    let server = start(listeners, &config, node.clone()).unwrap();
    Running { server, node, tcp: address, unix, _directory: directory }
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> (u16, String) {
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is how a server ends a connection whose request it did not read to the end.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

impl Running {
    fn over_tcp(&self, request: &str) -> (u16, String) {
        exchange(TcpStream::connect(self.tcp).unwrap(), request.as_bytes())
    }
    fn over_unix(&self, request: &str) -> (u16, String) {
        exchange(UnixStream::connect(&self.unix).unwrap(), request.as_bytes())
    }
}

fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn probes_and_metrics_are_served_over_tcp() {
    let running = serve(|_| {});
    assert_eq!(running.over_tcp(&request("GET", "/livez", "")), (200, "ok\n".to_owned()));
    let (status, body) = running.over_tcp(&request("GET", "/readyz", ""));
    assert_eq!(
        (status, body.as_str()),
        (200, "{\"ready\":true,\"parts\":{\"store\":{\"ready\":true,\"detail\":\"said so\"}}}\n")
    );
    let (status, body) = running.over_tcp(&request("GET", "/metrics", ""));
    assert_eq!(status, 200);
    assert_eq!(strict_parser::parse(&body).unwrap()["selvedge_up"].samples[0].value, 1.0);
    running.node.broken.store(true, Ordering::SeqCst);
    assert_eq!(running.over_tcp(&request("GET", "/readyz", "")).0, 503);
    assert_eq!(running.over_tcp(&request("GET", "/nothing", "")).0, 404);
    running.server.stop();
}

#[test]
fn tcp_reads_and_only_the_socket_changes() {
    let running = serve(|_| {});
    assert_eq!(running.over_tcp(&request("GET", "/v1/twins/a", "")).0, 200);
    assert_eq!(running.over_tcp(&request("GET", "/v1/twins/x", "")).0, 404);
    let changes = [
        ("PATCH", "/v1/twins/a", "{}"),
        ("DELETE", "/v1/twins/a", ""),
        ("POST", "/v1/functions", "x"),
        ("DELETE", "/v1/functions/f", ""),
        ("PUT", "/v1/net/denials/192.0.2.7", ""),
        ("DELETE", "/v1/net/denials/192.0.2.7", ""),
        ("PUT", "/v1/net/allowed/192.0.2.0/24", ""),
        ("POST", "/v1/sync/policy", "x"),
    ];
    for (method, path, body) in changes {
        let (status, answer) = running.over_tcp(&request(method, path, body));
        assert_eq!(status, 405, "{method} {path}");
        assert!(answer.contains("control.sock"), "{answer}");
    }
    assert_eq!(running.over_unix(&request("GET", "/v1/twins/a", "")).0, 200);
    assert_eq!(
        running.over_unix(&request("PATCH", "/v1/twins/a", "{}")),
        (200, "{\"thing\":\"a\",\"patch\":{},\"version\":8}\n".to_owned())
    );
    assert_eq!(running.over_unix(&request("DELETE", "/v1/functions/f", "")).0, 200);
    let body =
        String::from_utf8(DeployRequest { manifest: "m".to_owned(), component: b"cc".to_vec() }.to_bytes()).unwrap();
    assert_eq!(
        running.over_unix(&request("POST", "/v1/functions", &body)),
        (200, "{\"manifest\":\"m\",\"bytes\":2,\"goal\":\"Live\"}\n".to_owned())
    );
    let (_, published) = running.over_unix(&request("POST", "/v1/functions?publish_only=true", &body));
    assert!(published.contains("Publish"), "{published}");
    assert_eq!(running.over_unix(&request("POST", "/v1/functions", "x")).0, 400);
    running.server.stop();
}

#[test]
fn versions_are_read_everywhere_and_changed_over_the_socket_only() {
    let running = serve(|_| {});
    assert_eq!(running.over_tcp(&request("GET", "/v1/functions/f/versions", "")).0, 200);
    let message = "{\"topic\": \"a\", \"payload\": \"1\"}";
    for (method, path, body, wish) in [
        (
            "PUT",
            "/v1/functions/f/aliases/live",
            "{\"versions\": [\"v3=90\", \"v4=10\"], \"sticky\": \"client\"}",
            "Point",
        ),
        ("DELETE", "/v1/functions/f/aliases/beta", "", "ForgetAlias"),
        ("POST", "/v1/functions/f/rollback", "", "RollBack { alias: \\\"live\\\" }"),
        ("POST", "/v1/functions/f/rollback?alias=beta", "", "RollBack { alias: \\\"beta\\\" }"),
        ("POST", "/v1/functions/f/gc?keep=3", "", "Collect { keep: 3 }"),
        ("POST", "/v1/functions/f/invoke?at=v4", message, "Version(VersionNumber(4))"),
        ("POST", "/v1/functions/f/invoke", message, "Alias(\\\"live\\\")"),
    ] {
        let asked = request(method, path, body);
        let (status, answer) = running.over_unix(&asked);
        assert!(status == 200 && answer.contains(wish), "{method} {path}: {status} {answer}");
        assert_eq!(running.over_tcp(&asked).0, 405, "{method} {path}");
    }
    for (method, path, body, words) in [
        ("PUT", "/v1/functions/f/aliases/live", "{\"versions\": [\"v3=0\"]}", "allowed are 1 to 1000"),
        ("PUT", "/v1/functions/f/aliases/live", "{\"versions\": [], \"stick\": 1}", "v3=90"),
        ("PUT", "/v1/functions/f/aliases/live", "{\"versions\": [\"v1\"], \"sticky\": \"x\"}", "topic, client and key"),
        ("POST", "/v1/functions/f/invoke", "{}", "topic"),
        ("POST", "/v1/functions/f/gc", "", "keep"),
    ] {
        let (status, answer) = running.over_unix(&request(method, path, body));
        assert!(status == 400 && answer.contains(words), "{method} {path}: {status} {answer}");
    }
    running.server.stop();
}

#[test]
fn the_guard_is_told_what_was_asked_for_and_bad_requests_say_what_is_expected() {
    let running = serve(|_| {});
    let put = |path: &str| running.over_unix(&request("PUT", path, ""));
    for (path, wish) in [
        ("/v1/net/denials/192.0.2.7", "Deny { peer: 192.0.2.7, time: 600s }"),
        ("/v1/net/denials/2001:db8::7?for=2h", "Deny { peer: 2001:db8::7, time: 7200s }"),
        ("/v1/net/allowed/192.0.2.0/24", "Allow(\\\"192.0.2.0/24\\\")"),
    ] {
        assert_eq!(put(path), (200, format!("{{\"wish\":\"{wish}\"}}\n")));
    }
    for (path, part) in [
        ("/v1/net/denials/pump", "expected an address"),
        ("/v1/net/denials/192.0.2.7?for=long", "a duration with its unit"),
    ] {
        let (status, body) = put(path);
        assert!(status == 400 && body.contains(part), "{status} {body}");
    }
    assert_eq!(running.over_tcp(&request("GET", "/v1/net?top=99999999", "")), (200, "{\"top\":10000}\n".to_owned()));
    assert_eq!(running.over_tcp(&request("GET", "/v1/net?top=all", "")).0, 400);
    assert_eq!(running.over_tcp(&request("GET", "/v1/net/denials", "")).0, 200);
    running.server.stop();
}

/// Status, ETag and body.
fn tagged(running: &Running, method: &str, path: &str, headers: &str, body: &str) -> (u16, Option<String>, Value) {
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = UnixStream::connect(&running.unix).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).map(ToOwned::to_owned);
    (status, tag, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[test]
fn a_part_of_a_twin_is_read_by_its_path_with_the_version_as_the_etag() {
    let running = serve(|_| {});
    let get = |path: &str, headers: &str| tagged(&running, "GET", path, headers, "");
    let tag = Some("\"7\"".to_owned());
    assert_eq!(get("/v1/twins/a/desired/x/y", ""), (200, tag.clone(), json!(1)));
    assert_eq!(get("/v1/twins/a/desired", ""), (200, tag.clone(), json!({ "x": { "y": 1, "z": 2 } })));
    for known in ["\"7\"", "W/\"7\"", "\"6\", \"7\"", "*"] {
        let headers = format!("If-None-Match: {known}\r\n");
        assert_eq!(get("/v1/twins/a/desired/x", &headers), (304, tag.clone(), Value::Null), "{known}");
        assert_eq!(get("/v1/twins/a", &headers).0, 304, "{known}");
    }
    assert_eq!(get("/v1/twins/a", "If-None-Match: \"6\"\r\n").0, 200);
    assert_eq!(get("/v1/twins/a/desired/x/y/deeper", "").0, 404);
    assert_eq!(get("/v1/twins/a/tags", "").0, 404);
    assert_eq!(get("/v1/twins/x/desired", "").0, 404);
    running.server.stop();
}

#[test]
fn a_part_of_a_twin_is_put_patched_and_deleted() {
    let running = serve(|_| {});
    let ask = |method: &str, path: &str, body: &str| tagged(&running, method, path, "", body);
    let changed = |patch: Value| (200, Some("\"8\"".to_owned()), json!({ "thing": "a", "patch": patch, "version": 8 }));
    assert_eq!(
        ask("PUT", "/v1/twins/a/desired/x", "{\"y\": 5}"),
        changed(json!({ "desired": { "x": { "z": null, "y": 5 } }, "version": 7 }))
    );
    assert_eq!(
        ask("PUT", "/v1/twins/a/reported/t", "[1, null]"),
        changed(json!({ "reported": { "t": [1, null] }, "version": 7 }))
    );
    assert_eq!(
        ask("PATCH", "/v1/twins/a/desired/x", "{\"y\": null}"),
        changed(json!({ "desired": { "x": { "y": null } } }))
    );
    assert_eq!(ask("DELETE", "/v1/twins/a/desired/x/z", ""), changed(json!({ "desired": { "x": { "z": null } } })));
    assert_eq!(ask("DELETE", "/v1/twins/a/desired", ""), changed(json!({ "desired": null })));
    assert_eq!(ask("DELETE", "/v1/twins/a/desired/none", "").0, 404);
    for (method, path, body) in [
        ("PUT", "/v1/twins/a/desired", "5"),
        ("PUT", "/v1/twins/a/desired/x", "null"),
        ("PUT", "/v1/twins/a/desired/x", "{"),
        ("PATCH", "/v1/twins/a/desired/x", "5"),
    ] {
        assert_eq!(ask(method, path, body).0, 400, "{method} {path} {body}");
    }
    assert_eq!(ask("PUT", "/v1/twins/a/delta/x", "1").0, 404);
    assert_eq!(running.over_tcp(&request("PUT", "/v1/twins/a/desired/x", "1")).0, 405);
    running.server.stop();
}

#[test]
fn a_change_under_a_condition_that_does_not_hold_is_refused_with_412() {
    let running = serve(|_| {});
    let changes = [
        ("PATCH", "/v1/twins/a", "{}"),
        ("PATCH", "/v1/twins/a/desired", "{}"),
        ("PUT", "/v1/twins/a/desired/x", "1"),
        ("DELETE", "/v1/twins/a/desired/x", ""),
    ];
    for (method, path, body) in changes {
        let status = |tag: &str| tagged(&running, method, path, &format!("If-Match: {tag}\r\n"), body).0;
        assert_eq!([status("\"7\""), status("*")], [200, 200], "{method} {path}");
        assert_eq!([status("\"6\""), status("7"), status("W/\"7\"")], [412, 412, 412], "{method} {path}");
    }
    assert_eq!(tagged(&running, "DELETE", "/v1/twins/a", "If-Match: \"6\"\r\n", "").0, 412);
    let twice = tagged(&running, "PATCH", "/v1/twins/a", "If-Match: \"7\"\r\n", "{\"version\": 7}");
    assert_eq!(twice.0, 400, "{twice:?}");
    running.server.stop();
}

#[test]
fn a_watcher_is_told_the_version_and_who_comes_back_what_was_missed() {
    let running = serve(|_| {});
    let (status, body) = running.over_tcp(&request("GET", "/v1/twins/a/events", ""));
    assert!(status == 200 && body.contains("\r\nid: 7\n\n\r\n"), "{body}");
    assert!(
        body.contains("data: {\"thing\":\"a\",\"version\":8}\nid: 8\n\n") && !body.contains("\"version\":7"),
        "{body}"
    );
    let again = request("GET", "/v1/twins/a/events", "").replace("\r\n\r\n", "\r\nLast-Event-ID: 5\r\n\r\n");
    let (_, body) = running.over_tcp(&again);
    let missed = body.find("data: {\"missed\":5,\"version\":7}\nid: 7\n\n");
    assert!(missed.is_some() && missed < body.find("\"version\":8"), "{body}");
    assert_eq!(running.over_tcp(&again.replace("ID: 5", "ID: x")).0, 400);
    running.server.stop();
}

#[test]
fn what_a_twin_was_is_asked_by_revision_or_time() {
    let running = serve(|_| {});
    let ask = |path: &str| {
        let (status, body) = running.over_tcp(&request("GET", path, ""));
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    assert_eq!(ask("/v1/twins/a?at=3"), (200, json!({ "moment": "Some(Revision(3))" })));
    assert_eq!(ask("/v1/twins/a?at=1970-01-01T00:00:02Z").1, json!({ "moment": "Some(Time(2000))" }));
    assert_eq!(ask("/v1/twins/a?at=yesterday").0, 400);
    assert_eq!(ask("/v1/twins/a/history?after=4").1, json!({ "thing": "a", "after": 4, "limit": 100 }));
    assert_eq!(ask("/v1/twins/a/history?limit=5000").1["limit"], 1000);
    assert_eq!(ask("/v1/twins/a/explain").1, json!({ "explained": "a" }));
    running.server.stop();
}

#[test]
fn operations_on_counters_and_sets_go_over_the_socket_only() {
    let running = serve(|_| {});
    let body = "{\"ops\":[]}";
    assert_eq!(running.over_tcp(&request("POST", "/v1/twins/a/ops", body)).0, 405);
    let (status, answer) = running.over_unix(&request("POST", "/v1/twins/a/ops", body));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["patch"]), (200, &json!({ "ops": [] })));
    let with = |tag: &str| {
        request("POST", "/v1/twins/a/ops", body).replace("\r\n\r\n", &format!("\r\nIf-Match: {tag}\r\n\r\n"))
    };
    assert_eq!(running.over_unix(&with("\"6\"")).0, 412);
    assert_eq!(running.over_unix(&with("\"7\"")).0, 200);
    running.server.stop();
}

#[test]
fn a_question_about_twins_goes_to_the_node() {
    let running = serve(|_| {});
    let (status, body) =
        running.over_tcp(&request("GET", "/v1/twins?where=reported.temp%20%3E%2050&after=b&limit=0", ""));
    assert_eq!((status, body.as_str()), (200, "{\"text\":\"reported.temp > 50\",\"after\":\"b\",\"limit\":1}\n"));
    assert_eq!(running.over_tcp(&request("GET", "/v1/twins?were=x", "")).0, 400);
    running.server.stop();
}

#[test]
fn twins_are_listed_in_pages() {
    let running = serve(|_| {});
    assert_eq!(
        running.over_tcp(&request("GET", "/v1/twins?limit=2", "")).1,
        "{\"things\":[\"a\",\"b\"],\"next\":\"b\"}\n"
    );
    assert_eq!(
        running.over_tcp(&request("GET", "/v1/twins?limit=2&after=b", "")).1,
        "{\"things\":[\"c\"],\"next\":null}\n"
    );
    running.server.stop();
}

#[test]
fn a_foreign_host_name_is_refused_over_tcp() {
    let running = serve(|_| {});
    assert_eq!(running.over_tcp("GET /v1/twins/a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").0, 421);
    assert_eq!(running.over_unix("GET /v1/twins/a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").0, 200);
    running.server.stop();
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_not_larger() {
    let running = serve(|config| config.body_bytes_max = ByteSize::kib(1));
    assert_eq!(running.over_unix(&request("PATCH", "/v1/twins/a", &"x".repeat(1024))).0, 200);
    assert_eq!(running.over_unix(&request("PATCH", "/v1/twins/a", &"x".repeat(1025))).0, 413);
    let chunked = format!(
        "PATCH /v1/twins/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n",
        "x".repeat(1025)
    );
    assert_eq!(running.over_unix(&chunked).0, 413);
    running.server.stop();
}

#[test]
fn headers_are_limited_in_size_and_number() {
    let running = serve(|config| config.header_bytes_max = ByteSize::kib(8));
    let fits =
        format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nA: {}\r\n\r\n", "x".repeat(6 * 1024));
    assert_eq!(running.over_tcp(&fits).0, 200);
    let large = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nA: {}\r\n\r\n", "x".repeat(16 * 1024));
    assert_eq!(running.over_tcp(&large).0, 431);
    let many = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: 1\r\n".repeat(100));
    assert_eq!(running.over_tcp(&many).0, 431);
    running.server.stop();
}

#[test]
fn garbage_is_answered_with_400() {
    let running = serve(|_| {});
    assert_eq!(running.over_tcp("\x16\x03\x01 not http\r\n\r\n").0, 400);
    running.server.stop();
}

#[test]
fn slow_headers_slow_bodies_and_slow_answers_end_at_the_deadline() {
    let running = serve(|config| config.request_timeout = Period::milliseconds(200));
    // Ends without an answer, or with 408: the point is that it ends.
    let _ = running.over_tcp("GET /livez HTTP/1.1\r\nHost: loc");
    let _ = running.over_tcp("");
    let half = "PATCH /v1/twins/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf";
    assert_eq!(running.over_unix(half).0, 408);
    assert_eq!(running.over_unix(&request("DELETE", "/v1/twins/a", "")).0, 408);
    running.server.stop();
}

#[test]
fn a_deployment_may_take_longer_than_a_request_but_its_body_may_not() {
    let running = serve(|config| {
        config.request_timeout = Period::milliseconds(200);
        config.body_bytes_max = ByteSize::kib(1);
    });
    let deploy = |manifest: &str, size: usize| {
        let body = DeployRequest { manifest: manifest.to_owned(), component: vec![b'c'; size] }.to_bytes();
        request("POST", "/v1/functions", &String::from_utf8(body).unwrap())
    };
    assert_eq!(running.over_unix(&deploy("slow", 1)).0, 200);
    assert_eq!(running.over_unix(&deploy("fast", 1024)).0, 413);
    let half = "POST /v1/functions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf";
    assert_eq!(running.over_unix(half).0, 408);
    assert_eq!(running.over_unix(&request("GET", "/v1/functions", "")).0, 200);
    running.server.stop();
}

#[test]
fn connections_beyond_the_limit_wait_and_the_socket_is_not_among_them() {
    let running = serve(|config| {
        config.connections_max = 2;
        config.request_timeout = Period::milliseconds(300);
    });
    let idle: Vec<_> = (0..2).map(|_| TcpStream::connect(running.tcp).unwrap()).collect();
    assert_eq!(running.over_unix(&request("GET", "/livez", "")).0, 200);
    // Served once the idle ones were thrown out at their deadline.
    assert_eq!(running.over_tcp(&request("GET", "/livez", "")).0, 200);
    drop(idle);
    running.server.stop();
}

#[test]
fn streams_are_server_sent_events() {
    let running = serve(|_| {});
    let (status, body) = running.over_unix(&request("GET", "/v1/functions/f/logs", ""));
    assert_eq!(status, 200);
    assert!(
        body.contains("data: {\"text\":\"one\"}\n\n") && body.contains("data: {\"text\":\"two\\nlines\"}\n\n"),
        "{body}"
    );
    assert!(
        running
            .over_unix(&request("GET", "/v1/twins/t/events", ""))
            .1
            .contains("data: {\"thing\":\"t\",\"version\":8}\nid: 8\n\n")
    );
    running.server.stop();
}

/// A stream that has begun.
fn begin_stream(running: &Running, path: &str) -> (TcpStream, u16) {
    let mut stream = TcpStream::connect(running.tcp).unwrap();
    stream.write_all(request("GET", path, "").as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    (stream, std::str::from_utf8(&head[9..]).unwrap().parse().unwrap())
}

#[test]
fn streams_have_a_quarter_of_the_connections_and_probes_the_rest() {
    let running = serve(|config| config.connections_max = 8);
    let (watch, follow) = ("/v1/twins/endless/events", "/v1/functions/f/logs?follow=true");
    let (first, status) = begin_stream(&running, watch);
    assert_eq!(status, 200);
    let (_second, status) = begin_stream(&running, follow);
    assert_eq!(status, 200);
    for path in [watch, follow] {
        let (status, body) = running.over_tcp(&request("GET", path, ""));
        assert_eq!(status, 503, "{path}");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert!(error["error"]["message"].as_str().unwrap().contains("http.connections_max"), "{body}");
    }
    assert_eq!(running.over_tcp(&request("GET", "/livez", "")).0, 200);
    assert_eq!(running.over_tcp(&request("GET", "/v1/functions/f/logs", "")).0, 200, "what ends is no stream");
    // The socket has places of its own, and a place is free again when its stream ends.
    assert_eq!(running.over_unix(&request("GET", "/v1/twins/t/events", "")).0, 200);
    drop(first);
    running.node.endless.lock().unwrap().clear();
    while running.over_tcp(&request("GET", "/v1/twins/t/events", "")).0 == 503 {}
    running.server.stop();
}

#[test]
fn an_idle_connection_ends_also_after_a_request() {
    let running = serve(|config| config.request_timeout = Period::milliseconds(200));
    let mut stream = TcpStream::connect(running.tcp).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // Comes to an end although the client asked for none.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    running.server.stop();
}

#[test]
fn stopping_does_not_wait_for_idle_connections() {
    let running = serve(|_| {});
    let _idle = TcpStream::connect(running.tcp).unwrap();
    let begin = Instant::now();
    running.server.stop();
    assert!(begin.elapsed() < Duration::from_secs(25), "below the 30 s that an idle connection may last");
}

fn asking(path: &str, authorization: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw.example\r\nConnection: close\r\n{authorization}\r\n")
}

/// Whether other machines could reach it is what counts, not that this test does so over loopback.
fn exposed(allow_anonymous: bool) -> Running {
    serve(|config| {
        config.listen = "0.0.0.0:7883".parse().unwrap();
        config.allow_anonymous = allow_anonymous;
    })
}

#[test]
fn other_machines_read_with_a_login_only() {
    let running = exposed(false);
    for path in ["/livez", "/readyz", "/metrics", "/v1/status", "/v1/twins", "/v1/functions", "/nothing"] {
        let (status, _) = running.over_tcp(&asking(path, ""));
        assert_eq!(status, 401, "{path}");
    }
    let mut stream = TcpStream::connect(running.tcp).unwrap();
    stream.write_all(asking("/livez", "").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let answer = answer.to_ascii_lowercase();
    assert!(
        answer.contains("www-authenticate: basic realm") && answer.contains("www-authenticate: bearer"),
        "{answer}"
    );
    assert_eq!(running.over_tcp(&asking("/livez", "Authorization: Bearer good\r\n")), (200, "ok\n".to_owned()));
    assert_eq!(running.over_tcp(&asking("/livez", "Authorization: Bearer eager\r\n")).0, 429);
    let long = format!("Authorization: Bearer {}\r\n", "x".repeat(13 * 1024));
    assert_eq!(running.over_tcp(&asking("/livez", &long)).0, 401);
    running.server.stop();
}

#[test]
fn a_reader_sees_the_twins_that_the_rules_let_it_see() {
    let running = exposed(false);
    let good = "Authorization: Bearer good\r\n";
    assert_eq!(running.over_tcp(&asking("/v1/twins/a", good)).0, 200);
    assert_eq!(running.over_tcp(&asking("/v1/twins/b", good)).0, 403);
    assert_eq!(running.over_tcp(&asking("/v1/twins/b/events", good)).0, 403);
    let (status, body) = running.over_tcp(&asking("/v1/twins", good));
    let names: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &names["things"]), (200, &json!(["a"])));
    running.server.stop();
}

#[test]
fn where_everybody_is_let_in_nobody_is_asked() {
    let running = exposed(true);
    assert_eq!(running.over_tcp(&asking("/v1/twins/b", "")).0, 404);
    assert_eq!(running.over_tcp(&asking("/livez", "")).0, 200);
    running.server.stop();
}
