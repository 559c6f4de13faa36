//! The admin listener: whether the process lives and may be sent clients, how its upstreams and links do, and what an
//! operator may have done to them.
//!
//! It refuses to touch a link, and to know where what it tells comes from: all that is behind [`Operations`]. The two
//! probes are also answered on the client listener, for load balancers that can only ask there.

mod desk;
mod guard;
mod probe;
mod status;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::TcpStream;

use super::listener::Accepting;
use crate::control::record;
use desk::Desk;

pub use desk::{NotReloaded, Operations, Unanswered};
pub use probe::probe;
pub use status::{BreakerState, LinkStatus, LinkUsage, UpstreamStatus};

/// Whoever has not sent its request by then is cut.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The methods of what can only be read.
const READING: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// Answers on the admin listener until dropped; where there is no token, only if that is loopback. Runs on a runtime that takes
/// local tasks.
///
/// Cancel safe: a connection is either still queued by the system or served by a task of its own.
pub async fn serve(mut accepting: Accepting, operations: impl Operations) {
    // An address that the system does not tell is treated as one that everybody reaches.
    let loopback = accepting.address().is_ok_and(|address| address.ip().to_canonical().is_loopback());
    let desk = Rc::new(Desk::new(loopback, operations));
    loop {
        let (stream, _) = accepting.next().await;
        tokio::task::spawn_local(serve_connection(stream, desk.clone()));
    }
}

async fn serve_connection(stream: TcpStream, desk: Rc<Desk<impl Operations>>) {
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "an operator's connection could not be used"),
    };
    let service = service_fn(async |request| Ok::<_, Infallible>(desk.answer(request).await));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        // Else a request would be dropped unread whose end of the stream comes with it.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        record::operator_failed(&error);
    }
}
