//! PostgreSQL connection strings of every dialect, read into one value that cannot mean plaintext.
//!
//! ```
//! use sealpool_dsn::{Code, Dsn, Verification};
//!
//! let dsn = Dsn::parse("jdbc:postgresql://db.example.net/shop?user=app&ssl=true").expect("asks for TLS");
//! assert_eq!(dsn.verification, Verification::VerifyFull);
//!
//! let error = Dsn::parse("Host=db.example.net;Username=app;SSL Mode=Prefer").expect_err("permits plaintext");
//! assert_eq!(error.code(), Code::PlaintextFallback);
//! ```
//!
//! [`Dsn::parse`] takes libpq keyword/value strings and URIs, JDBC, R2DBC, Npgsql and other ADO.NET strings, psqlODBC,
//! PDO, and the URIs of node-postgres, SQLAlchemy, Django, Rails, Ecto, Prisma, Vapor, lib/pq and pgx. All words about
//! TLS are votes: none wins because it comes last, and one that permits plaintext or an unverified server is an error.
//! Errors carry positions and key names, never a piece that could be a secret.
//!
//! [`dsn!`] checks a literal while it is compiled.

#![warn(missing_docs)]

mod secret;
pub use secret::Secret;

mod located;
pub use located::Located;

mod host;
pub use host::Host;

mod verification;
pub use verification::{Meaning, Root, TlsWord, Verification};

mod session;
pub use session::{
    AuthMethod, ChannelBinding, ClientCertMode, Limit, LoadBalanceHosts, RequireAuth,
    SslNegotiation, TargetSessionAttrs, TlsVersion,
};

mod dialect;
pub use dialect::Dialect;

mod dsn;
pub use dsn::Dsn;

mod code;
pub use code::Code;

mod error;
pub use error::DsnError;

mod warning;
pub use warning::{Warning, WarningCode};

mod literal;
pub use literal::CheckedDsn;

mod pair;
mod placeholder;

mod wrapping;

mod recognition;

mod grammar;

mod keys;

mod votes;

mod value;

mod hosts;

mod refusals;

mod draft;

mod read;
