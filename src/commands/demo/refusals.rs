//! What a client sees when something is wrong: an HTTP status, and a body that says what. It refuses to know why.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use hyper::StatusCode;
use serde_json::Value;

use super::client::{self, Answer};
use super::stage::{CLIENT_KEY, MODEL, UNREACHABLE_MODEL};

/// A request that must be refused.
pub(super) struct Case {
    what: &'static str,
    key: &'static str,
    model: &'static str,
    status: StatusCode,
    code: &'static str,
}

/// Those that everybody meets.
pub(super) fn cases() -> [Case; 2] {
    [
        Case {
            what: "an upstream that cannot be reached",
            key: CLIENT_KEY,
            model: UNREACHABLE_MODEL,
            status: StatusCode::BAD_GATEWAY,
            code: "upstream_unreachable",
        },
        Case {
            what: "a wrong key",
            key: "not-a-key",
            model: MODEL,
            status: StatusCode::UNAUTHORIZED,
            code: "invalid_api_key",
        },
    ]
}

/// What came of it.
pub(super) struct Refused {
    what: &'static str,
    status: StatusCode,
    body: Value,
}

impl Case {
    /// Asks.
    pub(super) async fn ask(&self, relay: SocketAddr) -> anyhow::Result<Refused> {
        let answer = client::ask(relay, self.key, self.model).await.context(self.what)?;
        let Answer::Refused { status, body } = answer else { bail!("{}: a session was opened", self.what) };
        let body = serde_json::from_slice(&body).with_context(|| format!("{}: the body is not JSON", self.what))?;
        Ok(Refused { what: self.what, status, body })
    }

    /// Holds what came of it against what must.
    pub(super) fn hold_against(&self, refused: &Refused) -> anyhow::Result<()> {
        let (what, code) = (self.what, &refused.body["error"]["code"]);
        ensure!(refused.status == self.status, "{what}: the status is {}, not {}", refused.status, self.status);
        ensure!(code == self.code, "{what}: the code is {code}, not {:?}", self.code);
        Ok(())
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}\n      HTTP/1.1 {}", self.what, self.status)?;
        // Laid out for people; on the wire it is one line.
        format!("{:#}", self.body).lines().try_for_each(|line| writeln!(f, "      {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_status_or_another_code_fails_the_demo() {
        let [case, _] = cases();
        let refused =
            |status, code: &str| Refused { what: case.what, status, body: json!({ "error": { "code": code } }) };
        let told = |status, code| case.hold_against(&refused(status, code)).map_err(|error| error.to_string());
        assert_eq!(told(StatusCode::BAD_GATEWAY, "upstream_unreachable"), Ok(()));
        assert!(told(StatusCode::OK, "upstream_unreachable").is_err_and(|told| told.contains("200 OK, not 502")));
        assert!(
            told(StatusCode::BAD_GATEWAY, "other").is_err_and(|told| told.contains("not \"upstream_unreachable\""))
        );
    }
}
