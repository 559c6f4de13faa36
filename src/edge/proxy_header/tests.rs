//! What the header parses to, whatever it holds, and that not a byte behind it is taken.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::collection::vec;
use proptest::prelude::{any, prop_oneof};
use proptest::strategy::{Just, Strategy};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

/// Both ends of a connection: the balancer's, and the relay's.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let balancer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (balancer, listener.accept().await.unwrap().0)
}

/// What is read of these bytes, behind which the connection ends, and what is left of them.
async fn read_of(bytes: &[u8]) -> (Result<Announced, HeaderError>, Vec<u8>) {
    let (mut balancer, mut relay) = connection().await;
    let sending = async {
        // The relay may have gone already.
        let _ = balancer.write_all(bytes).await;
        let _ = balancer.shutdown().await;
    };
    let reading = async {
        let announced = read(&mut relay).await;
        let mut left = Vec::new();
        relay.read_to_end(&mut left).await.unwrap();
        (announced, left)
    };
    tokio::join!(sending, reading).1
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [V2, &[command, family], &length, block].concat()
}

/// 192.0.2.1:4711 to 192.0.2.2:443.
const FOUR: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0x01, 0xbb];

fn client(text: &str) -> Announced {
    Announced::Client(text.parse().unwrap())
}

#[tokio::test]
async fn whom_a_proxy_announces() {
    let six = [&[0x20, 0x01, 0x0d, 0xb8], &[0; 11][..], &[1], &[0; 16], &FOUR[8..]].concat();
    let mapped = [&[0; 10][..], &[0xff, 0xff], &FOUR[..4], &[0; 16], &FOUR[8..]].concat();
    let longest = [&FOUR[..], &vec![0; MAX_BLOCK - FOUR.len()]].concat();
    for (header, announced) in [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n".to_vec(), client("192.0.2.1:4711")),
        (b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n".to_vec(), client("[2001:db8::1]:4711")),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 443\r\n".to_vec(), client("192.0.2.1:4711")),
        (b"PROXY UNKNOWN\r\n".to_vec(), Announced::Unknown),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Announced::Unknown),
        (v2(0x21, 0x11, &FOUR), client("192.0.2.1:4711")),
        (v2(0x21, 0x21, &six), client("[2001:db8::1]:4711")),
        (v2(0x21, 0x21, &mapped), client("192.0.2.1:4711")),
        (v2(0x21, 0x11, &longest), client("192.0.2.1:4711")),
        (v2(0x21, 0x31, &[b'/'; 216]), Announced::Unknown),
        (v2(0x21, 0x00, &[]), Announced::Unknown),
        (v2(0x21, 0x00, b"what is left out"), Announced::Unknown),
        (v2(0x20, 0x00, &[]), Announced::Itself),
        (v2(0x20, 0x11, &FOUR), Announced::Itself),
        (v2(0x20, 0xff, b"a family of the future"), Announced::Itself),
    ] {
        for behind in [&b""[..], b"\n", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", &[b'x'; 200]] {
            let (read, left) = read_of(&[&header, behind].concat()).await;
            assert_eq!((read.unwrap(), left.as_slice()), (announced, behind), "{header:?}");
        }
    }
}

type Expected = fn(&HeaderError) -> bool;

#[tokio::test]
async fn what_is_no_header_is_told_as_what_it_is() {
    use HeaderError::{Io, Malformed, Missing, TooLong};
    let unending = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    let line = |length: usize| [b"PROXY UNKNOWN ", &vec![b'x'; length - 16][..], b"\r\n"].concat();
    assert!(matches!(read_of(&line(MAX_LINE)).await.0, Ok(Announced::Unknown)));
    let cases: [(&[u8], Expected); 15] = [
        (b"", |error| matches!(error, Io(_))),
        (b"PROXY TCP4 192.0.2.1", |error| matches!(error, Io(_))),
        (V2, |error| matches!(error, Io(_))),
        (&v2(0x21, 0x11, &FOUR)[..20], |error| matches!(error, Io(_))),
        (b"GET / HTTP/1.1\r\n\r\n", |error| matches!(error, Missing)),
        (b"proxy tcp4 192.0.2.1 192.0.2.2 1 2\r\n", |error| matches!(error, Missing)),
        (&unending, |error| matches!(error, TooLong)),
        (&line(MAX_LINE + 1), |error| matches!(error, TooLong)),
        (&v2(0x21, 0x11, &vec![0; MAX_BLOCK + 1]), |error| matches!(error, TooLong)),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\n", |error| matches!(error, Malformed)),
        (b"PROXY TCP4 ::1 ::1 4711 443\r\n", |error| matches!(error, Malformed)),
        (b"PROXY TCP4\r\n192.0.2.1 192.0.2.2 1 2\r\n", |error| matches!(error, Malformed)),
        (&v2(0x21, 0x11, &FOUR[1..]), |error| matches!(error, Malformed)),
        (&v2(0x11, 0x11, &FOUR), |error| matches!(error, Malformed)),
        (&v2(0x21, 0x41, &FOUR), |error| matches!(error, Malformed)),
    ];
    for (bytes, expected) in cases {
        let (read, _) = read_of(bytes).await;
        let error = read.expect_err("no header");
        assert!(expected(&error), "{bytes:?}: {error}");
    }
}

#[tokio::test]
async fn a_header_that_comes_byte_by_byte_is_read_as_any_other() {
    for header in [b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n".to_vec(), v2(0x21, 0x11, &FOUR)] {
        let (mut balancer, mut relay) = connection().await;
        balancer.set_nodelay(true).unwrap();
        let sending = async {
            for byte in &header {
                balancer.write_all(&[*byte]).await.unwrap();
                // The reader has its turn with this byte alone.
                tokio::task::yield_now().await;
            }
        };
        let (read, ()) = tokio::join!(read(&mut relay), sending);
        assert_eq!(read.unwrap(), client("192.0.2.1:4711"));
    }
}

#[tokio::test]
async fn a_header_that_is_not_whole_is_waited_for_at_rest() {
    for part in [&b"PROXY TCP4 192.0.2.1 192"[..], V2] {
        let (mut balancer, mut relay) = connection().await;
        balancer.write_all(part).await.unwrap();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let waiting = tokio::spawn(async move {
            let mut reading = pin!(read(&mut relay));
            std::future::poll_fn(|cx| {
                counted.fetch_add(1, Ordering::Relaxed);
                reading.as_mut().poll(cx)
            })
            .await
        });
        // A task that cannot rest has a turn in each round.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        let polls = polls.load(Ordering::Relaxed);
        assert!((1..100).contains(&polls), "{polls} turns");
        drop(balancer);
        assert!(matches!(waiting.await.unwrap(), Err(HeaderError::Io(_))));
    }
}

/// Bytes that resemble a header.
fn resembling() -> impl Strategy<Value = Vec<u8>> {
    let begin = prop_oneof![
        Just(b"PROXY TCP4 1.2.3.4 ".to_vec()),
        Just(b"PROXY ".to_vec()),
        Just(V2.to_vec()),
        Just([V2, &[0x21, 0x11, 0, 12]].concat()),
        Just(Vec::new()),
    ];
    let word = prop_oneof![
        Just(b"TCP6 ".to_vec()),
        Just(b"UNKNOWN".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"::1 ".to_vec()),
        Just(b"80 ".to_vec()),
        vec(any::<u8>(), 0..20),
    ];
    (begin, vec(word, 0..6)).prop_map(|(begin, words)| [begin, words.concat()].concat())
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in resembling()) {
        let _ = parse(&bytes);
    }

    /// Whatever comes first: what is read and what is left are what was sent.
    #[test]
    fn what_follows_a_header_is_left_untouched(bytes in resembling(), behind in vec(any::<u8>(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let whole = v2(0x21, 0x21, &[&[0; 36], &bytes[..]].concat());
        let (read, left) = runtime.block_on(read_of(&[whole, behind.clone()].concat()));
        assert!(matches!(read, Ok(Announced::Client(_))), "{read:?}");
        assert_eq!(left, behind);
    }
}
