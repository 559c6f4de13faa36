//! The spans, and their way out: OTLP over HTTP, as the `OTEL_*` variables of the specification say, from a thread of its
//! own. A worker makes a span when its link has ended, and puts it into a bounded queue or drops it.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::control::config::{Kind, Upstream};
use crate::control::link_info::LinkInfo;
use crate::control::record::clip;
use crate::relay::Peer;
use crate::relay::ending::{Decision, Ending};
use crate::relay::events::Tokens;
use crate::relay::link::LinkReport;

/// How long the last spans may take on their way out. What is billed is in the ledger, so nobody waits longer for them.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Where spans are exported to is said by one of these. Where neither is set, there are none.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The process's own.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The spans of this process, while they are exported.
#[derive(Debug)]
pub struct Exporting(Option<SdkTracerProvider>);

/// The trace that a link belongs to, and who answers on it.
#[derive(Debug, Default)]
pub struct Trace {
    /// Boxed: most links have none, and an idle link is to cost little.
    parent: Option<Box<Context>>,
    provider: Cow<'static, str>,
}

/// Exports spans from now on, where an endpoint is configured in the environment. Not to be called within a runtime.
///
/// # Errors
/// The environment configures an exporter that cannot be.
pub fn install() -> Result<Exporting, ExporterBuildError> {
    if !is_wanted(|name| std::env::var(name).ok()) {
        return Ok(Exporting(None));
    }
    let exporter = SpanExporter::builder().with_http().build()?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
    }
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let _ = TRACER.set(provider.tracer(env!("CARGO_PKG_NAME")));
    Ok(Exporting(Some(provider)))
}

fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let says = |name: &str, word: &str| variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word));
    let somewhere = ENDPOINTS.iter().any(|name| variable(name).is_some_and(|value| !value.is_empty()));
    somewhere && !says("OTEL_SDK_DISABLED", "true") && !says("OTEL_TRACES_EXPORTER", "none")
}

impl Exporting {
    /// Sends what has ended, for a few seconds at most, and then no more.
    pub fn finish(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "the last spans may be lost");
        }
    }
}

impl Trace {
    /// That which the client's `traceparent` names, if it is valid; else its link is the root of one.
    pub fn of(headers: &HeaderMap) -> Self {
        if TRACER.get().is_none() || !headers.contains_key("traceparent") {
            return Self::default();
        }
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        Self { parent: Some(Box::new(parent)), ..Self::default() }
    }

    /// This upstream answers.
    #[must_use]
    pub fn to(mut self, upstream: &Upstream) -> Self {
        if TRACER.get().is_some() {
            self.provider = match upstream.kind {
                Kind::OpenAi { .. } => Cow::Borrowed("openai"),
                Kind::Azure { .. } => Cow::Borrowed("azure.ai.openai"),
                // Nothing else is known of it.
                Kind::Compatible { .. } => Cow::Owned(upstream.name.clone()),
            };
        }
        self
    }

    /// The link has ended, in this way: its span leaves.
    pub fn ended(self, info: &LinkInfo, report: &LinkReport) {
        let Some(tracer) = TRACER.get() else { return };
        let name = format!("chat {}", clip(&info.model_asked));
        // The relay is the client of the model, and that is what these conventions describe.
        let builder = tracer.span_builder(name).with_kind(SpanKind::Client).with_start_time(info.opened_at);
        let parent = self.parent.map_or_else(Context::new, |parent| *parent);
        let mut span = builder.start_with_context(tracer, &parent);
        if span.is_recording() {
            span.set_attributes(attributes(info, report, self.provider));
            if is_failure(&report.ending) {
                span.set_attribute(KeyValue::new("error.type", report.ending.name()));
                span.set_status(Status::error(clip(&report.ending.reason()).into_owned()));
            }
        }
        // What the clock was set to meanwhile makes no span longer.
        span.end_with_timestamp(info.opened_at.checked_add(info.age()).unwrap_or_else(SystemTime::now));
    }
}

/// Keys are told by their names, clients not at all: addresses of people belong in no trace.
fn attributes(info: &LinkInfo, report: &LinkReport, provider: Cow<'static, str>) -> Vec<KeyValue> {
    let used = info.used();
    let mut told = vec![
        KeyValue::new("gen_ai.operation.name", "chat"),
        KeyValue::new("gen_ai.system", provider.to_string()),
        KeyValue::new("gen_ai.provider.name", provider),
        KeyValue::new("gen_ai.request.model", clip(&info.model_asked).into_owned()),
        KeyValue::new(
            "gen_ai.response.model",
            clip(&info.session_model().unwrap_or_else(|| info.model_sent.clone())).into_owned(),
        ),
        KeyValue::new("gen_ai.usage.input_tokens", int(total(used.input))),
        KeyValue::new("gen_ai.usage.output_tokens", int(total(used.output))),
        KeyValue::new("gen_ai.usage.cache_read.input_tokens", int(total(used.cached))),
        KeyValue::new("relay.link.id", info.id.to_string()),
        KeyValue::new("relay.request.id", info.request_id.to_string()),
        KeyValue::new("relay.key", info.key.to_string()),
        KeyValue::new("relay.upstream", info.upstream.to_string()),
        KeyValue::new("relay.ending", report.ending.name()),
        KeyValue::new("relay.unsettled", report.unsettled),
        KeyValue::new("relay.responses", int(info.responses())),
        KeyValue::new("relay.frames.up", int(info.traffic.up.frames.get())),
        KeyValue::new("relay.frames.down", int(info.traffic.down.frames.get())),
        KeyValue::new("relay.bytes.up", int(info.traffic.up.bytes.get())),
        KeyValue::new("relay.bytes.down", int(info.traffic.down.bytes.get())),
    ];
    let codes = [("relay.client.close", report.client_close), ("relay.upstream.close", report.upstream_close)];
    told.extend(codes.into_iter().filter_map(|(name, code)| Some(KeyValue::new(name, i64::from(code?)))));
    if let Some(first) = info.first_response() {
        told.push(KeyValue::new("relay.first_response.seconds", first.as_secs_f64()));
    }
    told
}

fn total(tokens: Tokens) -> u64 {
    tokens.text.saturating_add(tokens.audio).saturating_add(tokens.image)
}

fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether something went wrong. A client that goes without a word has closed its window, and what the relay decides for
/// its limits is as it should be.
fn is_failure(ending: &Ending) -> bool {
    match ending {
        Ending::Close(..) | Ending::Lost(Peer::Client, _) | Ending::Silent(Peer::Client) => false,
        Ending::Decided(decision) => matches!(decision, Decision::LedgerUnavailable | Decision::RelayRestarting),
        Ending::Lost(..) | Ending::Silent(_) | Ending::Violation(..) | Ending::Stalled(_) | Ending::Panic => true,
    }
}

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        // Told twice, none of them is valid.
        let mut values = self.0.get_all(name).iter();
        let first = values.next()?;
        if values.next().is_none() { first.to_str().ok() } else { None }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(hyper::header::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::is_wanted;

    #[test]
    fn spans_are_exported_only_where_an_endpoint_is_set_and_nothing_forbids_it() {
        let with = |set: &'static [(&str, &str)]| {
            is_wanted(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(!with(&[]));
        assert!(!with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")]));
        assert!(with(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4318/v1/traces")]));
        assert!(!with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"), ("OTEL_SDK_DISABLED", "TRUE")]));
        assert!(!with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"), ("OTEL_TRACES_EXPORTER", "none")]));
    }
}
