//! What a measured broker is told: where its data lies, how durable it is, and limits that leave room for a backlog.
//!
//! Pure but for asking a binary whether it understands. Invariant: two modes of one bench differ in the mode alone.

use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum as _;

/// A broker, and what it does before it acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Selvedge: acknowledges what an fsync has put on the disk.
    Fsync,
    /// Selvedge: acknowledges what is written, and syncs at intervals.
    Interval,
    /// Selvedge: keeps sessions in memory.
    Memory,
    /// Debian's mosquitto: memory, saved as a whole every ten seconds.
    Mosquitto,
}

impl Mode {
    /// On the command line and in tables.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// What a session may hold; every limit of the broker follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Messages of one session.
    pub messages: u64,
    /// Payload of each, in bytes.
    pub payload_bytes: u64,
    /// Sessions that are full at once.
    pub sessions: u64,
}

/// What a queued message takes beside its payload at most, in bytes: topic, properties, bookkeeping.
const OVERHEAD_BYTES: u64 = 768;

impl Room {
    fn queue_bytes(self) -> u64 {
        (self.messages * (self.payload_bytes + OVERHEAD_BYTES)).max(4 << 20)
    }
}

/// Selvedge's configuration; `section` says whether the binary knows `[durability]`.
pub fn selvedge(mode: Mode, section: bool, data: &Path, port: u16, room: Room) -> String {
    let mut text = format!(
        "data = \"{}\"\n[mqtt]\nlisten = \"127.0.0.1:{port}\"\n[websocket]\nlisten = \"127.0.0.1:0\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[limits]\nqueue_messages_max = {}\nqueue_bytes_max = \"{}B\"\n",
        data.display(),
        room.messages.max(10_000),
        room.queue_bytes(),
    );
    if mode == Mode::Memory {
        // Where the queues are all there is, they have to fit.
        let bytes = (room.queue_bytes() * room.sessions).max(128 << 20);
        text.push_str(&format!("memory_bytes_max = \"{bytes}B\"\n"));
    }
    if section {
        text.push_str(&format!("[durability]\nmode = \"{}\"\n", mode.name()));
    }
    text
}

/// mosquitto's: no limit on queues, its store on the same disk.
pub fn mosquitto(data: &Path, port: u16) -> String {
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
         autosave_interval 10\nmax_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 1000\n\
         set_tcp_nodelay true\nlog_type error\nuser root\n",
        data.display()
    )
}

/// Whether this binary takes a configuration with `[durability]`.
pub fn knows_durability(selvedge: &Path, folder: &Path) -> anyhow::Result<bool> {
    let path = folder.join("probe.toml");
    std::fs::write(&path, "[durability]\nmode = \"fsync\"\n").with_context(|| format!("write {}", path.display()))?;
    Ok(crate::process::succeeds(&selvedge.to_string_lossy(), &["check", "--config", &path.to_string_lossy()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { messages: 100_000, payload_bytes: 256, sessions: 10 };

    #[test]
    fn configurations_of_two_modes_differ_in_the_mode_and_in_what_memory_has_to_hold() {
        let of = |mode| selvedge(mode, true, Path::new("/d"), 1, ROOM);
        assert_eq!(of(Mode::Fsync).replace("fsync", "interval"), of(Mode::Interval));
        let memory = of(Mode::Memory);
        assert!(memory.contains("memory_bytes_max = \"1024000000B\"") && memory.ends_with("mode = \"memory\"\n"));
    }

    #[test]
    fn every_configuration_is_toml_and_leaves_the_section_out_for_binaries_without_it() {
        let text = selvedge(Mode::Memory, false, Path::new("/d"), 1883, ROOM);
        let table: toml::Table = text.parse().expect("it is TOML");
        assert!(!table.contains_key("durability"), "{text}");
        assert_eq!(table["limits"]["queue_messages_max"].as_integer(), Some(100_000));
    }
}
