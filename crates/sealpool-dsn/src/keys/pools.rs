use super::role::{Accepts, Field, Row, Unit, field, field_in, ignored, refused};
use crate::dialect::Dialect;

const URI: &[Dialect] = &[Dialect::Uri];
const URI_AND_LIBPQ: &[Dialect] = &[Dialect::Uri, Dialect::KeyValue];

const OFF: &[&str] = &["false", "no", "0"];
const OWN_RHYTHM: &str = "the pool has its own rhythm";

/// How Prisma, pgx, Rails, Ecto and node-postgres speak of pools.
pub(super) const ROWS: &[Row] = &[
    field(
        &[
            "connection_limit",
            "pool",
            "pool_size",
            "pool_max_conns",
            "max_connections",
        ],
        Field::PoolMax,
    ),
    field_in(URI_AND_LIBPQ, &["max"], Field::PoolMax),
    field(
        &["pool_min_conns", "min_connections", "pool_min_idle_conns"],
        Field::PoolMin,
    ),
    field_in(URI_AND_LIBPQ, &["min"], Field::PoolMin),
    field(&["pool_max_conn_lifetime"], Field::MaxLifetime(Unit::Go)),
    field(&["pool_max_conn_idle_time"], Field::IdleTimeout(Unit::Go)),
    refused(&["pool_max_conn_lifetime_jitter"], OWN_RHYTHM, "remove it"),
    refused(&["pool_health_check_period"], OWN_RHYTHM, "remove it"),
    refused(&["pool_ping_timeout"], OWN_RHYTHM, "remove it"),
    field_in(
        URI,
        &["pool_timeout", "checkout_timeout"],
        Field::AcquireTimeout(Unit::Seconds),
    ),
    field_in(
        URI,
        &["idle_timeout", "max_idle_connection_lifetime"],
        Field::IdleTimeout(Unit::Seconds),
    ),
    field_in(
        URI,
        &["max_connection_lifetime"],
        Field::MaxLifetime(Unit::Seconds),
    ),
    field_in(
        URI,
        &["idleTimeoutMillis"],
        Field::IdleTimeout(Unit::Millis),
    ),
    field_in(
        URI,
        &["connectionTimeoutMillis"],
        Field::ConnectTimeout(Unit::Millis),
    ),
    field_in(
        URI,
        &["maxLifetimeSeconds"],
        Field::MaxLifetime(Unit::Seconds),
    ),
    refused(&["reaping_frequency"], OWN_RHYTHM, "remove it"),
    refused(
        &["max_overflow", "pool_recycle", "pool_pre_ping", "poolclass"],
        "it belongs to SQLAlchemy's pool",
        "set max_connections",
    ),
    refused(
        &["queue_target", "queue_interval"],
        "callers wait in one queue with one limit",
        "set pool_timeout",
    ),
    refused(
        &["conn_max_age", "conn_health_checks"],
        "it belongs to Django's way of keeping connections",
        "set max_connection_lifetime",
    ),
    refused(
        &["maxUses"],
        "connections retire by age, not by use",
        "set maxLifetimeSeconds",
    ),
    field(&["pgbouncer"], Field::StatementCacheOff(false)),
    field(
        &[
            "statement_cache_capacity",
            "statement_cache_size",
            "prepared_statement_cache_size",
            "statement_limit",
        ],
        Field::StatementCache,
    ),
    field(
        &["prepared_statements", "default_query_exec_mode", "prepare"],
        Field::StatementCacheOff(true),
    ),
    refused(
        &["description_cache_capacity"],
        "descriptions of statements are kept with the statements",
        "set statement_cache_capacity",
    ),
    ignored(
        &["binary_parameters"],
        Accepts::Default(OFF),
        "parameters travel in binary form",
    ),
    ignored(
        &["disable_prepared_binary_result"],
        Accepts::Default(OFF),
        "results travel in binary form",
    ),
];
