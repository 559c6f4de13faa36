//! What a link has its pump do besides carrying: stop, say where it stands, put frames of the relay's own, and tell what has
//! come.
//!
//! It refuses to read and to write.

use tokio::time::Instant;

use super::super::judge::Mode;
use super::super::pump::{Boundary, PingPayload, Signs};
use super::Pump;

impl Pump {
    /// Since when the tap is waited for; `None` while it is not.
    pub fn waits_since(&self) -> Option<Instant> {
        self.judge.waits_since()
    }

    /// From now on bytes go on only until the message under way has ended.
    pub fn finish_message(&mut self) {
        self.judge.finish_message();
    }

    /// From now on nothing goes on.
    pub fn cut(&mut self) {
        if self.is_passing() {
            self.leave(Mode::Discard);
        }
    }

    /// Whether the source's bytes still go on.
    pub fn is_passing(&self) -> bool {
        self.judge.is_passing()
    }

    /// Where the sink's stream stands.
    pub fn boundary(&self) -> Boundary {
        self.forwarder.boundary(self.judge.boundary())
    }

    /// Whether the source has begun a message that goes on, and not ended it.
    pub fn is_inside_message(&self) -> bool {
        self.judge.boundary() != Boundary::Message
    }

    /// Puts frames of the relay's own behind what has gone on so far. Where they may stand: [`boundary`](Self::boundary).
    pub fn inject(&mut self, frames: &[u8]) {
        self.pending.put(frames);
    }

    /// Lets the close frame go on that the source sent.
    pub fn pass_close(&mut self) {
        let close = self.take_close();
        self.pending.put(&close);
    }

    /// The close frame that the source sent, to be let go on later.
    pub fn take_close(&mut self) -> Vec<u8> {
        let close = self.judge.take_close();
        self.flow.count(1, close.len() as u64);
        close
    }

    /// What has come from the source since this was last asked.
    #[inline]
    pub fn take_signs(&mut self) -> Signs {
        std::mem::take(&mut self.judge.signs)
    }

    /// Whether a ping has gone to the sink, of the source's or of ours, and no pong has come back.
    pub fn awaits_pong(&self) -> bool {
        self.judge.awaits_pong
    }

    /// A pong has come from the sink, or (`false`) a ping of ours goes there.
    pub fn set_answered(&mut self, answered: bool) {
        self.judge.awaits_pong = !answered;
    }

    /// The pong with this payload does not go on: it answers a ping of ours.
    pub fn take_out_pong(&mut self, payload: PingPayload) {
        self.judge.own_ping = Some(payload);
    }

    /// Since when the sink has taken nothing of what waits for it; `None` while nothing waits.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.pending.since()
    }
}
