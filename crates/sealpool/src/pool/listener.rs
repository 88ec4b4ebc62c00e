use std::{
    collections::BTreeSet,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::{sync::watch, time::timeout};

use super::{
    Pool,
    listening::{Standing, Task, Wanted},
};
use crate::{
    config::ConfigError,
    connect::{Connector, Heard, Mailbox},
    error::{Attempt, ConnectError, Error, Stage},
};

/// The longest name PostgreSQL keeps whole (`NAMEDATALEN` - 1).
const LONGEST_NAME: usize = 63;

/// A connection of its own, outside of the pool's size, on which notifications are heard ([`Pool::listen`]).
///
/// When the connection is lost it is opened again, with the pool's own pauses between the tries, and told so
/// ([`Heard::Reconnected`]). It is also replaced when new certificates, keys or lists are in force. A background task reads
/// it: up to 1,024 notifications wait to be taken. When they are that many, the connection is not read, and the server keeps
/// what follows in the queue that all its databases share; if none has been taken for 5 s it is read again, and what it
/// brings is dropped and counted ([`Heard::Lagged`]), so that a listener that hangs does not fill up that queue.
///
/// Dropping it ends the connection with a goodbye. It is a [`Stream`] too. A pooler between that lends connections for one
/// transaction (PgBouncer) delivers nothing.
#[derive(Debug)]
pub struct Listener {
    connector: Connector,
    mailbox: Arc<Mailbox>,
    wanted: watch::Sender<Wanted>,
    standing: watch::Receiver<Standing>,
}

impl Pool {
    /// Listens to channels, on a connection of its own outside of the pool's size; returns when the server has taken that,
    /// so that nothing sent from then on is missed.
    ///
    /// A name may be any text of 1 to 63 bytes without NUL, and is taken literally, upper case included.
    ///
    /// ```no_run
    /// use sealpool::{Heard, Pool};
    ///
    /// # async fn example(pool: Pool) -> Result<(), sealpool::Error> {
    /// let mut listener = pool.listen(["orders", "stock"]).await?;
    /// while let Some(heard) = listener.recv().await {
    ///     match heard? {
    ///         Heard::Notification(heard) => println!("{}: {}", heard.channel(), heard.payload()),
    ///         _ => println!("something was missed: read all orders once more"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a name that is none; [`Error::Connect`] for a failure that waiting does not heal, and
    /// for the last one when `pool.acquire_timeout` has passed; [`Error::Closed`].
    pub async fn listen<C: Into<String>>(
        &self,
        channels: impl IntoIterator<Item = C>,
    ) -> Result<Listener, Error> {
        let channels = channels.into_iter().map(|channel| named(channel.into()));
        let manager = &self.manager;
        let (wanted, desired) = watch::channel(Wanted {
            channels: channels.collect::<Result<_, _>>()?,
            version: 0,
        });
        let (tell, standing) = watch::channel(Standing::default());
        let listener = Listener {
            connector: manager.connector().clone(),
            mailbox: Arc::default(),
            wanted,
            standing,
        };
        if manager.is_closing() {
            return Err(Error::Closed);
        }
        // Files are looked at also for a pool that does nothing else.
        manager.upkeep.ensure(manager);
        let task = Task {
            connector: manager.connector().clone(),
            gate: Arc::clone(&manager.gate),
            listeners: Arc::clone(&manager.listeners),
            mailbox: Arc::clone(&listener.mailbox),
            wanted: desired,
            standing: tell,
        };
        manager.listeners.keep(tokio::spawn(task.run()));
        listener.in_force(0).await?;
        Ok(listener)
    }
}

impl Listener {
    /// What is heard next: `None` when the pool has been shut down or dropped, or the runtime on which it began to listen
    /// has ended. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] when the connection was lost and cannot be replaced for a reason that waiting does not heal, or
    /// for any reason if `connect.retry` is off: once, and not for each try. The listener goes on trying; when it succeeds,
    /// [`Heard::Reconnected`] follows.
    pub async fn recv(&mut self) -> Option<Result<Heard, Error>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Listens to one more channel; returns when the server has taken that.
    ///
    /// # Errors
    ///
    /// As for [`Pool::listen`]. Unless the name is none, the channel will be listened to as soon as that is possible.
    pub async fn listen(&self, channel: impl Into<String>) -> Result<(), Error> {
        let channel = named(channel.into())?;
        self.change(|channels| channels.insert(channel)).await
    }

    /// Ceases to listen to a channel; returns when the server has taken that.
    ///
    /// # Errors
    ///
    /// As for [`Listener::listen`].
    pub async fn unlisten(&self, channel: &str) -> Result<(), Error> {
        self.change(|channels| channels.remove(channel)).await
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut BTreeSet<String>) -> bool,
    ) -> Result<(), Error> {
        self.wanted.send_if_modified(|wanted| {
            let changed = change(&mut wanted.channels);
            wanted.version += u64::from(changed);
            changed
        });
        let version = self.wanted.borrow().version;
        self.in_force(version).await
    }

    async fn in_force(&self, version: u64) -> Result<(), Error> {
        let mut standing = self.standing.clone();
        let reached = |standing: &Standing| standing.in_force >= Some(version);
        let policy = self.connector.policy();
        let limit = policy.pooling.acquire_timeout;
        let told = standing.wait_for(|standing| reached(standing) || standing.failure.is_some());
        match timeout(limit, told).await {
            Ok(Ok(standing)) if reached(&standing) => return Ok(()),
            Ok(Err(_)) => return Err(Error::Closed),
            Ok(Ok(_)) | Err(_) => {}
        }
        if let Some(error) = &self.standing.borrow().last {
            return Err(Error::Connect(Arc::clone(error)));
        }
        let attempts = policy.hosts.iter().map(|host| Attempt {
            host: Arc::clone(&host.name),
            port: host.port,
            address: None,
            stage: Stage::Startup,
            failure: None,
            problem: format!("nothing was listened to within {limit:?} (pool.acquire_timeout)"),
            source: None,
        });
        Err(Error::Connect(Arc::new(ConnectError::new(
            attempts.collect(),
        ))))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Heard, Error>>> {
        let item = self.mailbox.poll_take(cx);
        item.map(|item| item.map(|heard| heard.map_err(Error::Connect)))
    }
}

impl Stream for Listener {
    type Item = Result<Heard, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

fn named(channel: String) -> Result<String, ConfigError> {
    if channel.is_empty() || channel.len() > LONGEST_NAME || channel.contains('\0') {
        return Err(ConfigError::new(
            "invalid_value",
            format!("{channel:?} cannot be the name of a channel"),
            format!("choose one of 1 to {LONGEST_NAME} bytes without NUL"),
        ));
    }
    Ok(channel)
}
