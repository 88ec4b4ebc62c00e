use std::{net::SocketAddr, time::Duration};

use super::{Certificate, TlsSession};
use crate::{closed_set::closed_set, failure::HandshakeFailure};

closed_set! {
    /// How a finding is to be taken.
    pub enum Level {
        /// It would keep the pool from working.
        Failed = "failed",
        /// As it should be.
        Good = "good",
        /// It works, and deserves a look.
        Warning = "warning",
    }
}

closed_set! {
    /// What a finding is about. Those on the way to a connection have the words of [`Stage`](crate::Stage).
    pub enum Check {
        /// The login.
        Auth = "auth",
        /// The clocks of the two machines.
        Clock = "clock",
        /// Direct negotiation of TLS.
        Direct = "direct",
        /// The files of certificates and keys.
        Files = "files",
        /// Whether the server takes connections without TLS.
        Plaintext = "plaintext",
        /// Name resolution.
        Resolve = "resolve",
        /// The server itself.
        Server = "server",
        /// The session, and the role that the server has.
        Startup = "startup",
        /// The TCP connection.
        Tcp = "tcp",
        /// TLS and certificates.
        Tls = "tls",
    }
}

/// Whether a diagnosis may ask a server for a session without TLS: with invented names, and without sending anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaintextProbe {
    /// It asks.
    Ask,
    /// Nothing leaves without TLS.
    Skip,
}

/// What [`Pool::diagnose`](crate::Pool::diagnose) found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Diagnosis {
    /// What was found in the files of our own.
    pub files: Vec<Finding>,
    /// What was found at each address of each host, in the order in which they are configured.
    pub addresses: Vec<AddressDiagnosis>,
}

/// What was found at one address.
#[derive(Debug)]
#[non_exhaustive]
pub struct AddressDiagnosis {
    /// The host as configured.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The address; `None` when the name does not resolve.
    pub address: Option<SocketAddr>,
    /// The findings, in the order in which they were made.
    pub findings: Vec<Finding>,
    /// The certificates that the server presented, its own first, whether they were accepted or not.
    pub chain: Vec<Certificate>,
    /// The trusted root that they end at; `None` when they were not accepted, or a pin stands alone.
    pub root: Option<String>,
    /// The facts of the TLS session, when there was one.
    pub session: Option<TlsSession>,
    /// What the server said of itself, when the login succeeded.
    pub server: Option<ServerFacts>,
    /// Whether the server takes connections without TLS; `None` when that is not known.
    pub accepts_plaintext: Option<bool>,
}

/// What a server says of itself.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerFacts {
    /// Its version, such as `18.4`.
    pub version: String,
    /// The version of TLS in OpenSSL's words; `None` when the server sees none.
    pub tls_version: Option<String>,
    /// The cipher suite in OpenSSL's words.
    pub cipher: Option<String>,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// Whether transactions may not write.
    pub read_only: bool,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// How it is to be taken.
    pub level: Level,
    /// What it is about.
    pub check: Check,
    /// What was found.
    pub message: String,
    /// What mends it.
    pub fix: Option<String>,
    /// The reason of a failed handshake, as the metrics have it.
    pub failure: Option<HandshakeFailure>,
    /// How long it took.
    pub duration: Option<Duration>,
}

impl Finding {
    pub(super) fn good(check: Check, message: impl Into<String>) -> Self {
        Self {
            level: Level::Good,
            check,
            message: message.into(),
            fix: None,
            failure: None,
            duration: None,
        }
    }

    pub(super) fn warning(
        check: Check,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            fix: Some(fix.into()),
            ..Self::good(check, message)
        }
    }

    pub(super) fn failed(check: Check, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Failed,
            ..Self::warning(check, message, fix)
        }
    }

    pub(super) fn after(self, duration: Duration) -> Self {
        Self {
            duration: Some(duration),
            ..self
        }
    }
}

impl Diagnosis {
    /// Every finding, those of the files first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        let addresses = self.addresses.iter().flat_map(|address| &address.findings);
        self.files.iter().chain(addresses)
    }

    /// The first thing that failed.
    #[must_use]
    pub fn failure(&self) -> Option<&Finding> {
        self.findings()
            .find(|finding| finding.level == Level::Failed)
    }
}
