//! How the system notices that the other end of a socket is gone: TCP keepalive, and a deadline for what was sent.
//!
//! It refuses to know what the relay itself does about silence: pings, which prove more (that the peer's program lives),
//! and a write timeout, which a link's report can name. This is for what they do not see, such as a link whose ping
//! waits in the send buffer for an acknowledgement that never comes, or one that stands inside a frame both ways, where no
//! ping may.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::relay::link::Limits;

/// Probes that may go unanswered. With the first one after a silence of one interval, the connection is given up after
/// three intervals, when the relay's own pings have given it up too.
const PROBES: u32 = 2;

/// What Linux takes for the time before the first probe, and between two of them: whole seconds, at most 32,767.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(32_767);

/// Has the system watch over a socket from now on, by the limits of its link. The silence before counts.
pub fn watch(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let interval = limits.ping_interval.clamp(SHORTEST, LONGEST);
    let keepalive = TcpKeepalive::new().with_time(interval).with_interval(interval).with_retries(PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    // Keepalive is silent while bytes are on their way, and retransmission gives up only after a quarter of an hour:
    // for a peer whose network is gone, this deadline is the one that works. The system's clock also runs while a
    // living peer leaves its window closed, and starts before ours, which waits for the send buffer to fill: twice
    // the write timeout leaves that ending to the relay, which can tell it.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some((3 * limits.ping_interval).max(2 * limits.write_timeout)))?;
    Ok(())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::control::config::parse;
    use crate::edge::link_limits;

    /// Keepalive time, interval and probes, and the user timeout, in seconds, of a socket under these `[limits]`.
    async fn set_up(limits: &str) -> (u64, u64, u32, u64) {
        let file = format!(
            "[server]\nauth = \"none\"\n[limits]\n{limits}\n\
             [[upstreams]]\nname = \"u\"\nkind = \"compatible\"\nurl = \"ws://localhost/\""
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        watch(&stream, &link_limits(&parse(&file).unwrap().limits)).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        (
            socket.tcp_keepalive_time().unwrap().as_secs(),
            socket.tcp_keepalive_interval().unwrap().as_secs(),
            socket.tcp_keepalive_retries().unwrap(),
            socket.tcp_user_timeout().unwrap().unwrap().as_secs(),
        )
    }

    #[tokio::test]
    async fn a_peer_is_given_up_after_three_intervals() {
        assert_eq!(set_up("").await, (25, 25, 2, 75));
        assert_eq!(set_up("ping_interval = \"2m\"").await, (120, 120, 2, 360));
    }

    #[tokio::test]
    async fn a_peer_that_takes_no_bytes_is_left_to_the_write_timeout() {
        assert_eq!(set_up("write_timeout = \"5m\"").await, (25, 25, 2, 600));
    }

    #[tokio::test]
    async fn an_interval_that_the_system_does_not_take_is_the_nearest_it_does() {
        assert_eq!(set_up("ping_interval = \"100ms\"\nwrite_timeout = \"1s\"").await, (1, 1, 2, 2));
        assert_eq!(set_up("ping_interval = \"24h\"").await, (32_767, 32_767, 2, 3 * 24 * 60 * 60));
    }
}
