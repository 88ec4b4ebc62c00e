use super::role::{Accepts, Field, Role, Row, Unit, ado_field};
use crate::dialect::Dialect;

const ADO: &[Dialect] = &[Dialect::Ado, Dialect::Odbc];

const fn only(names: &'static [&'static str], role: Role) -> Row {
    Row {
        names,
        dialects: ADO,
        ado: true,
        role,
    }
}

const fn refused(names: &'static [&'static str], why: &'static str, fix: &'static str) -> Row {
    only(
        names,
        Role::Refused {
            why,
            fix,
            secret: false,
        },
    )
}

const fn ignored(names: &'static [&'static str], accepts: Accepts, why: &'static str) -> Row {
    only(names, Role::Ignored { accepts, why })
}

/// What Npgsql and other ADO.NET providers have beside libpq.
pub(super) const ROWS: &[Row] = &[
    ado_field(
        &[
            "Server",
            "Data Source",
            "Address",
            "Addr",
            "Network Address",
            "hostname",
        ],
        Field::Host,
    ),
    ado_field(&["Database", "DB", "Initial Catalog"], Field::Database),
    ado_field(&["Username", "User Id", "UID"], Field::User),
    ado_field(&["PWD", "PSW", "passwd"], Field::Password),
    only(
        &["Timeout", "Connect Timeout", "Connection Timeout"],
        Role::Field(Field::ConnectTimeout(Unit::Seconds)),
    ),
    only(
        &["Command Timeout"],
        Role::Field(Field::StatementTimeout(Unit::Seconds)),
    ),
    ado_field(&["Timezone"], Field::TimeZone),
    only(&["Tcp Keepalive"], Role::Field(Field::Keepalives)),
    only(&["Tcp Keepalive Time"], Role::Field(Field::KeepalivesIdle)),
    only(
        &["Tcp Keepalive Interval"],
        Role::Field(Field::KeepalivesInterval),
    ),
    ado_field(&["Maximum Pool Size", "Max Pool Size"], Field::PoolMax),
    ado_field(&["Minimum Pool Size", "Min Pool Size"], Field::PoolMin),
    only(
        &["Connection Idle Lifetime"],
        Role::Field(Field::IdleTimeout(Unit::Seconds)),
    ),
    only(
        &["Connection Lifetime", "Load Balance Timeout"],
        Role::Field(Field::MaxLifetime(Unit::Seconds)),
    ),
    only(&["Max Auto Prepare"], Role::Field(Field::StatementCache)),
    refused(
        &["Auto Prepare Min Usages"],
        "statements are prepared when the program asks for it",
        "remove it",
    ),
    ignored(
        &["Pooling"],
        Accepts::Default(&["true", "yes", "1"]),
        "this is a pool",
    ),
    refused(
        &["Connection Pruning Interval"],
        "the pool has its own rhythm",
        "remove it",
    ),
    refused(
        &["Keepalive"],
        "no queries are sent to keep a connection alive",
        "set Tcp Keepalive Time instead",
    ),
    refused(
        &["Cancellation Timeout"],
        "waiting for a cancelled query is the caller's business",
        "remove it",
    ),
    refused(
        &["Internal Command Timeout"],
        "it is about Npgsql's own queries",
        "remove it",
    ),
    refused(
        &["Host Recheck Seconds"],
        "every connect asks for the server's role anew",
        "remove it",
    ),
    refused(
        &[
            "Read Buffer Size",
            "Write Buffer Size",
            "Socket Receive Buffer Size",
            "Socket Send Buffer Size",
        ],
        "buffers have no settings",
        "remove it",
    ),
    refused(
        &["No Reset On Close"],
        "what is reset is the pool's business",
        "set `pool.reset` in the configuration",
    ),
    refused(
        &["Replication Mode"],
        "a pool does not lend replication connections",
        "open one without the pool",
    ),
    refused(
        &["Server Compatibility Mode"],
        "there are no modes for servers that only resemble PostgreSQL",
        "remove it",
    ),
    refused(
        &["Integrated Security"],
        "GSSAPI and SSPI are not spoken",
        "log in by SCRAM or client certificate",
    ),
    refused(
        &["Include Realm"],
        "GSSAPI and SSPI are not spoken",
        "log in by SCRAM or client certificate",
    ),
    ignored(
        &["Persist Security Info"],
        Accepts::Any,
        "the string is never handed back",
    ),
    ignored(
        &["Enlist"],
        Accepts::Any,
        "there are no ambient transactions in Rust",
    ),
    ignored(
        &["Include Error Detail", "Include Error Details"],
        Accepts::Words(&["true", "yes", "1"]),
        "errors carry the server's detail anyway",
    ),
    ignored(
        &["Log Parameters"],
        Accepts::Words(&["false", "no", "0"]),
        "parameters are never logged",
    ),
    ignored(
        &["Include Failed Batched Command"],
        Accepts::Any,
        "there are no batched commands",
    ),
    ignored(
        &["Array Nullability Mode"],
        Accepts::Any,
        "nulls are typed in Rust",
    ),
    ignored(
        &["Load Table Composites"],
        Accepts::Any,
        "types are read when a statement needs them",
    ),
    ignored(&["Provider"], Accepts::Any, "the provider is this one"),
    ignored(
        &[
            "Convert Infinity DateTime",
            "Use Perf Counters",
            "Client Connection Mode",
            "Sync Notification",
            "Preload Reader",
            "Protocol Version",
        ],
        Accepts::Any,
        "it is gone from Npgsql too",
    ),
];
