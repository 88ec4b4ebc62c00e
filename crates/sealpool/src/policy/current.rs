use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use rustls_pki_types::CertificateDer;

use super::{
    Generation, Policy, Reload, ReloadError,
    files::{Digests, Files},
};
use crate::{
    config::{Config, ConfigError},
    event::CertificateRole,
};

/// The policy in force, and how another takes its place: only whole and checked.
#[derive(Debug)]
pub(crate) struct Current {
    config: Config,
    files: Files,
    /// What stood in the files that the policy was made from; held while they are looked at.
    digests: Mutex<Digests>,
    policy: RwLock<Arc<Policy>>,
    superseded: Mutex<Vec<Weak<Generation>>>,
}

impl Current {
    pub(crate) fn decide(config: Config) -> Result<Self, ConfigError> {
        let files = Files::of(&config);
        // Before the files are read for use: what is written meanwhile counts as new.
        let digests = files.digests();
        let policy = Policy::decide(config.clone())?;
        Ok(Self {
            config,
            files,
            digests: Mutex::new(digests),
            policy: RwLock::new(Arc::new(policy)),
            superseded: Mutex::default(),
        })
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Decides once more from the same configuration if its files have changed. It blocks on the files.
    ///
    /// The digests before and after tell whether what was built is what stood there all the time.
    pub(crate) fn look(&self) -> Result<Reload, ReloadError> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.files.digests();
        if before == *digests {
            return Ok(Reload::Unchanged);
        }
        let fresh = Policy::decide(self.config.clone());
        if self.files.digests() != before {
            return Err(ReloadError::HalfWritten);
        }
        self.swap(fresh?, before.tls != digests.tls);
        *digests = before;
        Ok(Reload::Swapped)
    }

    /// A new password alone is no reason to retire anything.
    fn swap(&self, mut fresh: Policy, supersede: bool) {
        let mut policy = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        let old = Arc::clone(&policy.generation);
        fresh.tls.remember(&policy.tls);
        if supersede {
            self.lock_superseded().push(Arc::downgrade(&old));
        } else {
            fresh.generation = Arc::clone(&old);
        }
        *policy = Arc::new(fresh);
        drop(policy);
        if supersede {
            old.supersede();
        }
    }

    /// How many connections are open that were made with older material.
    pub(crate) fn stale(&self) -> usize {
        let mut superseded = self.lock_superseded();
        superseded.retain(|generation| generation.strong_count() > 0);
        superseded
            .iter()
            .filter_map(Weak::upgrade)
            .map(|generation| generation.open())
            .sum()
    }

    /// The certificates of our own files, to be watched for their end.
    pub(crate) fn certificates(&self) -> Vec<(CertificateRole, CertificateDer<'static>)> {
        self.files.certificates()
    }

    pub(crate) fn reads_password(&self) -> bool {
        self.config.password_file.is_some() || self.config.passfile.is_some()
    }

    fn lock_superseded(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Generation>>> {
        self.superseded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
