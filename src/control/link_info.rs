//! What is known of a link while it runs: who, to whom, since when, and what it has said of itself.
//!
//! It refuses to know sockets and frames; the counters are the data plane's, shared.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use uuid::Uuid;

use super::client_address::ClientAddress;
use super::prices::NanoUsd;
use crate::relay::events::{Event, SessionSettings, Usage};
use crate::relay::link::Traffic;

/// The protocol that a link carries.
pub const FORMAT: &str = "openai_realtime";
/// The audio format until the session says otherwise.
const DEFAULT_AUDIO: Cow<'static, str> = Cow::Borrowed("pcm16");

/// A link's description. Shared on its worker.
#[derive(Debug)]
pub struct LinkInfo {
    /// Its own id, unique over all processes.
    pub id: Uuid,
    /// The id of the request that opened it.
    pub request_id: Arc<str>,
    /// The upstream's id of our request, where it told one.
    pub upstream_request_id: Option<Box<str>>,
    /// The request id that the upstream was told, where its leg was opened ahead.
    pub opened_as: Option<Box<str>>,
    /// The name of the client's key.
    pub key: Arc<str>,
    /// Who connected.
    pub client: ClientAddress,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// What the client called the model.
    pub model_asked: Box<str>,
    /// What the upstream was sent.
    pub model_sent: Box<str>,
    /// When the 101 was answered.
    pub opened: Instant,
    /// The same by the calendar.
    pub opened_at: SystemTime,
    /// How long it took until it stood.
    pub set_up: SetUp,
    /// What the session has said since.
    pub heard: Heard,
    /// Frames and bytes so far.
    pub traffic: Traffic,
}

/// What came before the 101.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetUp {
    /// From the connection to the end of the request's head, TLS included, in milliseconds.
    pub request_ms: u32,
    /// Until the upstream leg stood: all attempts, first event included, in milliseconds.
    pub dial_ms: u32,
}

impl SetUp {
    /// What took so long. Deadlines keep both far below the 49 days for which there is room.
    pub fn new(request: Duration, dial: Duration) -> Self {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Self { request_ms: millis(request), dial_ms: millis(dial) }
    }
}

/// What the upstream's events have told of a link.
#[derive(Debug)]
pub struct Heard {
    input_audio_format: RefCell<Cow<'static, str>>,
    output_audio_format: RefCell<Cow<'static, str>>,
    session_model: RefCell<Option<Box<str>>>,
    transcription_model: RefCell<Option<Box<str>>>,
    first_response: Cell<Option<Duration>>,
    used: Cell<Usage>,
    responses: Cell<u64>,
    /// `None`: something has no known cost.
    cost: Cell<Option<NanoUsd>>,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            input_audio_format: RefCell::new(DEFAULT_AUDIO),
            output_audio_format: RefCell::new(DEFAULT_AUDIO),
            session_model: RefCell::default(),
            transcription_model: RefCell::default(),
            first_response: Cell::new(None),
            used: Cell::default(),
            responses: Cell::new(0),
            cost: Cell::new(Some(NanoUsd::ZERO)),
        }
    }
}

impl LinkInfo {
    /// Takes in what an event says of the link itself.
    pub fn hear(&self, event: &Event) {
        match event {
            Event::Session(SessionSettings { model, input, output, transcription }) => {
                if model.is_some() {
                    note_model(&self.heard.session_model, model.as_deref());
                }
                note(&self.heard.input_audio_format, input.as_deref());
                note(&self.heard.output_audio_format, output.as_deref());
                note_model(&self.heard.transcription_model, transcription.as_deref());
            }
            Event::ResponseCreated { .. } => self.note_response(),
            Event::ResponseDone(done) => {
                self.note_response();
                self.heard.used.set(self.heard.used.get().plus(done.usage));
                self.heard.responses.set(self.heard.responses.get() + 1);
            }
            Event::Transcription(done) => self.heard.used.set(self.heard.used.get().plus(done.usage)),
        }
    }

    fn note_response(&self) {
        if self.first_response().is_none() {
            self.heard.first_response.set(Some(self.age()));
        }
    }

    /// What all its responses have used so far.
    pub fn used(&self) -> Usage {
        self.heard.used.get()
    }

    /// How many responses have ended so far.
    pub fn responses(&self) -> u64 {
        self.heard.responses.get()
    }

    /// Adds what one of its events costs; `None`: nobody knows.
    pub fn note_cost(&self, cost: Option<NanoUsd>) {
        let sum = self.cost().zip(cost).map(|(sum, cost)| NanoUsd::new(sum.nano().saturating_add(cost.nano())));
        self.heard.cost.set(sum);
    }

    /// What all of it has cost so far; `None`: nobody knows.
    pub fn cost(&self) -> Option<NanoUsd> {
        self.heard.cost.get()
    }

    /// What the client sends: `pcm16`, `g711_ulaw`, `g711_alaw`, or the upstream's own word.
    pub fn input_audio_format(&self) -> Cow<'static, str> {
        self.heard.input_audio_format.borrow().clone()
    }

    /// What the upstream sends.
    pub fn output_audio_format(&self) -> Cow<'static, str> {
        self.heard.output_audio_format.borrow().clone()
    }

    /// The model that answers, as the session last told.
    pub fn session_model(&self) -> Option<Box<str>> {
        self.heard.session_model.borrow().clone()
    }

    /// The model that transcribes what the client says, as the session last told.
    pub fn transcription_model(&self) -> Option<Box<str>> {
        self.heard.transcription_model.borrow().clone()
    }

    /// How long after its 101 the first response began; `None` while it is still to come.
    pub fn first_response(&self) -> Option<Duration> {
        self.heard.first_response.get()
    }

    /// Since its 101.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }
}

fn note_model(model: &RefCell<Option<Box<str>>>, told: Option<&str>) {
    if model.borrow().as_deref() != told {
        *model.borrow_mut() = told.map(Into::into);
    }
}

/// Sets a format that was told, where it differs: the default owns no memory.
fn note(format: &RefCell<Cow<'static, str>>, told: Option<&str>) {
    if let Some(told) = told
        && *format.borrow() != told
    {
        *format.borrow_mut() = Cow::Owned(told.to_owned());
    }
}
