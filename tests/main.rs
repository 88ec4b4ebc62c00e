//! What the pool does on real servers. Each test runs on PostgreSQL 15 and 18, through the tap, and ends with the
//! invariants of `rig`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

// The servers, the tap in front of them, and what must hold after every test.
mod rig;
// What is logged by everybody in this process.
mod log;

// Queries, transactions and the facts of a session.
mod connects;
// What is refused before any byte: by `build()`, with the place and the fix.
mod refused_at_build;
// What is refused on the wire: servers without TLS, impostors, certificates of every wrong kind.
mod refused_on_the_wire;
// Whom a policy trusts: server certificates of every kind against roots, pins, lists and names.
mod certificates;
// Servers made of rustls, for what PostgreSQL cannot be made to do.
mod impostor;
// Our own certificate and its key.
mod identity;
// How TLS begins, which versions, and what the login may ask for.
mod negotiation;
// What the login may be: methods, binding, options, a password from a file.
mod authentication;
// Logins that fail.
mod login;
// Acquiring: many tasks, dropped acquires, lost connections.
mod acquire;
// What an acquire waits for, for how long, and what ends the wait.
mod deadline;
// Shutting down, and what a pool knows of itself when it starts.
mod shutdown;
// How long connections live: minimum, lifetime, idleness, uses, checks, another size; who holds them.
mod life;
// New certificates, lists and passwords while the pool runs.
mod rotation;
// Passwords from a provider.
mod credential;
// Cancel requests: over TLS, and never to the next borrower.
mod cancel;
// What a borrower leaves behind, and what the next one sees.
mod clean;
// Configuration from TOML and from the environment of a real process.
mod sources;
// What each setting does.
mod settings;
// Secrets in what is printed and logged.
mod canary;
// What is generated from the code and committed.
mod docs;
// The connector inside a plain deadpool pool.
mod plain_pool;
