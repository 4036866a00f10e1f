//! A broker with default limits, for measurements: `serve [MQTT ADDRESS] [WEBSOCKET ADDRESS]`. Stops at end of input
//! when standard input is a pipe; prints its counters then.

use std::{error::Error, io::Read, sync::Arc, time::Duration};

use selvedge_broker::{AnonymousAccess, Broker, Config, Listener, Transport};
use selvedge_core::OpenAccess;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mqtt = arguments.next().unwrap_or_else(|| "127.0.0.1:1883".to_owned());
    let websocket = arguments.next().unwrap_or_else(|| "127.0.0.1:8083".to_owned());
    let running = Broker {
        // Measurements connect thousands from one address.
        config: Config { connect_rate_per_address_per_s: 0, ..Config::default() },
        core: selvedge_core::Config::default(),
        authorizer: Box::new(OpenAccess),
        authenticator: Arc::new(AnonymousAccess),
        seed: u64::from(std::process::id()),
        continuation: None,
        listeners: vec![
            Listener::bind(mqtt.parse()?, Transport::Tcp)?,
            Listener::bind(websocket.parse()?, Transport::WebSocket)?,
        ],
    }
    .start()?;
    running.handle.open();
    println!("listening on {:?}, process {}", running.addresses, std::process::id());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    println!("{:#?}", running.handle.statistics_blocking()?);
    running.handle.shutdown(Duration::from_secs(5));
    running.join()?;
    Ok(())
}
