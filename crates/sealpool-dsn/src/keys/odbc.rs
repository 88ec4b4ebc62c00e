use super::role::{Accepts, Field, Role, Row, ado_field};
use crate::dialect::Dialect;

const ODBC: &[Dialect] = &[Dialect::Odbc, Dialect::Ado];

const fn only(names: &'static [&'static str], role: Role) -> Row {
    Row {
        names,
        dialects: ODBC,
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

/// What psqlODBC has beside libpq.
pub(super) const ROWS: &[Row] = &[
    ado_field(&["Servername"], Field::Host),
    only(&["KeepaliveTime", "D1"], Role::Field(Field::KeepalivesIdle)),
    only(
        &["KeepaliveInterval", "D2"],
        Role::Field(Field::KeepalivesInterval),
    ),
    ignored(&["Driver"], Accepts::Default(&[]), "the driver is this one"),
    ignored(&["Description"], Accepts::Any, "it is a remark"),
    refused(
        &["DSN", "FileDSN", "SaveFile"],
        "odbc.ini is not read",
        "write out what the data source stands for",
    ),
    refused(
        &["pqopt"],
        "one string inside another is not read",
        "write its keywords as keys of this string",
    ),
    refused(
        &["CA", "CX"],
        "an abbreviation of psqlODBC",
        "write SSLmode and the other keys in full",
    ),
    refused(
        &["ConnSettings", "A6"],
        "SQL does not belong into a connection string",
        "run it once after connecting, or write it as options='-c name=value'",
    ),
    refused(
        &["ReadOnly", "A0"],
        "sessions are not switched to read only",
        "use a role that cannot write",
    ),
    refused(
        &["GssAuthUseGSS", "D0"],
        "GSSAPI is not spoken",
        "log in by SCRAM or client certificate",
    ),
    refused(
        &["TranslationName", "TranslationDLL", "TranslationOption"],
        "text is UTF-8",
        "remove it",
    ),
    refused(&["Socket", "A8"], "buffers have no settings", "remove it"),
    refused(
        &["XaOpt", "D4"],
        "distributed transactions are the program's business",
        "remove it",
    ),
    ignored(
        &["Debug", "B2", "CommLog", "B3", "Logdir", "Dtclog"],
        Accepts::Any,
        "it is about the log of psqlODBC",
    ),
    ignored(
        &[
            "Protocol",
            "A1",
            "Optimizer",
            "B4",
            "Ksqo",
            "B5",
            "UniqueIndex",
            "UnknownSizes",
            "A9",
            "CancelAsFreeStmt",
            "C1",
            "Fetch",
            "A7",
            "UseDeclareFetch",
            "B6",
            "TextAsLongVarchar",
            "B7",
            "UnknownsAsLongVarchar",
            "B8",
            "BoolsAsChar",
            "B9",
            "MaxVarcharSize",
            "B0",
            "MaxLongVarcharSize",
            "B1",
            "FakeOidIndex",
            "A2",
            "ShowOidColumn",
            "A3",
            "RowVersioning",
            "A4",
            "ShowSystemTables",
            "A5",
            "Lie",
            "Parse",
            "C0",
            "ExtraSysTablePrefixes",
            "C2",
            "DisallowPremature",
            "C3",
            "UpdatableCursors",
            "C4",
            "LFConversion",
            "C5",
            "TrueIsMinus1",
            "C6",
            "BI",
            "ByteaAsLongVarBinary",
            "C7",
            "UseServerSidePrepare",
            "C8",
            "LowerCaseIdentifier",
            "C9",
            "AB",
            "PreferLibpq",
            "D3",
            "OptionalErrors",
            "D5",
            "FetchRefcursors",
            "D6",
        ],
        Accepts::Any,
        "it is about how ODBC shows results to its callers",
    ),
];
