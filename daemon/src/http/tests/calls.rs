//! Requests that functions answer, against a node whose functions say what they were given.

use std::sync::atomic::AtomicUsize;

use selvedge_functions::{Config, Manifest, RESPONSE_TOPIC, RouteMatch, Trigger, find_route};

use super::*;

/// Calls of the function `waits` that go on.
static WAITING: AtomicUsize = AtomicUsize::new(0);

const MANIFEST: &str = r#"
name = "f"
[[trigger]]
http = "/orders/{id}"
methods = ["GET", "POST"]
headers = ["x-signature"]
cors = ["https://shop.example"]
[[trigger]]
http = "/open"
auth = "public"
"#;

fn triggers() -> Vec<Trigger> {
    let manifest = Manifest::parse(MANIFEST, &Config::default()).unwrap();
    manifest.triggers
}

pub(super) fn route(name: &str, method: Option<HttpMethod>, path: &str) -> RouteAnswer {
    if !matches!(name, "f" | "waits") {
        return RouteAnswer::NoRoute;
    }
    match find_route(&triggers(), |trigger| trigger.http_route().unwrap(), method, path) {
        RouteMatch::Found { route, parameters } => RouteAnswer::Found(FoundRoute {
            filter: route.mqtt.clone(),
            route: Arc::new(route.http_route().unwrap().clone()),
            parameters,
        }),
        RouteMatch::WrongMethod(methods) => RouteAnswer::WrongMethod(methods),
        RouteMatch::NoRoute => RouteAnswer::NoRoute,
        RouteMatch::NoPath => RouteAnswer::NoPath,
    }
}

struct Waits;

impl Drop for Waits {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What it was given, but for the body `nothing` and `reject`.
pub(super) fn answer(call: FunctionCall) -> Pending<Option<InvocationMessage>> {
    let message = call.message;
    if call.function == "waits" {
        WAITING.fetch_add(1, Ordering::SeqCst);
        let waits = Waits;
        return Box::pin(async move {
            let _waits = waits;
            std::future::pending().await
        });
    }
    let answer = match message.payload.as_slice() {
        b"nothing" => Ok(None),
        b"reject" => Err(ApiError::new(422, "no such order")),
        _ => {
            let mut reply = InvocationMessage { topic: RESPONSE_TOPIC.to_owned(), ..InvocationMessage::default() };
            reply.properties.content_type = Some("application/json".to_owned());
            reply.properties.user_properties = vec![("http-status".to_owned(), "202".to_owned())];
            let told = json!({
                "topic": message.topic,
                "payload": String::from_utf8_lossy(&message.payload),
                "properties": message.properties.user_properties,
                "user": call.user,
                "filter": call.filter,
            });
            reply.payload = told.to_string().into_bytes();
            Ok(Some(reply))
        }
    };
    Box::pin(std::future::ready(answer))
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// The whole answer, head and body.
fn whole(running: &Running, request: &str) -> String {
    let mut stream = TcpStream::connect(running.tcp).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn a_request_becomes_a_message_and_what_is_returned_the_answer() {
    let running = serve(|_| ());
    let headers = "x-signature: s\r\nauthorization: secret\r\ncookie: c\r\ntraceparent: t\r\n";
    let (status, body) = running.over_tcp(&post("/fn/f/orders/a%20b?x=1&y", headers, "hello"));
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &told["topic"], &told["payload"]), (202, &json!("$fn/http/f"), &json!("hello")));
    let expected = json!([
        ["http-method", "POST"],
        ["http-path", "/orders/a%20b"],
        ["http-query", "x=1&y"],
        ["http-param-id", "a b"],
        ["http-header-x-signature", "s"],
        ["http-header-traceparent", "t"],
    ]);
    assert_eq!(told["properties"], expected, "no secrets among them");
    assert_eq!(running.over_tcp(&post("/fn/f/orders/1", "", "nothing")), (204, String::new()));
    let (status, body) = running.over_unix(&post("/fn/f/orders/1", "", "reject"));
    assert_eq!((status, body.contains("no such order")), (422, true));
}

#[test]
fn what_there_is_no_route_for_is_404_and_another_method_405() {
    let running = serve(|_| ());
    assert_eq!(running.over_tcp(&post("/fn/g/orders/1", "", "")).0, 404);
    assert_eq!(running.over_tcp(&post("/fn/f", "", "")).0, 404);
    assert_eq!(running.over_tcp(&post("/fn/f/", "", "")).0, 404);
    assert_eq!(running.over_tcp(&post("/fn/f/orders/%ff", "", "")).0, 400);
    let answer = whole(&running, &post("/fn/f/orders/1", "", "").replace("POST", "DELETE"));
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, POST\r\n"), "{answer}");
}

#[test]
fn other_machines_log_in_unless_the_route_is_public() {
    let running = exposed(false);
    let status = |path: &str, login: &str| {
        let login = if login.is_empty() { String::new() } else { format!("authorization: Bearer {login}\r\n") };
        running.over_tcp(&post(path, &login, "")).0
    };
    assert_eq!((status("/fn/f/orders/1", ""), status("/fn/f/orders/1", "bad")), (401, 401));
    assert_eq!(status("/fn/f/orders/1", "good"), 403, "who may read does not change anything");
    assert_eq!(status("/fn/f/orders/1", "changes"), 202);
    assert_eq!(status("/fn/f/open", ""), 202);
    assert_eq!((status("/fn/f/nothing", ""), status("/fn/g", "")), (401, 401), "what there is, is not told");
    assert_eq!(status("/fn/f/nothing", "good"), 404);
    let asking = post("/fn/f/orders/1", "authorization: Bearer good\r\n", "").replace("POST", "GET");
    let (status, body) = running.over_tcp(&asking);
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &told["user"]), (202, &json!("someone")));
}

#[test]
fn a_page_calls_only_routes_that_name_its_origin() {
    let running = serve(|_| ());
    let origin = |origin: &str| format!("origin: {origin}\r\n");
    let answer = whole(&running, &post("/fn/f/orders/1", &origin("https://shop.example"), ""));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: https://shop.example\r\n"), "{answer}");
    for strange in ["https://evil.example", "null"] {
        let answer = whole(&running, &post("/fn/f/orders/1", &origin(strange), ""));
        assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("access-control-allow"), "{answer}");
    }
    assert_eq!(running.over_tcp(&post("/fn/f/open", "sec-fetch-site: cross-site\r\n", "")).0, 403);
    assert_eq!(running.over_tcp(&post("/fn/f/open", &origin("http://localhost"), "")).0, 202, "one of its own");
    let asks = |origin: &str, method: &str| {
        let headers = format!("origin: {origin}\r\naccess-control-request-method: {method}\r\n");
        whole(&running, &post("/fn/f/orders/1", &headers, "").replace("POST /", "OPTIONS /"))
    };
    let answer = asks("https://shop.example", "POST");
    assert!(
        answer.starts_with("HTTP/1.1 204") && answer.contains("access-control-allow-methods: GET, POST"),
        "{answer}"
    );
    assert!(answer.contains("x-signature"), "{answer}");
    assert!(asks("https://evil.example", "POST").starts_with("HTTP/1.1 403"));
    assert!(asks("https://shop.example", "DELETE").starts_with("HTTP/1.1 403"));
}

#[test]
fn a_body_has_a_limit_of_its_own() {
    let running = serve(|config| config.function_body_bytes_max = ByteSize(10));
    assert_eq!(running.over_tcp(&post("/fn/f/open", "", "0123456789")).0, 202);
    assert_eq!(running.over_tcp(&post("/fn/f/open", "", "0123456789x")).0, 413);
}

#[test]
fn who_leaves_takes_the_call_along_and_half_of_the_connections_is_left() {
    let running = serve(|config| config.connections_max = 4);
    let mut callers: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(running.tcp).unwrap()).collect();
    for caller in &mut callers {
        caller.write_all(post("/fn/waits/open", "", "").as_bytes()).unwrap();
    }
    let until = |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while WAITING.load(Ordering::SeqCst) != count {
            assert!(Instant::now() < deadline, "{} calls wait", WAITING.load(Ordering::SeqCst));
            std::thread::yield_now();
        }
    };
    until(2);
    let answer = whole(&running, &post("/fn/waits/open", "", ""));
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1\r\n"), "{answer}");
    drop(callers);
    until(0);
}
