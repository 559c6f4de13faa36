//! Refusals: an HTTP status, a code, and a body in the shape that clients of the OpenAI API parse.
//!
//! It refuses to know why; each check says that in its own words.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// The header that carries the request id, on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a client is told to wait where another link has to end before there is room for its own. Links last minutes, so
/// among many one ends every few seconds; among few, nobody knows.
pub const ROOM_PATIENCE: Duration = Duration::from_secs(5);

/// The longest `x-request-id` that is taken over.
const MAX_REQUEST_ID: usize = 128;

/// Why a client does not get its link.
#[derive(Debug)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// What programs read: `invalid_api_key`.
    pub code: &'static str,
    /// What people read. No key, no internal address.
    pub message: String,
    /// Headers that belong to this refusal: `Retry-After`, `Allow`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The upstream's own answer, which stands in for ours.
    pub body: Option<Bytes>,
}

impl Refusal {
    /// A refusal without headers of its own.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new(), body: None }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With the advice to try again after so long: whole seconds, at least one.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        self.with_header(RETRY_AFTER, HeaderValue::try_from(seconds.to_string()).expect("digits"))
    }

    /// With the upstream's own JSON as the body.
    #[must_use]
    pub fn with_body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }

    /// The answer. The connection is closed after it.
    pub fn response(self, request_id: &HeaderValue) -> Response<Full<Bytes>> {
        let body = self.body.clone().unwrap_or_else(|| self.error_body(request_id));
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(REQUEST_ID, request_id.clone());
        headers.extend(self.headers);
        response
    }

    fn error_body(&self, request_id: &HeaderValue) -> Bytes {
        let request_id = request_id.to_str().unwrap_or_default();
        let error = json!({
            "message": format!("{} (request id: {request_id})", self.message),
            "type": self.error_type(),
            "param": Value::Null,
            "code": self.code,
        });
        json!({ "error": error }).to_string().into()
    }

    /// The `type` of the error object.
    pub fn error_type(&self) -> &'static str {
        if self.code.starts_with("upstream_") {
            return "upstream_error";
        }
        if self.code == "insufficient_quota" {
            return "insufficient_quota";
        }
        match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }
}

/// The client's own request id where it is valid, else a new one.
pub fn request_id(theirs: Option<&HeaderValue>) -> HeaderValue {
    let is_valid =
        |id: &&HeaderValue| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    theirs.filter(is_valid).cloned().unwrap_or_else(|| {
        let mut id = *b"req_00000000000000000000000000000000";
        uuid::Uuid::new_v4().simple().encode_lower(&mut id[4..]);
        HeaderValue::from_bytes(&id).expect("hex digits are visible ASCII")
    })
}
