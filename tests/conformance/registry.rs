//! The tests by section, each with the statements that it shows.

use selvedge_tests::client::Version;

use crate::target::Target;

/// One section of the standard.
#[derive(Debug)]
pub struct Section {
    /// Number and name, as in the standard.
    pub title: &'static str,
    /// Its tests.
    pub tests: &'static [Test],
}

/// One test.
#[derive(Debug)]
pub struct Test {
    /// `conformance::section_…`.
    pub module: &'static str,
    /// Name of the function.
    pub function: &'static str,
    /// Runs it.
    pub run: fn(&Target) -> anyhow::Result<()>,
    /// Statements that it shows, by version of the standard.
    pub statements: &'static [(Version, &'static [&'static str])],
}

impl Test {
    /// `section_…::function`.
    pub fn name(&self) -> String {
        let module = self.module.rsplit("::").next().unwrap_or(self.module);
        format!("{module}::{}", self.function)
    }
}

/// Lists the tests of a file as its `SECTION`.
macro_rules! section {
    ($title:literal; $($function:ident => $($version:ident[$($statement:literal),* $(,)?]),*;)*) => {
        /// The tests of this file.
        pub const SECTION: crate::registry::Section = crate::registry::Section {
            title: $title,
            tests: &[$(crate::registry::Test {
                module: module_path!(),
                function: stringify!($function),
                run: $function,
                statements: &[$((selvedge_tests::client::Version::$version, &[$($statement),*])),*],
            }),*],
        };
    };
}
pub(crate) use section;

/// Every section, in the order of the standard.
pub const SECTIONS: &[Section] = &[
    crate::section_1_data_representation::SECTION,
    crate::section_2_packet_format::SECTION,
    crate::section_3_1_connect::SECTION,
    crate::section_3_1_connect_session::SECTION,
    crate::section_3_1_connect_will::SECTION,
    crate::section_3_1_connect_properties::SECTION,
    crate::section_3_2_connack::SECTION,
    crate::section_3_3_publish::SECTION,
    crate::section_3_3_publish_retained::SECTION,
    crate::section_3_3_publish_properties::SECTION,
    crate::section_3_3_publish_actions::SECTION,
    crate::section_3_1_connect_of_3_1_1::SECTION,
    crate::section_3_2_connack_of_3_1_1::SECTION,
    crate::section_3_3_publish_of_3_1_1::SECTION,
    crate::section_3_4_puback::SECTION,
    crate::section_3_5_pubrec::SECTION,
    crate::section_3_6_pubrel::SECTION,
    crate::section_3_7_pubcomp::SECTION,
    crate::section_3_8_subscribe::SECTION,
    crate::section_3_9_suback::SECTION,
    crate::section_3_10_unsubscribe::SECTION,
    crate::section_3_11_unsuback::SECTION,
    crate::section_3_12_pingreq::SECTION,
    crate::section_3_14_disconnect::SECTION,
    crate::section_3_15_auth::SECTION,
    crate::section_4_1_session_state::SECTION,
    crate::section_4_2_network_connections::SECTION,
    crate::section_4_3_quality_of_service::SECTION,
    crate::section_4_4_message_delivery_retry::SECTION,
    crate::section_4_5_message_receipt::SECTION,
    crate::section_4_6_message_ordering::SECTION,
    crate::section_4_7_topics::SECTION,
    crate::section_4_8_subscriptions::SECTION,
    crate::section_4_9_flow_control::SECTION,
    crate::section_4_12_enhanced_authentication::SECTION,
    crate::section_4_13_handling_errors::SECTION,
    crate::section_6_websocket::SECTION,
];
