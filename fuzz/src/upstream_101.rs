//! An upstream's answer to an upgrade gives a leg exactly if it is a 101 that RFC 6455 section 4.1 lets pass; and what is
//! behind its head is the leg's first bytes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use realtime_relay::edge::query::Route;
use realtime_relay::edge::upstream::dial::dial;
use realtime_relay::edge::upstream::{Candidate, Wanted};
use sha1::{Digest, Sha1};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::head::Head;
use super::{net, stage};

/// In an answer this stands for what its `Sec-WebSocket-Accept` has to say, which no fuzzer could guess.
const ACCEPT: &[u8] = b"@ACCEPT@";

thread_local! {
    static STAGE: &'static Stage = Box::leak(Box::new(net::run(set_up())));
}

struct Stage {
    candidate: Candidate,
    /// What the upstream will answer, and then has answered.
    answer: Rc<RefCell<Vec<u8>>>,
    /// The accept that was right.
    accept: Rc<RefCell<String>>,
}

/// Holds the claim against this answer.
pub fn holds(answer: &[u8]) {
    let (leg, sent, accept) = STAGE.with(|stage| {
        *stage.answer.borrow_mut() = answer.to_vec();
        let leg = net::run(leg(&stage.candidate));
        (leg, stage.answer.borrow().clone(), stage.accept.borrow().clone())
    });
    let head = final_head(&sent);
    let right = head.as_ref().is_some_and(|(head, _)| is_right(head, &accept));
    match (leg, head) {
        (Ok(first_bytes), Some((head, begin))) => {
            assert!(right, "it takes {head:?}");
            assert_eq!(first_bytes, &sent[begin + head.end..]);
        }
        (Ok(_), None) => panic!("it takes what has no head"),
        (Err(error), Some((head, _))) => assert!(!right || !head.is_strict, "it refuses {head:?}: {error}"),
        (Err(_), None) => {}
    }
}

async fn set_up() -> Stage {
    let (answer, accept) = <(Rc<RefCell<Vec<u8>>>, Rc<RefCell<String>>)>::default();
    let (next, right) = (answer.clone(), accept.clone());
    let replying = move |request: &[u8]| {
        let request = Head::parse(request).expect("a request");
        let key = request.only("sec-websocket-key").expect("a key");
        let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
        *right.borrow_mut() = STANDARD.encode(digest);
        let filled = filled_in(&next.borrow(), right.borrow().as_bytes());
        next.replace(filled.clone());
        filled
    };
    let (address, _) = stage::upstream(Rc::new(replying)).await;
    Stage { candidate: stage::candidate(&stage::configuration(address)), answer, accept }
}

fn filled_in(template: &[u8], accept: &[u8]) -> Vec<u8> {
    match template.windows(ACCEPT.len()).position(|part| part == ACCEPT) {
        Some(at) => [&template[..at], accept, &template[at + ACCEPT.len()..]].concat(),
        None => template.to_vec(),
    }
}

/// What the leg delivers, if there is one.
async fn leg(candidate: &Candidate) -> Result<Vec<u8>, String> {
    let request_id = HeaderValue::from_static("req_1");
    let wanted = Wanted { request_id, route: Route::Model("m".to_owned()), query: Vec::new(), passed_key: None };
    let patience = Duration::from_secs(5);
    let leg = dial(candidate, &wanted, patience, Instant::now() + patience, 1 << 20).await;
    let mut leg = leg.map_err(|failure| format!("{failure:?}"))?;
    let mut bytes = leg.early.to_vec();
    let _ = leg.stream.read_to_end(&mut bytes).await;
    Ok(bytes)
}

/// The first head that is not one of those 1xx which only announce another, and where it begins. All of them have to be
/// strict for it to be so.
fn final_head(answer: &[u8]) -> Option<(Head<'_>, usize)> {
    let (mut begin, mut is_strict) = (0, true);
    loop {
        let mut head = Head::parse(&answer[begin..])?;
        is_strict &= head.is_strict;
        head.is_strict = is_strict;
        match status(&head) {
            Some(100..200) if status(&head) != Some(101) => begin += head.end,
            _ => return Some((head, begin)),
        }
    }
}

fn status(head: &Head<'_>) -> Option<u16> {
    let rest = head.first.strip_prefix("HTTP/1.1 ").or_else(|| head.first.strip_prefix("HTTP/1.0 "))?;
    let (status, reason) = rest.split_at_checked(3)?;
    status.parse().ok().filter(|_| reason.is_empty() || reason.starts_with(' '))
}

fn is_right(head: &Head<'_>, accept: &str) -> bool {
    let protocols: Vec<_> = head.all("sec-websocket-protocol").collect();
    // HTTP/1.0 knows no upgrade (RFC 9110 section 7.8).
    head.first.starts_with("HTTP/1.1 ")
        && status(head) == Some(101)
        && head.lists("upgrade", "websocket")
        && head.lists("connection", "upgrade")
        && head.only("sec-websocket-accept") == Some(accept.as_bytes())
        && head.all("sec-websocket-extensions").next().is_none()
        && (protocols.is_empty() || protocols == [b"realtime"])
}
