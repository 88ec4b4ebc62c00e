use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use sealpool::{
    AcquireOutcome, CertificateInUse, CertificateRole, CloseReason, ConnectionInfo,
    CredentialOutcome, HealthCheckOutcome, Holder, PoolState, ReloadOutcome, Stage, Status,
    WeakPool,
};
use serde_json::{Map, Value, json};

use super::recent::{Durations, Lasts, Recent};
use crate::{
    series::Series,
    totals::{ClosedSet, Totals, unix_time},
};

/// What the page shows. Times are Unix time, durations seconds.
pub(super) fn of(pools: &[Arc<Series>]) -> Value {
    let now = unix_time(SystemTime::now());
    let pools: Vec<_> = pools.iter().map(|series| pool(series, now)).collect();
    json!({
        "time": now,
        "version": env!("CARGO_PKG_VERSION"),
        "crypto_provider": sealpool::CRYPTO_PROVIDER,
        "pools": pools,
    })
}

fn pool(series: &Series, now: f64) -> Value {
    let pool = series.pool();
    let pool = pool.as_ref();
    let status = pool.and_then(WeakPool::status);
    let connections = pool.and_then(WeakPool::connections).unwrap_or_default();
    let certificates = pool.and_then(WeakPool::certificates).unwrap_or_default();
    let holders = pool.and_then(WeakPool::holders).unwrap_or_default();
    let state = match status {
        Some(status) => status.state,
        None if series.totals.open() > 0 => PoolState::Closing,
        None => PoolState::Closed,
    };
    json!({
        "name": series.name.as_ref(),
        "state": state.as_str(),
        "levels": status.map(levels),
        "acquires": acquires(&series.totals, &series.recent),
        "connections": connections.iter().map(connection).collect::<Vec<_>>(),
        "certificates": shown(&certificates, now),
        "failures": failures(&series.totals, &series.recent),
        "holders": holders.iter().map(holder).collect::<Vec<_>>(),
    })
}

fn levels(status: Status) -> Value {
    json!({
        "max_size": status.max_size,
        "min_idle": status.min_idle,
        "used": status.used,
        "idle": status.idle,
        "opening": status.opening,
        "waiting": status.waiting,
        "oldest_waiter": status.oldest_waiter.map(seconds),
        "stale": status.stale,
        "leaks_suspected": status.leaks_suspected,
        "backoff": status.backoff.map(seconds),
    })
}

fn acquires(totals: &Totals, recent: &Recent) -> Value {
    let outcomes = totals.acquires().into_iter();
    let outcomes: Map<_, _> = outcomes
        .map(|(outcome, count)| (outcome.as_str().to_owned(), count.into()))
        .collect();
    let per_second = recent.acquired.seconds();
    let minute = Durations::total(per_second.iter().copied());
    json!({
        "outcomes": outcomes,
        "minute": durations(minute),
        "seconds": per_second.into_iter().map(durations).collect::<Vec<_>>(),
    })
}

fn durations(durations: Durations) -> Value {
    let Durations { count, sum: _, max } = durations;
    json!({ "count": count, "mean": durations.mean().map(seconds), "max": seconds(max) })
}

fn connection(connection: &ConnectionInfo) -> Value {
    let tls = &connection.tls;
    json!({
        "server": format!("{}:{}", connection.host, connection.port),
        "address": connection.address.ip().to_string(),
        "age": seconds(connection.age),
        "uses": connection.uses,
        "held": connection.held.map(seconds),
        "tls_version": tls.protocol_version().as_str(),
        "group": tls.key_exchange_group().as_str(),
        "channel_binding": tls.channel_binding().as_str(),
        "certificate_end": unix_time(tls.certificate().not_after()),
    })
}

/// Those of servers and our own one by one; of the roots, which may be a bundle of hundreds, the first to end.
fn shown(certificates: &[CertificateInUse], now: f64) -> Vec<Value> {
    let end = |used: &CertificateInUse| unix_time(used.certificate.not_after());
    let (roots, others): (Vec<_>, Vec<_>) = certificates
        .iter()
        .partition(|used| used.role == CertificateRole::Root);
    let mut shown: Vec<_> = others
        .into_iter()
        .map(|used| certificate(used, 1, end(used)))
        .collect();
    // One that has ended counts when there is no other.
    let first = roots.iter().copied().min_by(|one, other| {
        let key = |used| (end(used) < now, end(used));
        key(one)
            .partial_cmp(&key(other))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    shown.extend(first.map(|used| certificate(used, roots.len(), end(used))));
    shown
}

/// The subject of a client's certificate is the name of a user.
fn certificate(used: &CertificateInUse, of: usize, end: f64) -> Value {
    let role = used.role;
    let subject = (role != CertificateRole::Client).then(|| used.certificate.subject());
    let server = used.server.as_ref();
    let server = server.map(|(host, port)| format!("{host}:{port}"));
    json!({ "role": role.as_str(), "of": of, "server": server, "subject": subject, "end": end })
}

fn failures(totals: &Totals, recent: &Recent) -> Vec<Value> {
    let mut all = Vec::new();
    list(
        &mut all,
        "acquire",
        totals.acquires(),
        &recent.acquires,
        |outcome| {
            use AcquireOutcome::{ConnectFailed, QueueFull, Timeout};
            [ConnectFailed, QueueFull, Timeout].contains(&outcome)
        },
    );
    // The handshake's reasons say more than that it was the handshake.
    list(
        &mut all,
        "connect",
        totals.connect_failures.counts(),
        &recent.connect_failures,
        |stage| stage != Stage::Tls,
    );
    list(
        &mut all,
        "connection",
        totals.closed.counts(),
        &recent.closed,
        |reason| [CloseReason::Broken, CloseReason::ResetFailed].contains(&reason),
    );
    list(
        &mut all,
        "handshake",
        totals.handshake_failures.counts(),
        &recent.handshake_failures,
        |_| true,
    );
    list(
        &mut all,
        "health check",
        totals.checks.counts(),
        &recent.checks,
        |outcome| outcome == HealthCheckOutcome::Failed,
    );
    list(
        &mut all,
        "password",
        totals.credentials.counts(),
        &recent.credentials,
        |outcome| outcome == CredentialOutcome::Failed,
    );
    list(
        &mut all,
        "reload",
        totals.reloads.counts(),
        &recent.reloads,
        |outcome| outcome == ReloadOutcome::Failed,
    );
    all.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    all.into_iter().map(|(_, failure)| failure).collect()
}

fn list<T: ClosedSet>(
    all: &mut Vec<(f64, Value)>,
    what: &str,
    counts: Vec<(T, u64)>,
    lasts: &Lasts<T>,
    is_failure: impl Fn(T) -> bool,
) {
    all.extend(
        counts
            .into_iter()
            .filter(|(value, count)| *count > 0 && is_failure(*value))
            .filter_map(|(value, count)| {
                let last = lasts.get(value)?;
                let failure =
                    json!({ "what": what, "reason": value.as_str(), "count": count, "last": last });
                Some((last, failure))
            }),
    );
}

fn holder(holder: &Holder) -> Value {
    json!({ "place": holder.place.to_string(), "held": seconds(holder.held) })
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
