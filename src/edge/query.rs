//! The query of a request: which route it asks for, and what else it carries.
//!
//! It refuses to know which routes there are and who may take them.

use std::fmt;

use hyper::StatusCode;

use super::refusal::Refusal;

/// A query, decoded, in its order.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

/// What a client wants to talk to.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// A model by name.
    Model(String),
    /// `intent=transcription`: the upstream's own transcription model.
    Transcription,
    /// `call_id`: a call that is under way, by its id.
    Call(String),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(name) => write!(f, "the model {name:?}"),
            Self::Transcription => f.write_str("transcription sessions"),
            Self::Call(_) => f.write_str("calls"),
        }
    }
}

/// The parameters that decide the route.
const ROUTING: [&str; 4] = ["model", "deployment", "intent", "call_id"];
/// The parameter that holds a key. It goes no further.
const KEY: &str = "api-key";

impl Query {
    /// Decodes a query (`application/x-www-form-urlencoded`).
    pub fn decode(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The key in the query, as Azure's browsers send it.
    pub fn key(&self) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == KEY).map(|(_, key)| key.as_str())
    }

    /// The route, and every parameter that neither decides it nor is a key.
    pub fn route(self) -> Result<(Route, Vec<(String, String)>), Refusal> {
        for name in ROUTING {
            if self.0.iter().filter(|(there, _)| there == name).count() > 1 {
                return Err(invalid(format!("the query parameter `{name}` is there more than once")));
            }
        }
        let value =
            |name| self.0.iter().find(|(there, value)| there == name && !value.is_empty()).map(|(_, v)| v.as_str());
        let route = match (value("intent"), value("call_id"), value("model"), value("deployment")) {
            (Some(_), Some(_), ..) => return Err(invalid("`intent` and `call_id` exclude each other".to_owned())),
            (Some("transcription"), ..) => Route::Transcription,
            (Some(_), ..) => return Err(invalid("the only `intent` is `transcription`".to_owned())),
            (_, Some(call), ..) => Route::Call(call.to_owned()),
            (.., Some(model), Some(deployment)) if model != deployment => {
                return Err(invalid("`model` and `deployment` name different models".to_owned()));
            }
            (.., Some(model), _) | (.., Some(model)) => Route::Model(model.to_owned()),
            _ => {
                let message = "the query must name a model: `?model=gpt-realtime`";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "missing_model", message));
            }
        };
        let rest = self.0.into_iter().filter(|(name, _)| name != KEY && !ROUTING.contains(&name.as_str()));
        Ok((route, rest.collect()))
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", message)
}
