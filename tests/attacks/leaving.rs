//! Clients that leave at the most expensive moment, over and over: no place, no descriptor, no link and no record stays behind.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{good, serves, until};
use crate::process::Relay as Process;
use crate::support::authority::Authority;
use crate::support::frame::{BINARY, Frame, MASK, header};
use crate::support::operator::until_links;
use crate::support::relay::Relay;
use crate::support::spender::{Account, recorded_in_all};
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;
use crate::support::within;

/// So many leave at each moment.
const LEAVING: usize = 300;

/// One place: who does not give it back keeps the next one out.
const ONE: &str = "max_links = 1\nclose_timeout = \"50ms\"\nsettle_timeout = \"50ms\"";

#[tokio::test]
async fn while_their_upstream_is_dialled() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits(ONE).start();
    for number in 0..LEAVING {
        until_links(&relay, "primary", 0).await;
        let asking = good(&relay).ask().await;
        let asked = upstream.accept().await;
        if number % 2 == 0 {
            asking.leave();
            asked.expect_gone().await;
        } else {
            // The 101 and the departure cross.
            asking.leave();
            asked.switch().await.expect_gone().await;
        }
    }
    until_links(&relay, "primary", 0).await;
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn in_the_middle_of_tls() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).tls(Authority::new()).start();
    for number in 0..LEAVING {
        let mut wire = Wire::new(TcpStream::connect(relay.address()).await.unwrap());
        // The first bytes of a greeting that is to have 512.
        let hello = [&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..], &[7; 500]].concat();
        let _ = wire.try_send(&hello[..=number % hello.len()]).await;
        if number % 2 == 0 { wire.reset() } else { drop(wire) }
    }
    upstream.expect_no_connection().await;
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn right_behind_the_101() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits(ONE).start();
    for number in 0..LEAVING {
        until_links(&relay, "primary", 0).await;
        let mut asking = good(&relay).ask().await;
        let mut theirs = upstream.leg().await;
        assert!(asking.is_opened().await);
        match number % 3 {
            0 => asking.leave(),
            1 => asking.opened().await.reset(),
            _ => {
                asking.send(&Frame::ping("").masked().bytes()).await;
                asking.leave();
            }
        }
        theirs.expect_gone().await;
    }
    until_links(&relay, "primary", 0).await;
    serves(&relay, &upstream).await;
    relay.ledger().until_count("link", LEAVING + 1).await;
}

#[tokio::test]
async fn in_the_middle_of_a_frame() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits(ONE).start();
    let frame = [header(true, BINARY, true, 1 << 20), MASK.to_vec(), vec![b'x'; 1000]].concat();
    for number in 0..LEAVING {
        until_links(&relay, "primary", 0).await;
        let (mut client, mut theirs) = relay.link(&upstream).await;
        client.raw(&frame[..=number % 20 * 50]).await;
        if number % 2 == 0 {
            client.reset();
        } else {
            drop(client);
        }
        theirs.expect_gone().await;
    }
    until_links(&relay, "primary", 0).await;
    serves(&relay, &upstream).await;
}

/// A response is made and paid for although nobody waits for it: it is settled, and recorded to the token.
#[tokio::test]
async fn in_the_middle_of_a_response() {
    let upstream = Upstream::start().await;
    let account = Account::default();
    let serving = account.serve(&upstream);
    let relay = Relay::to(&upstream).workers(2).start();
    for number in 0..LEAVING {
        let mut client = good(&relay).header("X-Request-Id", &format!("leaving-{number}")).open().await;
        client.text(r#"{"type":"response.create","x":"slowly"}"#).await;
        let begun = client.next().await;
        assert!(begun.payload.starts_with(br#"{"type":"response.created""#), "{begun}");
        match number % 3 {
            0 => client.reset(),
            1 => drop(client),
            _ => client.close(1000, "").await,
        }
    }
    until_links(&relay, "primary", 0).await;
    let total = account.total();
    assert_eq!(usize::try_from(total.responses), Ok(LEAVING), "each is cancelled and done");
    relay.ledger().until_count("usage", LEAVING).await;
    assert_eq!(recorded_in_all(&relay.ledger()), total);
    assert_eq!(relay.ledger().count("link WHERE unsettled = 1"), 0);
    drop(serving);
    serves(&relay, &upstream).await;
}

/// Ten thousand that come and go, at all moments at once.
#[tokio::test]
async fn ten_thousand_that_come_and_go_leave_nothing_behind() {
    const COMING: usize = 10_000;
    const AT_ONCE: usize = 64;
    const PLACES: usize = 300;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let upstream = Upstream::start().await;
    let _serving = upstream.echoes();
    let limits = format!("max_links = {PLACES}\nclose_timeout = \"500ms\"\nsettle_timeout = \"100ms\"");
    let relay = Arc::new(Process::start_before(&format!("127.0.0.1:{}", upstream.port()), &limits).await);
    drop(open(&relay).await);
    relay.log().line("link ended").await;
    let files = relay.open_files();
    let (turns, request) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(relay.request()));
    for number in 0..COMING {
        let turn = within("a turn", turns.clone().acquire_owned()).await.unwrap();
        let (client, request) = (relay.connect().await, request.clone());
        tokio::spawn(async move {
            come_and_go(client, &request, number).await;
            drop(turn);
        });
    }
    let _all = within("the last ones to go", turns.acquire_many(u32::try_from(AT_ONCE).unwrap())).await.unwrap();
    until("every descriptor to be given back", || relay.open_files() <= files).await;
    let (opened, ended) = (relay.log().lines("link opened").len(), relay.log().lines("link ended").len());
    until("every link to be recorded", || relay.log().lines("link ended").len() >= opened).await;
    println!("{COMING} came and went, {opened} of them with a link; {ended} had ended when all descriptors were free");
    assert_eq!(relay.log().lines("ERROR"), [""; 0]);
    // Every place is there again, and no more than those.
    let mut links = Vec::new();
    for _ in 0..PLACES {
        links.push(open(&relay).await);
    }
    let mut late = relay.connect().await;
    late.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("a refusal", late.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("at_capacity"), "{answer}");
}

async fn come_and_go(mut client: TcpStream, request: &str, number: usize) {
    let bytes = request.as_bytes();
    let sent = match number % 8 {
        0 | 1 => 0,
        2 => 1,
        3 => bytes.len() / 2,
        4 => bytes.len() - 1,
        _ => bytes.len(),
    };
    // It may be refused while it still sends.
    let _ = client.write_all(&bytes[..sent]).await;
    if number % 8 == 7 {
        // It sees its answer begin.
        let _ = within("an answer", client.read(&mut [0; 1])).await;
    }
    if number.is_multiple_of(3) {
        client.set_zero_linger().unwrap();
    }
}

/// A link of the process, through which a word comes back.
pub async fn open(relay: &Process) -> TcpStream {
    let mut client = relay.connect().await;
    client.write_all(relay.request().as_bytes()).await.unwrap();
    client.write_all(&Frame::text("word").masked().bytes()).await.unwrap();
    let (mut answer, echo) = (Vec::new(), Frame::text("word").bytes());
    let reading = async {
        while !answer.ends_with(&echo) {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
        }
    };
    within("a word to come back", reading).await;
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    client
}
