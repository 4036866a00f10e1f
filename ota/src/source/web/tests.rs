//! Against a server of a few lines that says what a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::source::fetch_small;

type Asked = Arc<Mutex<Vec<String>>>;
type Answers = Arc<Mutex<Vec<Vec<u8>>>>;

/// Answers each request with the next of `answers` and closes; gives what was asked for: path, range and ETag.
fn serve(answers: &[String]) -> (Web, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!("http://{}/repository/", listener.local_addr().expect("address"));
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let answers: Answers = Arc::new(Mutex::new(answers.iter().map(|answer| answer.clone().into_bytes()).collect()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("connection");
            let line = read_request(&stream);
            seen.lock().expect("lock").push(line);
            let mut answers = answers.lock().expect("lock");
            let answer = if answers.is_empty() { status(500, "") } else { answers.remove(0) };
            (&stream).write_all(&answer).expect("answer");
        }
    });
    let agent = ureq::Agent::config_builder().timeout_connect(Some(Duration::from_secs(10))).build().new_agent();
    (Web::new(agent, &url, 1000), asked)
}

fn read_request(stream: &TcpStream) -> String {
    let mut said = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.expect("request");
        if line.is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if line.starts_with("GET ") {
            said.push_str(line.split(' ').nth(1).expect("path"));
        } else if lower.starts_with("range:") || lower.starts_with("if-none-match:") {
            said.push(' ');
            said.push_str(&lower);
        }
    }
    said
}

fn status(code: u16, headers: &str) -> Vec<u8> {
    answer(code, headers, "").into_bytes()
}

fn answer(code: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {code} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn read(web: &mut Web, path: &str, from: u64) -> (u64, String) {
    let mut opened = web.open(path, from, 100).expect("opens").expect("there");
    let mut text = String::new();
    opened.reader.read_to_string(&mut text).expect("reads");
    (opened.starts_at, text)
}

#[test]
fn a_download_goes_on_where_it_stopped() {
    let part = answer(206, "content-range: bytes 4-9/10\r\n", "456789");
    let (mut web, asked) = serve(&[part]);
    assert_eq!(read(&mut web, "targets/a", 4), (4, "456789".to_owned()));
    assert_eq!(*asked.lock().expect("lock"), ["/repository/targets/a range: bytes=4-"]);
}

#[test]
fn a_server_without_ranges_or_with_another_file_is_read_from_the_beginning() {
    let (mut web, _) = serve(&[answer(200, "", "0123456789")]);
    assert_eq!(read(&mut web, "targets/a", 4), (0, "0123456789".to_owned()));
    for refused in [answer(416, "", ""), answer(206, "content-range: bytes 0-9/10\r\n", "0123456789")] {
        let (mut web, asked) = serve(&[refused, answer(200, "", "new")]);
        assert_eq!(read(&mut web, "targets/a", 4), (0, "new".to_owned()));
        assert_eq!(asked.lock().expect("lock").len(), 2);
    }
}

#[test]
fn an_unchanged_timestamp_is_not_sent_again() {
    let (mut web, asked) =
        serve(&[answer(200, "etag: \"7\"\r\n", "{}"), answer(304, "", ""), answer(200, "etag: \"8\"\r\n", "{ }")]);
    let contents: Vec<_> =
        (0..3).map(|_| fetch_small(&mut web, POLLED, 100).expect("answers").expect("there")).collect();
    assert_eq!(contents, [&b"{}"[..], b"{}", b"{ }"]);
    let timestamp = "/repository/metadata/timestamp.json";
    assert_eq!(
        *asked.lock().expect("lock"),
        [
            timestamp.to_owned(),
            format!("{timestamp} if-none-match: \"7\""),
            format!("{timestamp} if-none-match: \"7\"")
        ]
    );
}

#[test]
fn what_is_not_there_is_told_from_a_server_that_fails() {
    let (mut web, _) = serve(&[answer(404, "", "no"), answer(503, "", "busy")]);
    assert!(web.open("metadata/2.root.json", 0, 10).expect("answers").is_none());
    let error = web.open("metadata/2.root.json", 0, 10).err().expect("busy");
    let text = format!("{error}: {}", std::error::Error::source(&error).expect("cause"));
    assert!(text.ends_with("/metadata/2.root.json: http status: 503"), "{text}");
}

#[test]
fn endless_data_is_cut_at_what_was_asked_for() {
    let (mut web, _) = serve(&[answer(200, "", &"x".repeat(1000)), answer(200, "", &"x".repeat(1000))]);
    assert!(matches!(
        fetch_small(&mut web, "metadata/1.root.json", 100),
        Err(FetchError::Read { .. } | FetchError::TooBig { .. })
    ));
    assert!(fetch_small(&mut web, POLLED, 100).is_err());
}

#[test]
fn any_name_of_a_target_can_be_asked_for() {
    let (mut web, asked) = serve(&[answer(200, "", "x"), answer(404, "", "")]);
    read(&mut web, "targets/a b/50%#1?.é", 0);
    assert!(web.open("metadata/2.team%2Fa.json", 0, 10).expect("answers").is_none());
    assert_eq!(
        *asked.lock().expect("lock"),
        ["/repository/targets/a%20b/50%25%231%3F.%C3%A9", "/repository/metadata/2.team%2Fa.json"]
    );
}
