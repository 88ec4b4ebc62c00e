use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
};
use tokio_postgres::{
    Client, Config, Error,
    tls::{ChannelBinding, TlsConnect, TlsStream},
};
use tracing::Span;

use super::{Connector, Opened};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Lets a plain `deadpool_postgres::Pool` be as sealed as ours.
///
/// The `Config` that deadpool passes must be empty: the connector has decided already, and nothing that is written there
/// would be applied.
impl deadpool_postgres::Connect for Connector {
    fn connect(
        &self,
        pg_config: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let empty = *pg_config == Config::new();
        Box::pin(async move {
            if !empty {
                return Err(carrying(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "give deadpool an empty tokio_postgres::Config: the connector's own configuration is what counts",
                ))
                .await);
            }
            match self.open_alone(&Span::current()).await {
                Ok(Opened { client, owner, .. }) => {
                    // The client's end is the connection's end here: deadpool aborts this task with it.
                    let task = tokio::spawn(async move {
                        let _owner = owner;
                        std::future::pending::<()>().await;
                    });
                    Ok((client, task))
                }
                Err(error) => Err(carrying(io::Error::other(error)).await),
            }
        })
    }
}

/// The only way to give an error of our own to who expects one of tokio-postgres: a stream that fails with it.
async fn carrying(error: io::Error) -> Error {
    let mut config = Config::new();
    config.user("nobody");
    config.ssl_mode(tokio_postgres::config::SslMode::Require);
    config.ssl_negotiation(tokio_postgres::config::SslNegotiation::Direct);
    match config.connect_raw(Failing(Some(error)), PassThrough).await {
        Err(error) => error,
        Ok(_) => unreachable!("a stream that fails cannot connect"),
    }
}

struct PassThrough;

impl TlsConnect<Failing> for PassThrough {
    type Stream = Failing;
    type Error = io::Error;
    type Future = Ready<io::Result<Failing>>;

    fn connect(self, stream: Failing) -> Self::Future {
        ready(Ok(stream))
    }
}

struct Failing(Option<io::Error>);

impl Failing {
    fn fail<T>(&mut self) -> Poll<io::Result<T>> {
        let error = self
            .0
            .take()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
        Poll::Ready(Err(error))
    }
}

impl TlsStream for Failing {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.fail()
    }
}

impl AsyncWrite for Failing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.fail()
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }
}
