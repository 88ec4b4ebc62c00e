use crate::dialect::Dialect;

/// Keys that mean one thing, and the dialects in which they do.
pub(crate) struct Row {
    pub(crate) names: &'static [&'static str],
    /// Empty for all.
    pub(crate) dialects: &'static [Dialect],
    /// Whether a string that begins with it may be of Npgsql or ODBC.
    pub(crate) ado: bool,
    pub(crate) role: Role,
}

impl Row {
    /// The first of its names, which stands for all.
    pub(crate) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

pub(crate) enum Role {
    /// It is carried in a field of `Dsn`.
    Field(Field),
    /// It changes nothing here; `why` ends a sentence that begins with "is ignored: ".
    Ignored { accepts: Accepts, why: &'static str },
    /// It cannot be honoured; `why` is a sentence's end, `fix` the advice.
    Refused {
        why: &'static str,
        fix: &'static str,
        secret: bool,
    },
    /// It is a word about TLS.
    Vote(Vote),
}

/// The values with which a key changes nothing.
pub(crate) enum Accepts {
    Any,
    /// One of these, and silently: it is what happens anyway.
    Default(&'static [&'static str]),
    /// One of these.
    Words(&'static [&'static str]),
}

/// How a key about TLS is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Prisma's `sslaccept`.
    Accept,
    /// A class that Java loads to verify.
    Factory,
    /// GSSAPI encryption.
    Gss,
    /// node-postgres' `uselibpqcompat`.
    LibpqCompat,
    /// `sslmode` and all that is like it.
    Mode,
    /// Whether bad certificates are taken.
    Trust,
    /// Whether certificates are checked.
    Verify,
}

/// A field of `Dsn`, with the unit of the key where units differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    AcquireTimeout(Unit),
    ApplicationName,
    ChannelBinding,
    ClientCert,
    ClientCertMode,
    ClientEncoding,
    ClientKey,
    ClientKeyPassword,
    ConnectTimeout(Unit),
    Crl,
    CrlDir,
    Database,
    DirectTls,
    FallbackApplicationName,
    Host,
    HostAddr,
    IdleInTransactionTimeout(Unit),
    IdleTimeout(Unit),
    Keepalives,
    KeepalivesCount,
    KeepalivesIdle,
    KeepalivesInterval,
    LoadBalanceHosts,
    LockTimeout(Unit),
    LoginTimeout(Unit),
    MaxLifetime(Unit),
    MaxTls,
    MinTls,
    Options,
    Password,
    PoolMax,
    PoolMin,
    Port,
    RequireAuth,
    Root,
    SearchPath,
    Sni,
    Socket,
    SslNegotiation,
    StatementCache,
    /// A word instead of a size: true where named statements are off.
    StatementCacheOff(bool),
    StatementTimeout(Unit),
    TargetSessionAttrs,
    TcpUserTimeout,
    TimeZone,
    User,
}

/// What the number of a key counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// `1h30m`, as Go prints it.
    Go,
    /// `PT1M30S`, ISO 8601.
    Iso,
    Millis,
    /// A setting of the server: milliseconds, or a number with a unit.
    Server,
    Seconds,
}

pub(super) const fn field(names: &'static [&'static str], field: Field) -> Row {
    Row {
        names,
        dialects: &[],
        ado: false,
        role: Role::Field(field),
    }
}

pub(super) const fn ado_field(names: &'static [&'static str], field: Field) -> Row {
    Row {
        names,
        dialects: &[],
        ado: true,
        role: Role::Field(field),
    }
}

pub(super) const fn field_in(
    dialects: &'static [Dialect],
    names: &'static [&'static str],
    field: Field,
) -> Row {
    Row {
        names,
        dialects,
        ado: false,
        role: Role::Field(field),
    }
}

pub(super) const fn vote(names: &'static [&'static str], vote: Vote) -> Row {
    Row {
        names,
        dialects: &[],
        ado: true,
        role: Role::Vote(vote),
    }
}

pub(super) const fn refused(
    names: &'static [&'static str],
    why: &'static str,
    fix: &'static str,
) -> Row {
    Row {
        names,
        dialects: &[],
        ado: false,
        role: Role::Refused {
            why,
            fix,
            secret: false,
        },
    }
}

pub(super) const fn refused_secret(
    names: &'static [&'static str],
    why: &'static str,
    fix: &'static str,
) -> Row {
    Row {
        names,
        dialects: &[],
        ado: false,
        role: Role::Refused {
            why,
            fix,
            secret: true,
        },
    }
}

pub(super) const fn ignored(
    names: &'static [&'static str],
    accepts: Accepts,
    why: &'static str,
) -> Row {
    Row {
        names,
        dialects: &[],
        ado: false,
        role: Role::Ignored { accepts, why },
    }
}
