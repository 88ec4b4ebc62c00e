use std::path::PathBuf;

use crate::code::Code;
use crate::dialect::Dialect;
use crate::dsn::Dsn;
use crate::error::DsnError;
use crate::hosts::{Places, unix_socket};
use crate::keys::{Field, Unit};
use crate::located::Located;
use crate::pair::Pair;
use crate::placeholder::{holds_placeholder, is_placeholder};
use crate::refusals::{
    bare, invalid, not_utf8, string_in_a_string, template, unknown_word, unsupported_word, weak,
};
use crate::secret::Secret;
use crate::session::{SslNegotiation, TlsVersion};
use crate::value::{self, Expected};
use crate::verification::{Meaning, Root, Verification};
use crate::votes::Votes;
use crate::warning::{Warning, WarningCode};

/// A `Dsn` while its pairs are read.
pub(crate) struct Draft {
    pub(crate) dsn: Dsn,
    pub(crate) places: Places,
    pub(crate) votes: Votes,
}

impl Draft {
    pub(crate) fn new(dialect: Dialect, warnings: Vec<Warning>) -> Self {
        let dsn = Dsn {
            dialect,
            hosts: Vec::new(),
            database: None,
            user: None,
            password: None,
            verification: Verification::VerifyFull,
            tls_words: Vec::new(),
            root: None,
            client_cert: None,
            client_key: None,
            client_key_password: None,
            client_cert_mode: None,
            crl: None,
            crl_dir: None,
            min_tls: None,
            max_tls: None,
            sni: None,
            ssl_negotiation: None,
            channel_binding: None,
            require_auth: None,
            target_session_attrs: None,
            load_balance_hosts: None,
            connect_timeout: None,
            login_timeout: None,
            tcp_user_timeout: None,
            keepalives: None,
            keepalives_idle: None,
            keepalives_interval: None,
            keepalives_count: None,
            application_name: None,
            fallback_application_name: None,
            options: None,
            search_path: None,
            time_zone: None,
            statement_timeout: None,
            lock_timeout: None,
            idle_in_transaction_timeout: None,
            statement_cache: None,
            pool_max: None,
            pool_min: None,
            acquire_timeout: None,
            idle_timeout: None,
            max_lifetime: None,
            warnings,
        };
        Self {
            dsn,
            places: Places::default(),
            votes: Votes::default(),
        }
    }

    /// Carries one pair into its field.
    pub(crate) fn carry(&mut self, field: Field, pair: &Pair) -> Result<(), DsnError> {
        let Some(text) = pair.value.as_deref() else {
            return Err(bare(pair));
        };
        if is_template(field, text) {
            return Err(template(pair));
        }
        let Self { dsn, places, votes } = self;
        let expected = |wanted: Expected| invalid(pair, wanted);
        match field {
            Field::AcquireTimeout(unit) => {
                dsn.acquire_timeout = at(pair, value::limit(text, unit).map_err(expected)?)
            }
            Field::ApplicationName => dsn.application_name = at(pair, text.to_owned()),
            Field::ChannelBinding => {
                dsn.channel_binding = at(
                    pair,
                    value::channel_binding(text).map_err(|_| unknown_word(pair, CHANNEL))?,
                );
                votes.note(pair, Meaning::Neutral);
            }
            Field::ClientCert => dsn.client_cert = at(pair, path(pair, text)?),
            Field::ClientCertMode => {
                dsn.client_cert_mode = at(
                    pair,
                    value::client_cert_mode(text).map_err(|_| unknown_word(pair, CERT_MODE))?,
                );
            }
            Field::ClientEncoding => {
                if !value::is_utf8(text) {
                    return Err(not_utf8(pair));
                }
            }
            Field::ClientKey => dsn.client_key = at(pair, path(pair, text)?),
            Field::ClientKeyPassword => dsn.client_key_password = secret(pair, text),
            Field::ConnectTimeout(unit) => {
                dsn.connect_timeout = at(pair, value::limit(text, unit).map_err(expected)?)
            }
            Field::Crl => dsn.crl = at(pair, path(pair, text)?),
            Field::CrlDir => dsn.crl_dir = at(pair, path(pair, text)?),
            Field::Database if text.contains("://") => return Err(string_in_a_string(pair)),
            Field::Database => dsn.database = unless_empty(pair, text),
            Field::DirectTls => {
                if value::boolean(text).map_err(|_| unknown_word(pair, "write true or false"))? {
                    dsn.ssl_negotiation =
                        agree(dsn.ssl_negotiation.as_ref(), pair, SslNegotiation::Direct)?;
                    votes.note(pair, Meaning::Tls);
                }
            }
            Field::FallbackApplicationName => {
                dsn.fallback_application_name = at(pair, text.to_owned())
            }
            Field::Host => places.hosts = at(pair, text.to_owned()),
            Field::HostAddr => places.addresses = unless_empty(pair, text),
            Field::IdleInTransactionTimeout(unit) => {
                dsn.idle_in_transaction_timeout =
                    at(pair, value::limit(text, unit).map_err(expected)?);
            }
            Field::IdleTimeout(unit) => {
                dsn.idle_timeout = at(pair, value::limit(text, unit).map_err(expected)?)
            }
            Field::Keepalives => dsn.keepalives = at(pair, value::boolean(text).map_err(expected)?),
            Field::KeepalivesCount => {
                dsn.keepalives_count = at(pair, value::number(text).map_err(expected)?)
            }
            Field::KeepalivesIdle => {
                dsn.keepalives_idle = at(pair, value::seconds(text).map_err(expected)?)
            }
            Field::KeepalivesInterval => {
                dsn.keepalives_interval = at(pair, value::seconds(text).map_err(expected)?)
            }
            Field::LoadBalanceHosts => {
                dsn.load_balance_hosts =
                    at(pair, value::load_balance_hosts(text).map_err(expected)?);
            }
            Field::LockTimeout(unit) => {
                dsn.lock_timeout = at(pair, value::limit(text, unit).map_err(expected)?)
            }
            Field::LoginTimeout(unit) => {
                dsn.login_timeout = at(pair, value::limit(text, unit).map_err(expected)?)
            }
            Field::MaxLifetime(unit) => {
                dsn.max_lifetime = at(pair, value::limit(text, unit).map_err(expected)?)
            }
            Field::MaxTls => {
                dsn.max_tls = at(pair, tls_version(pair, text)?);
                votes.note(pair, Meaning::Neutral);
            }
            Field::MinTls => {
                dsn.min_tls = at(pair, tls_version(pair, text)?);
                votes.note(pair, Meaning::Neutral);
            }
            Field::Options => dsn.options = options(dsn.dialect, pair, text)?,
            Field::Password => dsn.password = secret(pair, text),
            Field::PoolMax => dsn.pool_max = at(pair, value::at_least_one(text).map_err(expected)?),
            Field::PoolMin => dsn.pool_min = at(pair, value::number(text).map_err(expected)?),
            Field::Port => places.ports = unless_empty(pair, text),
            Field::RequireAuth if text.is_empty() => {}
            Field::RequireAuth => {
                dsn.require_auth = at(pair, value::require_auth(text).map_err(expected)?)
            }
            Field::Root => {
                let root = if text.eq_ignore_ascii_case("system") {
                    Root::System
                } else {
                    Root::File(path(pair, text)?)
                };
                if root == Root::System {
                    votes.note(pair, Meaning::VerifyFull);
                }
                dsn.root = at(pair, root);
            }
            Field::SearchPath => dsn.search_path = unless_empty(pair, text),
            Field::Sni => {
                dsn.sni = at(
                    pair,
                    value::boolean(text).map_err(|_| unknown_word(pair, "write 1"))?,
                )
            }
            Field::Socket => return Err(unix_socket(&pair.key, pair.span.clone())),
            Field::SslNegotiation => {
                let word = value::ssl_negotiation(text);
                let word =
                    word.ok_or_else(|| unknown_word(pair, "write `postgres` or `direct`"))?;
                let direct = word == SslNegotiation::Direct;
                votes.note(
                    pair,
                    if direct {
                        Meaning::Tls
                    } else {
                        Meaning::Neutral
                    },
                );
                dsn.ssl_negotiation = agree(dsn.ssl_negotiation.as_ref(), pair, word)?;
            }
            Field::StatementCache => {
                // R2DBC writes -1 for a cache without a limit, which is the default.
                if !(text == "-1" && dsn.dialect == Dialect::R2dbc) {
                    let size = value::number(text).map_err(expected)?;
                    dsn.statement_cache = agree(dsn.statement_cache.as_ref(), pair, size)?;
                }
            }
            Field::StatementCacheOff(off_word) => {
                if statements_are_off(pair, text, off_word)? {
                    dsn.statement_cache = agree(dsn.statement_cache.as_ref(), pair, 0)?;
                }
            }
            Field::StatementTimeout(unit) => {
                dsn.statement_timeout = at(pair, value::limit(text, unit).map_err(expected)?);
                if unit == Unit::Seconds {
                    dsn.warnings.push(Warning {
                        code: WarningCode::Approximated,
                        message: format!(
                            "`{}` is applied as the server's statement_timeout",
                            pair.key
                        ),
                        span: pair.span.clone(),
                    });
                }
            }
            Field::TargetSessionAttrs => {
                if value::prefers_primary(text) {
                    return Err(unsupported_word(pair, "write primary or any"));
                }
                dsn.target_session_attrs =
                    at(pair, value::target_session_attrs(text).map_err(expected)?);
            }
            Field::TcpUserTimeout => {
                dsn.tcp_user_timeout =
                    at(pair, value::limit(text, Unit::Millis).map_err(expected)?);
            }
            Field::TimeZone => dsn.time_zone = unless_empty(pair, text),
            Field::User => dsn.user = unless_empty(pair, text),
        }
        Ok(())
    }
}

const CHANNEL: &str = "write disable, prefer or require";
const CERT_MODE: &str = "write disable, allow or require";

fn at<T>(pair: &Pair, value: T) -> Option<Located<T>> {
    Some(Located {
        value,
        key: pair.key.clone(),
        span: pair.span.clone(),
    })
}

/// For a field that keys of different meaning can fill.
fn agree<T: PartialEq>(
    first: Option<&Located<T>>,
    pair: &Pair,
    value: T,
) -> Result<Option<Located<T>>, DsnError> {
    match first {
        Some(first) if first.value != value => Err(DsnError::new(
            Code::Conflict,
            pair.span.clone(),
            format!("`{}` contradicts `{}`", pair.key, first.key),
            "keep one of them",
        )
        .of_key(&pair.key)),
        _ => Ok(at(pair, value)),
    }
}

fn unless_empty(pair: &Pair, text: &str) -> Option<Located<String>> {
    if text.is_empty() {
        None
    } else {
        at(pair, text.to_owned())
    }
}

fn secret(pair: &Pair, text: &str) -> Option<Located<Secret>> {
    if text.is_empty() {
        None
    } else {
        at(pair, Secret::new(text))
    }
}

fn path(pair: &Pair, text: &str) -> Result<PathBuf, DsnError> {
    if text.trim().is_empty() {
        Err(invalid(pair, "the path of a file"))
    } else {
        Ok(PathBuf::from(text))
    }
}

fn is_template(field: Field, text: &str) -> bool {
    match field {
        Field::Database | Field::Host | Field::User => holds_placeholder(text),
        Field::Options => false,
        _ => is_placeholder(text),
    }
}

fn tls_version(pair: &Pair, text: &str) -> Result<TlsVersion, DsnError> {
    let word = value::normal(text);
    match word.trim_start_matches("tls").trim_start_matches('v') {
        "1.2" | "12" => Ok(TlsVersion::Tls12),
        "1.3" | "13" => Ok(TlsVersion::Tls13),
        "1" | "1.0" | "1.1" | "10" | "11" | "ssl2" | "ssl3" | "sslv2" | "sslv3" => Err(weak(pair)),
        _ => Err(unknown_word(pair, "write TLSv1.2 or TLSv1.3")),
    }
}

/// r2dbc-postgresql writes `name=value;name=value` where everyone else writes `-c name=value`.
fn options(dialect: Dialect, pair: &Pair, text: &str) -> Result<Option<Located<String>>, DsnError> {
    if dialect != Dialect::R2dbc || text.is_empty() || text.trim_start().starts_with('-') {
        return Ok(unless_empty(pair, text));
    }
    let mut list = Vec::new();
    for item in text.split(';').filter(|item| !item.is_empty()) {
        let Some((name, value)) = item.split_once('=') else {
            return Err(invalid(
                pair,
                "a list like lock_timeout=10s;statement_timeout=60s",
            ));
        };
        let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
        list.push(format!("-c {}={value}", name.trim()));
    }
    Ok(at(pair, list.join(" ")))
}

fn statements_are_off(pair: &Pair, text: &str, off_word: bool) -> Result<bool, DsnError> {
    if !off_word {
        return value::boolean(text).map_err(|wanted| invalid(pair, wanted));
    }
    match value::normal(text).as_str() {
        "0" | "false" | "no" | "off" | "unnamed" | "exec" | "simpleprotocol" | "cachedescribe"
        | "describeexec" => Ok(true),
        "true" | "yes" | "on" | "named" | "cachestatement" => Ok(false),
        _ => Err(unsupported_word(
            pair,
            "write 0 or false if a proxy needs unnamed statements, else remove it",
        )),
    }
}
