//! Conformance: what a server has to do by the MQTT 5 and 3.1.1 standards, statement by statement, in raw bytes.
//!
//! There is one file for each section of the standard. `statements.toml` lists every normative statement with the tests
//! that show it, or with the reason why a server cannot be tested for it. The suite runs against the product by default,
//! and against any broker on request, which tests the tests.
//!
//! | | |
//! |---|---|
//! | run | `cargo test -p selvedge-tests --test conformance [-- part_of_a_name]` after `cargo build -p selvedge` |
//! | another broker | `SELVEDGE_CONFORMANCE_TARGET=host:port`, and `SELVEDGE_CONFORMANCE_WEBSOCKET=host:port` if it has one |
//! | the protocol core alone | `SELVEDGE_CONFORMANCE_TARGET=serve:path`, the program of `broker/examples/serve.rs` |
//! | Debian's mosquitto | `SELVEDGE_CONFORMANCE_TARGET=mosquitto` |
//! | table, score, JSON | `cargo xtask conformance [--target host:port] [--mosquitto] [--json]` |
//! | after changing a list of tests | `SELVEDGE_CONFORMANCE_BLESS=1 cargo test -p selvedge-tests --test conformance -- statements` |
//!
//! # Writing a test
//!
//! A test is a function `fn sentence_that_says_what_is_true(target: &Target) -> anyhow::Result<()>`, listed in the
//! `section!` of its file with the statements that it shows: `V5["MQTT-3.1.0-1"], V311["MQTT-3.1.0-1"]`. The lists of
//! tests in `statements.toml` are written from there (last line of the table); text and `reason` are written by hand and
//! kept. A `reason` begins with "binds only clients" or says otherwise why no test can exist.
//!
//! Each test runs once over TCP and once over WebSocket, all of them at the same time on one broker. So client
//! identifiers and topics are made with [`Target::id`] and [`Target::topic`], which differ from test to test and run to
//! run. [`Target::connect`] gives a [`Peer`](selvedge_tests::peer::Peer), which sends what it is told and checks all that
//! the broker sends: packets one by one (`tests/src/server_packet.rs`) and the connection as a whole
//! (`tests/src/peer/rules.rs`: identifiers in use, receive maximum, packet size, aliases, problem information, nothing
//! after DISCONNECT). Packets are built with `tests/src/client_packet.rs`, which checks nothing.
//!
//! That nothing arrives is shown by [`expect_nothing`](selvedge_tests::peer::Peer::expect_nothing), never by waiting; a
//! message that was published before, with its acknowledgement awaited by `publish`, would have come by then. An end of
//! the connection is shown by `expect_closed(&[reason, …])`.
//!
//! What needs a configuration of its own starts a node with [`Target::configured`], which skips the test on a foreign
//! broker; [`Target::skip`] does so for any other reason.

mod registry;
mod score;
mod scram_login;
mod statements;
mod target;

mod section_1_data_representation;
mod section_2_packet_format;
mod section_3_10_unsubscribe;
mod section_3_11_unsuback;
mod section_3_12_pingreq;
mod section_3_14_disconnect;
mod section_3_15_auth;
mod section_3_1_connect;
mod section_3_1_connect_of_3_1_1;
mod section_3_1_connect_properties;
mod section_3_1_connect_session;
mod section_3_1_connect_will;
mod section_3_2_connack;
mod section_3_2_connack_of_3_1_1;
mod section_3_3_publish;
mod section_3_3_publish_actions;
mod section_3_3_publish_of_3_1_1;
mod section_3_3_publish_properties;
mod section_3_3_publish_retained;
mod section_3_4_puback;
mod section_3_5_pubrec;
mod section_3_6_pubrel;
mod section_3_7_pubcomp;
mod section_3_8_subscribe;
mod section_3_9_suback;
mod section_4_12_enhanced_authentication;
mod section_4_13_handling_errors;
mod section_4_1_session_state;
mod section_4_2_network_connections;
mod section_4_3_quality_of_service;
mod section_4_4_message_delivery_retry;
mod section_4_5_message_receipt;
mod section_4_6_message_ordering;
mod section_4_7_topics;
mod section_4_8_subscriptions;
mod section_4_9_flow_control;
mod section_6_websocket;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::registry::{SECTIONS, Test};
use crate::score::{Outcome, Scores};
use crate::target::{Skipped, Suite, Target};

/// Tests wait for the broker most of the time.
const THREADS: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let suite = match Suite::start(arguments.list) {
        Ok(suite) => Arc::new(suite),
        Err(error) => {
            eprintln!("conformance: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let scores = Arc::new(Scores::default());
    let mut trials = Vec::new();
    for transport in suite.transports() {
        for section in SECTIONS {
            for test in section.tests {
                let number = trials.len();
                let target = Target::new(Arc::clone(&suite), transport, number);
                trials.push(trial(section.title, test, target, Arc::clone(&scores)));
            }
        }
    }
    trials.extend(statements::checks());
    let whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if whole && let Err(error) = scores.report(&suite) {
        eprintln!("conformance: {error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trial(section: &'static str, test: &'static Test, target: Target, scores: Arc<Scores>) -> Trial {
    let name = format!("{}::{}", target.transport_name(), test.name());
    Trial::ignorable_test(name, move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (test.run)(&target)));
        let result = result.unwrap_or_else(|_| Err(anyhow::anyhow!("the test panicked")));
        let (outcome, conclusion) = match result {
            Ok(()) => (Outcome::Passed, Ok(Completion::Completed)),
            Err(error) => match error.downcast_ref::<Skipped>() {
                Some(Skipped(reason)) => {
                    (Outcome::Skipped(reason.clone()), Ok(Completion::ignored_with(format!("SKIPPED: {reason}"))))
                }
                None => (Outcome::Failed(format!("{error:#}")), Err(Failed::from(format!("{error:?}")))),
            },
        };
        scores.add(section, test, target.transport_name(), outcome);
        conclusion
    })
}
