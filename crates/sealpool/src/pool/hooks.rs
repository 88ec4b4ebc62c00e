use std::{error::Error as StdError, fmt, pin::Pin, sync::Arc};

use deadpool_postgres::ClientWrapper;

use super::PoolBuilder;
use crate::policy::Policy;

/// What a hook that is given a client returns: `Box::pin(async move { … })`.
pub type HookFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// What is about to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// The names and ports of the hosts that will be tried, as configured.
    pub hosts: Vec<(Arc<str>, u16)>,
    /// The role to log in as.
    pub user: Arc<str>,
}

impl ConnectRequest {
    pub(super) fn new(policy: &Policy) -> Self {
        let hosts = policy.hosts.iter();
        Self {
            hosts: hosts.map(|h| (Arc::clone(&h.name), h.port)).collect(),
            user: policy.login.user.as_str().into(),
        }
    }
}

pub(super) type OnRequest = dyn Fn(ConnectRequest) -> HookFuture<'static, ()> + Send + Sync;
pub(super) type OnClient<T> =
    dyn for<'a> Fn(&'a mut ClientWrapper) -> HookFuture<'a, T> + Send + Sync;

/// What the application does with connections at their turning points.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) before_connect: Option<Box<OnRequest>>,
    pub(super) after_connect: Option<Box<OnClient<()>>>,
    pub(super) before_acquire: Option<Box<OnClient<bool>>>,
    pub(super) after_release: Option<Box<OnClient<bool>>>,
    pub(super) before_close: Option<Box<OnClient<()>>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            before_connect,
            after_connect,
            before_acquire,
            after_release,
            before_close,
        } = self;
        f.debug_struct("Hooks")
            .field("before_connect", &before_connect.is_some())
            .field("after_connect", &after_connect.is_some())
            .field("before_acquire", &before_acquire.is_some())
            .field("after_release", &after_release.is_some())
            .field("before_close", &before_close.is_some())
            .finish()
    }
}

/// # Hooks
///
/// Code of the application at the turning points of a connection. What holds for all of them:
///
/// - Each call has `pool.hook_timeout` to end (default 5 s), and those that an acquire waits for also end with the acquire.
/// - A hook that fails, overruns its limit, panics, or leaves a query or a transaction under way costs its connection,
///   never the pool. Who waits is told by a [`HookError`](crate::HookError); otherwise it is logged.
/// - A hook that acquires a second client of the same pool may wait for one that it keeps busy itself, until its limit.
/// - A second hook of the same kind replaces the first. Without hooks, nothing is spent on them.
///
/// ```
/// use std::time::Duration;
/// use sealpool::{Config, Pool};
///
/// let config = Config::new().host("db.example.net").user("app");
/// let pool = Pool::builder(config.pool_hook_timeout(Duration::from_secs(2)))
///     .before_connect(|request| async move {
///         println!("connecting to {:?}", request.hosts);
///         Ok(())
///     })
///     .after_connect(|client| {
///         Box::pin(async move {
///             client.batch_execute("SET work_mem = '64MB'; LISTEN orders").await?;
///             Ok(())
///         })
///     })
///     .before_acquire(|client| {
///         Box::pin(async move {
///             let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await?;
///             Ok(!row.get::<_, bool>(0))
///         })
///     })
///     .build();
/// ```
impl PoolBuilder {
    /// Called ahead of each connect, before the first host is tried; an error refuses it, so that nothing is sent.
    ///
    /// A refusal is a connect that failed, at [`Stage::Setup`](crate::Stage::Setup). It ends every acquire that waits for a
    /// connection, as all failures do that do not heal by waiting; a hook that is late is asked again within the acquire.
    pub fn before_connect<F, R>(mut self, hook: F) -> Self
    where
        F: Fn(ConnectRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send + 'static,
    {
        self.hooks.before_connect = Some(Box::new(move |request| Box::pin(hook(request))));
        self
    }

    /// Called with each new connection, to set its session up, and again whenever a session has been reset (`pool.reset`):
    /// what it does must bear repeating. So what it leaves in the session is there for every borrower.
    ///
    /// A session that could not be set up is closed, and its connect has failed, at
    /// [`Stage::Setup`](crate::Stage::Setup): with an error of the hook's own or a panic that ends every acquire which
    /// waits for a connection; if time ran out or the connection was lost, another one is tried within the acquire. When it fails
    /// after a reset, the session is closed and nobody is told.
    ///
    /// What are plain settings (`session.*`, `options`) needs no hook and costs no round trip.
    pub fn after_connect<F>(mut self, hook: F) -> Self
    where
        F: for<'a> Fn(&'a mut ClientWrapper) -> HookFuture<'a, ()> + Send + Sync + 'static,
    {
        self.hooks.after_connect = Some(Box::new(hook));
        self
    }

    /// Called with the connection whenever one is about to be lent, also a new one: `true` lends it, `false` closes it and
    /// takes the next, and an error closes it and is what the acquire returns
    /// ([`Error::Hook`](crate::Error::Hook)), unless it came of a connection that has been lost: then the next is taken too.
    ///
    /// What it leaves in the session is for this borrower, and removed after it. After more refusals in a row than the pool
    /// has connections the acquire fails. [`Pool::try_acquire`](crate::Pool::try_acquire) gives nothing when the hook has to
    /// wait.
    pub fn before_acquire<F>(mut self, hook: F) -> Self
    where
        F: for<'a> Fn(&'a mut ClientWrapper) -> HookFuture<'a, bool> + Send + Sync + 'static,
    {
        self.hooks.before_acquire = Some(Box::new(hook));
        self
    }

    /// Called in the background with each connection that has come back, when it has been made fit again: `true` keeps it,
    /// `false` or an error closes it.
    ///
    /// The next borrower waits for it, and what it leaves in the session is removed. It is not called with a connection that is
    /// closed in any case: lost, grown too old, given back in a panic or outside of a runtime.
    pub fn after_release<F>(mut self, hook: F) -> Self
    where
        F: for<'a> Fn(&'a mut ClientWrapper) -> HookFuture<'a, bool> + Send + Sync + 'static,
    {
        self.hooks.after_release = Some(Box::new(hook));
        self
    }

    /// Called in the background with each connection that the pool closes, before it says goodbye to the server.
    ///
    /// The connection has left the pool by then, but keeps its place in `pool.max_size` until the hook has ended, if there is
    /// one to spare. [`Pool::shutdown`](crate::Pool::shutdown) waits for the hooks within its limit. It is not called with a
    /// connection that has been lost, or outside of a runtime.
    pub fn before_close<F>(mut self, hook: F) -> Self
    where
        F: for<'a> Fn(&'a mut ClientWrapper) -> HookFuture<'a, ()> + Send + Sync + 'static,
    {
        self.hooks.before_close = Some(Box::new(hook));
        self
    }
}
