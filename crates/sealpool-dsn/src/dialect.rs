use std::fmt;

/// A family of connection strings that share a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `Host=…;Username=…`, as Npgsql and ADO.NET have it.
    Ado,
    /// `jdbc:postgresql://…`
    Jdbc,
    /// `host=… user=…`, as libpq has it.
    KeyValue,
    /// `Driver={PostgreSQL};Server=…`, as psqlODBC has it.
    Odbc,
    /// `pgsql:host=…;user=…`, as PHP's PDO has it.
    Pdo,
    /// `r2dbc:postgresql://…` or `r2dbcs:…`
    R2dbc,
    /// `postgresql://…`: libpq, node-postgres, Prisma, SQLAlchemy, Django, Rails, Ecto, Vapor, lib/pq, pgx …
    Uri,
}

impl Dialect {
    /// Every dialect, in alphabetical order.
    pub const ALL: [Self; 7] = [
        Self::Ado,
        Self::Jdbc,
        Self::KeyValue,
        Self::Odbc,
        Self::Pdo,
        Self::R2dbc,
        Self::Uri,
    ];

    pub(crate) const fn is_uri(self) -> bool {
        matches!(self, Self::Jdbc | Self::R2dbc | Self::Uri)
    }

    pub(crate) const fn is_semicolon_list(self) -> bool {
        matches!(self, Self::Ado | Self::Odbc)
    }

    pub(crate) const fn spelling_of_verify_full(self) -> &'static str {
        match self {
            Self::Ado => "SSL Mode=VerifyFull",
            Self::R2dbc => "sslMode=verify-full",
            Self::Odbc => "SSLmode=verify-full",
            Self::Jdbc | Self::KeyValue | Self::Pdo | Self::Uri => "sslmode=verify-full",
        }
    }

    pub(crate) const fn spelling_of_root(self) -> &'static str {
        match self {
            Self::Ado => "Root Certificate=/path/to/ca.pem",
            Self::R2dbc => "sslRootCert=/path/to/ca.pem",
            Self::Jdbc | Self::KeyValue | Self::Odbc | Self::Pdo | Self::Uri => {
                "sslrootcert=/path/to/ca.pem"
            }
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ado => "Npgsql/ADO.NET",
            Self::Jdbc => "JDBC",
            Self::KeyValue => "libpq keyword/value",
            Self::Odbc => "psqlODBC",
            Self::Pdo => "PDO",
            Self::R2dbc => "R2DBC",
            Self::Uri => "URI",
        })
    }
}
