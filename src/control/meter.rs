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
}

/// Meters one link. Dropped with a record in hand that nobody has taken, it leaves that in the log.
#[derive(Debug)]
pub struct Meter {
    info: Rc<LinkInfo>,
    metering: Rc<Metering>,
    recorder: Recorder,
    pricing: Pricing,
    awaits: Awaits,
}

/// What has to come before the next record.
#[derive(Debug)]
enum Awaits {
    Nothing,
    /// Room for this one.
    Room(Box<Record>),
    /// This one's commit.
    Commit(Ticket),
}

impl Meter {
    /// The meter of a link that begins.
    pub fn new(info: Rc<LinkInfo>, metering: Rc<Metering>, pricing: Pricing) -> Self {
        let recorder = metering.recorder.clone();
        Self { info, metering, recorder, pricing, awaits: Awaits::Nothing }
    }

    /// Records how the link went, behind all that it used. Waits for room, not for the commit.
    ///
    /// Not cancel safe: dropped, it leaves what is in hand in the log.
    pub async fn end(mut self, report: &LinkReport) {
        poll_fn(|cx| self.poll_room(cx)).await;
        let row = link_row(&self.info, report);
        self.take(row);
        poll_fn(|cx| self.poll_room(cx)).await;
    }

    /// False: it has to be waited for.
    fn take(&mut self, record: impl Into<Box<Record>>) -> bool {
        self.awaits = match self.recorder.try_record(record) {
            Ok(ticket) if self.metering.before_delivery => Awaits::Commit(ticket),
            Ok(_) => Awaits::Nothing,
            Err(Full(record)) => Awaits::Room(record),
        };
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

    fn response(&self, done: ResponseDone) -> UsageRow {
        let name = self.pricing.responses.name(|| self.info.session_model());
        let prices = name.as_deref().and_then(|name| self.metering.prices.of_model(name));
        // What could not be read may have used anything.
        let known = done.status != UNREADABLE;
        let cost = prices.filter(|_| known).and_then(|prices| prices.cost(&done.usage));
        let model = self.info.model_sent.clone();
        if cost.is_none() && known {
            self.metering.note_unpriced(&model);
        }
        self.row(UsageKind::Response, model, done.id, done.status, cost, done.usage, None)
    }

    fn transcription(&self, done: Transcription) -> UsageRow {
        let name = self.pricing.transcription.name(|| self.info.transcription_model());
        let prices = name.as_deref().and_then(|name| self.metering.prices.of_transcription(name));
        let cost = prices.and_then(|prices| cost_of(prices, &done));
        let model = name.unwrap_or_else(|| self.info.model_sent.clone());
        if cost.is_none() {
            self.metering.note_unpriced(&model);
        }
        self.row(UsageKind::Transcription, model, done.id, "completed".to_owned(), cost, done.usage, done.seconds)
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
        UsageRow {
            at_ms: unix_ms(SystemTime::now()),
            link_id: self.info.id,
            key: (*self.info.key).into(),
            upstream: self.info.upstream.clone(),
            model,
            kind,
            response_id: id.map(Into::into),
            status: status.into(),
            usage,
            seconds,
            cost,
        }
    }
}

impl PricedAs {
    fn name(&self, session: impl FnOnce() -> Option<Box<str>>) -> Option<Box<str>> {
        match self {
            Self::Nothing => None,
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
            if ready!(Pin::new(ticket).poll(cx)) == Stored::Unwritten {
                // The process is about to end with it in hand: nobody may have what it records.
                return Poll::Pending;
            }
            self.awaits = Awaits::Nothing;
        }
        Poll::Ready(())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Awaits::Room(record) = &self.awaits {
            tracing::error!(record = %record.to_json(), "not in the ledger");
        }
    }
}

fn cost_of(prices: &TranscriptionPrices, done: &Transcription) -> Option<NanoUsd> {
    match done.seconds {
        Some(seconds) => prices.cost_of_time(Duration::try_from_secs_f64(seconds).ok()?),
        None => prices.tokens.cost(&done.usage),
    }
}

fn link_row(info: &LinkInfo, report: &LinkReport) -> LinkRow {
    LinkRow {
        link_id: info.id,
        request_id: info.request_id.clone(),
        key: (*info.key).into(),
        upstream: info.upstream.clone(),
        model: info.model_sent.clone(),
        opened_ms: unix_ms(info.opened_at),
        ended_ms: unix_ms(SystemTime::now()),
        ending: report.ending.name().into(),
        unsettled: report.unsettled,
        client_close: report.client_close,
        upstream_close: report.upstream_close,
        frames_up: info.traffic.up.frames.get(),
        frames_down: info.traffic.down.frames.get(),
        bytes_up: info.traffic.up.bytes.get(),
        bytes_down: info.traffic.down.bytes.get(),
    }
}
