use std::{io, thread, time::SystemTime};

use tokio::sync::oneshot;

use super::{Certificate, Connector};
use crate::{
    event::{CertificateRole, Event, ReloadOutcome},
    policy::{Reload, ReloadError},
};

impl Connector {
    /// How many connections are open that were made with older material.
    pub(crate) fn stale(&self) -> usize {
        self.0.current.stale()
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
        let connector = self.clone();
        match aside(move || connector.look()).await {
            Ok(done) => done.unwrap_or(Err(ReloadError::Unfinished)),
            Err(_) => self.looked(Err(ReloadError::Unfinished)),
        }
    }

    fn look(&self) -> Result<Reload, ReloadError> {
        let result = self.0.current.look();
        if let Ok(Reload::Swapped) = result {
            self.watch_own_certificates();
            self.0.swapped.send_replace(());
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
        self.0.expiry.replace(None, self.own_certificates());
    }

    /// Those in the files that are named.
    pub(super) fn own_certificates(&self) -> Vec<(CertificateRole, Certificate)> {
        let certificates = self.0.current.certificates().into_iter();
        certificates
            .map(|(role, der)| (role, Certificate::new(der)))
            .collect()
    }

    fn report_expiry(&self) {
        self.0.expiry.report(self.observer(), SystemTime::now());
    }
}

/// On a thread of its own: files may hang, and neither a worker of the runtime nor its shutdown may hang with them.
///
/// Nothing comes of it when it panics.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new()
        .name("sealpool-reload".to_owned())
        .spawn(move || {
            let _ = tell.send(work());
        })?;
    Ok(told.await.ok())
}
