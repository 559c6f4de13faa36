//! Settling: a response that is under way when a link ends is cancelled, and read to its end, so that its usage is known.
//! Leaving in the middle of an answer is not free of charge.
//!
//! It refuses to know streams, and what is told to whom afterwards.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::Peer;
use super::inject;
use super::pump::Boundary;

/// So long after the client's last data frame a response may begin that it asked for.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// The responses that are settled.
#[derive(Debug)]
pub(super) struct Settle {
    /// Until then a response may still begin.
    grace: Instant,
    /// Then it is over, whatever is under way.
    deadline: Instant,
    /// Those that the upstream was asked to cancel.
    cancelled: Vec<Box<str>>,
    /// There was something to settle.
    met_any: bool,
}

impl Settle {
    /// `None`: nothing is under way, and nothing can be. `client_spoke` is when the client last sent some of a data
    /// frame; `speaks`: it may still finish a message.
    pub(super) fn begin(
        under_way: &[Box<str>],
        client_spoke: Option<Instant>,
        speaks: bool,
        now: Instant,
        limit: Duration,
    ) -> Option<Self> {
        let grace = client_spoke.map_or(now, |spoke| spoke + GRACE);
        let wanted = !under_way.is_empty() || grace > now || speaks;
        wanted.then(|| Self { grace, deadline: now + limit, cancelled: Vec::new(), met_any: !under_way.is_empty() })
    }

    /// The client has sent some of a data frame just now.
    pub(super) fn client_speaks(&mut self) {
        self.grace = Instant::now() + GRACE;
    }

    /// When there is something to look at again, should nothing happen before.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        if now < self.grace { self.grace.min(self.deadline) } else { self.deadline }
    }

    /// Whether it is over.
    pub(super) fn is_over(&self, under_way: &[Box<str>], now: Instant) -> bool {
        now >= self.deadline || (under_way.is_empty() && now >= self.grace)
    }

    /// Whether there was something to settle.
    pub(super) fn met_any(&self) -> bool {
        self.met_any
    }

    /// The messages to the upstream that cancel what is under way, each response once; none where none may stand.
    pub(super) fn cancel(&mut self, under_way: &[Box<str>], at: Boundary) -> Vec<u8> {
        self.met_any |= !under_way.is_empty();
        let mut messages = Vec::new();
        for id in under_way {
            if at == Boundary::Message && !self.cancelled.contains(id) {
                self.cancelled.push(id.clone());
                let message = json!({ "type": "response.cancel", "response_id": id });
                messages.extend(inject::text(Peer::Upstream, &message.to_string()));
            }
        }
        messages
    }
}
