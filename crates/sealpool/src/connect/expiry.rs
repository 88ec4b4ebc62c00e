use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::{Certificate, Connector};
use crate::{
    event::{CertificateRole, Event, Observer},
    policy::Host,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Days before a certificate's end at which somebody is told.
const THRESHOLDS: [u64; 3] = [3, 14, 30];

/// Watches the certificates in use for their end.
#[derive(Debug, Default)]
pub(super) struct Expiry(Mutex<Watch>);

/// The host and port of a server.
type Server = (String, u16);

#[derive(Debug, Default)]
struct Watch {
    /// By the server that presented them, or `None` for those of our own files.
    certificates: HashMap<Option<Server>, Vec<Watched>>,
    /// The threshold already told of, by certificate.
    told: HashMap<Vec<u8>, u64>,
}

#[derive(Clone, Debug)]
struct Watched {
    role: CertificateRole,
    certificate: Certificate,
}

/// A certificate on which a pool's connections depend.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertificateInUse {
    /// Whose it is.
    pub role: CertificateRole,
    /// The host, as configured, and the port of the server that presented it last; `None` for those of our own files.
    pub server: Option<(String, u16)>,
    /// The certificate.
    pub certificate: Certificate,
}

impl Connector {
    /// The certificates of our own files, and those that each server presented with the connection opened last.
    pub(crate) fn certificates(&self) -> Vec<CertificateInUse> {
        self.0.expiry.with(|watch| {
            let all = watch.certificates.iter();
            all.flat_map(|(server, watched)| {
                watched
                    .iter()
                    .map(|Watched { role, certificate }| CertificateInUse {
                        role: *role,
                        server: server.clone(),
                        certificate: certificate.clone(),
                    })
            })
            .collect()
        })
    }
}

impl Expiry {
    /// Watches what a server presented in place of what it presented before; `None` stands for our own files.
    pub(super) fn replace(
        &self,
        server: Option<(&str, u16)>,
        certificates: impl IntoIterator<Item = (CertificateRole, Certificate)>,
    ) {
        let server = server.map(|(host, port)| (host.to_owned(), port));
        let certificates = certificates
            .into_iter()
            .map(|(role, certificate)| Watched { role, certificate })
            .collect();
        self.with(|watch| watch.certificates.insert(server, certificates));
    }

    /// Forgets what other servers than these presented.
    pub(super) fn keep(&self, hosts: &[Host]) {
        let known = |(name, port): &Server| {
            let mut hosts = hosts.iter();
            hosts.any(|host| *host.name == **name && host.port == *port)
        };
        self.with(|watch| {
            let certificates = &mut watch.certificates;
            certificates.retain(|server, _| server.as_ref().is_none_or(known));
        });
    }

    /// Tells of each certificate that has come under a threshold since the last time.
    pub(super) fn report(&self, observer: &dyn Observer, now: SystemTime) {
        for (Watched { role, certificate }, left) in self.with(|watch| watch.due(now)) {
            let (subject, not_after) = (certificate.subject(), certificate.not_after());
            let days_left = left.as_secs() / DAY.as_secs();
            tracing::warn!(which = %role, subject, days_left, "certificate expires soon");
            observer.on_event(&Event::CertificateExpiring {
                which: role,
                subject: &subject,
                not_after,
                days_left,
            });
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Watch) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watch {
    fn due(&mut self, now: SystemTime) -> Vec<(Watched, Duration)> {
        let Self { certificates, told } = self;
        let mut warnings = Vec::new();
        for watched in certificates.values().flatten() {
            let certificate = &watched.certificate;
            let end = certificate.not_after();
            // Bundles of roots are full of those that have ended, and nothing that has ended verifies.
            let Ok(left) = end.duration_since(now) else {
                continue;
            };
            let life = end
                .duration_since(certificate.not_before())
                .unwrap_or_default();
            let Some(threshold) = threshold(left, life) else {
                continue;
            };
            let before = told.insert(certificate.der().to_owned(), threshold);
            if before.is_none_or(|before| threshold < before) {
                warnings.push((watched.clone(), left));
            }
        }
        warnings
    }
}

/// The narrowest threshold that is passed. A certificate made for less time than that is not late but short-lived.
fn threshold(left: Duration, life: Duration) -> Option<u64> {
    THRESHOLDS
        .into_iter()
        .map(|days| (days, DAY * u32::try_from(days).unwrap_or(u32::MAX)))
        .find(|(_, span)| left <= *span && life > *span)
        .map(|(days, _)| days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_threshold_counts_and_none_that_the_certificate_never_was_above() {
        let year = DAY * 365;
        for (left, life, expected) in [
            (DAY * 31, year, None),
            (DAY * 30, year, Some(30)),
            (DAY * 15, year, Some(30)),
            (DAY * 14, year, Some(14)),
            (DAY * 3, year, Some(3)),
            (Duration::ZERO, year, Some(3)),
            (DAY * 6, DAY * 7, None),
            (DAY * 2, DAY * 7, Some(3)),
            (DAY / 2, DAY, None),
        ] {
            assert_eq!(threshold(left, life), expected, "{left:?} of {life:?}");
        }
    }
}
