//! One node serves all programs, both versions and both transports at the same time.

use anyhow::ensure;
use selvedge_tests::broker::TestBroker;
use selvedge_tests::client::Transport::{Tcp, Ws};
use selvedge_tests::client::Version::{V5, V311};
use selvedge_tests::client::{Client, Filter, Message, Program};

#[test]
fn every_client_hears_every_other_one() -> anyhow::Result<()> {
    let broker = TestBroker::start()?;
    let mut clients = Vec::new();
    for (program, version, transport) in [
        (Program::Paho, V311, Tcp),
        (Program::Paho, V5, Ws),
        (Program::MqttJs, V5, Tcp),
        (Program::MqttJs, V311, Ws),
        (Program::Chromium, V5, Ws),
        (Program::Mosquitto, V5, Tcp),
        (Program::Mosquitto, V311, Tcp),
    ] {
        let mut client = Client::start(program, version, transport, broker.address(transport))?;
        client.connect_clean(&format!("client-{}", clients.len()))?;
        clients.push(client);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.subscribe(&format!("client-{number}"), &[Filter::new("together/#", 1)])?;
    }
    for speaker in 0..clients.len() {
        let message = Message::new(&format!("together/{speaker}"), format!("from {speaker}"), 1);
        clients[speaker].publish(&format!("client-{speaker}"), &message)?;
        for (listener, client) in clients.iter_mut().enumerate() {
            let got = client.receive(&format!("client-{listener}"))?;
            ensure!(got == message, "{} received {got:?}\n{}", client.label(), broker.said());
        }
    }
    Ok(())
}
