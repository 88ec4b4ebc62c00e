use super::role::{Accepts, Field, Role, Row, Unit, field, field_in, ignored, refused};
use crate::dialect::Dialect;

const JDBC: &[Dialect] = &[Dialect::Jdbc];
const R2DBC: &[Dialect] = &[Dialect::R2dbc];
const RESULTS: &str = "it is about JDBC's view of results and metadata";
const CLASSES: &str = "Java classes are not loaded";

/// What pgjdbc and r2dbc-postgresql have beside libpq.
pub(super) const ROWS: &[Row] = &[
    field(&["PGHOST"], Field::Host),
    field(&["PGPORT"], Field::Port),
    field(&["PGDBNAME"], Field::Database),
    field(&["currentSchema"], Field::SearchPath),
    field_in(JDBC, &["loginTimeout"], Field::LoginTimeout(Unit::Seconds)),
    field_in(
        JDBC,
        &["queryTimeout"],
        Field::StatementTimeout(Unit::Seconds),
    ),
    field_in(R2DBC, &["connectTimeout"], Field::ConnectTimeout(Unit::Iso)),
    field_in(
        R2DBC,
        &["statementTimeout"],
        Field::StatementTimeout(Unit::Iso),
    ),
    field_in(R2DBC, &["lockWaitTimeout"], Field::LockTimeout(Unit::Iso)),
    field(&["tcpKeepAlive"], Field::Keepalives),
    field(&["preparedStatementCacheQueries"], Field::StatementCache),
    field_in(R2DBC, &["maxSize"], Field::PoolMax),
    field_in(R2DBC, &["minIdle"], Field::PoolMin),
    field_in(R2DBC, &["maxIdleTime"], Field::IdleTimeout(Unit::Iso)),
    field_in(R2DBC, &["maxLifeTime"], Field::MaxLifetime(Unit::Iso)),
    field_in(R2DBC, &["maxAcquireTime"], Field::AcquireTimeout(Unit::Iso)),
    Row {
        names: &["prepareThreshold"],
        dialects: &[],
        ado: false,
        role: Role::Field(Field::StatementCacheOff(true)),
    },
    refused(
        &["cancelSignalTimeout"],
        "a cancel request shares connectTimeout",
        "remove it",
    ),
    refused(
        &["readOnly"],
        "sessions are not switched to read only",
        "use a role that cannot write",
    ),
    refused(
        &["readOnlyMode"],
        "sessions are not switched to read only",
        "use a role that cannot write",
    ),
    refused(
        &["autosave", "cleanupSavepoints"],
        "savepoints are the program's business",
        "remove it",
    ),
    refused(
        &[
            "preferQueryMode",
            "binaryTransfer",
            "binaryTransferEnable",
            "binaryTransferDisable",
            "forceBinary",
        ],
        "the way in which queries travel has no settings",
        "set prepareThreshold=0 if a proxy needs unnamed statements",
    ),
    refused(
        &["preparedStatementCacheSizeMiB"],
        "the cache of statements is counted, not weighed",
        "set preparedStatementCacheQueries",
    ),
    refused(
        &[
            "defaultRowFetchSize",
            "adaptiveFetch",
            "adaptiveFetchMaximum",
            "adaptiveFetchMinimum",
            "fetchSize",
            "maxResultBuffer",
            "maxSendBufferSize",
            "receiveBufferSize",
            "sendBufferSize",
            "preferAttachedBuffers",
        ],
        "fetch sizes and buffers have no settings",
        "remove it",
    ),
    refused(
        &["reWriteBatchedInserts", "reWriteBatchedInsertsSize"],
        "statements are sent as they are",
        "remove it",
    ),
    refused(
        &["stringtype", "unknownLength"],
        "parameters have the types that the server infers",
        "remove it",
    ),
    refused(
        &["hostRecheckSeconds"],
        "every connect asks for the server's role anew",
        "remove it",
    ),
    refused(
        &["localSocketAddress"],
        "the operating system chooses the local address",
        "remove it",
    ),
    refused(
        &[
            "socketFactory",
            "socketFactoryArg",
            "connectExecutor",
            "connectExecutorArg",
            "authenticationPluginClassName",
            "xmlFactoryFactory",
            "classLoaderStrategy",
            "loopResources",
        ],
        CLASSES,
        "remove it; name the host itself",
    ),
    refused(
        &[
            "jaasApplicationName",
            "jaasLogin",
            "useSpnego",
            "sspiServiceClass",
        ],
        "GSSAPI and SSPI are not spoken",
        "log in by SCRAM or client certificate",
    ),
    refused(
        &["scramMaxIterations"],
        "the iterations of SCRAM have no limit of their own",
        "remove it",
    ),
    refused(&["allowEncodingChanges"], "text is UTF-8", "remove it"),
    refused(
        &[
            "initialSize",
            "acquireRetry",
            "backgroundEvictionInterval",
            "maxValidationTime",
            "maxCreateConnectionTime",
            "validationQuery",
            "validationDepth",
            "poolName",
        ],
        "the pool has no such setting in a string",
        "set what it stands for in the configuration",
    ),
    ignored(
        &["ProtocolVersion"],
        Accepts::Default(&["3", "3.0"]),
        "protocol 3.0 is spoken",
    ),
    ignored(
        &["tcpNoDelay"],
        Accepts::Default(&["true", "1"]),
        "small packets are never delayed",
    ),
    ignored(
        &["assumeMinServerVersion", "groupStartupParameters"],
        Accepts::Any,
        "one startup message carries everything anyway",
    ),
    ignored(
        &[
            "databaseMetadataCacheFields",
            "databaseMetadataCacheFieldsMiB",
            "disableColumnSanitiser",
            "escapeSyntaxCallMode",
            "hideUnprivilegedObjects",
            "quoteReturningIdentifiers",
            "convertBooleanToNumeric",
            "flushCacheOnDdl",
        ],
        Accepts::Any,
        RESULTS,
    ),
    ignored(
        &[
            "loggerLevel",
            "loggerFile",
            "logUnclosedConnections",
            "noticeLogLevel",
            "errorResponseLogLevel",
        ],
        Accepts::Any,
        "it is about the log of a Java driver",
    ),
    ignored(
        &["logServerErrorDetail"],
        Accepts::Words(&["true"]),
        "errors carry the server's detail anyway",
    ),
    ignored(
        &["autodetectExtensions"],
        Accepts::Any,
        "it is about the codecs of a Java driver",
    ),
];
