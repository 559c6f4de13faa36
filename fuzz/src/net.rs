//! Loopback connections for the targets whose code wants a socket, and a runtime for them. It refuses to know what goes
//! over them.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::timeout;

/// Whatever takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(20);

thread_local! {
    /// For ever: what runs on it may want other things of the thread when it is dropped.
    static RUNTIME: &'static (Runtime, LocalSet) = Box::leak(Box::new((
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
        LocalSet::new(),
    )));
}

/// Runs this to its end, on the runtime of the thread.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.with(|(runtime, local)| {
        local.block_on(runtime, async { timeout(DEADLINE, work).await.expect("it ends in time") })
    })
}

/// Both ends of a connection: the peer's, and the relay's.
pub async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let peer = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
    let (relay, _) = listener.accept().await.expect("its other end");
    leave_no_trace(&peer);
    leave_no_trace(&relay);
    (peer, relay)
}

/// Has the connection reset when this end is dropped. Else its port would wait for stragglers, and there are not enough
/// ports for as many connections a second as a fuzzer makes.
pub fn leave_no_trace(stream: &TcpStream) {
    stream.set_nodelay(true).expect("a socket");
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("a socket");
}
