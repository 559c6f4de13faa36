//! The header of the PROXY protocol, in any pieces: who is announced is what the protocol's text says, and not a byte
//! behind the header is taken.

use std::net::{IpAddr, SocketAddr};

use realtime_relay::edge::proxy_header::{Announced, HeaderError, read};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::input::Recipe;
use super::net::{self, pair};

/// Holds the claim against these bytes.
pub fn holds(input: &[u8]) {
    let Some((recipe, bytes)) = Recipe::of(input) else { return };
    let (announced, left) = net::run(async {
        let (mut balancer, mut relay) = pair().await;
        let sending = async {
            // The relay may have gone already.
            for part in recipe.cut(bytes).into_iter().take(64) {
                let _ = balancer.write_all(part).await;
                tokio::task::yield_now().await;
            }
            let _ = balancer.shutdown().await;
        };
        let reading = async {
            let announced = read(&mut relay).await;
            let mut left = Vec::new();
            let _ = relay.read_to_end(&mut left).await;
            (announced, left)
        };
        tokio::join!(sending, reading).1
    });
    let sent: Vec<u8> = recipe.cut(bytes).into_iter().take(64).flatten().copied().collect();
    match (announced, header(&sent)) {
        (Ok(announced), Some((expected, length))) => {
            assert_eq!(announced, expected);
            assert_eq!(left, &sent[length..]);
        }
        (Ok(announced), None) => panic!("it takes {announced:?} from what is no header"),
        (Err(HeaderError::TooLong), Some((_, length))) => assert!(length > 107),
        (Err(error), Some((expected, _))) => panic!("{expected:?} is refused: {error}"),
        (Err(_), None) => {}
    }
}

/// The header at the front of `bytes`, and how long it is.
fn header(bytes: &[u8]) -> Option<(Announced, usize)> {
    if bytes.starts_with(b"PROXY ") { line(bytes) } else { block(bytes) }
}

/// Section 2.1.
fn line(bytes: &[u8]) -> Option<(Announced, usize)> {
    let length = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let line = String::from_utf8_lossy(&bytes[..length]);
    let line = line.strip_suffix("\r\n").filter(|line| !line.contains('\r'))?;
    let words: Vec<_> = line.split(' ').collect();
    let announced = match words[..] {
        // Whatever follows is left out; the parser leaves out what follows without a space, too.
        [_, word, ..] if word.starts_with("UNKNOWN") => Announced::Unknown,
        [_, family @ ("TCP4" | "TCP6"), source, destination, from, to] => {
            let [source, destination] = [source, destination].map(|text| text.parse::<IpAddr>());
            let (source, destination) = (source.ok()?, destination.ok()?);
            let (from, _) = (from.parse().ok()?, to.parse::<u16>().ok()?);
            if [source, destination].iter().any(|address| address.is_ipv4() != (family == "TCP4")) {
                return None;
            }
            Announced::Client(SocketAddr::new(source.to_canonical(), from))
        }
        _ => return None,
    };
    (length <= 107).then_some((announced, length))
}

/// Section 2.2.
fn block(bytes: &[u8]) -> Option<(Announced, usize)> {
    let rest = bytes.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")?;
    let (&[command, family, high, low], rest) = rest.split_first_chunk()?;
    let block = rest.get(..usize::from(high) << 8 | usize::from(low))?;
    let address = |octets: usize| {
        let mut parts = block.get(..2 * octets + 4)?.chunks(octets);
        let source = parts.next()?;
        let ip: IpAddr = match octets {
            4 => <[u8; 4]>::try_from(source).ok()?.into(),
            _ => <[u8; 16]>::try_from(source).ok()?.into(),
        };
        let port = &block[2 * octets..];
        Some(SocketAddr::new(ip.to_canonical(), u16::from_be_bytes([port[0], port[1]])))
    };
    let announced = match (command, family) {
        (0x20, _) => Announced::Itself,
        (0x21, 0x11 | 0x12) => Announced::Client(address(4)?),
        (0x21, 0x21 | 0x22) => Announced::Client(address(16)?),
        (0x21, 0x31 | 0x32) => block.get(..216).map(|_| Announced::Unknown)?,
        (0x21, 0x00) => Announced::Unknown,
        _ => return None,
    };
    Some((announced, 16 + block.len()))
}
