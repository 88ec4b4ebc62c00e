use std::{net::Ipv4Addr, panic::Location, sync::LazyLock, time::Duration, time::SystemTime};

use crate::{
    connect::{Outcome, TlsSession},
    error::Stage,
    event::{
        AcquireOutcome, CertificateRole, CloseReason, CredentialOutcome, Event, HealthCheckOutcome,
        ReloadOutcome, Server,
    },
    failure::HandshakeFailure,
    policy::{AuthMethod, ReloadError},
};

impl Event<'static> {
    /// Events of every kind but the first, with every value of every closed set: for the tests of an observer.
    #[doc(hidden)]
    #[must_use]
    pub fn samples() -> Vec<Self> {
        static SESSIONS: LazyLock<Vec<TlsSession>> = LazyLock::new(TlsSession::samples);
        static ERROR: ReloadError = ReloadError::HalfWritten;
        let duration = Duration::from_millis(3);
        let server = Server {
            host: "db.example.net",
            port: 5432,
            address: (Ipv4Addr::LOCALHOST, 5432).into(),
        };
        let mut events = vec![
            Self::HandshakeStarted { server },
            Self::WeakAuthenticationUsed {
                server,
                method: AuthMethod::Md5,
            },
            Self::ConnectionOpened { server, duration },
            Self::ClientReturned {
                server,
                held: duration,
            },
            Self::LaneConnectionEvicted {
                server,
                place: Some(Location::caller()),
            },
            Self::LeakSuspected {
                server,
                place: Location::caller(),
                held: duration,
            },
        ];
        events.extend(SESSIONS.iter().map(|session| Self::HandshakeSealed {
            server,
            duration,
            session,
        }));
        events.extend(each(HandshakeFailure::ALL, |failure| {
            Self::HandshakeFailed {
                server,
                duration,
                failure,
            }
        }));
        events.extend(each(AcquireOutcome::ALL, |outcome| Self::AcquireEnded {
            outcome,
            duration,
        }));
        events.extend(each(Stage::ALL, |stage| Self::ConnectFailed {
            host: server.host,
            port: server.port,
            address: Some(server.address),
            stage,
            failure: None,
        }));
        events.extend(each(CloseReason::ALL, |reason| Self::ConnectionClosed {
            server,
            reason,
        }));
        events.extend(each(HealthCheckOutcome::ALL, |outcome| {
            Self::HealthChecked { server, outcome }
        }));
        events.extend(each(Outcome::ALL, |outcome| Self::LaneStatementEnded {
            outcome,
        }));
        events.extend(each(ReloadOutcome::ALL, |outcome| Self::TlsReloaded {
            outcome,
            error: (outcome == ReloadOutcome::Failed).then_some(&ERROR),
        }));
        events.extend(each(ReloadOutcome::ALL, |outcome| Self::PoolReconfigured {
            outcome,
            changes: &[],
            error: (outcome == ReloadOutcome::Failed).then_some(&ERROR),
        }));
        events.extend(each(CertificateRole::ALL, |which| {
            Self::CertificateExpiring {
                which,
                subject: "CN=db.example.net",
                not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000),
                days_left: 3,
            }
        }));
        events.extend(each(CredentialOutcome::ALL, |outcome| {
            Self::CredentialRefreshed {
                outcome,
                expires_at: (outcome == CredentialOutcome::Ok)
                    .then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)),
            }
        }));
        events
    }
}

fn each<T: Copy>(
    all: &'static [T],
    event: impl Fn(T) -> Event<'static>,
) -> impl Iterator<Item = Event<'static>> {
    all.iter().copied().map(event)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, mem::discriminant};

    use super::*;

    /// The number is to be raised with each kind of event; `PoolBuilt` needs a pool.
    #[test]
    fn every_kind_of_event_is_among_the_samples() {
        let samples = Event::samples();
        let kinds: HashSet<_> = samples.iter().map(discriminant).collect();
        let is_sampled = |event: &Event<'_>| match event {
            Event::PoolBuilt { .. } => false,
            Event::AcquireEnded { .. }
            | Event::CertificateExpiring { .. }
            | Event::ClientReturned { .. }
            | Event::ConnectFailed { .. }
            | Event::ConnectionClosed { .. }
            | Event::ConnectionOpened { .. }
            | Event::CredentialRefreshed { .. }
            | Event::HandshakeFailed { .. }
            | Event::HandshakeSealed { .. }
            | Event::HandshakeStarted { .. }
            | Event::HealthChecked { .. }
            | Event::LaneConnectionEvicted { .. }
            | Event::LaneStatementEnded { .. }
            | Event::LeakSuspected { .. }
            | Event::PoolReconfigured { .. }
            | Event::TlsReloaded { .. }
            | Event::WeakAuthenticationUsed { .. } => true,
        };
        assert!(samples.iter().all(is_sampled));
        assert_eq!(kinds.len(), 17);
    }
}
