use super::{Connector, connector::refuse_a_second_password, renewal::aside};
use crate::{
    config::{Config, ConfigError},
    event::{Event, ReloadOutcome},
    policy::{Policy, Reconfigured, ReloadError},
};

impl Connector {
    /// Puts another configuration into force, made of the one that is, if a pool could be built from it.
    ///
    /// What is to happen with the swap happens before another one. Dropping the future leaves it under way.
    pub(crate) async fn reconfigure(
        &self,
        read: impl FnOnce(&Config) -> Result<Config, ConfigError> + Send + 'static,
        swapped: impl FnOnce(&Policy, &Policy) + Send + 'static,
    ) -> Result<Reconfigured, ReloadError> {
        let connector = self.clone();
        match aside(move || connector.change(read, swapped)).await {
            Ok(done) => done.unwrap_or(Err(ReloadError::Unfinished)),
            Err(_) => self.unchanged(ReloadError::Unfinished),
        }
    }

    /// The configuration as it is written by now, if that differs from what is in force.
    pub(crate) async fn rewritten(&self) -> Result<Option<Config>, ReloadError> {
        let current = self.0.current.config();
        let read = aside(move || {
            let fresh = current.read_again()?;
            Ok(Some(fresh).filter(|fresh| !current.changes(fresh).is_empty()))
        });
        match read.await {
            Ok(Some(Ok(fresh))) => Ok(fresh),
            Ok(Some(Err(error))) => self.unchanged(ReloadError::Refused(error)),
            Ok(None) | Err(_) => self.unchanged(ReloadError::Unfinished),
        }
    }

    fn change(
        &self,
        read: impl FnOnce(&Config) -> Result<Config, ConfigError>,
        swapped: impl FnOnce(&Policy, &Policy),
    ) -> Result<Reconfigured, ReloadError> {
        let read = |current: &Config| {
            let config = read(current)?;
            if self.has_provider() {
                refuse_a_second_password(&config)?;
            }
            Ok(config)
        };
        let report = match self.0.current.change(read, swapped) {
            Ok(report) => report,
            Err(error) => return self.unchanged(error),
        };
        let outcome = if report.changes.is_empty() {
            ReloadOutcome::Unchanged
        } else {
            self.watch_own_certificates();
            self.0.expiry.keep(&self.policy().hosts);
            self.0.swapped.send_replace(());
            tracing::info!(%report, "the pool has been reconfigured");
            ReloadOutcome::Ok
        };
        self.observer().on_event(&Event::PoolReconfigured {
            outcome,
            changes: &report.changes,
            error: None,
        });
        Ok(report)
    }

    fn unchanged<T>(&self, error: ReloadError) -> Result<T, ReloadError> {
        tracing::warn!(%error, "the pool was not reconfigured, what is in force stays");
        self.observer().on_event(&Event::PoolReconfigured {
            outcome: ReloadOutcome::Failed,
            changes: &[],
            error: Some(&error),
        });
        Err(error)
    }
}
