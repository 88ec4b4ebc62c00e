use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};

use super::{Resolver, deadline::Deadline};
use crate::policy::{Host, Keepalive, Network};

/// The addresses of a host, in the resolver's order.
pub(super) async fn resolve(
    resolver: &Resolver,
    host: &Host,
    limit: Duration,
) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = host.known_address() {
        return Ok(vec![SocketAddr::new(address, host.port)]);
    }
    within(limit, resolver.resolve(&host.name, host.port)).await
}

/// A TCP connection that sends whole messages at once and notices a dead peer.
pub(super) async fn connect(
    address: SocketAddr,
    network: &Network,
    end: Deadline,
) -> io::Result<TcpStream> {
    let stream = within(end.cap(network.limits.tcp), TcpStream::connect(address)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    if let Some(Keepalive {
        idle,
        interval,
        count,
    }) = network.keepalive
    {
        let probes = TcpKeepalive::new()
            .with_time(idle)
            .with_interval(interval)
            .with_retries(count);
        socket.set_tcp_keepalive(&probes)?;
    }
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_user_timeout(network.user_timeout)?;
    Ok(stream)
}

/// A phase under its limit: late is an error of kind `TimedOut`.
pub(super) async fn within<T>(
    limit: Duration,
    phase: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout(limit, phase).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("not done within {limit:?}"),
        ))
    })
}
