//! Who is connected, how much each sent and got, and who broke the protocol.

use std::{io::Write, net::TcpStream};

use selvedge_broker::Config;
use selvedge_codec::Connect;

use crate::client::{Client, PATIENCE, TestBroker, V5};

#[test]
fn each_client_is_listed_with_its_address_and_its_bytes() {
    let broker = TestBroker::start();
    let stream = TcpStream::connect(broker.tcp()).expect("connect");
    let own_address = stream.local_addr().expect("an address");
    let mut pump = Client::over(stream, V5);
    pump.handshake(&Connect::new(V5, "pump", true));
    let _page = Client::connect_websocket(broker.websocket(), V5, "page");
    let bytes = |name: &str| {
        let clients = broker.handle.clients_blocking().expect("an answer");
        let client = clients.into_iter().find(|client| &*client.client_id == name).expect("it is connected");
        (client.address, client.bytes_in, client.bytes_out)
    };
    let (address, before_in, before_out) = bytes("pump");
    assert_eq!(address, own_address);
    // The upgrade does not count, the frames around CONNECT and CONNACK do: 6 bytes with the mask, 2 without (RFC 6455, 5.2).
    assert_eq!((bytes("page").1, bytes("page").2), (before_in + 6, before_out + 2));
    pump.ping();
    // PINGREQ and PINGRESP have two bytes each (3.12, 3.13).
    assert_eq!(bytes("pump"), (address, before_in + 2, before_out + 2));
    drop(pump);
    broker.wait_for("it to be gone", |snapshot| snapshot.shell.connections < 2);
    assert_eq!(broker.handle.clients_blocking().expect("an answer").len(), 1);
}

#[test]
fn whoever_breaks_the_protocol_is_noted_once_for_each_time_and_forgotten_when_asked() {
    let broker = TestBroker::with(Config::default(), Default::default());
    let mut no_mqtt = TcpStream::connect(broker.tcp()).expect("connect");
    no_mqtt.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("send");
    let mut malformed = Client::open(broker.tcp(), V5);
    malformed.handshake(&Connect::new(V5, "bad", true));
    // A PINGREQ with reserved bits set (3.12.1).
    malformed.send_bytes(&[0xC1, 0]);
    let mut good = Client::open(broker.tcp(), V5);
    good.handshake(&Connect::new(V5, "good", true));
    let mut noted = 0;
    let until = std::time::Instant::now() + PATIENCE;
    while noted < 2 && std::time::Instant::now() < until {
        good.ping();
        let offenders = broker.handle.take_offenders_blocking().expect("an answer");
        noted += offenders.by_address.get(&"127.0.0.1".parse().expect("an address")).copied().unwrap_or(0);
    }
    assert_eq!(noted, 2);
    drop(good);
    broker.wait_for("it to be gone", |snapshot| snapshot.shell.connections == 0);
    assert!(
        broker.handle.take_offenders_blocking().expect("an answer").by_address.is_empty(),
        "who goes is no offender"
    );
}
