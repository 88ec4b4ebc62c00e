use std::{
    future::{self, Ready, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{
    AsyncMessage, Client, Connection,
    config::{ChannelBinding, SslMode, SslNegotiation},
    error::SqlState,
    tls::TlsConnect,
};

use super::{
    Condition, Losses,
    login::Step,
    refusal::Refusal,
    sense::{Sense, Sensed},
};
use crate::{
    error::{Stage, refuses_parameter},
    policy::{Binding, IdentityAsked, Login},
};

/// A connection that may take this long to say goodbye once nobody uses it any more.
const GOODBYE: Duration = Duration::from_secs(2);

pub(super) struct Failed {
    pub(super) stage: Stage,
    pub(super) problem: String,
    pub(super) source: Option<tokio_postgres::Error>,
}

/// Logs in over a sealed stream.
pub(super) async fn log_in(
    stream: Sensed,
    sense: &Sense,
    login: &Login,
    binding: Binding,
    limit: Duration,
) -> Result<(Client, Connection<Sensed, Sensed>), Failed> {
    let config = wire_config(login, binding);
    match timeout(limit, config.connect_raw(stream, Sealed)).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error)) => Err(explain(error, sense.step(), binding)),
        Err(_) => Err(Failed {
            stage: Stage::Startup,
            problem: format!(
                "the login did not end within {limit:?}; check the server's load, or raise connect.startup_timeout"
            ),
            source: None,
        }),
    }
}

/// What tokio-postgres is told. `Require` and `Direct` keep it from negotiating anything itself: the stream it is given
/// is sealed already.
fn wire_config(login: &Login, binding: Binding) -> tokio_postgres::Config {
    let Login {
        user,
        password,
        database,
        application_name,
        options,
        methods: _,
        token: _,
    } = login;
    let mut config = tokio_postgres::Config::new();
    config
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .channel_binding(match binding {
            Binding::Disable => ChannelBinding::Disable,
            Binding::Prefer => ChannelBinding::Prefer,
            Binding::Require => ChannelBinding::Require,
        })
        .user(user);
    if let Some(password) = password {
        config.password(password.expose());
    }
    if let Some(database) = database {
        config.dbname(database);
    }
    if let Some(application_name) = application_name {
        config.application_name(application_name);
    }
    if let Some(options) = options {
        config.options(options);
    }
    config
}

fn explain(error: tokio_postgres::Error, step: Step, binding: Binding) -> Failed {
    if let Some(refusal) = refusal(&error) {
        return Failed {
            stage: Stage::Auth,
            problem: refusal.problem(),
            source: Some(error),
        };
    }
    let stage = match error.code() {
        Some(code) if is_login(code) => Stage::Auth,
        Some(_) => Stage::Startup,
        // The stream broke, which says nothing of the login.
        None if io_error(&error).is_some() || error.is_closed() => Stage::Startup,
        None if step < Step::Authenticated => Stage::Auth,
        None => Stage::Startup,
    };
    let problem = match (stage, error.code()) {
        (Stage::Startup, Some(_)) if refuses_parameter(&error) => {
            "the server does not take one of the settings of the session; correct options and session.*, or, if it is a \
             PgBouncer, remove them and give them to the role (alter role .. set ..)"
        }
        (_, Some(code)) if *code == SqlState::INVALID_PASSWORD => {
            "the server refused the password; correct user or password"
        }
        (_, Some(code)) if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "the server refused the role; check the role and the server's pg_hba.conf"
        }
        (_, Some(code)) if *code == SqlState::INVALID_CATALOG_NAME => {
            "the database does not exist; correct database"
        }
        (_, Some(code)) if *code == SqlState::TOO_MANY_CONNECTIONS => {
            "the server has no connection left; lower pool.max_size or raise max_connections"
        }
        (_, Some(code)) if *code == SqlState::CANNOT_CONNECT_NOW => {
            "the server is starting, stopping or recovering; wait for it"
        }
        (_, Some(_)) => "the server refused the connection; see its message",
        (Stage::Auth, None) if binding == Binding::Require && step == Step::Sasl => {
            "tls.channel_binding = require, and the server offers none; nothing was sent: look for a proxy between \
             that ends TLS, or write prefer"
        }
        (Stage::Auth, None) => "the login failed on our side; see the cause",
        (_, None) => "the connection broke off during the login; look into the server's log",
    };
    Failed {
        stage,
        problem: problem.to_owned(),
        source: Some(error),
    }
}

fn is_login(code: &SqlState) -> bool {
    code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME
}

/// The error of the stream inside an error of the login.
pub(super) fn io_error(error: &tokio_postgres::Error) -> Option<&io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn refusal(error: &tokio_postgres::Error) -> Option<&Refusal> {
    io_error(error)?.get_ref()?.downcast_ref()
}

/// Whether the login was refused for want of a client certificate. PostgreSQL lets such a handshake pass and refuses the
/// role afterwards, in words of its own language; other refusals of that kind name pg_hba.conf, or the role in quotes.
pub(super) fn wants_identity(
    error: &tokio_postgres::Error,
    step: Step,
    asked: IdentityAsked,
) -> bool {
    const QUOTES: [char; 7] = ['"', '«', '»', '„', '“', '”', '「'];
    let Some(error) = error.as_db_error() else {
        return false;
    };
    asked == IdentityAsked::NoneGiven
        && step == Step::Asked
        && *error.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        && !error.message().contains("pg_hba.conf")
        && !error.message().contains(QUOTES)
}

/// Hands the sealed stream through.
struct Sealed;

impl TlsConnect<Sensed> for Sealed {
    type Stream = Sensed;
    type Error = io::Error;
    type Future = Ready<io::Result<Sensed>>;

    fn connect(self, stream: Sensed) -> Self::Future {
        future::ready(Ok(stream))
    }
}

/// A connection under way.
pub(super) struct Driven {
    pub(super) driver: JoinHandle<()>,
    pub(super) task: JoinHandle<()>,
    pub(super) owner: oneshot::Sender<Parting>,
}

/// How a connection ends before its owner has let go of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// At once: what is under way fails.
    Cut,
}

/// What the end of a connection says of the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing: we have said goodbye, or it has rested for longer than the server allows.
    Alone,
    /// They may be lost too.
    Lost,
}

impl End {
    fn of(error: &tokio_postgres::Error) -> Self {
        let alone = [
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::IDLE_SESSION_TIMEOUT,
        ];
        match error.code() {
            Some(code) if alone.contains(code) => Self::Alone,
            _ => Self::Lost,
        }
    }
}

/// Drives a connection until it ends, or until its owner has gone and the goodbye (Terminate, then TLS's close_notify)
/// has been said or has taken too long. If it ends before its owner has gone, it was lost.
pub(super) fn drive(
    mut connection: Connection<Sensed, Sensed>,
    server: Arc<str>,
    condition: Arc<Condition>,
    losses: Arc<Losses>,
) -> Driven {
    let (owner, mut gone) = oneshot::channel();
    let waker = condition.waker();
    let driver = async move {
        let mut messages = pin!(poll_fn(move |cx| {
            condition.poll(cx, &waker, |cx| {
                loop {
                    if let Some(mailbox) = condition.mailbox() {
                        ready!(mailbox.poll_room(cx));
                    }
                    match connection.poll_message(cx) {
                        Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                            tracing::debug!(
                                parent: None,
                                server = &*server,
                                code = notice.code().code(),
                                "{}",
                                notice.message()
                            );
                        }
                        Poll::Ready(Some(Ok(AsyncMessage::Notification(notification)))) => {
                            if let Some(mailbox) = condition.mailbox() {
                                mailbox.put(notification);
                            }
                        }
                        Poll::Ready(Some(Ok(_))) => {}
                        Poll::Ready(Some(Err(error))) => {
                            let cause = io_error(&error).map(tracing::field::display);
                            tracing::debug!(parent: None, server = &*server, cause, %error, "connection lost");
                            return Poll::Ready(End::of(&error));
                        }
                        Poll::Ready(None) => return Poll::Ready(End::Alone),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            })
        }));
        let mut is_listening = false;
        let ended = poll_fn(|cx| {
            // Once it knows whom to wake, a look is enough, which costs less than to poll it. It is polled before the
            // connection may have used up the task's budget, without which it would not take note.
            if !is_listening {
                is_listening = true;
                if let Poll::Ready(parting) = Pin::new(&mut gone).poll(cx) {
                    return Poll::Ready(Err(parting.ok()));
                }
            }
            if let Poll::Ready(end) = messages.as_mut().poll(cx) {
                return Poll::Ready(Ok(end));
            }
            match gone.try_recv() {
                Err(TryRecvError::Empty) => Poll::Pending,
                parting => Poll::Ready(Err(parting.ok())),
            }
        });
        match ended.await {
            Ok(End::Lost) if gone.try_recv() == Err(TryRecvError::Empty) => losses.add(),
            Ok(_) | Err(Some(Parting::Cut)) => {}
            Err(None) => {
                let _ = timeout(GOODBYE, messages).await;
            }
        }
    };
    Driven {
        driver: tokio::spawn(driver),
        // deadpool's wrapper aborts the task it is given: this one has nothing to lose.
        task: tokio::spawn(async {}),
        owner,
    }
}
