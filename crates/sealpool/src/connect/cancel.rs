use std::{
    fmt,
    future::{Ready, ready},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_postgres::{
    CancelToken,
    tls::{ChannelBinding, TlsConnect, TlsStream},
};
use tracing::Span;

use super::{Connector, Loan, deadline::Deadline, seal::Sealed, stream::SealedStream};
use crate::{
    closed_set::closed_set,
    error::Attempt,
    event::Server,
    spans::{self, traced},
};

/// Cancels what its client is running, over TLS, at the address of that very connection.
///
/// It works as long as its client is lent. Afterwards it does nothing, so that it never hits the query of the next
/// borrower.
#[derive(Clone)]
pub struct CancelHandle {
    pub(crate) connector: Connector,
    pub(crate) token: CancelToken,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) address: SocketAddr,
    pub(crate) loan: Arc<Loan>,
}

closed_set! {
    /// What became of a cancel request.
    pub enum CancelOutcome {
        /// The client had been given back: nothing was sent.
        Inert = "inert",
        /// The server has taken the request. It does not tell whether there was anything to cancel.
        Requested = "requested",
    }
}

/// Why nobody knows of a cancel request that the server has taken it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// There was no sealed connection to send it over.
    #[error(transparent)]
    Connect(Attempt),
    /// The connection broke off.
    #[error("the connection broke off before the server had taken the cancel request")]
    Lost(#[source] io::Error),
    /// The limit passed.
    #[error("the server did not take the cancel request within {0:?} (connect.cancel_timeout)")]
    Timeout(Duration),
}

impl CancelHandle {
    /// Asks the server to cancel what the client is running; the query then fails with SQLSTATE `57014`.
    ///
    /// It returns when the server has passed the request on, so that it hits none of the queries sent later. If that
    /// cannot be known, or this future is dropped halfway, the connection is closed when its client is given back.
    ///
    /// # Errors
    ///
    /// When the server could not be reached or verified within `connect.cancel_timeout`.
    pub async fn cancel(&self) -> Result<CancelOutcome, CancelError> {
        let limit = self.connector.policy().network.limits.cancel;
        // Boxed, since callers await it within much else, and the compiler counts how deep.
        timeout(limit, Box::pin(self.request()))
            .await
            .unwrap_or(Err(CancelError::Timeout(limit)))
    }

    /// 1. A connection of its own to the session's address, sealed as any other.
    /// 2. Only then, and only if the client is still lent, the request.
    /// 3. The end of that connection, by which the server says that it is through.
    async fn request(&self) -> Result<CancelOutcome, CancelError> {
        if self.loan.is_over() {
            return Ok(CancelOutcome::Inert);
        }
        let gone = || CancelError::Lost(io::ErrorKind::NotFound.into());
        let policy = self.connector.policy_with(&self.host, self.port);
        let policy = policy.ok_or_else(gone)?;
        let host = policy
            .hosts
            .iter()
            .find(|host| host.name == self.host && host.port == self.port)
            .ok_or_else(gone)?;
        let server = Server {
            host: &host.name,
            port: host.port,
            address: self.address,
        };
        let span = spans::connect(&policy, &Span::current());
        let sealed = self
            .connector
            .seal(&policy, host, server, Deadline::after(None));
        let sealed = traced(&span, sealed).await;
        let (mut stream, mut sealed) = sealed.map_err(CancelError::Connect)?;
        spans::reached(&span, server);
        drop(span);
        let Some(shot) = self.loan.shoot() else {
            return Ok(CancelOutcome::Inert);
        };
        let sent = self
            .token
            .cancel_query_raw(Open(&mut stream), PassThrough)
            .await;
        if let Err(error) = sent {
            return Err(CancelError::Lost(io::Error::other(error)));
        }
        end_of(&mut stream, &mut sealed).await?;
        shot.arrived();
        Ok(CancelOutcome::Requested)
    }
}

/// PostgreSQL closes the connection after it has signalled the process, and ignores the signal if that is idle by then.
async fn end_of(stream: &mut SealedStream, sealed: &mut Sealed<'_>) -> Result<(), CancelError> {
    match stream.read(&mut [0; 1]).await {
        Ok(0) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Ok(_) => Err(CancelError::Lost(io::ErrorKind::InvalidData.into())),
        Err(error) => {
            sealed.broken_off(&error);
            Err(CancelError::Lost(error))
        }
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle")
            .field("host", &self.host)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

struct PassThrough;

impl<'a> TlsConnect<Open<'a>> for PassThrough {
    type Stream = Open<'a>;
    type Error = io::Error;
    type Future = Ready<io::Result<Open<'a>>>;

    fn connect(self, stream: Open<'a>) -> Self::Future {
        ready(Ok(stream))
    }
}

/// Does not shut down: bytes that the server leaves unread would make its goodbye a reset.
struct Open<'a>(&'a mut SealedStream);

impl TlsStream for Open<'_> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Open<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Open<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
