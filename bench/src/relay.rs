//! The bare relay: accepts clients and copies the bytes of each PUBLISH to those that subscribed.
//! Not a broker: no sessions, no order between qualities of service, no checks; a filter is an exact topic, or a prefix
//! that ends at its first wildcard. It shows what the system calls alone cost, the ceiling of any broker on one thread.
//! Invariant: each touched socket is written once per turn, and no client can make it keep more than [`OUTBOX_BYTES_MAX`].

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::connection::{Broken, Connection, SCRATCH_BYTES};
use crate::frame::{split_frame, split_string};

mod routes;

use routes::Routes;

/// Bytes that may wait for one client; one that falls further behind is disconnected.
const OUTBOX_BYTES_MAX: usize = 64 << 20;

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);

/// Faults on purpose, to see that a run notices them.
#[derive(Clone, Copy, Debug, Default)]
pub struct RelayFaults {
    /// Loses every Nth message.
    pub drop_every: Option<u64>,
    /// Sends every Nth message twice.
    pub repeat_every: Option<u64>,
}

/// A relay that is bound but does not serve yet.
#[derive(Debug)]
pub struct Relay {
    poll: Poll,
    listener: TcpListener,
    address: SocketAddr,
    faults: RelayFaults,
}

/// A relay that serves in a thread of this process, until it is dropped.
#[derive(Debug)]
pub struct RelayThread {
    address: SocketAddr,
    thread_id: u32,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Binds the listener; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken or not this machine's.
    pub fn bind(address: SocketAddr, faults: RelayFaults) -> io::Result<Self> {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let address = listener.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self { poll, listener, address, faults })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The system refuses to poll; trouble with one client only ends that client.
    pub fn serve(self) -> io::Result<Infallible> {
        self.serve_until(&AtomicBool::new(false))?;
        Err(io::Error::other("the relay was stopped"))
    }

    /// Serves in a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread or no descriptor.
    pub fn spawn(self) -> io::Result<RelayThread> {
        let address = self.address;
        let waker = Waker::new(self.poll.registry(), STOP)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("bare-relay".into()).spawn(move || {
            // The receiver waits for it, and an error of polling ends the thread, which every client sees.
            let _ = sender.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
            let _ = self.serve_until(&seen);
        })?;
        let thread_id = receiver.recv().map_err(|_| io::Error::other("the relay's thread did not start"))?;
        Ok(RelayThread { address, thread_id, stop, waker, thread: Some(thread) })
    }

    fn serve_until(mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut clients = Clients { routes: Routes::new(self.faults), slots: Slots::default() };
        let mut scratch = vec![0; SCRATCH_BYTES];
        while !stop.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => clients.accept(&self.listener, self.poll.registry()),
                    STOP => {}
                    Token(index) => clients.ready(index, event, &mut scratch),
                }
            }
            clients.flush();
        }
        Ok(())
    }
}

impl RelayThread {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The kernel's id of its thread.
    pub fn thread_id(&self) -> u32 {
        self.thread_id
    }
}

impl Drop for RelayThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            // It can only fail by a panic of the thread, which has printed itself.
            let _ = thread.join();
        }
    }
}

struct Slot {
    connection: Connection,
    version: u8,
    dirty: bool,
}

struct Clients {
    routes: Routes,
    slots: Slots,
}

impl Clients {
    fn accept(&mut self, listener: &TcpListener, registry: &mio::Registry) {
        // Ends at WouldBlock, or when no descriptor is left: who waits then stays in the backlog.
        while let Ok((stream, _)) = listener.accept() {
            let index = self.slots.free();
            let mut connection = Connection::of(stream);
            if connection.set_nodelay().is_ok() && connection.register(registry, Token(index)).is_ok() {
                self.slots.all[index] = Some(Slot { connection, version: 4, dirty: false });
            }
        }
    }

    fn ready(&mut self, index: usize, event: &Event, scratch: &mut Vec<u8>) {
        // Taken out while it is read, so that a frame may reach the others' outboxes.
        let Some(mut slot) = self.slots.all.get_mut(index).and_then(Option::take) else { return };
        let mut alive = true;
        if event.is_readable() {
            let Slot { connection, version, .. } = &mut slot;
            let read = connection
                .read(scratch, event.is_read_closed(), |frame, outbox| self.handle(index, version, frame, outbox));
            alive = read.is_ok();
        }
        if alive && event.is_writable() && slot.connection.has_output() {
            alive = slot.connection.flush().is_ok();
        }
        if !alive {
            self.routes.forget(index);
            return;
        }
        let has_output = slot.connection.has_output();
        self.slots.all[index] = Some(slot);
        if has_output {
            self.slots.mark(index);
        }
    }

    fn flush(&mut self) {
        for index in std::mem::take(&mut self.slots.dirty) {
            let Some(Some(slot)) = self.slots.all.get_mut(index) else { continue };
            slot.dirty = false;
            if slot.connection.flush().is_err() || slot.connection.backlog() > OUTBOX_BYTES_MAX {
                self.slots.all[index] = None;
                self.routes.forget(index);
            }
        }
    }

    /// One frame of one client; a frame that makes no sense ends the client.
    fn handle(&mut self, index: usize, version: &mut u8, frame: &[u8], outbox: &mut Vec<u8>) -> Result<(), Broken> {
        let (first, body) = split_frame(frame).ok_or(Broken::Closed)?;
        match first >> 4 {
            1 => {
                *version = body.get(6).copied().ok_or(Broken::Closed)?;
                let accepted: &[u8] = if *version == 5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
                outbox.extend_from_slice(accepted);
            }
            3 => self.publish(index, frame, body, outbox).ok_or(Broken::Closed)?,
            5 => answer(0x62, body, outbox).ok_or(Broken::Closed)?,
            6 => answer(0x70, body, outbox).ok_or(Broken::Closed)?,
            8 => self.subscribe(index, *version, body, outbox).ok_or(Broken::Closed)?,
            12 => outbox.extend_from_slice(&[0xD0, 0]),
            14 => return Err(Broken::Closed),
            _ => {}
        }
        Ok(())
    }

    fn publish(&mut self, index: usize, frame: &[u8], body: &[u8], outbox: &mut Vec<u8>) -> Option<()> {
        let (topic, behind) = split_string(body)?;
        match frame.first()? >> 1 & 3 {
            0 => {}
            1 => answer(0x40, behind, outbox)?,
            _ => answer(0x50, behind, outbox)?,
        }
        for _ in 0..self.routes.copies_of_next() {
            for target in self.routes.targets(topic) {
                if target == index {
                    outbox.extend_from_slice(frame);
                } else {
                    self.slots.append(target, frame);
                }
            }
        }
        Some(())
    }

    fn subscribe(&mut self, index: usize, version: u8, body: &[u8], outbox: &mut Vec<u8>) -> Option<()> {
        let (id, mut rest) = body.split_first_chunk::<2>()?;
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        // The clients of this crate send no properties either.
        rest = rest.strip_prefix(properties)?;
        let mut granted = Vec::new();
        while !rest.is_empty() {
            let (filter, behind) = split_string(rest)?;
            let (options, behind) = behind.split_first()?;
            self.routes.add(filter, index);
            granted.push(options & 3);
            rest = behind;
        }
        let length = u8::try_from(2 + properties.len() + granted.len()).ok().filter(|length| *length < 128)?;
        outbox.extend_from_slice(&[0x90, length]);
        outbox.extend_from_slice(id);
        outbox.extend_from_slice(properties);
        outbox.extend_from_slice(&granted);
        Some(())
    }
}

/// A two-byte packet with the packet identifier that `bytes` begin with.
fn answer(first: u8, bytes: &[u8], outbox: &mut Vec<u8>) -> Option<()> {
    let id = bytes.first_chunk::<2>()?;
    outbox.extend_from_slice(&[first, 2, id[0], id[1]]);
    Some(())
}

/// The clients' connections, and which of them have something to send.
#[derive(Default)]
struct Slots {
    all: Vec<Option<Slot>>,
    dirty: Vec<usize>,
}

impl Slots {
    fn free(&mut self) -> usize {
        self.all.iter().position(Option::is_none).unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() - 1
        })
    }

    fn append(&mut self, index: usize, frame: &[u8]) {
        if let Some(Some(slot)) = self.all.get_mut(index) {
            slot.connection.outbox().extend_from_slice(frame);
            self.mark(index);
        }
    }

    fn mark(&mut self, index: usize) {
        if let Some(Some(slot)) = self.all.get_mut(index)
            && !slot.dirty
        {
            slot.dirty = true;
            self.dirty.push(index);
        }
    }
}
