use std::{thread, time::SystemTime};

use tokio::sync::oneshot;

use super::{Certificate, Connector};
use crate::{
    event::{Event, ReloadOutcome},
    policy::{Reload, ReloadError},
};

impl Connector {
    /// How many connections are open that were made with older material.
    pub(crate) fn stale(&self) -> usize {
        self.0.current.stale()
    }

    /// Returns when other material has come into force since the last call.
    pub(crate) async fn swapped(&self) {
        self.0.swapped.notified().await;
    }

    /// Looks at the files of certificates, keys, lists and the password, and puts what is new into force: for the
    /// connections opened from then on, and only if all of it can be used together.
    ///
    /// A pool does so by itself, every `tls.reload_interval`.
    ///
    /// # Errors
    ///
    /// Why what is new was not taken; what was in force stays.
    pub async fn reload(&self) -> Result<Reload, ReloadError> {
        let (tell, told) = oneshot::channel();
        let connector = self.clone();
        // Files may hang, and neither a worker of the runtime nor its shutdown may hang with them.
        let looking = thread::Builder::new()
            .name("sealpool-reload".to_owned())
            .spawn(move || {
                let _ = tell.send(connector.look());
            });
        match looking {
            Ok(_) => told.await.unwrap_or(Err(ReloadError::Unfinished)),
            Err(_) => self.looked(Err(ReloadError::Unfinished)),
        }
    }

    fn look(&self) -> Result<Reload, ReloadError> {
        let result = self.0.current.look();
        if let Ok(Reload::Swapped) = result {
            self.watch_own_certificates();
            self.0.swapped.notify_one();
        }
        self.report_expiry();
        self.looked(result)
    }

    fn looked(&self, result: Result<Reload, ReloadError>) -> Result<Reload, ReloadError> {
        let (outcome, error) = match &result {
            Ok(Reload::Swapped) => {
                tracing::info!("new certificates, keys, lists or a new password are in force");
                (ReloadOutcome::Ok, None)
            }
            Ok(Reload::Unchanged) => (ReloadOutcome::Unchanged, None),
            Err(error) => {
                tracing::warn!(%error, "what is new was not taken, what is in force stays");
                (ReloadOutcome::Failed, Some(error))
            }
        };
        self.observer()
            .on_event(&Event::TlsReloaded { outcome, error });
        result
    }

    pub(super) fn watch_own_certificates(&self) {
        let certificates = self.0.current.certificates();
        let certificates = certificates
            .into_iter()
            .map(|(role, der)| (role, Certificate::new(der)));
        self.0.expiry.replace(None, certificates);
    }

    fn report_expiry(&self) {
        self.0.expiry.report(self.observer(), SystemTime::now());
    }
}
