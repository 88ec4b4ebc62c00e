use std::io;
use std::path::PathBuf;

/// Why something of the kit did not work. Every text says what failed, where, and what helps if that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No fitting server is installed.
    #[error(
        "no {wanted} server was found on this machine: run scripts/install-postgresql, or install one with the system's \
         package manager (Debian: apt-get install postgresql), or name its bin folder in SEALPOOL_PG_BIN"
    )]
    #[non_exhaustive]
    NoInstallation {
        /// What was looked for, as in `PostgreSQL 18`.
        wanted: String,
    },

    /// A file or folder could not be read, written or handed to the server's user.
    #[error("could not {action} {}", path.display())]
    #[non_exhaustive]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// A program could not be run at all.
    #[error("could not run {} as {user}: is it executable and is every folder above it open to that user?", program.display())]
    #[non_exhaustive]
    Program {
        /// The program.
        program: PathBuf,
        /// Whom it was to run as.
        user: String,
        /// What the operating system said.
        source: io::Error,
    },

    /// No PgBouncer is installed.
    #[error(
        "no pgbouncer was found on this machine: install it with the system's package manager (Debian: apt-get install \
         pgbouncer)"
    )]
    NoPgBouncer,

    /// A PgBouncer did not start.
    #[error("PgBouncer {version} on port {port} did not start; its log ends with:\n{log}")]
    #[non_exhaustive]
    PgBouncer {
        /// Version of PgBouncer.
        version: String,
        /// Its port.
        port: u16,
        /// What it logged.
        log: String,
    },

    /// The server did not do what it was told to.
    #[error("PostgreSQL {version} on port {port} {what}; its log ends with:\n{log}")]
    #[non_exhaustive]
    Server {
        /// Version of the server.
        version: String,
        /// Its port.
        port: u16,
        /// What went wrong.
        what: String,
        /// The part of its log that tells why.
        log: String,
    },

    /// A statement given to [`Cluster::sql`](crate::Cluster::sql) failed, or the connection for it did.
    #[error("PostgreSQL {version} on port {port}: {action} failed")]
    #[non_exhaustive]
    Sql {
        /// Version of the server.
        version: String,
        /// Its port.
        port: u16,
        /// `connecting as postgres over TLS`, or the statement.
        action: String,
        /// What the client library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
