use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls;

use super::{
    ChannelBinding,
    condition::Condition,
    endpoint::Endpoint,
    login::{Login, LoginRules, Step},
    refusal::Refusal,
    stream::SealedStream,
    traffic::Traffic,
};
use crate::{failure::tls_error, policy::AuthMethod};

/// Passes the decrypted stream through and reads the messages of the login as they go by, and later the frames.
pub(super) struct Sensed {
    stream: SealedStream,
    sense: Arc<Sense>,
    endpoint: Arc<Endpoint>,
    traffic: Traffic,
    blocked: bool,
}

/// What the login has come to; shared between the stream and whoever waits for the login.
#[derive(Debug)]
pub(super) struct Sense {
    login: Mutex<Login>,
    condition: Arc<Condition>,
}

impl Sense {
    pub(super) fn step(&self) -> Step {
        self.with(|login| login.step)
    }

    /// What the server asked for.
    pub(super) fn method(&self) -> Option<AuthMethod> {
        self.with(|login| login.method)
    }

    pub(super) fn channel_binding(&self) -> ChannelBinding {
        self.with(|login| login.binding.unwrap_or(ChannelBinding::NotUsed))
    }

    /// What the session comes to after the login.
    pub(super) fn condition(&self) -> Arc<Condition> {
        Arc::clone(&self.condition)
    }

    fn with<R>(&self, act: impl FnOnce(&mut Login) -> R) -> R {
        act(&mut self.login.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sensed {
    pub(super) fn new(
        stream: SealedStream,
        rules: LoginRules,
        endpoint: Arc<Endpoint>,
    ) -> (Self, Arc<Sense>) {
        let sense = Arc::new(Sense {
            login: Mutex::new(Login::new(rules)),
            condition: Arc::default(),
        });
        (
            Self {
                stream,
                sense: Arc::clone(&sense),
                endpoint,
                traffic: Traffic::default(),
                blocked: false,
            },
            sense,
        )
    }

    fn received(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if !self.traffic.is_logged_in() {
            self.sense.with(|login| login.received(bytes))?;
        }
        self.traffic.received(bytes);
        let signs = self.traffic.take_signs();
        if !signs.is_empty() {
            self.endpoint.heard(signs);
        }
        self.update();
        Ok(())
    }

    fn sent(&mut self, bytes: &[u8]) {
        if !self.traffic.is_logged_in() {
            self.sense.with(|login| login.sent(bytes));
        }
        self.traffic.sent(bytes);
        self.blocked = false;
        self.update();
    }

    fn blocked<T>(&mut self, blocked: bool, result: Poll<T>) -> Poll<T> {
        if self.blocked != blocked {
            self.blocked = blocked;
            self.update();
        }
        result
    }

    fn update(&mut self) {
        self.sense.condition.update(&mut self.traffic, self.blocked);
    }

    /// A server that refuses our certificate sends an alert and resets, and our writing may notice the reset first: the
    /// alert, which has come by then, is the better reason.
    fn better(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        if self.sense.step() != Step::Asked {
            return error;
        }
        let mut bytes = [0; 64];
        match Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut bytes)) {
            Poll::Ready(Err(alert)) if tls_error(&alert).is_some() => alert,
            _ => error,
        }
    }
}

impl AsyncRead for Sensed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.received(new).map_err(io::Error::other))
    }
}

impl AsyncWrite for Sensed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Ready(Ok(written)) => {
                self.sent(buf.get(..written).unwrap_or_default());
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => {
                // Some of it may have left before.
                self.sent(buf);
                Poll::Ready(Err(self.better(cx, error)))
            }
            Poll::Pending => self.blocked(true, Poll::Pending),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.blocked(false, Poll::Ready(Ok(()))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.better(cx, error))),
            Poll::Pending => self.blocked(true, Poll::Pending),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Sensed {
    fn drop(&mut self) {
        self.sense.condition.end();
    }
}

impl tls::TlsStream for Sensed {
    fn channel_binding(&self) -> tls::ChannelBinding {
        self.stream.channel_binding()
    }
}
