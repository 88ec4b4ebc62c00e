use metrics::{KeyName, Level, Metadata, Recorder, SharedString, Unit};

/// Whose names the metrics have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Naming {
    /// As they stand in Prometheus: `db_client_connection_wait_time_seconds`, `sealpool_acquires_total`.
    #[default]
    Prometheus,
    /// Those of the semantic conventions, without unit and kind: `db.client.connection.wait_time`, `sealpool.acquires`. What
    /// translates them for Prometheus arrives at the names of [`Naming::Prometheus`], but for one: the gauge of
    /// `sealpool.leaks_suspected.current`.
    OpenTelemetry,
}

/// A name in both spellings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    prometheus: &'static str,
    opentelemetry: &'static str,
}

impl Name {
    pub(crate) const fn of(self, naming: Naming) -> &'static str {
        match naming {
            Naming::Prometheus => self.prometheus,
            Naming::OpenTelemetry => self.opentelemetry,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// All series of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    /// `s` for seconds, or what is counted.
    pub(crate) unit: &'static str,
    help: &'static str,
}

macro_rules! names {
    ($($constant:ident = $prometheus:literal, $opentelemetry:literal;)+) => {
        $(pub(crate) const $constant: Name = Name { prometheus: $prometheus, opentelemetry: $opentelemetry };)+
    };
}

names! {
    POOL_NAME = "db_client_connection_pool_name", "db.client.connection.pool.name";
    CONNECTION_STATE = "db_client_connection_state", "db.client.connection.state";
    CRYPTO_PROVIDER = "crypto_provider", "crypto_provider";
    ERROR_TYPE = "error_type", "error.type";
    GROUP = "group", "group";
    OUTCOME = "outcome", "outcome";
    REASON = "reason", "reason";
    SERVER_ADDRESS = "server_address", "server.address";
    STAGE = "stage", "stage";
    STATE = "state", "state";
    TLS_PROTOCOL_VERSION = "tls_protocol_version", "tls.protocol.version";
    VERSION = "version", "version";
}

macro_rules! families {
    ($($constant:ident = $kind:ident $prometheus:literal $opentelemetry:literal $unit:literal $help:literal;)+) => {
        $(pub(crate) static $constant: Family = Family {
            name: Name { prometheus: $prometheus, opentelemetry: $opentelemetry },
            kind: Kind::$kind,
            unit: $unit,
            help: $help,
        };)+

        pub(crate) static FAMILIES: &[&Family] = &[$(&$constant),+];
    };
}

families! {
    CONNECTIONS = Gauge "db_client_connection_count" "db.client.connection.count" "{connection}"
        "Open connections, by whether somebody holds them.";
    CONNECTIONS_MAX = Gauge "db_client_connection_max" "db.client.connection.max" "{connection}"
        "The most connections that may be open (pool.max_size).";
    IDLE_MIN = Gauge "db_client_connection_idle_min" "db.client.connection.idle.min" "{connection}"
        "How many idle connections are kept ready (pool.min_idle).";
    IDLE_MAX = Gauge "db_client_connection_idle_max" "db.client.connection.idle.max" "{connection}"
        "The most connections that may be idle: as many as may be open.";
    PENDING_REQUESTS = Gauge "db_client_connection_pending_requests" "db.client.connection.pending_requests" "{request}"
        "Acquires that wait for a connection.";
    TIMEOUTS = Counter "db_client_connection_timeouts_total" "db.client.connection.timeouts" "{timeout}"
        "Acquires that got no connection within their limit.";
    WAIT_TIME = Histogram "db_client_connection_wait_time_seconds" "db.client.connection.wait_time" "s"
        "The time that an acquire took which got a connection.";
    CREATE_TIME = Histogram "db_client_connection_create_time_seconds" "db.client.connection.create_time" "s"
        "The time it took to open a connection: TCP, TLS and login.";
    USE_TIME = Histogram "db_client_connection_use_time_seconds" "db.client.connection.use_time" "s"
        "The time between the acquire of a connection and its return.";
    ACQUIRES = Counter "sealpool_acquires_total" "sealpool.acquires" "{acquire}"
        "Acquires that ended, by what they came to.";
    OLDEST_WAITER_AGE = Gauge "sealpool_oldest_waiter_age_seconds" "sealpool.oldest_waiter.age" "s"
        "For how long the first of the acquires that wait has waited; 0 when none waits.";
    OPENING = Gauge "sealpool_connections_opening" "sealpool.connections.opening" "{connection}"
        "Connections that are being opened.";
    OPENED = Counter "sealpool_connections_opened_total" "sealpool.connections.opened" "{connection}"
        "Connections that were opened.";
    CLOSED = Counter "sealpool_connections_closed_total" "sealpool.connections.closed" "{connection}"
        "Connections that were closed, by reason.";
    CONNECT_FAILURES = Counter "sealpool_connect_failures_total" "sealpool.connect.failures" "{attempt}"
        "Attempts to connect that failed, by how far they came.";
    BACKOFF = Gauge "sealpool_connect_backoff_seconds" "sealpool.connect.backoff" "s"
        "For how long no connection is opened because the last ones failed; 0 when there is no such pause.";
    HANDSHAKE_ATTEMPTS = Counter "sealpool_tls_handshake_attempts_total" "sealpool.tls.handshake.attempts" "{handshake}"
        "TLS handshakes that were begun.";
    HANDSHAKE_FAILURES = Counter "sealpool_tls_handshake_failures_total" "sealpool.tls.handshake.failures" "{handshake}"
        "TLS handshakes that failed, by reason; those given up by the caller are among them (cancelled).";
    HANDSHAKE_DURATION = Histogram "sealpool_tls_handshake_duration_seconds" "sealpool.tls.handshake.duration" "s"
        "The time from the request for TLS to the end of a handshake that succeeded.";
    HANDSHAKES_ACTIVE = Gauge "sealpool_tls_handshakes_active" "sealpool.tls.handshakes.active" "{handshake}"
        "TLS handshakes under way, or complete with the login under way.";
    TLS_CONNECTIONS = Counter "sealpool_tls_connections_total" "sealpool.tls.connections" "{handshake}"
        "TLS handshakes that succeeded, by version of the protocol.";
    KEY_EXCHANGE = Counter "sealpool_tls_key_exchange_total" "sealpool.tls.key_exchange" "{handshake}"
        "TLS handshakes that succeeded, by group of the key exchange.";
    CHANNEL_BINDING = Counter "sealpool_tls_channel_binding_total" "sealpool.tls.channel_binding" "{handshake}"
        "TLS handshakes that succeeded, by whether the login was bound to them.";
    SERVER_CERTIFICATE_EXPIRY = Gauge "sealpool_tls_server_certificate_expiry_timestamp_seconds"
        "sealpool.tls.server_certificate.expiry_timestamp" "s"
        "When the first certificate ends of those that the server presented last, as Unix time.";
    CLIENT_CERTIFICATE_EXPIRY = Gauge "sealpool_tls_client_certificate_expiry_timestamp_seconds"
        "sealpool.tls.client_certificate.expiry_timestamp" "s"
        "When the client certificate ends (tls.client_cert), as Unix time.";
    CA_EXPIRY = Gauge "sealpool_tls_ca_expiry_timestamp_seconds" "sealpool.tls.ca.expiry_timestamp" "s"
        "When the first certificate ends of those in the root file that have not ended (tls.root), as Unix time.";
    RELOADS = Counter "sealpool_tls_reloads_total" "sealpool.tls.reloads" "{reload}"
        "Looks at the files of certificates, keys, lists and the password, by what they came to.";
    LAST_RELOAD_SUCCESS = Gauge "sealpool_tls_last_reload_success_timestamp_seconds"
        "sealpool.tls.last_reload_success_timestamp" "s"
        "When those files were last found unchanged or put into force, as Unix time.";
    STALE_CONNECTIONS = Gauge "sealpool_tls_stale_connections" "sealpool.tls.stale_connections" "{connection}"
        "Open connections that were made with certificates, keys or lists which have been replaced.";
    CREDENTIAL_REFRESHES = Counter "sealpool_credential_refreshes_total" "sealpool.credential.refreshes" "{refresh}"
        "Requests to the password provider, by what they came to.";
    CREDENTIAL_EXPIRY = Gauge "sealpool_credential_expiry_timestamp_seconds" "sealpool.credential.expiry_timestamp" "s"
        "Until when the password is valid that the provider gave last, as Unix time.";
    HEALTH_CHECKS = Counter "sealpool_health_checks_total" "sealpool.health_checks" "{check}"
        "Checks of connections that had rested, by what they came to.";
    LEAKS_SUSPECTED_TOTAL = Counter "sealpool_leaks_suspected_total" "sealpool.leaks_suspected" "{connection}"
        "Connections that were held for longer than pool.leak_threshold.";
    LEAKS_SUSPECTED = Gauge "sealpool_leaks_suspected" "sealpool.leaks_suspected.current" "{connection}"
        "Connections that have been held for longer than pool.leak_threshold.";
    LANE_STATEMENTS = Counter "sealpool_lane_statements_total" "sealpool.lane.statements" "{statement}"
        "Statements on the lane that ended, by what became of them.";
    LANE_CONNECTIONS = Gauge "sealpool_lane_connections" "sealpool.lane.connections" "{connection}"
        "Open connections of the lane, beside those that are used or idle.";
    LANE_OUTSTANDING = Gauge "sealpool_lane_outstanding" "sealpool.lane.outstanding" "{statement}"
        "Statements under way on the lane.";
    LANE_EVICTIONS = Counter "sealpool_lane_evictions_total" "sealpool.lane.evictions" "{connection}"
        "Connections of the lane that were closed because a statement had opened a transaction or changed the session.";
    POOL_STATE = Gauge "sealpool_state" "sealpool.state" "{pool}"
        "1 for the state that the pool is in, 0 for the others.";
    BUILD_INFO = Gauge "sealpool_build_info" "sealpool.build_info" "{build}"
        "1, with the version of sealpool and the cryptography it was built with.";
}

/// The bounds of each histogram's buckets, in seconds, by the beginning of its name.
///
/// Without them metrics-exporter-prometheus makes summaries, which cannot be added up over services. The names are without
/// their unit and fit both [`Naming`]s: they go into `Matcher::Prefix`.
pub const BUCKETS: [(&str, &[f64]); 4] = [
    (
        "db_client_connection_wait_time",
        &[
            0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            30.0,
        ],
    ),
    ("db_client_connection_create_time", &CONNECT),
    (
        "db_client_connection_use_time",
        &[
            0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0,
        ],
    ),
    ("sealpool_tls_handshake_duration", &CONNECT),
];

const CONNECT: [f64; 12] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

pub(crate) const METADATA: Metadata<'static> =
    Metadata::new("sealpool", Level::INFO, Some(module_path!()));

pub(crate) fn describe(recorder: &dyn Recorder, naming: Naming) {
    for Family {
        name,
        kind,
        unit,
        help,
    } in FAMILIES
    {
        let name = KeyName::from_const_str(name.of(naming));
        let unit = Some(match *unit {
            "s" => Unit::Seconds,
            _ => Unit::Count,
        });
        let help = SharedString::const_str(help);
        match kind {
            Kind::Counter => recorder.describe_counter(name, unit, help),
            Kind::Gauge => recorder.describe_gauge(name, unit, help),
            Kind::Histogram => recorder.describe_histogram(name, unit, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an OpenTelemetry SDK, or what reads from one, makes of a name for Prometheus.
    fn translated(family: &Family) -> String {
        let seconds = if family.unit == "s" { "_seconds" } else { "" };
        let total = if family.kind == Kind::Counter {
            "_total"
        } else {
            ""
        };
        let name = family.name.opentelemetry.replace('.', "_");
        format!("{name}{seconds}{total}")
    }

    #[test]
    fn both_names_are_one_but_for_the_gauge_that_shares_its_name_with_a_counter() {
        for family in FAMILIES {
            let expected = match family.name.prometheus {
                "sealpool_leaks_suspected" => "sealpool_leaks_suspected_current",
                name => name,
            };
            assert_eq!(translated(family), expected);
        }
        let mut names: Vec<_> = FAMILIES.iter().map(|f| f.name.opentelemetry).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAMILIES.len(), "no name stands for two");
    }

    #[test]
    fn every_histogram_has_buckets() {
        let histograms = FAMILIES.iter().filter(|f| f.kind == Kind::Histogram);
        let bare: Vec<_> = histograms
            .map(|f| f.name.prometheus.trim_end_matches("_seconds"))
            .collect();
        let bucketed = BUCKETS.map(|(name, _)| name);
        assert_eq!(bare, bucketed);
    }
}
