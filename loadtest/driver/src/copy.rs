//! The least a proxy can be: `tokio::io::copy_bidirectional` between two sockets, knowing nothing of what goes through.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

/// Serves on one thread, with buffers of this many bytes for each direction.
pub fn serve(listen: SocketAddr, upstream: SocketAddr, buffer: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(async move {
                // How a link ends is not its business.
                let _ = link(client, upstream, buffer).await;
            });
        }
    })
}

async fn link(mut client: TcpStream, upstream: SocketAddr, buffer: usize) -> std::io::Result<(u64, u64)> {
    let mut upstream = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut upstream, buffer, buffer).await
}
