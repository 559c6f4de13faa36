//! Records: one structured log line for each refusal, each link's beginning and end, and each response's usage.
//!
//! It refuses to print a key, a query or a payload: what it is given holds none. What a peer has written stands in a line
//! as a string, clipped: the log's formats escape those, and nothing of them can end the line or steer a terminal. What
//! they print by `Display` they print as it is, so only our own words may come that way.

use std::fmt::Display;

use hyper::header::HeaderValue;

mod clip;
mod pace;

pub(super) use clip::clip;
use pace::keep;

use super::client_address::ClientAddress;
use super::link_info::{FORMAT, LinkInfo};
use super::prices::NanoUsd;
use crate::relay::events::{Event, ResponseDone};
use crate::relay::link::LinkReport;

/// A request was refused in HTTP.
pub fn refused(request_id: &HeaderValue, client: ClientAddress, status: u16, code: &str, message: &str) {
    if let Ok(suppressed) = keep(|paces| &paces.refused) {
        let request_id = request_id.to_str().unwrap_or_default();
        tracing::info!(request_id, %client, status, code, reason = &*clip(message), suppressed, "refused");
    }
}

/// A connection is closed, because nobody who may say so has said for whom it speaks. An operator has to mend that.
pub fn not_introduced(client: ClientAddress, why: &dyn Display) {
    if let Ok(suppressed) = keep(|paces| &paces.not_introduced) {
        tracing::debug!(%client, %why, suppressed, "a connection is closed that was not introduced");
    }
    if let Ok(suppressed) = keep(|paces| &paces.needs_proxy) {
        let hint = "server.proxy_protocol is on: every connection needs the header, from one of server.trusted_proxies";
        tracing::warn!(%client, %why, suppressed, "{hint}");
    }
}

/// A client began TLS, and it came to nothing.
pub fn tls_failed(client: ClientAddress, why: &dyn Display) {
    if let Ok(suppressed) = keep(|paces| &paces.tls_failed) {
        let why = why.to_string();
        tracing::debug!(%client, why = &*clip(&why), suppressed, "a client's TLS handshake failed");
    }
}

/// A client's connection ended, or what came over it was no HTTP.
pub fn no_request(client: ClientAddress, why: &dyn Display) {
    if let Ok(suppressed) = keep(|paces| &paces.no_request) {
        let why = why.to_string();
        tracing::debug!(%client, why = &*clip(&why), suppressed, "a client's connection ended without a request");
    }
}

/// An operator's connection ended, or what came over it was no HTTP.
pub fn operator_failed(why: &dyn Display) {
    if let Ok(suppressed) = keep(|paces| &paces.no_request) {
        let why = why.to_string();
        tracing::debug!(why = &*clip(&why), suppressed, "an admin connection failed");
    }
}

/// A model is used that has no price. Whoever tells it does so once a model.
pub(super) fn unpriced(model: &str) {
    let model = &*clip(model);
    tracing::warn!(model, "used without a price: recorded without a cost; add it to metering.prices");
}

/// An upstream leg did not stand. `kind` is the failure in one word; `detail` may hold addresses: it is for the operator alone.
pub fn dial_failed(request_id: &HeaderValue, upstream: &str, kind: &str, failure: &str, detail: Option<&str>) {
    let Ok(suppressed) = keep(|paces| &paces.dial_failed) else { return };
    let request_id = request_id.to_str().unwrap_or_default();
    let (failure, detail) = (clip(failure), detail.map(clip));
    let (failure, detail) = (&*failure, detail.as_deref());
    tracing::warn!(request_id, upstream, failure_kind = kind, failure, detail, suppressed, "upstream failed");
}

/// One line about a link, with what is known of it by now.
macro_rules! link_line {
    ($message:literal, $info:expr $(, $($field:tt)*)?) => {{
        let info: &LinkInfo = $info;
        tracing::info!(
            link_id = %info.id,
            request_id = %info.request_id,
            opened_as = info.opened_as.as_deref(),
            upstream_request_id = info.upstream_request_id.as_deref().map(clip).as_deref(),
            key = %info.key,
            client = %info.client,
            upstream = %info.upstream,
            model_asked = &*clip(&info.model_asked),
            model_sent = &*clip(&info.model_sent),
            format = FORMAT,
            input_audio_format = &*clip(&info.input_audio_format()),
            output_audio_format = &*clip(&info.output_audio_format()),
            request_ms = info.set_up.request_ms,
            dial_ms = info.set_up.dial_ms,
            awaits_first_response = info.first_response().is_none(),
            first_response_ms = info.first_response().map(millis),
            age_ms = millis(info.age()),
            frames_up = info.traffic.up.frames.get(),
            frames_down = info.traffic.down.frames.get(),
            bytes_up = info.traffic.up.bytes.get(),
            bytes_down = info.traffic.down.bytes.get(),
            $($($field)*)?
            $message
        )
    }};
}

/// A link began.
pub fn opened(info: &LinkInfo) {
    link_line!("link opened", info);
}

/// An event of interest went by.
pub fn event(info: &LinkInfo, event: &Event) {
    info.hear(event);
    if let Event::ResponseDone(done) = event {
        usage(info, done);
    }
}

/// A link ended.
pub fn ended(info: &LinkInfo, report: &LinkReport) {
    let used = info.used();
    link_line!(
        "link ended",
        info,
        ending = report.ending.name(),
        reason = &*report.ending.reason(),
        client_close = report.client_close,
        upstream_close = report.upstream_close,
        unsettled = report.unsettled,
        responses = info.responses(),
        input_text = used.input.text,
        input_audio = used.input.audio,
        input_image = used.input.image,
        cached_text = used.cached.text,
        cached_audio = used.cached.audio,
        cached_image = used.cached.image,
        output_text = used.output.text,
        output_audio = used.output.audio,
        cost_usd = info.cost().map(NanoUsd::dollars),
    );
}

fn usage(info: &LinkInfo, done: &ResponseDone) {
    let Ok(suppressed) = keep(|paces| &paces.usage) else { return };
    let usage = &done.usage;
    link_line!(
        "usage",
        info,
        response_id = done.id.as_deref().map(clip).as_deref(),
        status = &*clip(&done.status),
        input_text = usage.input.text,
        input_audio = usage.input.audio,
        input_image = usage.input.image,
        cached_text = usage.cached.text,
        cached_audio = usage.cached.audio,
        cached_image = usage.cached.image,
        output_text = usage.output.text,
        output_audio = usage.output.audio,
        suppressed,
    );
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
