//! Bundles over MQTT, in pieces, for gateways that only MQTT reaches. See docs/updates.md for the messages.
//!
//! ```text
//! $ota/push/ID/begin        {"length": N, "sha256": HEX}       from the sender; again after a broken connection
//! $ota/push/ID/data/OFFSET  bytes                             from the sender, at most `window` beyond `next`
//! $ota/push/ID/state        {"next": N, "window": W} …         from the node, after each of them
//! $ota/status               the status, retained              from the node, when it changes
//! ```
//!
//! What comes at another offset than `next` is not kept, and answered with `next` again. Pieces travel at QoS 0 inside the node: none of
//! them touches the journal, and a lost one is asked for. Invariant: one bundle at a time, and never more bytes than announced.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use selvedge_broker::{Attachment, Handle};
use selvedge_codec::QoS;
use selvedge_core::{Delivery, Message};
use selvedge_ota::slots::{Digest, digest_of};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Job, Updates};

const CLIENT_ID: &str = "$node/updates";
const STACK_BYTES: usize = 512 * 1024;
/// Bytes that a sender may send beyond what was answered.
const WINDOW_BYTES: u64 = 256 << 10;
/// Pieces that wait for this thread; what comes beyond is dropped and asked for again. Bytes.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// A sender that is silent for so long gives way to another.
const SILENT_MAX: Duration = Duration::from_secs(60);
/// Longest identifier of a push, bytes.
const ID_BYTES_MAX: usize = 64;

/// What announces a bundle.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Announcement {
    length: u64,
    sha256: String,
}

/// A bundle that is coming.
struct Incoming {
    id: String,
    wanted: Digest,
    path: PathBuf,
    file: File,
    next: u64,
    heard: Instant,
}

/// The desk where bundles are received.
struct Desk {
    updates: Arc<Updates>,
    broker: Handle,
    waiting: Arc<AtomicUsize>,
    incoming: Option<Incoming>,
}

/// Subscribes to pushes and starts the thread that receives them. The attachment ends with the node.
///
/// # Errors
/// The thread cannot be started.
pub fn start(updates: &Arc<Updates>, broker: &Handle) -> io::Result<Attachment> {
    let (sender, deliveries) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&waiting);
    let sink = move |batch: Vec<Delivery>| {
        for delivery in batch {
            let bytes = delivery.message.payload().len() + delivery.message.topic().len();
            if counted.load(Ordering::Acquire) + bytes <= WAITING_BYTES_MAX {
                counted.fetch_add(bytes, Ordering::AcqRel);
                // Fails only when the thread is gone, at the very end.
                let _ = sender.send(delivery.message);
            }
        }
    };
    let filters =
        [("$ota/push/+/begin".to_owned(), QoS::AtMostOnce), ("$ota/push/+/data/+".to_owned(), QoS::AtMostOnce)];
    let attachment = broker.attach(CLIENT_ID, 1, filters.into(), Box::new(sink));
    let desk = Desk { updates: Arc::clone(updates), broker: broker.clone(), waiting, incoming: None };
    std::thread::Builder::new()
        .name("ota-mqtt".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || desk.receive_all(&deliveries))?;
    Ok(attachment)
}

impl Desk {
    fn receive_all(mut self, messages: &Receiver<Arc<Message>>) {
        while let Ok(message) = messages.recv() {
            let bytes = message.payload().len() + message.topic().len();
            self.receive(&message);
            self.waiting.fetch_sub(bytes, Ordering::AcqRel);
        }
    }

    fn receive(&mut self, message: &Message) {
        let mut levels = message.topic().split('/').skip(2);
        let (Some(id), Some(what)) = (levels.next(), levels.next()) else { return };
        let is_id = !id.is_empty()
            && id.len() <= ID_BYTES_MAX
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !is_id {
            return;
        }
        let outcome = match (what, levels.next()) {
            ("begin", None) => self.begin(id, message.payload()),
            ("data", Some(offset)) => self.data(id, offset, message.payload()),
            _ => return,
        };
        if let Err(error) = outcome {
            self.answer(id, &json!({ "error": error }));
        }
    }

    fn begin(&mut self, id: &str, payload: &[u8]) -> Result<(), String> {
        let announced: Announcement = serde_json::from_slice(payload)
            .map_err(|error| format!("expected {{\"length\": bytes, \"sha256\": hexadecimal}}: {error}"))?;
        let allowed = self.updates.bundle_bytes_max();
        if announced.length > allowed {
            return Err(format!("{} bytes are more than ota.bundle_bytes_max ({allowed})", announced.length));
        }
        let wanted = Digest::from_hex(announced.length, &announced.sha256)
            .ok_or_else(|| "sha256 has to be 64 hexadecimal digits, lower case".to_owned())?;
        let busy = self.incoming.as_ref().filter(|incoming| incoming.id != id && incoming.heard.elapsed() < SILENT_MAX);
        if let Some(incoming) = busy {
            return Err(format!("another bundle is being received: {}", incoming.id));
        }
        let incoming = self.open(id, wanted).map_err(|error| format!("no place for the bundle: {error}"))?;
        let is_whole = incoming.next == wanted.length;
        self.incoming = Some(incoming);
        if is_whole { self.finish() } else { self.tell_next() }
    }

    /// The file of a bundle, with what came of it before.
    fn open(&self, id: &str, wanted: Digest) -> io::Result<Incoming> {
        let folder = self.updates.folder.join("incoming");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.part", wanted.hex()));
        for entry in std::fs::read_dir(&folder)?.flatten() {
            let other = entry.path();
            if other.extension().is_some_and(|extension| extension == "part") && other != path {
                std::fs::remove_file(other)?;
            }
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let mut next = file.metadata()?.len();
        if next > wanted.length {
            file.set_len(0)?;
            next = 0;
        }
        Ok(Incoming { id: id.to_owned(), wanted, path, file, next, heard: Instant::now() })
    }

    fn data(&mut self, id: &str, offset: &str, payload: &[u8]) -> Result<(), String> {
        let Some(incoming) = self.incoming.as_mut().filter(|incoming| incoming.id == id) else {
            return Err("begin first".to_owned());
        };
        incoming.heard = Instant::now();
        if offset.parse() != Ok(incoming.next) {
            return self.tell_next();
        }
        let after = incoming.next + payload.len() as u64;
        if after > incoming.wanted.length {
            return Err(format!("there are {} bytes to come, and not {after}", incoming.wanted.length));
        }
        incoming.file.write_all(payload).map_err(|error| format!("the bundle cannot be kept: {error}"))?;
        incoming.next = after;
        if after == incoming.wanted.length { self.finish() } else { self.tell_next() }
    }

    /// The whole bundle is here: it is checked, and put in place.
    fn finish(&mut self) -> Result<(), String> {
        let Some(incoming) = self.incoming.take() else { return Ok(()) };
        let Incoming { id, wanted, path, .. } = incoming;
        let found = File::open(&path).and_then(|file| digest_of(&file)).map_err(|error| error.to_string())?;
        if found != wanted {
            remove(&path);
            return Err(format!("what came has the sha256 {}: begin again", found.hex()));
        }
        self.answer(&id, &json!({ "next": wanted.length, "window": 0, "applying": true }));
        let bundle = path.with_extension("bundle");
        std::fs::rename(&path, &bundle).map_err(|error| error.to_string())?;
        let report = wait_for(self.updates.ask(Job::Bundle(bundle)));
        let answer = match report {
            Ok(report) => json!({ "next": wanted.length, "done": true, "report": report }),
            Err(error) => json!({ "error": error.message }),
        };
        self.answer(&id, &answer);
        Ok(())
    }

    fn tell_next(&self) -> Result<(), String> {
        if let Some(incoming) = &self.incoming {
            self.answer(&incoming.id, &json!({ "next": incoming.next, "window": WINDOW_BYTES }));
        }
        Ok(())
    }

    fn answer(&self, id: &str, state: &Value) {
        let topic = format!("$ota/push/{id}/state");
        let message = Message::new(&topic, state.to_string().into_bytes(), QoS::AtLeastOnce, false);
        // A broker that has stopped ends the sender's wait, too.
        let _ = self.broker.publish(vec![message]);
    }
}

/// The status, for whoever subscribes.
pub(super) fn publish_status(broker: &Handle, status: &Value) {
    let message = Message::new("$ota/status", status.to_string().into_bytes(), QoS::AtLeastOnce, true);
    if broker.publish(vec![message]).is_err() {
        tracing::debug!("the status of updates was not published: the broker has stopped");
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "a bundle that is not good stays");
    }
}

/// Waits for an answer on this thread, which has nothing else to do meanwhile.
fn wait_for(answer: crate::http::Pending<Value>) -> Result<Value, crate::http::ApiError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|error| crate::http::ApiError::new(500, error.to_string()))?.block_on(answer)
}
