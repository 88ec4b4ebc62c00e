//! One binary; each module is a brick of the kit, put to the test against something that is not of the kit.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

/// A client of its own, which trusts a root file as any user would.
mod client;
/// Starting, stopping, who may log in.
mod cluster;
/// Every change to a running server.
mod levers;
/// Nothing is left behind, whatever ends the process.
mod orphan;
/// What OpenSSL and x509-parser make of the certificates.
mod pki;
/// A proxy that fails on demand.
mod proxy;
/// Revocation lists and leaves of odd kinds, as OpenSSL sees them.
mod revocation;
/// A server that follows a script.
mod scripted;
/// Standbys: made, promoted, and following the one that was promoted.
mod standby;
/// The wire tap, on good and on bad clients.
mod tap;
/// Waiting for a condition.
mod wait;
