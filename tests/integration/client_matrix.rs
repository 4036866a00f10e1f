//! Every client program with every version and transport that it speaks, against every check that it can tell.
//!
//! A failure names the client, the version, the transport and the check, and shows what both sides printed.

use anyhow::Context as _;
use selvedge_tests::broker::TestBroker;
use selvedge_tests::client::Transport::{Tcp, Ws};
use selvedge_tests::client::Version::{V5, V311};
use selvedge_tests::client::{Client, Program, Transport, Version};

use crate::client_checks;

fn run(
    program: Program,
    version: Version,
    transport: Transport,
    check: fn(&mut Client) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let broker = TestBroker::start()?;
    let mut client = Client::start(program, version, transport, broker.address(transport))?;
    let label = client.label().to_owned();
    check(&mut client).with_context(|| format!("{label}\n{}", broker.said()))
}

macro_rules! checks {
    ($program:ident, $version:ident, $transport:ident: $($check:ident)*) => {
        $(
            #[test]
            fn $check() -> anyhow::Result<()> {
                run(Program::$program, $version, $transport, client_checks::$check)
            }
        )*
    };
}

/// Checks for each client and version.
macro_rules! of_every_client {
    ($program:ident, $version:ident, $transport:ident) => {
        checks! { $program, $version, $transport:
            qos_0_messages_arrive_in_order
            qos_1_messages_are_acknowledged_and_arrive_in_order
            qos_2_messages_arrive_exactly_once_in_order
            a_message_arrives_with_the_lower_of_both_qualities_of_service
            wildcards_match_whole_levels_and_not_system_topics
            a_topic_beyond_ascii_and_an_empty_payload_arrive
            a_retained_message_is_kept_replaced_and_cleared
            a_will_is_published_when_its_client_dies
            a_payload_of_300_kb_arrives_unchanged
            a_lasting_session_gets_what_was_queued_while_it_was_away
        }
    };
}

/// All but mosquitto_sub with MQTT 5, which asks for its will when it ends.
macro_rules! of_polite_clients {
    ($program:ident, $version:ident, $transport:ident) => {
        checks! { $program, $version, $transport:
            a_will_is_dropped_when_its_client_says_goodbye
        }
    };
}

/// What only mosquitto_sub with MQTT 5 does.
macro_rules! of_mosquitto_5 {
    ($program:ident, $version:ident, $transport:ident) => {
        checks! { $program, $version, $transport:
            a_will_is_published_when_its_client_asks_for_it_with_its_goodbye
        }
    };
}

/// Checks that need a client which keeps its connection between commands: all but mosquitto's programs.
macro_rules! of_every_library {
    ($program:ident, $version:ident, $transport:ident) => {
        of_polite_clients! { $program, $version, $transport }
        checks! { $program, $version, $transport:
            a_lasting_session_is_announced_and_a_clean_start_ends_it
            a_second_connection_with_the_same_client_id_takes_over
            nothing_arrives_after_unsubscribing
        }
    };
}

/// Checks for each client that speaks MQTT 5.
macro_rules! of_version_5 {
    ($program:ident, $version:ident, $transport:ident) => {
        checks! { $program, $version, $transport:
            user_properties_arrive_in_order_with_their_duplicates
            request_and_response_properties_arrive_unchanged
            a_message_with_an_expiry_is_delivered_with_what_is_left_of_it
            members_of_a_shared_subscription_split_the_messages
        }
    };
}

/// Checks of subscription options, which mosquitto_sub has no flags for.
macro_rules! of_version_5_libraries {
    ($program:ident, $version:ident, $transport:ident) => {
        checks! { $program, $version, $transport:
            a_subscription_identifier_tells_which_subscription_matched
            no_local_keeps_own_messages_away
            retain_handling_decides_about_retained_messages_on_subscribing
            retain_as_published_keeps_the_flag_of_the_publisher
        }
    };
}

macro_rules! matrix {
    ($($name:ident: $program:ident $version:ident $transport:ident, $($group:ident)*;)*) => {
        $(
            mod $name {
                use super::*;
                $($group! { $program, $version, $transport })*
            }
        )*
    };
}

matrix! {
    mosquitto_3_1_1: Mosquitto V311 Tcp, of_every_client of_polite_clients;
    mosquitto_5: Mosquitto V5 Tcp, of_every_client of_version_5 of_mosquitto_5;
    paho_3_1_1: Paho V311 Tcp, of_every_client of_every_library;
    paho_5: Paho V5 Tcp, of_every_client of_every_library of_version_5 of_version_5_libraries;
    paho_3_1_1_over_websocket: Paho V311 Ws, of_every_client of_every_library;
    paho_5_over_websocket: Paho V5 Ws, of_every_client of_every_library of_version_5 of_version_5_libraries;
    mqttjs_3_1_1: MqttJs V311 Tcp, of_every_client of_every_library;
    mqttjs_5: MqttJs V5 Tcp, of_every_client of_every_library of_version_5 of_version_5_libraries;
    mqttjs_3_1_1_over_websocket: MqttJs V311 Ws, of_every_client of_every_library;
    mqttjs_5_over_websocket: MqttJs V5 Ws, of_every_client of_every_library of_version_5 of_version_5_libraries;
    chromium_3_1_1: Chromium V311 Ws, of_every_client of_every_library;
    chromium_5: Chromium V5 Ws, of_every_client of_every_library of_version_5 of_version_5_libraries;
}
