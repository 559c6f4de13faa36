//! The meter of one link: makes a row of each event that uses something, brings it to the ledger, and waits where it has
//! to.
//!
//! It refuses to know how rows are written, and what becomes of a link whose rows nobody takes.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use super::ledger::{Full, LinkRow, Record, Recorder, Stored, Ticket, UsageKind, UsageRow, unix_ms};
use super::link_info::LinkInfo;
use super::metering::Metering;
use super::prices::{NanoUsd, TranscriptionPrices};
use super::record;
use crate::relay::ending::Decision;
use crate::relay::events::{Event, ResponseDone, Transcription, UNREADABLE};
use crate::relay::link::LinkReport;
use crate::relay::tap::Observe;

/// By which entries of the table of prices a link's usage is priced.
#[derive(Debug, Clone, Default)]
pub struct Pricing {
    /// Its responses.
    pub responses: PricedAs,
    /// Its transcriptions.
    pub transcription: PricedAs,
}

/// By which entry of the table.
#[derive(Debug, Clone, Default)]
pub enum PricedAs {
    /// By none.
    #[default]
    Nothing,
    /// By that of this name.
    Named(Box<str>),
    /// By that of the model that the session names.
    BySession,
    /// By none, as it is billed elsewhere.
    Elsewhere,
}

/// Meters one link. Dropped before its link has ended, it records that as well; what finds no room in the ledger is left
/// to whoever ends the process.
#[derive(Debug)]
pub struct Meter {
    info: Rc<LinkInfo>,
    metering: Rc<Metering>,
    recorder: Recorder,
    pricing: Pricing,
    awaits: Awaits,
    /// The link's own row is on its way.
    ended: bool,
}

/// What has to come before the next record.
#[derive(Debug)]
enum Awaits {
    Nothing,
    /// Room for this one.
    Room(Box<Record>),
    /// This one's commit.
    Commit(Ticket),
    /// What will not come: the process is about to end with a record in hand, and nobody may have what that records.
    Nobody,
}

impl Meter {
    /// The meter of a link that begins.
    pub fn new(info: Rc<LinkInfo>, metering: Rc<Metering>, pricing: Pricing) -> Self {
        let recorder = metering.recorder.clone();
        Self { info, metering, recorder, pricing, awaits: Awaits::Nothing, ended: false }
    }

    /// Records how the link went, behind all that it used. Waits for room, not for the commit.
    ///
    /// Cancel safe: dropped, it leaves what is in hand to whoever ends the process.
    pub async fn end(mut self, report: LinkReport) {
        poll_fn(|cx| self.poll_room(cx)).await;
        let LinkReport { ending, unsettled, client_close, upstream_close } = report;
        self.take(link_row(&self.info, ending.name(), unsettled, (client_close, upstream_close)));
        self.ended = true;
        poll_fn(|cx| self.poll_room(cx)).await;
    }

    /// False: it has to be waited for.
    fn take(&mut self, record: impl Into<Box<Record>>) -> bool {
        let taken = if self.metering.before_delivery {
            self.recorder.try_record(record).map(Awaits::Commit)
        } else {
            self.recorder.try_leave(record).map(|()| Awaits::Nothing)
        };
        self.awaits = taken.unwrap_or_else(|Full(record)| Awaits::Room(record));
        matches!(self.awaits, Awaits::Nothing)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Awaits::Room(_) = self.awaits {
            ready!(self.recorder.poll_room(cx));
            if let Awaits::Room(record) = std::mem::replace(&mut self.awaits, Awaits::Nothing) {
                self.take(record);
            }
        }
        Poll::Ready(())
    }

    /// Gives a record to whoever ends the process, where the ledger has no room.
    fn leave(&mut self, record: impl Into<Box<Record>>) {
        if let Err(Full(record)) = self.recorder.try_leave(record) {
            self.metering.leave(*record);
        }
    }

    fn response(&self, done: ResponseDone) -> UsageRow {
        let name = self.pricing.responses.name(|| self.info.session_model());
        let prices = name.as_deref().and_then(|name| self.metering.prices.of_model(name));
        // What could not be read may have used anything.
        let known = done.status != UNREADABLE;
        let cost = prices.filter(|_| known).and_then(|prices| prices.cost(&done.usage));
        let model = self.info.model_sent.clone();
        let billed = self.pricing.responses.is_billed();
        if cost.is_none() && known && billed {
            self.metering.note_unpriced(&model);
        }
        let row = self.row(UsageKind::Response, model, done.id, done.status, cost, done.usage, None);
        UsageRow { billed, ..row }
    }

    fn transcription(&self, done: Transcription) -> UsageRow {
        let name = self.pricing.transcription.name(|| self.info.transcription_model());
        let prices = name.as_deref().and_then(|name| self.metering.prices.of_transcription(name));
        let known = done.status != UNREADABLE;
        let cost = prices.filter(|_| known).and_then(|prices| cost_of(prices, &done));
        let model = name.unwrap_or_else(|| self.info.model_sent.clone());
        let billed = self.pricing.transcription.is_billed();
        if cost.is_none() && known && billed {
            self.metering.note_unpriced(&model);
        }
        let status = done.status.to_owned();
        let row = self.row(UsageKind::Transcription, model, done.id, status, cost, done.usage, done.seconds);
        UsageRow { billed, ..row }
    }

    #[allow(clippy::too_many_arguments)] // a row has many columns
    fn row(
        &self,
        kind: UsageKind,
        model: Box<str>,
        id: Option<String>,
        status: String,
        cost: Option<NanoUsd>,
        usage: crate::relay::events::Usage,
        seconds: Option<f64>,
    ) -> UsageRow {
        self.info.note_cost(cost);
        UsageRow {
            at_ms: unix_ms(SystemTime::now()),
            link_id: self.info.id,
            key: self.info.key.clone(),
            upstream: self.info.upstream.clone(),
            model,
            kind,
            response_id: id.map(Into::into),
            status: status.into(),
            usage,
            seconds,
            cost,
            billed: true,
        }
    }
}

impl PricedAs {
    fn is_billed(&self) -> bool {
        !matches!(self, Self::Elsewhere)
    }

    fn name(&self, session: impl FnOnce() -> Option<Box<str>>) -> Option<Box<str>> {
        match self {
            Self::Nothing | Self::Elsewhere => None,
            Self::Named(name) => Some(name.clone()),
            Self::BySession => session(),
        }
    }
}

impl Observe for Meter {
    fn observe(&mut self, event: Event) -> bool {
        record::event(&self.info, &event);
        match event {
            Event::ResponseDone(done) => {
                let row = self.response(done);
                self.take(row)
            }
            Event::Transcription(done) => {
                let row = self.transcription(done);
                self.take(row)
            }
            Event::ResponseCreated { .. } | Event::Session(_) => true,
        }
    }

    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_room(cx));
        if let Awaits::Commit(ticket) = &mut self.awaits {
            let stored = ready!(Pin::new(ticket).poll(cx));
            self.awaits = if stored == Stored::Unwritten { Awaits::Nobody } else { Awaits::Nothing };
        }
        // Where nobody comes, the link's write timeout does.
        if matches!(self.awaits, Awaits::Nobody) { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // The task was dropped before its time: the process ends, but the ledger is still written.
        if !self.ended {
            let row = link_row(&self.info, Decision::RelayRestarting.code(), true, (None, None));
            self.leave(row);
        }
        if let Awaits::Room(record) = std::mem::replace(&mut self.awaits, Awaits::Nothing) {
            self.leave(record);
        }
    }
}

fn cost_of(prices: &TranscriptionPrices, done: &Transcription) -> Option<NanoUsd> {
    match done.seconds {
        Some(seconds) => prices.cost_of_time(Duration::try_from_secs_f64(seconds).ok()?),
        None => prices.tokens.cost(&done.usage),
    }
}

fn link_row(info: &LinkInfo, ending: &'static str, unsettled: bool, closes: (Option<u16>, Option<u16>)) -> LinkRow {
    let (client_close, upstream_close) = closes;
    LinkRow {
        link_id: info.id,
        request_id: info.request_id.clone(),
        key: info.key.clone(),
        upstream: info.upstream.clone(),
        model: info.model_sent.clone(),
        opened_ms: unix_ms(info.opened_at),
        ended_ms: unix_ms(SystemTime::now()),
        ending,
        unsettled,
        client_close,
        upstream_close,
        frames_up: info.traffic.up.frames.get(),
        frames_down: info.traffic.down.frames.get(),
        bytes_up: info.traffic.up.bytes.get(),
        bytes_down: info.traffic.down.bytes.get(),
    }
}
