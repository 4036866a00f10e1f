//! What the node says on standard output when it is ready.

use std::path::Path;

use serde_json::{Value, json};

use super::listen::Addresses;
use crate::config::surroundings::FilePlaces;

/// For people, and easy to read for programs: one line a listener.
pub fn text(addresses: &Addresses, websocket_path: &str, data: &Path, socket: &Path) -> String {
    let off = || "off".to_owned();
    let mqtt = addresses.mqtt.map_or_else(off, |address| address.to_string());
    let websocket = addresses.websocket.map_or_else(off, |address| format!("{address}{websocket_path}"));
    let http = addresses.http.map_or_else(off, |address| address.to_string());
    let mut encrypted = String::new();
    if let Some(address) = addresses.mqtts {
        encrypted.push_str(&format!("  mqtts      {address}\n"));
    }
    if let Some(address) = addresses.secure_websocket {
        encrypted.push_str(&format!("  wss        {address}{websocket_path}\n"));
    }
    // The three lines work as they stand: what differs from the defaults is in them.
    let port = addresses
        .mqtt
        .filter(|address| address.port() != 1883)
        .map_or_else(String::new, |address| format!(" -p {}", address.port()));
    let directory = if data == crate::config::data_directory::locate("") {
        String::new()
    } else {
        format!(" --data {}", data.display())
    };
    format!(
        "selvedge {version}\n  mqtt       {mqtt}\n  websocket  {websocket}\n{encrypted}  http       {http}\n  control    {socket}\n  data       {data}\n\
         try next:\n  selvedge sub -t 'demo/#' -v{port}\n  selvedge pub -t demo/hello -m hi{port}\n  \
         selvedge twin set pump-1 desired.interval 5{directory}\n",
        version = env!("CARGO_PKG_VERSION"),
        socket = socket.display(),
        data = data.display(),
    )
}

/// For programs: one line. Also what `selvedge status` shows of the node.
/// Where users and rules are is what `selvedge user` asks.
pub fn facts(addresses: &Addresses, data: &Path, socket: &Path, places: &FilePlaces) -> Value {
    json!({
        "name": "selvedge",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "mqtt": addresses.mqtt,
        "mqtts": addresses.mqtts,
        "websocket": addresses.websocket,
        "secure_websocket": addresses.secure_websocket,
        "http": addresses.http,
        "control": socket,
        "data": data,
        "users": places.users,
        "rules": places.rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_says_what_listens_where_and_what_to_try() {
        let addresses = Addresses {
            mqtt: Some("127.0.0.1:1884".parse().unwrap()),
            mqtts: Some("127.0.0.1:8883".parse().unwrap()),
            websocket: None,
            secure_websocket: None,
            http: Some("127.0.0.1:7883".parse().unwrap()),
        };
        let text = text(&addresses, "/mqtt", Path::new("/d"), Path::new("/d/control.sock"));
        for line in [
            "  mqtt       127.0.0.1:1884",
            "  mqtts      127.0.0.1:8883",
            "  websocket  off",
            "  http       127.0.0.1:7883",
            "  data       /d",
            "  selvedge pub -t demo/hello -m hi -p 1884",
            "  selvedge twin set pump-1 desired.interval 5 --data /d",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is missing in\n{text}");
        }
        assert!(!text.contains("wss"), "{text}");
        let places = FilePlaces::new(&crate::config::Config::default(), Path::new("/d"));
        let facts = facts(&addresses, Path::new("/d"), Path::new("/d/control.sock"), &places);
        assert_eq!(facts["users"], json!("/d/access/users.toml"));
        assert_eq!((&facts["mqtt"], &facts["websocket"]), (&json!("127.0.0.1:1884"), &Value::Null));
    }
}
