//! Answers that are not 101, in the shape that clients of the API parse.
//!
//! It refuses to know why a request is refused.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

/// What 429 and 503 say, in seconds.
const RETRY_AFTER_SECONDS: &str = "7";

const ELSEWHERE: &str = "https://example.invalid/v1/realtime";

/// An HTTP answer with an error object.
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    param: Option<&'static str>,
}

impl Refusal {
    /// With this error.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None }
    }

    /// The query parameter it is about.
    pub(super) fn about(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// Its status.
    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// As it goes to the client.
    pub(super) fn response(&self, request_id: &str) -> Response<Full<Bytes>> {
        let kind = match self.status.as_u16() {
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let error = json!({ "type": kind, "code": self.code, "message": self.message, "param": self.param });
        let mut response = Response::new(Full::from(json!({ "error": error }).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(request_id) = HeaderValue::from_str(request_id) {
            headers.insert(HeaderName::from_static("x-request-id"), request_id);
        }
        if matches!(self.status.as_u16(), 429 | 503) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if self.status.is_redirection() {
            headers.insert(LOCATION, HeaderValue::from_static(ELSEWHERE));
        }
        response
    }
}

/// What the live service says with this status.
pub(super) fn of_status(status: u16, model: &str) -> Refusal {
    let (code, message) = match status {
        401 => ("invalid_api_key", "Incorrect API key provided.".to_owned()),
        403 => ("permission_denied", "Your project does not have access to this model.".to_owned()),
        404 => ("model_not_found", format!("The model `{model}` does not exist or you do not have access to it.")),
        429 => ("rate_limit_exceeded", "Rate limit reached. Please try again in 7s.".to_owned()),
        500.. => ("server_error", "The server had an error while processing your request.".to_owned()),
        _ => ("simulated", format!("The simulated upstream was asked for status {status}.")),
    };
    Refusal::new(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code, message)
}
