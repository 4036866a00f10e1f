//! One network connection past its accept: socket, framing, what is unread and what is unsent.
//!
//! Invariant: a connection that is idle holds no buffer; what it holds otherwise is bounded by [`crate::Config`] and
//! by the largest packet.

pub(crate) mod held;
pub(crate) mod outbox;
pub(crate) mod publish_rate;
pub(crate) mod reader;
pub(crate) mod stream;
pub(crate) mod task;
pub(crate) mod websocket;
mod writer;

use std::{net::SocketAddr, task::Waker};

use selvedge_codec::ProtocolVersion;
use selvedge_core::{CloseCause, Durability};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, OpCode};

use self::{
    held::Held,
    outbox::{BufferPool, Outbox},
    publish_rate::PublishBudget,
    reader::ReadEnd,
    stream::Stream,
    websocket::{ControlFrame, WebSocketReader},
};
use crate::{
    admission::Place, authentication::login::Login, offenders::Offenders, reactor::incomplete::Since,
    statistics::Statistics,
};

/// How far the life of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Packets go both ways.
    Open,
    /// Nothing is read as packets any more; what is unsent is sent.
    Closing,
    /// As `Closing`, all is sent and the peer was told; it has a moment to take it before the socket goes.
    Lingering,
    /// The socket is of no more use.
    Failed,
}

/// What all connections share: spare buffers and counters.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    pub(crate) pool: BufferPool,
    pub(crate) statistics: Statistics,
    pub(crate) offenders: Offenders,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    /// Where the client is.
    pub(crate) peer: SocketAddr,
    /// Read from and written to the stream, bytes.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Inbound WebSocket framing; `None` where MQTT lies directly on the stream.
    websocket: Option<Box<WebSocketReader>>,
    pub(crate) outbox: Outbox,
    /// What is to be sent and waits for the journal.
    pub(crate) held: Option<Box<Held>>,
    /// Bytes of an incomplete packet, or of complete ones that wait for their turn (see `input_waits`).
    pub(crate) partial: Vec<u8>,
    /// What of it stands in the count of all.
    counted_bytes: usize,
    /// Since when it holds something.
    pub(crate) since: Option<Since>,
    /// Of the task that drives the connection.
    pub(crate) waker: Option<Waker>,
    pub(crate) version: ProtocolVersion,
    pub(crate) phase: Phase,
    /// Stands in the list of outboxes to flush.
    pub(crate) dirty: bool,
    /// The socket took no more; the task is woken when it does.
    pub(crate) blocked: bool,
    /// The core was told to send no more messages.
    pub(crate) congested: bool,
    /// The core waits to be told that the outbox has drained.
    pub(crate) awaits_drain: bool,
    /// `partial` holds input that can be handled without reading more.
    pub(crate) input_waits: bool,
    /// Bytes appended since the connection is congested: answers to what its client sends.
    pub(crate) answer_bytes: usize,
    /// The client does not take its answers: it is not read.
    pub(crate) paused: bool,
    /// Waits for its turn to be read.
    pub(crate) queued: bool,
    /// What it sent last took so long that it is read behind those who send little.
    pub(crate) busy: bool,
    /// Nothing more will come, and the core has not been told yet.
    pub(crate) ended: Option<ReadEnd>,
    /// What it may publish; `None` is any amount.
    pub(crate) budget: Option<Box<PublishBudget>>,
    /// How safe the listener wants what the client publishes.
    pub(crate) durability: Option<Durability>,
    /// What it published last had to be kept.
    pub(crate) keeps: bool,
    /// It is not read because the journal is behind.
    pub(crate) stalled: bool,
    /// It is not read before the core says so: somebody looks at what it published, or something that it sent takes longer.
    pub(crate) suspended: bool,
    /// It is over, and closed with this when what waits for the journal is sent.
    pub(crate) closes_with: Option<CloseCode>,
    /// In the count of its address.
    pub(crate) place: Option<Place>,
    /// Enhanced authentication, if the client named a method for it.
    pub(crate) login: Option<Box<Login>>,
    /// The peer sent a WebSocket close frame, to be answered with this when all that came before it is handled.
    pub(crate) peer_closes: Option<CloseCode>,
}

impl Connection {
    /// A connection whose `stream` from `peer` has just been established; `websocket` if frames are on it.
    pub(crate) fn new(stream: Stream, peer: SocketAddr, websocket: Option<WebSocketReader>) -> Self {
        Self {
            stream,
            peer,
            bytes_in: 0,
            bytes_out: 0,
            outbox: if websocket.is_some() { Outbox::websocket() } else { Outbox::raw() },
            websocket: websocket.map(Box::new),
            held: None,
            partial: Vec::new(),
            counted_bytes: 0,
            since: None,
            waker: None,
            version: ProtocolVersion::V5,
            phase: Phase::Open,
            dirty: false,
            blocked: false,
            congested: false,
            awaits_drain: false,
            input_waits: false,
            answer_bytes: 0,
            paused: false,
            queued: false,
            busy: false,
            ended: None,
            budget: None,
            durability: None,
            keeps: false,
            stalled: false,
            suspended: false,
            closes_with: None,
            place: None,
            login: None,
            peer_closes: None,
        }
    }

    /// Have the task look at the connection again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Read no more packets; send what is unsent, then a WebSocket close frame where there are frames.
    pub(crate) fn begin_close(&mut self, code: CloseCode, resources: &mut Resources) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Closing;
        self.drop_held(resources);
        self.drop_input(resources);
        if self.outbox.is_websocket() {
            self.append_control(OpCode::Control(Control::Close), &u16::from(code).to_be_bytes(), resources);
        }
        self.wake();
    }

    /// Answer the pings that came between the data frames. When the peer closes, gives the code to close with.
    pub(crate) fn answer_control(
        &mut self,
        control: Vec<ControlFrame>,
        resources: &mut Resources,
    ) -> Option<CloseCode> {
        for frame in control {
            match frame {
                ControlFrame::Ping(payload) => {
                    self.append_control(OpCode::Control(Control::Pong), &payload, resources);
                }
                ControlFrame::Close(code) => {
                    let code = code.map(CloseCode::from).filter(|code| code.is_allowed());
                    return Some(code.unwrap_or(CloseCode::Normal));
                }
            }
        }
        None
    }

    fn append_control(&mut self, opcode: OpCode, payload: &[u8], resources: &mut Resources) {
        const FINAL: u8 = 0x80;
        let before = self.outbox.pending();
        self.outbox.append_control_frame(FINAL | u8::from(opcode), payload, &mut resources.pool);
        resources.statistics.outbox_changed(before, self.outbox.pending());
        if self.congested {
            self.answer_bytes += payload.len() + 2;
        }
    }

    /// Whether its task only leads it to its end.
    pub(crate) fn is_leaving(&self) -> bool {
        self.phase != Phase::Open || self.ended.is_some()
    }

    /// Whether the client is not read because of its publish rate.
    pub(crate) fn is_throttled(&self) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.until.is_some())
    }

    /// Memory of what the client sent that is not handled yet, bytes.
    pub(crate) fn unhandled_bytes(&self) -> usize {
        self.partial.capacity() + self.stream.unread_bytes()
    }

    /// Bring the count of what is kept up to date.
    pub(crate) fn recount(&mut self, resources: &mut Resources) {
        let bytes = if self.phase == Phase::Open { self.unhandled_bytes() } else { 0 };
        let all = &mut resources.statistics.incomplete_bytes;
        *all = (*all + bytes as u64).saturating_sub(self.counted_bytes as u64);
        self.counted_bytes = bytes;
    }

    /// What waits for the journal is not sent any more.
    fn drop_held(&mut self, resources: &mut Resources) {
        if let Some(held) = self.held.take() {
            resources.statistics.outbox_changed(held.len(), 0);
        }
    }

    /// Nothing that came is handled any more.
    fn drop_input(&mut self, resources: &mut Resources) {
        self.partial = Vec::new();
        self.input_waits = false;
        self.recount(resources);
        if self.is_throttled() {
            resources.statistics.throttled -= 1;
        }
        self.budget = None;
    }

    /// The socket is of no more use: forget what was to be written to it.
    pub(crate) fn fail(&mut self, resources: &mut Resources) {
        self.phase = Phase::Failed;
        self.drop_held(resources);
        resources.statistics.outbox_changed(self.outbox.pending(), 0);
        self.outbox.clear(&mut resources.pool);
        self.drop_input(resources);
        self.wake();
    }
}

/// The WebSocket status that goes with an end of the MQTT connection.
pub(crate) fn close_code(cause: CloseCause) -> CloseCode {
    match cause {
        CloseCause::ShuttingDown => CloseCode::Away,
        _ => CloseCode::Normal,
    }
}
