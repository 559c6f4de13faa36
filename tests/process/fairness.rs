//! One worker, one link that never rests, and another that has little to say.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::relay::Relay;
use crate::support::frame::{Frame, TEXT, header};
use crate::support::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_link_does_not_keep_the_others_of_its_worker_waiting() {
    let relay = Relay::start().await;
    let (mut busy, mut quiet) = (relay.link().await, relay.link().await);
    let frame = [header(true, TEXT, false, 65_536), vec![b'x'; 65_536]].concat();
    let push = tokio::spawn(async move { while busy.upstream.write_all(&frame).await.is_ok() {} });
    let pull = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 20];
        let mut pulled = 0_u64;
        while let Ok(read @ 1..) = busy.client.read(&mut buffer).await {
            pulled += read as u64;
            if pulled > 8 << 30 {
                return;
            }
        }
        panic!("the busy link ended");
    });

    let (up, down) = (Frame::text("up").masked().bytes(), Frame::text("down").bytes());
    let mut buffer = [0; 64];
    for _ in 0..500 {
        quiet.client.write_all(&up).await.unwrap();
        within("a frame up", quiet.upstream.read_exact(&mut buffer[..up.len()])).await.unwrap();
        quiet.upstream.write_all(&down).await.unwrap();
        within("a frame down", quiet.client.read_exact(&mut buffer[..down.len()])).await.unwrap();
    }
    assert!(!push.is_finished() && !pull.is_finished(), "the other link was busy all the while");
    pull.abort();
    push.abort();
}
