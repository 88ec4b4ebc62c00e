use std::fmt;
use std::time::Duration;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word libpq has for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// A way to log in that `require_auth` can name.
    AuthMethod {
        /// GSSAPI.
        Gss = "gss",
        /// An MD5 hash.
        Md5 = "md5",
        /// The server asks for nothing.
        None = "none",
        /// An OAuth bearer token.
        Oauth = "oauth",
        /// A password in cleartext (inside TLS).
        Password = "password",
        /// SCRAM.
        ScramSha256 = "scram-sha-256",
        /// Windows SSPI.
        Sspi = "sspi",
    }
}

words! {
    /// Whether SCRAM is bound to the TLS channel.
    ChannelBinding {
        /// Never.
        Disable = "disable",
        /// If the server offers it.
        Prefer = "prefer",
        /// Or the connection fails.
        Require = "require",
    }
}

words! {
    /// What is done with a client certificate.
    ClientCertMode {
        /// Sent if the server asks.
        Allow = "allow",
        /// Never sent.
        Disable = "disable",
        /// The server has to ask for it.
        Require = "require",
    }
}

words! {
    /// The order in which hosts are tried.
    LoadBalanceHosts {
        /// As written.
        Disable = "disable",
        /// Shuffled.
        Random = "random",
    }
}

words! {
    /// How TLS begins.
    SslNegotiation {
        /// With the first byte, as PostgreSQL 17 and later can.
        Direct = "direct",
        /// After an `SSLRequest`.
        Postgres = "postgres",
    }
}

words! {
    /// The role a server must have.
    TargetSessionAttrs {
        /// Every server will do.
        Any = "any",
        /// A standby if there is one.
        PreferStandby = "prefer-standby",
        /// Not in recovery.
        Primary = "primary",
        /// Refuses writes.
        ReadOnly = "read-only",
        /// Takes writes.
        ReadWrite = "read-write",
        /// In recovery.
        Standby = "standby",
    }
}

words! {
    /// A version of TLS that may be spoken.
    TlsVersion {
        /// TLS 1.2.
        Tls12 = "TLSv1.2",
        /// TLS 1.3.
        Tls13 = "TLSv1.3",
    }
}

/// A limit in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// After this long, never zero.
    After(Duration),
    /// There is none, or the operating system's default holds.
    Unlimited,
}

/// The value of `require_auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequireAuth {
    /// One of these and no other.
    Any(Vec<AuthMethod>),
    /// Each but these (written with `!`).
    Not(Vec<AuthMethod>),
}
