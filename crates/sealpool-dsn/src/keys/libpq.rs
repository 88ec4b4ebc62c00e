use super::role::{Accepts, Field, Row, Unit, ado_field, field, ignored, refused, refused_secret};

const GSS: &str = "GSSAPI is not spoken";
const GSS_FIX: &str = "log in by SCRAM or client certificate";
const OAUTH: &str = "OAuth logins are not spoken";
const OAUTH_FIX: &str = "use the token as the password if the provider allows that";

/// Every keyword of libpq 18 but those of `tls.rs`.
pub(super) const ROWS: &[Row] = &[
    ado_field(&["host"], Field::Host),
    field(&["hostaddr"], Field::HostAddr),
    ado_field(&["port"], Field::Port),
    field(&["dbname"], Field::Database),
    ado_field(&["user"], Field::User),
    ado_field(&["password"], Field::Password),
    refused(
        &["passfile"],
        "a password file is not read from a string",
        "give the password to the configuration from a file or a secret store",
    ),
    refused(
        &["service"],
        "service files are not read",
        "write out what the service stands for",
    ),
    refused(
        &["servicefile"],
        "service files are not read",
        "write out what the service stands for",
    ),
    ado_field(&["require_auth"], Field::RequireAuth),
    ado_field(&["channel_binding"], Field::ChannelBinding),
    field(&["connect_timeout"], Field::ConnectTimeout(Unit::Seconds)),
    ado_field(
        &["client_encoding", "encoding", "charset"],
        Field::ClientEncoding,
    ),
    ado_field(&["options"], Field::Options),
    ado_field(&["application_name"], Field::ApplicationName),
    field(
        &["fallback_application_name"],
        Field::FallbackApplicationName,
    ),
    field(&["keepalives"], Field::Keepalives),
    field(&["keepalives_idle"], Field::KeepalivesIdle),
    field(&["keepalives_interval"], Field::KeepalivesInterval),
    field(
        &["keepalives_count", "keepalives_retries"],
        Field::KeepalivesCount,
    ),
    field(&["tcp_user_timeout"], Field::TcpUserTimeout),
    refused(
        &["replication"],
        "a pool does not lend replication connections",
        "open one without the pool",
    ),
    refused(
        &["requirepeer"],
        "it is about Unix sockets, over which there is no TLS",
        "remove it",
    ),
    refused(
        &[
            "krbsrvname",
            "kerberosServerName",
            "Kerberos Service Name",
            "krbspn",
        ],
        GSS,
        GSS_FIX,
    ),
    refused(&["gsslib"], GSS, GSS_FIX),
    ignored(
        &["gssdelegation"],
        Accepts::Default(&["0"]),
        "GSSAPI is not spoken",
    ),
    refused_secret(
        &["scram_client_key"],
        "logins by key instead of password are not spoken",
        "give the password",
    ),
    refused_secret(
        &["scram_server_key"],
        "logins by key instead of password are not spoken",
        "give the password",
    ),
    ignored(
        &["min_protocol_version"],
        Accepts::Default(&["3.0"]),
        "protocol 3.0 is spoken, which every server understands",
    ),
    ignored(
        &["max_protocol_version"],
        Accepts::Default(&["3.0", "3.2", "latest"]),
        "protocol 3.0 is spoken, which every server understands",
    ),
    ado_field(&["load_balance_hosts"], Field::LoadBalanceHosts),
    ado_field(
        &[
            "target_session_attrs",
            "Target Session Attributes",
            "targetServerType",
        ],
        Field::TargetSessionAttrs,
    ),
    refused(&["oauth_issuer"], OAUTH, OAUTH_FIX),
    refused(&["oauth_client_id"], OAUTH, OAUTH_FIX),
    refused_secret(&["oauth_client_secret"], OAUTH, OAUTH_FIX),
    refused(&["oauth_scope"], OAUTH, OAUTH_FIX),
];
