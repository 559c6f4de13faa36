//! A scripted operator: a request to the admin listener, by the letter.

use serde_json::Value;
use tokio::net::TcpStream;

use super::client::{Refused, read_refused};
use super::relay::Reached;
use super::transcript;
use super::wire::Wire;
use super::within;

/// An operator that reads this path, and names the listener as a loopback one is named.
pub fn operator<'r>(relay: &'r dyn Reached, path: &str) -> Operator<'r> {
    let headers = vec![("Host".to_owned(), "localhost".to_owned())];
    Operator { relay, method: "GET", path: path.to_owned(), headers }
}

/// How this upstream does.
pub async fn status(relay: &dyn Reached, upstream: &str) -> Value {
    let answer = operator(relay, "/upstreams").ask().await;
    let statuses = answer.json.as_array().expect("a list").iter();
    statuses.clone().find(|status| status["name"] == upstream).expect("an upstream of this name").clone()
}

/// Waits until a field of this upstream's status has this value. Each look is a request of its own.
pub async fn until(relay: &dyn Reached, upstream: &str, field: &str, value: impl Into<Value>) {
    let value = value.into();
    let settled = async { while status(relay, upstream).await[field] != value {} };
    within(&format!("{field} to become {value}"), settled).await;
}

/// Waits until this upstream carries so many links, attempts included.
pub async fn until_links(relay: &dyn Reached, upstream: &str, links: usize) {
    until(relay, upstream, "links", links).await;
}

#[must_use]
pub struct Operator<'r> {
    relay: &'r dyn Reached,
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
}

impl Operator<'_> {
    pub fn token(self, token: &str) -> Self {
        transcript::secret(token);
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// One more header line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Under this name of the listener.
    pub fn host(mut self, host: &str) -> Self {
        self.headers.retain(|(name, _)| name != "Host");
        self.header("Host", host)
    }

    /// The answer, and the end of the stream behind it.
    pub async fn ask(self) -> Refused {
        let lines = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let request = format!("{} {} HTTP/1.1\r\n{}\r\n", self.method, self.path, lines.collect::<String>());
        let stream = within("a connection", TcpStream::connect(self.relay.admin_address())).await.unwrap();
        let mut wire = Wire::new(stream);
        wire.send(request.as_bytes()).await;
        read_refused(wire).await
    }
}
