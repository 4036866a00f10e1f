//! Requests over HTTP that functions answer, in a real node.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter};
use selvedge_tests::http::{self, Response};
use selvedge_tests::installed;
use selvedge_tests::node::{Node, Place};
use serde_json::Value;

const GUEST: &str = "functions/tests/guests/answering";

/// The answering function with more in its manifest, and these lines in its trigger.
fn answering(folder: &Path, trigger: &str, more: &str) -> anyhow::Result<String> {
    let source = installed::repository_file(GUEST);
    let manifest = std::fs::read_to_string(source.join("function.toml"))?;
    let usual = "methods = [\"GET\", \"POST\"]\n";
    ensure!(manifest.contains(usual), "{manifest}");
    let manifest = manifest.replace(usual, &format!("{usual}{trigger}\n"));
    std::fs::write(folder.join("function.toml"), format!("{manifest}\n{more}"))?;
    std::fs::copy(source.join("answering.wasm"), folder.join("answering.wasm"))?;
    Ok(folder.to_string_lossy().into_owned())
}

fn started(trigger: &str) -> anyhow::Result<Node> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    node.cli_succeeds(&["fn", "deploy", &answering(folder.path(), trigger, "")?])?;
    Ok(node)
}

fn post(node: &Node, body: &str) -> anyhow::Result<Response> {
    http::send(node.http(), "POST", "/fn/answering/orders/7", "", body)
}

fn counters(node: &Node) -> anyhow::Result<Value> {
    let text = node.cli_succeeds(&["fn", "list", "--json"])?;
    let list: Value = serde_json::from_str(&text).with_context(|| text)?;
    Ok(list[0]["counters"].clone())
}

#[test]
fn a_request_is_answered_by_what_the_function_returns_for_it() -> anyhow::Result<()> {
    let node = started("")?;
    let told = http::send(node.http(), "GET", "/fn/answering/orders/a%20b?x=1", "x-order: 9\r\ncookie: c\r\n", "tell")?;
    ensure!(told.status == 200 && told.body.starts_with("$fn/http/answering\n"), "{told:?}");
    for line in
        ["http-method=GET", "http-path=/orders/a%20b", "http-query=x=1", "http-param-id=a b", "http-header-x-order=9"]
    {
        ensure!(told.body.contains(&format!("{line}\n")), "{line} is not in {}", told.body);
    }
    ensure!(!told.body.contains("cookie"), "{}", told.body);
    let made = post(&node, "respond 201 {\"made\": true}")?;
    ensure!(made.status == 201 && made.body == "{\"made\": true}", "{made:?}");
    let headers = made.headers.to_ascii_lowercase();
    ensure!(
        headers.contains("content-type: application/json") && headers.contains("x-made-by: answering"),
        "{headers}"
    );
    ensure!(post(&node, "respond 404 not here")?.body == "not here", "an answer of its own stays as it is");
    ensure!(post(&node, "nothing")?.status == 204, "nothing returned");
    let metrics = http::get(node.http(), "/metrics")?.body;
    let expected = "selvedge_function_http_answers_total{function=\"answering\",class=\"2xx\"} 3";
    ensure!(metrics.contains(expected), "{metrics}");
    Ok(())
}

#[test]
fn what_goes_wrong_has_a_status() -> anyhow::Result<()> {
    let node = started("timeout_ms = 2000")?;
    let rejected = post(&node, "reject")?;
    ensure!(rejected.status == 422 && rejected.body.contains("no such order"), "{rejected:?}");
    let later = post(&node, "retry")?;
    ensure!(later.status == 503 && later.headers.to_ascii_lowercase().contains("retry-after: 1"), "{later:?}");
    let trapped = post(&node, "trap")?;
    ensure!(trapped.status == 500 && !trapped.body.contains("unreachable"), "{trapped:?}");
    ensure!(post(&node, "loop")?.status == 504, "a loop");
    ensure!(post(&node, "respond 99")?.status == 500, "a status that there is not");
    ensure!(http::send(node.http(), "POST", "/fn/answering/nothing", "", "")?.status == 404, "no route");
    ensure!(http::send(node.http(), "POST", "/fn/other/orders/7", "", "")?.status == 404, "no function");
    let other = http::send(node.http(), "DELETE", "/fn/answering/orders/7", "", "")?;
    ensure!(other.status == 405 && other.headers.to_ascii_lowercase().contains("allow: get, post"), "{other:?}");
    ensure!(post(&node, &format!("echo {}", "x".repeat(1 << 20)))?.status == 413, "too large");
    ensure!(post(&node, "respond 200 on")?.body == "on", "it goes on");
    Ok(())
}

#[test]
fn what_is_answered_is_committed() -> anyhow::Result<()> {
    let mut place = Place::new()?;
    for life in 1..=3 {
        let node = place.start()?;
        if life == 1 {
            let folder = tempfile::tempdir()?;
            node.cli_succeeds(&["fn", "deploy", &answering(folder.path(), "", "")?])?;
        }
        let answer = post(&node, "count orders")?;
        ensure!(answer.body == life.to_string(), "in life {life}: {answer:?}\n{}", node.said());
        place = node.kill()?;
    }
    let node = place.start()?;
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("session")?;
    client.subscribe("session", &[Filter::new("answering/#", 1)])?;
    ensure!(post(&node, "publish hello")?.body == "published", "it publishes");
    let message = client.receive("session")?;
    ensure!(message.topic == "answering/seen" && message.payload == b"hello", "{message:?}");
    Ok(())
}

#[test]
fn nothing_runs_on_for_a_caller_who_has_left() -> anyhow::Result<()> {
    let node = started("")?;
    let begin = |body: &str| -> anyhow::Result<TcpStream> {
        let mut stream = TcpStream::connect(node.http())?;
        stream.write_all(http::request(node.http(), "POST", "/fn/answering/orders/7", "", body).as_bytes())?;
        Ok(stream)
    };
    let runs = begin("wait 900")?;
    crate::eventually(|| {
        Ok(http::get(node.http(), "/metrics")?.body.contains("queued_messages{function=\"answering\"} 0"))
    })?;
    let waits = begin("count left")?;
    crate::eventually(|| {
        Ok(http::get(node.http(), "/metrics")?.body.contains("queued_messages{function=\"answering\"} 1"))
    })?;
    drop((runs, waits));
    crate::eventually(|| Ok(counters(&node)?["abandoned"] == 2)).with_context(|| node.said())?;
    let answer = post(&node, "count left")?;
    ensure!(answer.body == "1", "what nobody waited for ran: {answer:?}");
    Ok(())
}

#[test]
fn a_route_has_a_rate_and_lets_pages_in_that_it_names() -> anyhow::Result<()> {
    let node = started("rate_per_s = 1\nburst = 2\ncors = [\"https://shop.example\"]")?;
    let origin = |origin: &str| {
        http::send(node.http(), "POST", "/fn/answering/orders/7", &format!("origin: {origin}\r\n"), "respond 200")
    };
    ensure!(origin("https://evil.example")?.status == 403, "a strange page");
    let let_in = origin("https://shop.example")?;
    let headers = let_in.headers.to_ascii_lowercase();
    ensure!(
        let_in.status == 200 && headers.contains("access-control-allow-origin: https://shop.example"),
        "{let_in:?}"
    );
    post(&node, "respond 200")?;
    let too_often = post(&node, "respond 200")?;
    ensure!(
        too_often.status == 429 && too_often.headers.to_ascii_lowercase().contains("retry-after: 1"),
        "{too_often:?}"
    );
    Ok(())
}

#[test]
fn a_route_is_told_before_and_after_it_is_deployed() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    let directory = answering(folder.path(), "auth = \"public\"", "")?;
    let checked = node.cli_succeeds(&["fn", "check", &directory])?;
    ensure!(checked.contains("runs on http GET,POST /orders/{id}, PUBLIC, 10000 ms, below /fn/answering"), "{checked}");
    node.cli_succeeds(&["fn", "deploy", &directory])?;
    let list = node.cli_succeeds(&["fn", "list"])?;
    ensure!(list.contains("http GET,POST /orders/{id}"), "{list}");
    node.cli_succeeds(&["fn", "remove", "answering"])?;
    ensure!(post(&node, "respond 200")?.status == 404, "a removed function has no routes");
    Ok(())
}

/// A web server that gives its answer to everybody, and what it was asked.
fn other_machine() -> anyhow::Result<(std::net::SocketAddr, std::sync::mpsc::Receiver<String>)> {
    use std::io::Read as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (sender, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut part = [0; 4096];
            // Head and body may come in parts; what is asked here has a body of four bytes.
            while !request.ends_with(b"\r\n\r\nbody") {
                match stream.read(&mut part) {
                    Ok(length @ 1..) => request.extend_from_slice(&part[..length]),
                    _ => break,
                }
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
            if stream.write_all(answer.as_bytes()).is_err()
                || sender.send(String::from_utf8_lossy(&request).into_owned()).is_err()
            {
                return;
            }
        }
    });
    Ok((address, asked))
}

#[test]
fn a_function_asks_the_machines_that_it_is_granted_and_no_others() -> anyhow::Result<()> {
    let (address, asked) = other_machine()?;
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    let directory = answering(folder.path(), "", &format!("http = [\"http://{address}\", \"http://localhost:1\"]"))?;
    let checked = node.cli_succeeds(&["fn", "check", &directory])?;
    ensure!(checked.contains(&format!("asks over HTTP http://{address}")), "{checked}");
    node.cli_succeeds(&["fn", "deploy", &directory])?;
    let answer = post(&node, &format!("fetch POST http://{address}/x body"))?;
    ensure!(answer.body == "200 hello", "{answer:?}");
    let request = asked.recv_timeout(selvedge_tests::PATIENCE)?;
    ensure!(request.starts_with("POST /x HTTP/1.1\r\n") && request.ends_with("\r\n\r\nbody"), "{request}");
    ensure!(request.contains("idempotency-key: answering-"), "{request}");
    let denied = post(&node, "fetch GET http://192.0.2.1/")?;
    ensure!(denied.body.starts_with("denied: ") && denied.body.contains("http = [\"http://192.0.2.1\"]"), "{denied:?}");
    let private = post(&node, "fetch GET http://localhost:1/")?;
    ensure!(private.body.starts_with("denied: ") && private.body.contains("no public address"), "{private:?}");
    Ok(())
}
