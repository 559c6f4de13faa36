//! Plays a peer's part: does what its script says, and meanwhile hears what it is sent and answers as its manners are.
//!
//! It refuses to judge: whether what it was sent is right is looked at afterwards.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use realtime_relay::relay::Peer;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use crate::fault::{Fault, Injected};
use crate::frame::{CLOSE, Frame, PING, TEXT, decode};
use crate::frames::Speaker;
use crate::script::{Act, Answer, Manners, Part, Place, wire};
use crate::wire::{End, Far};

/// Longer than any link lives.
const FOR_EVER: Duration = Duration::from_hours(1);

pub struct Player {
    peer: Peer,
    far: Far,
    manners: Manners,
    injected: Injected,
    rng: RefCell<Rng>,
    /// Where its stream stands.
    place: Cell<Place>,
    /// It has sent a close frame, or what is forbidden.
    has_ended: Cell<bool>,
    /// So many of the bytes that it sent are legal, and not behind a close frame; `None`: all.
    legal: Cell<Option<usize>>,
    hears_from: Cell<Instant>,
    /// What it will say where that may stand.
    answers: RefCell<VecDeque<Frame>>,
}

impl Player {
    pub fn new(peer: Peer, far: Far, part: &Part, injected: Injected, rng: Rng) -> Rc<Self> {
        Rc::new(Self {
            peer,
            far,
            manners: part.manners,
            injected,
            rng: RefCell::new(rng),
            place: Cell::new(Place::BetweenMessages),
            has_ended: Cell::new(false),
            legal: Cell::new(None),
            hears_from: Cell::new(Instant::now()),
            answers: RefCell::default(),
        })
    }

    /// Does the part. `early`: the first step is done already.
    pub async fn play(self: Rc<Self>, part: Rc<Part>, early: bool) {
        tokio::join!(self.act(&part, usize::from(early)), self.listen());
    }

    /// The first step was done before the link began.
    pub fn began(&self, place: Place) {
        self.place.set(place);
    }

    /// So many bytes of what it sent may go on.
    pub fn legal(&self) -> usize {
        self.legal.get().unwrap_or(self.far.wire().sent.len())
    }

    /// Where its stream stands.
    pub fn place(&self) -> Place {
        self.place.get()
    }

    async fn act(self: &Rc<Self>, part: &Part, done: usize) {
        for step in &part.steps[done..] {
            if !step.after.is_zero() {
                sleep(step.after).await;
            }
            if self.has_ended.get() || self.far.is_gone() {
                return;
            }
            match &step.act {
                Act::Say(bytes, place) => self.say(bytes, *place),
                Act::Offend(bytes, fault) => {
                    self.over();
                    self.injected.count(*fault);
                    self.far.send(bytes);
                }
                Act::Close(frame) => self.close(frame),
                Act::End => self.end(),
                Act::Reset => {
                    self.injected.count(Fault::Reset);
                    self.far.end(End::Reset);
                }
                Act::Refuse => {
                    self.injected.count(Fault::Refusal);
                    self.far.refuse();
                }
                Act::Pause(time) => self.hear_again_after(*time, Fault::Pause),
                Act::GoDeaf => self.hear_again_after(FOR_EVER, Fault::Deaf),
                Act::Hesitate => self.injected.count(Fault::Hesitation),
            }
        }
    }

    fn say(self: &Rc<Self>, bytes: &[u8], place: Place) {
        self.far.send(bytes);
        self.place.set(place);
        self.say_answers();
    }

    /// Nothing that it sends from now on may go on.
    fn over(&self) {
        self.has_ended.set(true);
        self.legal.set(Some(self.far.wire().sent.len()));
    }

    fn close(&self, frame: &Frame) {
        let bytes = wire(self.peer, frame);
        self.far.send(&bytes);
        self.over();
        if self.manners.close == Answer::Twice {
            self.injected.count(Fault::SpeechAfterClose);
            self.far.send(&wire(self.peer, &Frame::text("behind the end")));
            self.far.send(&bytes);
        }
        if self.manners.leaves {
            self.injected.count(Fault::EndAfterClose);
            self.far.end(End::Eof);
        }
    }

    fn end(&self) {
        self.has_ended.set(true);
        self.injected.count(match self.place.get() {
            Place::BetweenMessages => Fault::EndBetweenMessages,
            Place::BetweenFragments => Fault::EndBetweenFragments,
            Place::InHeader => Fault::EndInHeader,
            Place::InPayload => Fault::EndInPayload,
        });
        self.far.end(End::Eof);
    }

    fn hear_again_after(&self, time: Duration, fault: Fault) {
        self.injected.count(fault);
        self.hears_from.set(Instant::now() + time);
    }

    async fn listen(self: &Rc<Self>) {
        let mut unread = Vec::new();
        loop {
            let heard = poll_fn(|cx| {
                let hears = Instant::now() >= self.hears_from.get();
                if hears { self.far.poll_take(cx).map(Some) } else { Poll::Ready(None) }
            });
            match heard.await {
                None => sleep_until(self.hears_from.get()).await,
                Some(news) if news.is_empty() => return,
                Some(news) => unread.extend(news),
            }
            while let Some((length, frame)) = decode(&unread) {
                unread.drain(..length);
                self.hear(&frame);
            }
        }
    }

    fn hear(self: &Rc<Self>, frame: &Frame) {
        match frame.opcode {
            PING if self.manners.pongs => self.answer(Answer::AtOnce, &Frame::pong(&frame.payload)),
            PING => self.injected.count(Fault::Mute),
            CLOSE if !self.has_ended.get() => {
                self.count(self.manners.close, [Fault::LateAnswer, Fault::NoAnswer, Fault::TwoAnswers]);
                self.answer(self.manners.close, &Frame { mask: None, ..frame.clone() });
            }
            TEXT if self.peer == Peer::Upstream && frame.payload.starts_with(br#"{"type":"response.cancel""#) => {
                let event: Value = serde_json::from_slice(&frame.payload).expect("the relay writes JSON");
                let id = event["response_id"].as_str().expect("the relay says which");
                self.count(self.manners.cancel, [Fault::LateToCancel, Fault::DeafToCancel, Fault::TwoAnswers]);
                let done = Speaker::done(&mut self.rng.borrow_mut(), id, "cancelled");
                self.answer(self.manners.cancel, &done);
            }
            _ => {}
        }
    }

    fn count(&self, answer: Answer, [late, never, twice]: [Fault; 3]) {
        match answer {
            Answer::AtOnce => {}
            Answer::After(_) => self.injected.count(late),
            Answer::Never => self.injected.count(never),
            Answer::Twice => self.injected.count(twice),
        }
    }

    fn answer(self: &Rc<Self>, how: Answer, frame: &Frame) {
        match how {
            Answer::Never => {}
            Answer::AtOnce => self.queue(frame.clone()),
            Answer::Twice => {
                // The second close frame is sent by whoever closes.
                if frame.opcode != CLOSE {
                    self.queue(frame.clone());
                }
                self.queue(frame.clone());
            }
            Answer::After(time) => {
                let (player, frame) = (self.clone(), frame.clone());
                tokio::task::spawn_local(async move {
                    sleep(time).await;
                    player.queue(frame);
                });
            }
        }
    }

    fn queue(self: &Rc<Self>, frame: Frame) {
        self.answers.borrow_mut().push_back(frame);
        self.say_answers();
    }

    /// Says what may stand where its stream is now.
    fn say_answers(&self) {
        loop {
            let at = self.place.get();
            let may = |frame: &Frame| match at {
                Place::BetweenMessages => true,
                Place::BetweenFragments => frame.opcode >= CLOSE,
                Place::InHeader | Place::InPayload => false,
            };
            if self.has_ended.get() {
                return;
            }
            let mut answers = self.answers.borrow_mut();
            let Some(next) = answers.iter().position(may) else { return };
            let Some(frame) = answers.remove(next) else { return };
            drop(answers);
            if frame.opcode == CLOSE {
                return self.close(&frame);
            }
            self.far.send(&wire(self.peer, &frame));
        }
    }
}
