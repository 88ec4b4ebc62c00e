use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustls_pki_types::CertificateDer;

use super::{
    Policy, Reconfigured, Reload, ReloadError,
    files::{Digests, Files},
};
use crate::{
    config::{Change, Config, ConfigError},
    event::{CertificateRole, CloseReason},
};

/// The policy in force, and how another takes its place: only whole and checked.
pub(crate) struct Current {
    /// What stood in the files that the policy was made from; held while another policy is decided, one at a time.
    digests: Mutex<Digests>,
    config: RwLock<Arc<Config>>,
    policy: RwLock<Arc<Policy>>,
    /// How many policies there have been, for those who keep a copy of what they go by.
    revision: AtomicU64,
    /// Policies that others have taken the place of, while there are connections made by them.
    superseded: Mutex<Vec<Arc<Policy>>>,
}

impl Current {
    pub(crate) fn decide(config: Config) -> Result<Self, ConfigError> {
        // Before the files are read for use: what is written meanwhile counts as new.
        let digests = Files::of(&config).digests();
        let policy = Policy::decide(config.clone())?;
        Ok(Self {
            digests: Mutex::new(digests),
            config: RwLock::new(Arc::new(config)),
            policy: RwLock::new(Arc::new(policy)),
            revision: AtomicU64::new(0),
            superseded: Mutex::default(),
        })
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another number means another policy, and whoever has seen it sees that policy.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The newest policy with that server in it: an older one's connections may still be in use.
    pub(crate) fn policy_with(&self, host: &str, port: u16) -> Option<Arc<Policy>> {
        let has = |policy: &Arc<Policy>| {
            let mut hosts = policy.hosts.iter();
            hosts.any(|known| *known.name == *host && known.port == port)
        };
        Some(self.policy()).filter(has).or_else(|| {
            let superseded = lock(&self.superseded);
            let newest = superseded.iter().rev().find(|policy| has(policy));
            newest.cloned()
        })
    }

    /// Decides once more from the same configuration if its files have changed. It blocks on the files.
    ///
    /// The digests before and after tell whether what was built is what stood there all the time.
    pub(crate) fn look(&self) -> Result<Reload, ReloadError> {
        let mut digests = lock(&self.digests);
        let config = self.config();
        let files = Files::of(&config);
        let before = files.digests();
        if before == *digests {
            return Ok(Reload::Unchanged);
        }
        let fresh = Policy::decide((*config).clone());
        if files.digests() != before {
            return Err(ReloadError::HalfWritten);
        }
        let rotated = (before.tls != digests.tls).then_some(CloseReason::TlsRotated);
        self.swap(fresh?, rotated);
        *digests = before;
        Ok(Reload::Swapped)
    }

    /// Decides from another configuration, made of the one in force. It blocks on the files.
    ///
    /// What is to happen with the swap happens before another look or change.
    pub(crate) fn change(
        &self,
        read: impl FnOnce(&Config) -> Result<Config, ConfigError>,
        swapped: impl FnOnce(&Policy, &Policy),
    ) -> Result<Reconfigured, ReloadError> {
        let mut digests = lock(&self.digests);
        let old = self.config();
        let config = read(&old)?;
        let changes = old.changes(&config);
        if changes.is_empty() {
            self.write(config);
            return Ok(Reconfigured::default());
        }
        let files = Files::of(&config);
        let before = files.digests();
        let fresh = Policy::decide(config.clone());
        if files.digests() != before {
            return Err(ReloadError::HalfWritten);
        }
        let of_tls = before.tls != digests.tls || changes.iter().any(Change::is_of_tls);
        let reason = match of_tls {
            true => Some(CloseReason::TlsRotated),
            false if changes.iter().any(Change::outdates) => Some(CloseReason::Evicted),
            false => None,
        };
        let fresh = fresh?;
        self.write(config);
        let old = self.swap(fresh, reason);
        *digests = before;
        swapped(&old, &self.policy());
        Ok(Reconfigured {
            changes,
            retiring: match reason {
                Some(_) => old.generation.open(),
                None => 0,
            },
        })
    }

    fn write(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Puts a policy into force. With a reason, the connections made by the old one are to be closed for it: a new
    /// password alone is none.
    fn swap(&self, mut fresh: Policy, reason: Option<CloseReason>) -> Arc<Policy> {
        let mut policy = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        let old = Arc::clone(&policy);
        fresh.tls.remember(&old.tls);
        if reason.is_some() {
            lock(&self.superseded).push(Arc::clone(&old));
        } else {
            fresh.generation = Arc::clone(&old.generation);
        }
        *policy = Arc::new(fresh);
        drop(policy);
        self.revision.fetch_add(1, Ordering::Release);
        if let Some(reason) = reason {
            old.generation.supersede(reason);
        }
        old
    }

    /// How many connections are open that were made by older policies.
    pub(crate) fn stale(&self) -> usize {
        let mut superseded = lock(&self.superseded);
        // Whoever is connecting by one holds it, and each connection its generation.
        superseded.retain(|policy| {
            Arc::strong_count(policy) > 1 || Arc::strong_count(&policy.generation) > 1
        });
        superseded
            .iter()
            .map(|policy| policy.generation.open())
            .sum()
    }

    /// The certificates of our own files, to be watched for their end.
    pub(crate) fn certificates(&self) -> Vec<(CertificateRole, CertificateDer<'static>)> {
        Files::of(&self.config()).certificates()
    }

    pub(crate) fn reads_password(&self) -> bool {
        let config = self.config();
        config.password_file.is_some() || config.passfile.is_some()
    }
}

/// What was decided, and not what was written.
impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("policy", &self.policy())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
