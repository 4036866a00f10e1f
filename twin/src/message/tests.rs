use proptest::prelude::*;

use selvedge_twin_core::cell::Pen;

use super::*;
use crate::clock::HybridTime;
use crate::merge_patch::tests::pen;

fn update_of(payload: &str) -> Result<Request, Rejection> {
    parse_request(Operation::Update, payload.as_bytes(), &Config::default())
}

fn rejected(payload: &str) -> (u16, String) {
    let rejection = update_of(payload).unwrap_err();
    (rejection.code, rejection.message)
}

fn at(s: u64) -> Pen {
    pen(HybridTime::from_ms(s * 1000).0)
}

fn apply(twin: &Twin, payload: &str, s: u64) -> (Twin, Vec<(&'static str, Value)>) {
    let request = update_of(payload).unwrap();
    let (after, _) = twin.updated(&request.update, &mut at(s), &Config::default()).unwrap();
    let replies = update_replies(&request, twin, &after, s * 1000);
    (after, replies.into_iter().map(|reply| (reply.suffix, json(&reply))).collect())
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.payload).unwrap()
}

#[test]
fn a_full_request_is_understood() {
    let payload = r#"{"state": {"reported": {"b": null}, "desired": null}, "clientToken": "t", "version": 3}"#;
    let request = update_of(payload).unwrap();
    let members = serde_json::json!({"b": null}).as_object().unwrap().clone();
    let patches = vec![(Section::Desired, SectionPatch::Clear), (Section::Reported, SectionPatch::Merge(members))];
    let update = Update { patches, expected_version: Some(3) };
    assert_eq!(request, Request { client_token: Some("t".to_owned()), update });
}

#[test]
fn requests_that_make_no_sense_are_rejected_with_400_and_the_reason() {
    let cases = [
        ("", "EOF"),
        ("{", "EOF"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "\"state\" is missing"),
        (r#"{"state": 5}"#, "state is not an object"),
        (r#"{"state": null}"#, "state is not an object"),
        (r#"{"state": {}}"#, "neither"),
        (r#"{"state": {"desired": []}}"#, "desired is not an object or null"),
        (r#"{"state": {"reported": "x"}}"#, "reported is not an object or null"),
        (r#"{"state": {"desired": {}, "delta": {}}}"#, "unknown member \"delta\""),
        (r#"{"state": {"desired": {}}, "stat": 1}"#, "unknown member \"stat\""),
        (r#"{"state": {"desired": {}}, "version": -1}"#, "version is not"),
        (r#"{"state": {"desired": {}}, "version": "1"}"#, "version is not"),
        (r#"{"state": {"desired": {}}, "version": 1.5}"#, "version is not"),
        (r#"{"state": {"desired": {}}, "clientToken": 7}"#, "clientToken"),
        (r#"{"state": {"desired": {"a": 1, "a": 2}}}"#, "appears twice"),
        (r#"{"state": {"desired": {"a": 1e999}}}"#, "out of range"),
    ];
    for (payload, reason) in cases {
        let (code, message) = rejected(payload);
        assert_eq!(code, 400, "{payload}");
        assert!(message.contains(reason), "{payload}: {message}");
    }
    let bomb = format!("{{\"state\":{{\"desired\":{}", "{\"a\":".repeat(50_000 / 5));
    assert_eq!(rejected(&bomb).0, 400);
    let rejection = parse_request(Operation::Update, b"{\"a\":\"\xff\"}", &Config::default()).unwrap_err();
    assert_eq!((rejection.code, &*rejection.message), (400, "not UTF-8 at byte 6"));
}

#[test]
fn a_client_token_is_kept_up_to_its_limit_and_comes_back_in_a_rejection() {
    let with = |bytes: usize| update_of(&format!(r#"{{"clientToken": "{}", "state": 1}}"#, "t".repeat(bytes)));
    assert_eq!(with(64).unwrap_err().client_token, Some("t".repeat(64)));
    assert_eq!(with(65).unwrap_err().client_token, None);
}

#[test]
fn a_request_is_taken_up_to_its_limit() {
    let limits = Config { request_bytes_max: 100, ..Config::default() };
    let request = |bytes: usize| {
        let frame = r#"{"state":{"desired":{"a":""}}}"#.len();
        format!(r#"{{"state":{{"desired":{{"a":"{}"}}}}}}"#, "x".repeat(bytes - frame))
    };
    assert!(parse_request(Operation::Update, request(100).as_bytes(), &limits).is_ok());
    let rejection = parse_request(Operation::Update, request(101).as_bytes(), &limits).unwrap_err();
    assert_eq!(rejection.code, 413);
}

#[test]
fn get_and_delete_take_nothing_or_a_client_token() {
    for operation in [Operation::Get, Operation::Delete] {
        let parse = |payload: &[u8]| parse_request(operation, payload, &Config::default());
        assert_eq!(parse(b""), Ok(Request::default()));
        assert_eq!(parse(br#"{"clientToken": "x"}"#).unwrap().client_token.as_deref(), Some("x"));
        assert_eq!(parse(br#"{"state": {}}"#).unwrap_err().code, 400);
        assert_eq!(parse(b"x").unwrap_err().code, 400);
    }
    assert_eq!(Operation::parse("get"), Some(Operation::Get));
    assert_eq!(Operation::parse("get/accepted"), None);
}

#[test]
fn an_update_is_answered_with_what_it_wrote_the_difference_and_both_documents() {
    let (twin, _) = apply(&Twin::default(), r#"{"state": {"reported": {"on": false, "t": 20}}}"#, 100);
    let (_, replies) = apply(&twin, r#"{"state": {"desired": {"on": true}}, "clientToken": "c"}"#, 200);
    let stamp = serde_json::json!({"timestamp": 200});
    let expected = [
        (
            "update/accepted",
            serde_json::json!({
                "state": {"desired": {"on": true}}, "metadata": {"desired": {"on": stamp}},
                "version": 2, "timestamp": 200, "clientToken": "c",
            }),
        ),
        (
            "update/delta",
            serde_json::json!({
                "state": {"on": true}, "metadata": {"on": stamp}, "version": 2, "timestamp": 200, "clientToken": "c",
            }),
        ),
        (
            "update/documents",
            serde_json::json!({
                "previous": {
                    "state": {"reported": {"on": false, "t": 20}},
                    "metadata": {"reported": {"on": {"timestamp": 100}, "t": {"timestamp": 100}}}, "version": 1,
                },
                "current": {
                    "state": {"desired": {"on": true}, "reported": {"on": false, "t": 20}},
                    "metadata": {"desired": {"on": stamp}, "reported": {"on": {"timestamp": 100}, "t": {"timestamp": 100}}},
                    "version": 2,
                },
                "timestamp": 200, "clientToken": "c",
            }),
        ),
    ];
    assert_eq!(replies, expected);
}

#[test]
fn there_is_a_delta_only_while_desired_differs_and_only_if_a_value_changed() {
    let suffixes = |replies: Vec<(&'static str, Value)>| replies.into_iter().map(|(s, _)| s).collect::<Vec<_>>();
    let (twin, replies) = apply(&Twin::default(), r#"{"state": {"reported": {"a": 1}}}"#, 1);
    assert_eq!(suffixes(replies), ["update/accepted", "update/documents"]);
    let (twin, replies) = apply(&twin, r#"{"state": {"desired": {"a": 2}}}"#, 2);
    assert_eq!(suffixes(replies), ["update/accepted", "update/delta", "update/documents"]);
    let (twin, replies) = apply(&twin, r#"{"state": {"desired": {"a": 2}}}"#, 3);
    assert_eq!(suffixes(replies), ["update/accepted", "update/documents"]);
    let (twin, replies) = apply(&twin, r#"{"state": {"reported": {"b": 7}}}"#, 4);
    assert_eq!(suffixes(replies), ["update/accepted", "update/delta", "update/documents"]);
    let (twin, replies) = apply(&twin, r#"{"state": {"reported": {"a": 2}}}"#, 5);
    assert_eq!(suffixes(replies), ["update/accepted", "update/documents"]);
    let (_, replies) = apply(&twin, r#"{"state": {"reported": {"never": null}}}"#, 6);
    assert_eq!(suffixes(replies), ["update/accepted"]);
}

#[test]
fn removals_are_repeated_in_the_answer_and_have_no_metadata() {
    let (twin, _) = apply(&Twin::default(), r#"{"state": {"desired": {"a": 1, "b": 2}}}"#, 1);
    let (twin, replies) = apply(&twin, r#"{"state": {"desired": {"a": null}}}"#, 2);
    assert_eq!(replies[0].1["state"], serde_json::json!({"desired": {"a": null}}));
    assert_eq!(replies[0].1["metadata"], serde_json::json!({"desired": {}}));
    let (twin, replies) = apply(&twin, r#"{"state": {"desired": null}}"#, 3);
    assert_eq!(replies[0].1["state"], serde_json::json!({"desired": null}));
    assert_eq!(json(&get_reply(&Request::default(), &twin, 4_000))["state"], serde_json::json!({}));
}

#[test]
fn get_shows_the_documents_their_stamps_and_the_difference() {
    let (twin, _) = apply(&Twin::default(), r#"{"state": {"desired": {"a": 1}, "reported": {"b": 2}}}"#, 9);
    let request = Request { client_token: Some("c".to_owned()), ..Request::default() };
    let reply = get_reply(&request, &twin, 12_345);
    let expected = serde_json::json!({
        "state": {"desired": {"a": 1}, "reported": {"b": 2}, "delta": {"a": 1}},
        "metadata": {"desired": {"a": {"timestamp": 9}}, "reported": {"b": {"timestamp": 9}}},
        "version": 1, "timestamp": 12, "clientToken": "c",
    });
    assert_eq!((reply.suffix, json(&reply)), ("get/accepted", expected));
}

#[test]
fn each_refusal_has_its_code() {
    let section = Section::Desired;
    let cases = [
        (Refusal::VersionConflict { expected: 1, current: 2 }, 409),
        (Refusal::TooDeep { section, depth: 9, max: 8 }, 400),
        (Refusal::PathTooLong { section, bytes: 9, max: 8 }, 400),
        (Refusal::SectionTooLarge { section, bytes: 9, max: 8 }, 413),
        (Refusal::TooManyFields { fields: 9, max: 8 }, 422),
        (Refusal::TooManyTwins { max: 8 }, 422),
    ];
    for (refusal, code) in cases {
        let rejection = Rejection::of(&refusal);
        let reply = rejected_reply(Operation::Delete, &rejection, 7_000);
        let expected = serde_json::json!({"code": code, "message": refusal.to_string(), "timestamp": 7});
        assert_eq!((reply.suffix, json(&reply)), ("delete/rejected", expected));
    }
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
        for operation in [Operation::Get, Operation::Update, Operation::Delete] {
            let _ = parse_request(operation, &payload, &Config::default());
        }
    }

    #[test]
    fn payloads_made_of_the_right_words_never_panic(
        words in proptest::collection::vec(
            prop::sample::select(vec!["{", "}", ":", ",", "\"state\"", "\"desired\"", "\"version\"", "1", "null", "[", "]"]), 0..30),
    ) {
        let payload = words.concat();
        if let Ok(request) = update_of(&payload) {
            let _ = Twin::default().updated(&request.update, &mut at(1), &Config::default());
        }
    }
}
