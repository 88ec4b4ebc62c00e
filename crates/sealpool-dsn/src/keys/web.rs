use super::role::{Accepts, Field, Row, Unit, ado_field, field, field_in, ignored, refused};
use crate::dialect::Dialect;

const URI: &[Dialect] = &[Dialect::Uri];

/// Settings of the server and what else URIs of web frameworks carry.
pub(super) const ROWS: &[Row] = &[
    ado_field(&["search_path", "schema_search_path"], Field::SearchPath),
    field(&["schema"], Field::SearchPath),
    field(
        &[
            "socket",
            "unix_socket",
            "unix_sock",
            "socket_dir",
            "unixSocketPath",
        ],
        Field::Socket,
    ),
    field(
        &["statement_timeout"],
        Field::StatementTimeout(Unit::Server),
    ),
    field(&["lock_timeout"], Field::LockTimeout(Unit::Server)),
    field(
        &["idle_in_transaction_session_timeout"],
        Field::IdleInTransactionTimeout(Unit::Server),
    ),
    field_in(
        URI,
        &["query_timeout"],
        Field::StatementTimeout(Unit::Millis),
    ),
    field_in(
        URI,
        &["command_timeout"],
        Field::StatementTimeout(Unit::Seconds),
    ),
    field_in(URI, &["keepAlive"], Field::Keepalives),
    refused(
        &["keepAliveInitialDelayMillis"],
        "keepalive is counted in seconds",
        "set keepalives_idle",
    ),
    refused(
        &["socket_timeout", "read_timeout"],
        "there is no limit on a read from the socket",
        "set statement_timeout for slow queries, tcp_user_timeout and keepalives for dead peers",
    ),
    refused(
        &["timeout"],
        "drivers disagree about what it limits",
        "set connect_timeout or statement_timeout",
    ),
    ignored(
        &["adapter"],
        Accepts::Words(&["postgresql", "postgis", "postgres"]),
        "the adapter is this one",
    ),
    refused(
        &["variables", "server_settings", "connect_args", "parameters"],
        "settings of the server are not read from a nested value",
        "write them as options='-c name=value'",
    ),
    refused(
        &["min_messages", "client_min_messages"],
        "notices reach the program as they are",
        "set it by options",
    ),
    refused(
        &[
            "DateStyle",
            "IntervalStyle",
            "extra_float_digits",
            "work_mem",
            "role",
            "default_transaction_isolation",
            "default_transaction_read_only",
            "default_transaction_deferrable",
            "idle_session_timeout",
            "transaction_timeout",
            "standard_conforming_strings",
            "bytea_output",
            "lc_messages",
            "synchronous_commit",
        ],
        "it is a setting of the server",
        "write it as options='-c name=value'",
    ),
    refused(
        &["advisory_locks", "insert_returning", "strict_mode"],
        "it is about Rails' queries",
        "remove it",
    ),
    refused(
        &["socket_options", "ssl_opts"],
        "options of Erlang's sockets are not read",
        "remove it",
    ),
    refused(
        &["min_read_buffer_size"],
        "buffers have no settings",
        "remove it",
    ),
    refused(
        &["async_fallback", "use_native_hstore", "executemany_mode"],
        "it is about a Python driver",
        "remove it",
    ),
    refused(
        &["connection_factory", "cursor_factory", "record_class"],
        "it is about a Python driver",
        "remove it",
    ),
    refused(
        &["supa", "workaround"],
        "it is a note to another client",
        "remove it",
    ),
];
