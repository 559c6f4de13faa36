//! By which names models are told apart: a client may choose any name where the configuration takes every one, and each
//! would be a series for ever.
//!
//! It refuses to know what is counted.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::control::config::Config;
use crate::control::prices::Prices;

/// Stands for every model that nobody here knows.
const OTHER: &str = "other";

/// The models that are known. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Models(Arc<ArcSwap<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By the configuration.
    named: HashSet<Box<str>>,
    prices: Prices,
}

impl Models {
    /// From now on those of this configuration are known.
    pub(super) fn know(&self, config: &Config) {
        let mut named = HashSet::new();
        for upstream in &config.upstreams {
            let pairs = upstream.models.pairs().flat_map(|(asked, sent)| [asked, sent]);
            let prices = upstream.models.prices().values().map(String::as_str);
            named.extend(pairs.chain(prices).chain(upstream.transcription.as_deref()).map(Box::from));
        }
        named.extend(config.keys.iter().flat_map(|key| key.models.iter().flatten()).map(|name| name.as_str().into()));
        named.remove("*");
        named.remove("");
        self.0.store(Arc::new(Known { named, prices: config.metering.prices.clone() }));
    }

    /// The label of a model: its name, if the configuration names it; else that of the entry in the table of prices; else
    /// that of all others.
    pub(super) fn label(&self, model: &str) -> Box<str> {
        let known = self.0.load();
        let name = known.named.get(model).map(|name| &**name);
        name.or_else(|| known.prices.entry_of(model)).unwrap_or(OTHER).into()
    }
}
