//! Attacks before and right after CONNECT.

use crate::withstand::withstands;

#[test]
fn a_thousand_half_open_tcp_connections_time_out() -> anyhow::Result<()> {
    withstands("half-open-tcp")
}

#[test]
fn a_thousand_half_open_websocket_connections_time_out() -> anyhow::Result<()> {
    withstands("half-open-websocket")
}

#[test]
fn a_thousand_half_open_tls_connections_time_out() -> anyhow::Result<()> {
    withstands("half-open-tls")
}

#[test]
fn a_connect_that_comes_byte_by_byte_times_out() -> anyhow::Result<()> {
    withstands("slow-connect")
}

#[test]
fn an_upgrade_that_comes_byte_by_byte_times_out() -> anyhow::Result<()> {
    withstands("slow-upgrade")
}

#[test]
fn a_client_hello_that_comes_byte_by_byte_times_out() -> anyhow::Result<()> {
    withstands("slow-client-hello")
}

#[test]
fn a_packet_that_comes_byte_by_byte_times_out() -> anyhow::Result<()> {
    withstands("slow-publish")
}

#[test]
fn a_connect_of_256_megabytes_is_refused_by_its_length() -> anyhow::Result<()> {
    withstands("connect-256-mb")
}

#[test]
fn a_remaining_length_of_five_bytes_is_malformed() -> anyhow::Result<()> {
    withstands("five-byte-length")
}

#[test]
fn packets_that_only_a_server_sends_are_refused() -> anyhow::Result<()> {
    withstands("server-packets")
}
