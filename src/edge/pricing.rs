//! What the usage on a route costs: which entries of the table of prices belong to it.
//!
//! It refuses to know the prices.

use super::Edge;
use super::query::Route;
use crate::control::config;
use crate::control::meter::{PricedAs, Pricing};

/// By which prices a link on this route to this upstream is billed.
pub(super) fn pricing(route: &Route, upstream: &config::Upstream) -> Pricing {
    let named = |name: &str| PricedAs::Named(name.into());
    match route {
        Route::Model(asked) => Pricing {
            responses: upstream.models.priced_as(asked).map_or(PricedAs::Nothing, named),
            transcription: PricedAs::BySession,
        },
        Route::Transcription => Pricing {
            responses: PricedAs::Nothing,
            transcription: upstream.transcription.as_deref().map_or(PricedAs::Nothing, named),
        },
        // Nobody has said which model the call is with, but the session does.
        Route::Call(_) if upstream.bill_calls => {
            Pricing { responses: PricedAs::BySession, transcription: PricedAs::BySession }
        }
        Route::Call(_) => Pricing { responses: PricedAs::Elsewhere, transcription: PricedAs::Elsewhere },
    }
}

/// Whether the usage has a price, as far as it is known beforehand.
pub(super) fn is_priced(edge: &Edge, route: &Route, upstream: &config::Upstream) -> bool {
    let prices = &edge.metering.prices;
    let is_named = |priced: &PricedAs, has: &dyn Fn(&str) -> bool| match priced {
        PricedAs::Nothing | PricedAs::Elsewhere => false,
        PricedAs::Named(name) => has(name),
        // Which model it is, only the session says; who bills calls has seen to its price.
        PricedAs::BySession => true,
    };
    let Pricing { responses, transcription } = pricing(route, upstream);
    match route {
        Route::Transcription => is_named(&transcription, &|name| prices.of_transcription(name).is_some()),
        Route::Model(_) | Route::Call(_) => is_named(&responses, &|name| prices.of_model(name).is_some()),
    }
}
