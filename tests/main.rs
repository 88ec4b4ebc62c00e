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
// What is known of open connections while others have them.
mod connections;
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
// Acquires dropped at every await point, with hooks of every outcome.
mod dropped;
// What the application does with connections at their turning points.
mod hooks;
// What an acquire waits for, for how long, and what ends the wait.
mod deadline;
// Shutting down, and what a pool knows of itself when it starts.
mod shutdown;
// A pool on two runtimes, and on one that ends.
mod runtimes;
// How long connections live: minimum, lifetime, idleness, uses, checks, another size; who holds them.
mod life;
// Packets that get lost, in a network of the test's own.
mod black_hole;
// Connections cut in two, at every place; a byte at a time; old ones that go silent.
mod cut;
// Backends, postmasters and servers that are stopped: they answer nothing and stay connected.
mod frozen;
// Idle connections that are asked in the background.
mod keepalive;
// A pool that lends nothing for the time being.
mod suspension;
// New certificates, lists and passwords while the pool runs.
mod rotation;
// Another configuration while the pool runs.
mod reconfigure;
// Passwords from a provider.
mod credential;
// Servers that go away and come back, are full, or kill connections.
mod outage;
// What became of a call that failed or was given up.
mod outcome;
// Several hosts: roles that change, names that move, standbys that take over.
mod failover;
// Cancel requests: over TLS, and never to the next borrower.
mod cancel;
// What a borrower leaves behind, and what the next one sees.
mod clean;
// Single statements that share connections.
mod lane;
// Notifications: what is heard, and what is told of what is not.
mod listen;
// Thousands of random steps, and what holds after each.
mod model;
// Statements that are kept prepared, and when they are given up.
mod statements;
// A PgBouncer between the pool and the server.
mod pgbouncer;
// Configuration from TOML and from the environment of a real process.
mod sources;
// What each setting does.
mod settings;
// Sizes and times of 0, of the most and of more.
mod extremes;
// What the metrics say of real connections.
mod metrics;
// The status page in a real browser.
mod status_page;
// Secrets in what is printed and logged.
mod canary;
// The spans of acquires and connects.
mod traces;
// What is generated from the code and committed.
mod docs;
// The connector inside a plain deadpool pool.
mod plain_pool;
