//! An upstream as it is shown, with its models. Refuses to show a credential, and what may be one.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::Serialize;

use super::MASK;
use crate::control::config::{Kind, Models, Upstream, units};

#[derive(Default, Serialize)]
#[allow(clippy::struct_excessive_bools)] // as in the file
pub(super) struct ShownUpstream {
    name: String,
    kind: &'static str,
    url: String,
    key: Option<&'static str>,
    transcription: String,
    calls: bool,
    bill_calls: bool,
    priority: i64,
    weight: u32,
    max_links: usize,
    warm: u32,
    warm_max_idle: String,
    await_first_event: bool,
    organization: Option<String>,
    project: Option<String>,
    api_version: Option<String>,
    auth_header: Option<String>,
    auth_scheme: Option<String>,
    subprotocols: Option<Vec<String>>,
    beta_header: bool,
    forward_headers: Vec<String>,
    ca_file: Option<String>,
    proxy: Option<String>,
    models: BTreeMap<String, ShownModel>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, &'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status_map: BTreeMap<String, u16>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownModel {
    Sent(String),
    Priced { to: String, price: String },
}

pub(super) fn upstream(upstream: &Upstream) -> ShownUpstream {
    let mut shown = ShownUpstream {
        name: upstream.name.clone(),
        kind: upstream.kind.name(),
        url: upstream.url.to_string(),
        key: upstream.key.as_ref().map(|_| MASK),
        models: models(&upstream.models),
        transcription: upstream.transcription.clone().unwrap_or_default(),
        calls: upstream.calls,
        bill_calls: upstream.bill_calls,
        priority: upstream.priority,
        weight: upstream.weight,
        max_links: upstream.max_links.map_or(0, NonZeroUsize::get),
        warm: upstream.warm,
        warm_max_idle: units::write_duration(upstream.warm_max_idle),
        await_first_event: upstream.await_first_event,
        beta_header: upstream.beta_header,
        // Every value may be a credential, so none is shown.
        headers: upstream.headers.iter().map(|(name, _)| (name.to_string(), MASK)).collect(),
        forward_headers: upstream.forward_headers.iter().map(ToString::to_string).collect(),
        ca_file: upstream.ca_file.as_ref().map(|path| path.display().to_string()),
        proxy: upstream.proxy.as_ref().map(ToString::to_string),
        status_map: upstream.status_map.iter().map(|(from, to)| (from.as_str().to_owned(), to.as_u16())).collect(),
        ..ShownUpstream::default()
    };
    match &upstream.kind {
        Kind::OpenAi { organization, project } => {
            shown.organization = organization.as_ref().map(text_of);
            shown.project = project.as_ref().map(text_of);
        }
        Kind::Azure { api_version } => shown.api_version.clone_from(api_version),
        Kind::Compatible { auth_header, auth_scheme, subprotocols } => {
            shown.auth_header = Some(auth_header.to_string());
            shown.auth_scheme = Some(auth_scheme.clone().unwrap_or_default());
            shown.subprotocols = Some(subprotocols.clone());
        }
    }
    shown
}

fn models(models: &Models) -> BTreeMap<String, ShownModel> {
    let shown = |(asked, sent): (&str, &str)| {
        let to = sent.to_owned();
        let shown = match models.prices().get(asked) {
            None => ShownModel::Sent(to),
            Some(price) => ShownModel::Priced { to, price: price.clone() },
        };
        (asked.to_owned(), shown)
    };
    models.pairs().map(shown).collect()
}

fn text_of(value: &hyper::header::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned() // it was made from a string
}
