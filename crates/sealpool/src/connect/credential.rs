use std::{
    collections::HashMap,
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use sealpool_dsn::Secret;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::Connector;
use crate::{
    error::CredentialError,
    event::{CredentialOutcome, Event},
};

/// A password, or a token in its place, from a provider; it prints as `_`.
#[derive(Clone, Debug)]
pub struct Password {
    secret: Secret,
    expires_at: Option<SystemTime>,
}

impl Password {
    /// A password that is used once: the next connection asks the provider again.
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            secret: Secret::new(secret),
            expires_at: None,
        }
    }

    /// Lets it be used until then. The provider is asked for the next one ahead of time: for the last fifth, and at most
    /// the last five minutes.
    #[must_use]
    pub const fn expires_at(mut self, time: SystemTime) -> Self {
        self.expires_at = Some(time);
        self
    }
}

/// For whom a password is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PasswordRequest {
    /// The server's name as configured.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// The role to log in as.
    pub user: Arc<str>,
}

type Provided = Result<Password, Box<dyn StdError + Send + Sync>>;
type Answer = Result<Secret, CredentialError>;
type Flight = watch::Receiver<Option<Answer>>;
type Provide =
    dyn Fn(PasswordRequest) -> Pin<Box<dyn Future<Output = Provided> + Send>> + Send + Sync;

/// After a failure the provider is left alone for so long, as long as there is a password to go on with.
const REST: Duration = Duration::from_secs(5);
const EARLIEST: Duration = Duration::from_secs(5 * 60);
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The password provider, with what it gave and what it is being asked for.
pub(crate) struct Credentials {
    provide: Box<Provide>,
    entries: Mutex<HashMap<PasswordRequest, Entry>>,
}

#[derive(Default)]
struct Entry {
    held: Option<Held>,
    flight: Option<Flight>,
}

struct Held {
    secret: Secret,
    refresh_at: Instant,
    expires_at: Instant,
}

impl Credentials {
    pub(crate) fn new<F, R>(provider: F) -> Self
    where
        F: Fn(PasswordRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Provided> + Send + 'static,
    {
        Self {
            provide: Box::new(move |request| Box::pin(provider(request))),
            entries: Mutex::default(),
        }
    }

    /// The password held, or the provider's answer. Everybody who asks meanwhile waits for the same one.
    pub(super) async fn password(
        self: &Arc<Self>,
        request: PasswordRequest,
        limit: Duration,
        connector: &Connector,
    ) -> Answer {
        let mut flight = {
            let mut entries = self.lock();
            let Entry { held, flight } = entries.entry(request.clone()).or_default();
            let under_way = flight.clone().filter(|flight| flight.has_changed().is_ok());
            let launch = || self.launch(request, limit, connector.clone());
            let now = Instant::now();
            match held {
                Some(held) if now < held.expires_at => {
                    if now >= held.refresh_at && under_way.is_none() {
                        *flight = Some(launch());
                    }
                    return Ok(held.secret.clone());
                }
                _ => flight.insert(under_way.unwrap_or_else(launch)).clone(),
            }
        };
        flight
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|answer| answer.clone())
            .unwrap_or(Err(CredentialError::Gone))
    }

    /// Forgets a password that a server refused; whether asking again may give another, which it does not for one that was
    /// asked for a moment ago.
    pub(super) fn forget(&self, request: &PasswordRequest, refused: Option<&Secret>) -> bool {
        let mut entries = self.lock();
        let Some(Entry { held, flight }) = entries.get_mut(request) else {
            return false;
        };
        let renewable = held.is_some() || flight.is_some();
        *held = held.take().filter(|held| Some(&held.secret) != refused);
        renewable
    }

    /// In a task of its own: a caller who goes away must not take the answer from the others.
    fn launch(
        self: &Arc<Self>,
        request: PasswordRequest,
        limit: Duration,
        connector: Connector,
    ) -> Flight {
        let (landed, flight) = watch::channel(None);
        let credentials = Arc::clone(self);
        tokio::spawn(async move {
            let asked = async { (credentials.provide)(request.clone()).await };
            let provided = match timeout(limit, asked).await {
                Ok(provided) => provided.map_err(|error| CredentialError::Failed(error.into())),
                Err(_) => Err(CredentialError::Late(limit)),
            };
            let (outcome, expires_at) = match &provided {
                Ok(password) => (CredentialOutcome::Ok, password.expires_at),
                Err(error) => {
                    tracing::warn!(%error, "no password from the provider");
                    (CredentialOutcome::Failed, None)
                }
            };
            connector.observer().on_event(&Event::CredentialRefreshed {
                outcome,
                expires_at,
            });
            credentials.keep(request, &provided);
            landed.send_replace(Some(provided.map(|password| password.secret)));
        });
        flight
    }

    fn keep(&self, request: PasswordRequest, provided: &Result<Password, CredentialError>) {
        let now = Instant::now();
        let mut entries = self.lock();
        let Entry { held, flight } = entries.entry(request).or_default();
        *flight = None;
        match provided {
            Ok(Password { secret, expires_at }) => {
                *held = expires_at
                    .and_then(|end| end.duration_since(SystemTime::now()).ok())
                    .map(|life| life.min(LONGEST_LIFE))
                    .map(|life| Held {
                        secret: secret.clone(),
                        refresh_at: now + life - (life / 5).min(EARLIEST),
                        expires_at: now + life,
                    });
            }
            Err(_) => {
                if let Some(held) = held {
                    held.refresh_at = now + REST;
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PasswordRequest, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::config::Config;

    const LIMIT: Duration = Duration::from_secs(10);

    fn request() -> PasswordRequest {
        PasswordRequest {
            host: "db.example.net".into(),
            port: 5432,
            user: "app".into(),
        }
    }

    #[tokio::test]
    async fn the_next_password_is_asked_for_ahead_of_time_and_nobody_waits_for_it() {
        let (calls, answers) = (Arc::new(AtomicUsize::new(0)), watch::channel(1).0);
        let credentials = Arc::new(Credentials::new({
            let (calls, answers) = (Arc::clone(&calls), answers.clone());
            move |_| {
                let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
                let mut answers = answers.subscribe();
                async move {
                    answers.wait_for(|answered| *answered >= call).await?;
                    let expiry = SystemTime::now() + Duration::from_secs(60);
                    Ok(Password::new(format!("token {call}")).expires_at(expiry))
                }
            }
        }));
        let connector = Connector::new(Config::new().host("db.example.net").user("app")).unwrap();
        let password = async || {
            let answer = credentials.password(request(), LIMIT, &connector).await;
            answer.unwrap().expose().to_owned()
        };

        assert_eq!(password().await, "token 1");
        let entered_last_fifth = |entry: &mut Entry| {
            entry.held.as_mut().unwrap().refresh_at = Instant::now();
        };
        credentials.lock().values_mut().for_each(entered_last_fifth);
        assert_eq!(password().await, "token 1");
        assert_eq!(password().await, "token 1");
        answers.send_replace(2);
        while password().await == "token 1" {
            tokio::task::yield_now().await;
        }
        assert_eq!(password().await, "token 2");
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_provider_that_panics_does_not_block_the_next_call() {
        let calls = AtomicUsize::new(0);
        let credentials = Arc::new(Credentials::new(move |_| {
            let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                assert!(!first, "the panic that this test is about");
                Ok(Password::new("token"))
            }
        }));
        let connector = Connector::new(Config::new().host("db.example.net").user("app")).unwrap();
        let first = credentials.password(request(), LIMIT, &connector).await;
        assert!(matches!(first, Err(CredentialError::Gone)));
        let second = credentials.password(request(), LIMIT, &connector).await;
        assert_eq!(second.unwrap().expose(), "token");
    }
}
