use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::wire::Wire;

/// An encrypted stream to a verified server.
pub(super) enum SealedStream {
    /// Begun after the server's consent.
    Asked(Box<<MakeRustlsConnect as MakeTlsConnect<Wire>>::Stream>),
    /// Begun at once. tokio-postgres-rustls hides what was negotiated, and here it must be known that the server
    /// speaks PostgreSQL's protocol and no other that understands TLS.
    Direct {
        stream: Box<tokio_rustls::client::TlsStream<Wire>>,
        end_point: Option<Vec<u8>>,
    },
}

macro_rules! on_stream {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match &mut *$self {
            Self::Asked(stream) => Pin::new(stream).$method($($argument),*),
            Self::Direct { stream, .. } => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for SealedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for SealedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_shutdown(cx))
    }
}

impl TlsStream for SealedStream {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Self::Asked(stream) => stream.channel_binding(),
            Self::Direct { end_point, .. } => end_point
                .clone()
                .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point),
        }
    }
}
