//! One upgrade request, and the 101 that answers it: two heads, once per link, for which hyper's client would cost more than
//! all that is done for the client's own request. Whatever else an upstream may answer, which may have a body, is left to
//! hyper.
//!
//! It refuses to know what a 101 has to say.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Empty;
use httparse::{Header, ParserConfig, Status};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::exchange::exchange;
use super::failure::Failure;

/// All heads of an answer, the interim ones included, may be this long together.
const MAX_HEAD: usize = 64 << 10;
/// A head has no more lines than this, as with hyper.
const MAX_LINES: usize = 100;
/// The shortest end of a head: an empty line, and the end of the line before it.
const HEAD_END: usize = 3;
/// Most heads of answers have room in so many bytes.
const USUAL_HEAD: usize = 2 << 10;

/// What has come of an answer.
enum Answer<T> {
    /// A 101, and what was made of it.
    Switch(T),
    /// Something else that is final.
    Other,
    /// Less than a head.
    Part,
}

/// Sends the head of a request, which is all of it, and gives what `judge` makes of the headers of a 101, the stream behind that,
/// and the bytes of the stream which have been read already. `refused` says what another answer means.
///
/// Not cancel safe: dropped, it closes the connection.
pub async fn upgrade<S, T>(
    mut stream: S,
    head: &[u8],
    judge: impl Fn(&[Header<'_>]) -> Result<T, Failure>,
    refused: impl AsyncFnOnce(Response<Incoming>) -> Failure,
) -> Result<(T, S, Bytes), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(head).await.map_err(|_| Failure::NO_HTTP)?;
    stream.flush().await.map_err(|_| Failure::NO_HTTP)?;
    let (mut read, mut begin) = (Vec::with_capacity(USUAL_HEAD), 0);
    loop {
        let before = read.len();
        if before >= MAX_HEAD || stream.read_buf(&mut read).await.map_err(|_| Failure::NO_HTTP)? == 0 {
            return Err(Failure::NO_HTTP);
        }
        // At first in any case: what is no HTTP may have no end either.
        if before > 0 && !ends_a_head(&read[before.saturating_sub(HEAD_END - 1)..]) {
            continue;
        }
        match answer(&read, &mut begin, &judge)? {
            Answer::Switch(judged) => return Ok((judged, stream, Bytes::copy_from_slice(&read[begin..]))),
            Answer::Other => break,
            Answer::Part => {}
        }
    }
    let replayed = Replayed { read: read.into(), asked: Asked::NotYet(None), stream };
    let failed = exchange(replayed, Request::new(Empty::new()), async |response| Err(refused(response).await));
    Err(Box::pin(failed).await.err().unwrap_or(Failure::NO_HTTP))
}

/// Whether an empty line stands here. A head that trickles in is not parsed anew with each byte.
fn ends_a_head(bytes: &[u8]) -> bool {
    bytes.windows(HEAD_END).any(|bytes| matches!(bytes, [b'\n', b'\r', b'\n'] | [_, b'\n', b'\n']))
}

/// Looks at the head that begins there, and at the next one where it is an interim one. What is whole is passed over.
fn answer<T>(
    read: &[u8],
    begin: &mut usize,
    judge: impl FnOnce(&[Header<'_>]) -> Result<T, Failure>,
) -> Result<Answer<T>, Failure> {
    loop {
        let mut lines = [MaybeUninit::uninit(); MAX_LINES];
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            ParserConfig::default().parse_response_with_uninit_headers(&mut response, &read[*begin..], &mut lines);
        let Status::Complete(length) = parsed.map_err(|_| Failure::NO_HTTP)? else { return Ok(Answer::Part) };
        *begin += length;
        match (response.code, response.version) {
            (Some(101), Some(1)) => return Ok(Answer::Switch(judge(response.headers)?)),
            (Some(101), _) => return Err(Failure::NotHttp("its 101 is none of HTTP/1.1")),
            (Some(100..200), _) => {}
            _ => return Ok(Answer::Other),
        }
    }
}

/// A stream for whoever asks once more what has been asked already: the question goes nowhere, and the answer begins with
/// what has been read of it, once it has been asked for.
struct Replayed<S> {
    read: Bytes,
    asked: Asked,
    stream: S,
}

/// Whether the question has come. An answer before it would be taken for an offence.
enum Asked {
    /// No; and who waits for the answer.
    NotYet(Option<Waker>),
    Yes,
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { read, asked, stream } = self.get_mut();
        if let Asked::NotYet(waiting) = asked {
            *waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if read.is_empty() {
            return Pin::new(stream).poll_read(cx, buffer);
        }
        buffer.put_slice(&read.split_to(read.len().min(buffer.remaining())));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Asked::NotYet(Some(waiting)) = std::mem::replace(&mut self.get_mut().asked, Asked::Yes) {
            waiting.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const ASKED: &[u8] = b"GET /v1/realtime HTTP/1.1\r\n\r\n";
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nx: y\r\n\r\n";
    const FRAME: &[u8] = b"\x81\x02{}";

    /// The pieces of an answer are sent one after the other, each once the one before it has been read; then comes the end.
    async fn answered(pieces: &[&[u8]]) -> Result<(Vec<u8>, DuplexStream, Bytes), Failure> {
        let (ours, mut theirs) = duplex(pieces.iter().map(|piece| piece.len()).max().unwrap_or(1).max(ASKED.len()));
        let upstream = async {
            let mut asked = vec![0; ASKED.len()];
            theirs.read_exact(&mut asked).await.unwrap();
            assert_eq!(asked, ASKED);
            for piece in pieces {
                // Whoever has heard enough is gone.
                let _ = theirs.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            drop(theirs);
        };
        let lines = |headers: &[Header<'_>]| Ok(headers.iter().flat_map(|line| line.value).copied().collect());
        let refused = async |response: Response<Incoming>| {
            let status = response.status();
            let body = response.into_body().collect().await.ok().map(http_body_util::Collected::to_bytes);
            Failure::Answer { status, retry_after: None, body }
        };
        tokio::join!(upgrade(ours, ASKED, lines, refused), upstream).0
    }

    #[tokio::test]
    async fn a_101_is_found_wherever_it_is_cut_and_what_stands_behind_it_is_kept() {
        let answer = [SWITCH.as_bytes(), FRAME].concat();
        for cut in 1..answer.len() {
            let (first, second) = answer.split_at(cut);
            let (header, mut stream, early) = answered(&[first, second]).await.unwrap();
            assert_eq!(header, b"y", "cut at {cut}");
            let mut rest = early.to_vec();
            stream.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, FRAME, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn interim_answers_are_passed_over() {
        let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
        let (header, _, rest) = answered(&[early.as_bytes(), SWITCH.as_bytes()]).await.unwrap();
        assert_eq!((&*header, &*rest), (&b"y"[..], &b""[..]));
    }

    #[tokio::test]
    async fn lines_may_end_without_a_carriage_return() {
        answered(&[b"HTTP/1.1 101 \nx: y\n\n"]).await.unwrap();
    }

    #[tokio::test]
    async fn another_answer_is_read_to_the_end_of_its_body_wherever_it_is_cut() {
        let answer = b"HTTP/1.1 429 Too Many Requests\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        for cut in 1..answer.len() {
            let (first, second) = answer.split_at(cut);
            let failure = answered(&[first, second]).await.unwrap_err();
            let Failure::Answer { status, body, .. } = failure else { panic!("cut at {cut}: {failure}") };
            assert_eq!((status.as_u16(), body.as_deref()), (429, Some(&b"{}"[..])), "cut at {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_http_is_noticed_before_it_ends() {
        for greeting in [&b"220 ready\r\n"[..], b"SSH-2.0-x\r\n"] {
            let (ours, mut theirs) = duplex(64);
            theirs.write_all(greeting).await.unwrap();
            let asking = upgrade(ours, ASKED, |_| Ok(()), async |_| unreachable!("there is no status"));
            let asked = tokio::time::timeout(std::time::Duration::from_secs(1), asking).await.expect("in time");
            assert!(matches!(asked, Err(Failure::NotHttp(_))));
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_a_failure() {
        let endless = [b"HTTP/1.1 101 \r\nx: ".as_slice(), &vec![b'y'; MAX_HEAD]].concat();
        for answer in [b"".as_slice(), b"HTTP/1.1 101 \r\nx: y\r\n", b"\x15\x03\x01\r\n\r\n", &endless] {
            assert!(
                matches!(answered(&[answer]).await, Err(Failure::NotHttp("its answer is no HTTP"))),
                "{}",
                answer.escape_ascii()
            );
        }
        let failure = answered(&[b"HTTP/1.0 101 \r\n\r\n"]).await.unwrap_err();
        assert_eq!(failure.to_string(), "its 101 is none of HTTP/1.1");
    }
}
