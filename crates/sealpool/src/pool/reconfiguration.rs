use std::sync::{Arc, Weak};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Pool, manager::Manager, retirement::resize};
use crate::{
    config::{Config, ConfigError},
    policy::{Policy, Reconfigured, ReloadError},
};

impl Pool {
    /// Puts another configuration into force while the pool runs: whole, or not at all.
    ///
    /// It is checked as [`PoolBuilder::build`](super::PoolBuilder::build) checks it, and its files are read anew. Every
    /// setting can be changed. From then on, connections are opened, lent and kept by the new configuration; acquires
    /// that wait and connects that are under way keep to the old one. Connections that were made with a server, a login,
    /// TLS or a session that has been changed are retired while they are idle, spread over `tls.rotate_within`; no query
    /// is disturbed, and [`Pool::evict_all`] replaces them at once. A new password or limit retires none. A size that
    /// [`Pool::resize`] has set holds until `pool.max_size` is changed. In traces and metrics the pool keeps the name that
    /// it was built with.
    ///
    /// # Errors
    ///
    /// Why nothing was changed, for a configuration that is refused with its place and the fix.
    pub async fn reconfigure(&self, config: Config) -> Result<Reconfigured, ReloadError> {
        reconfigure(&self.manager, |_| Ok(config)).await
    }

    /// Reads the configuration again from its TOML files, variables and connection strings, and puts what has changed
    /// into force as [`Pool::reconfigure`] does. What the program itself has set counts over them, as before.
    ///
    /// With `pool.reload_interval`, the pool does so by itself.
    ///
    /// # Errors
    ///
    /// Why nothing was changed, also when a source cannot be read.
    pub async fn reload_config(&self) -> Result<Reconfigured, ReloadError> {
        reconfigure(&self.manager, Config::read_again).await
    }
}

async fn reconfigure(
    manager: &Arc<Manager>,
    read: impl FnOnce(&Config) -> Result<Config, ConfigError> + Send + 'static,
) -> Result<Reconfigured, ReloadError> {
    if manager.is_closing() {
        return Err(ReloadError::Closed);
    }
    let connector = manager.connector().clone();
    let manager = Arc::downgrade(manager);
    let swapped = move |old: &Policy, new: &Policy| {
        if let Some(manager) = manager.upgrade() {
            apply(&manager, old, new);
        }
    };
    connector.reconfigure(read, swapped).await
}

/// Passes on what is not looked up in the policy each time it is needed.
fn apply(manager: &Manager, old: &Policy, new: &Policy) {
    let (old, new) = (&old.pooling, &new.pooling);
    manager.house.permits.follow(new);
    if new.max_size != old.max_size {
        resize(manager, new.max_size);
    }
    manager.lane.renew();
}

/// Reads the configuration again from time to time, where that is asked for. What has changed is taken when it has been
/// read twice, for a file may be half written and valid all the same.
pub(super) async fn follow(pool: &Weak<Manager>, mut swaps: watch::Receiver<()>) {
    let mut last = Instant::now();
    let mut seen: Option<Config> = None;
    loop {
        let Some(manager) = pool.upgrade() else {
            return;
        };
        let interval = manager.pooling().reload_interval;
        let connector = manager.connector().clone();
        drop(manager);
        let due = async {
            match interval {
                Some(interval) => sleep_until(last + interval).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            _ = swaps.changed() => continue,
        }
        last = Instant::now();
        // It reports its failure itself.
        let found = connector.rewritten().await.ok().flatten();
        let settled = match (&seen, &found) {
            (Some(seen), Some(found)) => seen.changes(found).is_empty(),
            _ => false,
        };
        seen = found;
        if settled
            && let Some(config) = seen.clone()
            && let Some(manager) = pool.upgrade()
        {
            let _ = reconfigure(&manager, |_| Ok(config)).await;
        }
    }
}
