//! What a test of TLS and PostgreSQL needs, each in one call: a throw-away server, a PKI, a tap on the wire, a
//! proxy that fails on demand and a server that follows a script.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sealpool_testkit::{Cluster, Tap};
//!
//! let cluster = Cluster::start()?;
//! let tap = Tap::start(cluster.addr())?;
//! tap.forbid(cluster.password());
//! // … connect to tap.port() as cluster.user() and trust cluster.root_file() …
//! cluster.set("idle_session_timeout", "500ms")?;
//! assert_eq!(cluster.sql("show ssl").await?, [[Some("on".to_owned())]]);
//! tap.verify()?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything here blocks on threads of its own and needs no async runtime, so that a paused clock or a
//! single-threaded runtime changes nothing; only what speaks SQL wants tokio ([`Cluster::sql`], [`Cluster::standby`], [`Cluster::promote`]). It runs on Unix.
#![warn(missing_docs)]

mod error;
pub use error::Error;
mod installation;
pub use installation::Installation;

mod pki;
pub use pki::Pki;
mod leaf;
pub use leaf::{Leaf, LeafBuilder};
mod key_type;
pub use key_type::KeyType;
mod revocation;
pub use revocation::{RevocationBuilder, RevocationLists};
mod version_1;
pub use time::OffsetDateTime;

mod cluster;
pub use cluster::{Cluster, ClusterBuilder, PgBouncer, PoolMode, Shutdown};

mod tap;
pub use tap::{Mode, Recording, Summary, Tap, Violation};
mod proxy;
pub use proxy::{Direction, Link, Proxy, Treatment};
mod scripted;
pub use scripted::{Scripted, Step};

mod acceptor;
mod random;
