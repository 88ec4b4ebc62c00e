use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sealpool::{
    AcquireOutcome, ChannelBinding, CloseReason, Config, CredentialOutcome, Event,
    HandshakeFailure, HealthCheckOutcome, KeyExchangeGroup, Observer, Outcome, Pool, PoolState,
    ReloadOutcome, Stage, TlsVersion,
};
use sealpool_metrics::PoolObserver;

use crate::scrape::{Exported, Scrape};

/// A pool that connects to nothing, and its observer, to be told of what never happened.
pub(crate) struct Told {
    pub(crate) observer: Arc<PoolObserver>,
    pub(crate) pool: Pool,
}

struct Shared(Arc<PoolObserver>);

impl Observer for Shared {
    fn on_event(&self, event: &Event<'_>) {
        self.0.on_event(event);
    }
}

impl Told {
    pub(crate) fn new(exported: &Exported, name: &str) -> Self {
        Self::of(exported.metrics.observer(name)).unwrap()
    }

    pub(crate) fn of(observer: PoolObserver) -> Result<Self, sealpool::Error> {
        let observer = Arc::new(observer);
        let config = Config::new()
            .host("db.example.net")
            .user("app")
            .database("shop");
        let pool = Pool::builder(config)
            .observer(Shared(Arc::clone(&observer)))
            .build()?;
        Ok(Self { observer, pool })
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.observer.on_event(event);
    }
}

/// The series that an event raises by one, but for sums and buckets.
fn expected(event: &Event<'_>) -> Vec<(&'static str, Option<(&'static str, &'static str)>)> {
    match event {
        Event::AcquireEnded { outcome, .. } => {
            let mut raised = vec![(
                "sealpool_acquires_total",
                Some(("outcome", outcome.as_str())),
            )];
            if outcome.gave_a_client() {
                raised.push(("db_client_connection_wait_time_seconds_count", None));
            }
            if *outcome == AcquireOutcome::Timeout {
                raised.push(("db_client_connection_timeouts_total", None));
            }
            raised
        }
        Event::ClientReturned { .. } => vec![("db_client_connection_use_time_seconds_count", None)],
        Event::ConnectFailed { stage, .. } => vec![(
            "sealpool_connect_failures_total",
            Some(("stage", stage.as_str())),
        )],
        Event::ConnectionClosed { reason, .. } => vec![(
            "sealpool_connections_closed_total",
            Some(("reason", reason.as_str())),
        )],
        Event::ConnectionOpened { .. } => vec![
            ("sealpool_connections_opened_total", None),
            ("db_client_connection_create_time_seconds_count", None),
        ],
        Event::CredentialRefreshed { outcome, .. } => vec![(
            "sealpool_credential_refreshes_total",
            Some(("outcome", outcome.as_str())),
        )],
        Event::HandshakeFailed { failure, .. } => vec![(
            "sealpool_tls_handshake_failures_total",
            Some(("error_type", failure.as_str())),
        )],
        Event::HandshakeSealed { session, .. } => vec![
            (
                "sealpool_tls_connections_total",
                Some(("tls_protocol_version", session.protocol_version().as_str())),
            ),
            (
                "sealpool_tls_key_exchange_total",
                Some(("group", session.key_exchange_group().as_str())),
            ),
            (
                "sealpool_tls_channel_binding_total",
                Some(("outcome", session.channel_binding().as_str())),
            ),
            ("sealpool_tls_handshake_duration_seconds_count", None),
        ],
        Event::HandshakeStarted { .. } => vec![("sealpool_tls_handshake_attempts_total", None)],
        Event::HealthChecked { outcome, .. } => vec![(
            "sealpool_health_checks_total",
            Some(("outcome", outcome.as_str())),
        )],
        Event::LaneConnectionEvicted { .. } => vec![("sealpool_lane_evictions_total", None)],
        Event::LaneStatementEnded { outcome, .. } => vec![(
            "sealpool_lane_statements_total",
            Some(("outcome", outcome.as_str())),
        )],
        Event::LeakSuspected { .. } => vec![("sealpool_leaks_suspected_total", None)],
        Event::TlsReloaded { outcome, .. } => vec![(
            "sealpool_tls_reloads_total",
            Some(("outcome", outcome.as_str())),
        )],
        Event::CertificateExpiring { .. }
        | Event::PoolReconfigured { .. }
        | Event::WeakAuthenticationUsed { .. } => vec![],
        other => panic!("an event that this test does not know: {other:?}"),
    }
}

/// What has grown by how much, of counters and counts of histograms.
fn growth(before: &Scrape, after: &Scrape) -> BTreeMap<(String, BTreeMap<String, String>), f64> {
    let counts = after
        .series
        .iter()
        .filter(|((name, _), _)| name.ends_with("_total") || name.ends_with("_seconds_count"));
    let grown = counts.map(|(series, value)| (series.clone(), value - before.series[series]));
    grown.filter(|(_, growth)| *growth != 0.0).collect()
}

#[test]
fn each_event_raises_its_own_series_and_no_other() {
    let exported = Exported::new();
    let told = Told::new(&exported, "orders");
    let _other = Told::new(&exported, "other");
    let mut before = exported.scrape();
    for event in Event::samples() {
        told.tell(&event);
        let after = exported.scrape();
        let raised: BTreeMap<_, _> = expected(&event)
            .into_iter()
            .map(|(name, label)| {
                let pool = ("db_client_connection_pool_name", "orders");
                let labels = std::iter::once(pool).chain(label);
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
                ((name.to_owned(), labels.collect()), 1.0)
            })
            .collect();
        assert_eq!(growth(&before, &after), raised, "{event:?}");
        before = after;
    }
}

#[test]
fn every_value_of_every_closed_set_is_there_from_the_first_scrape() {
    let exported = Exported::new();
    let _told = Told::new(&exported, "orders");
    let scrape = exported.scrape();
    let text = |all: &[&'static str]| all.to_vec();
    macro_rules! all {
        ($set:ident) => {
            text(
                &$set::ALL
                    .iter()
                    .map(|value| value.as_str())
                    .collect::<Vec<_>>(),
            )
        };
    }
    for (name, label, values) in [
        ("sealpool_acquires_total", "outcome", all!(AcquireOutcome)),
        (
            "sealpool_connections_closed_total",
            "reason",
            all!(CloseReason),
        ),
        ("sealpool_connect_failures_total", "stage", all!(Stage)),
        (
            "sealpool_tls_handshake_failures_total",
            "error_type",
            all!(HandshakeFailure),
        ),
        (
            "sealpool_tls_connections_total",
            "tls_protocol_version",
            all!(TlsVersion),
        ),
        (
            "sealpool_tls_key_exchange_total",
            "group",
            all!(KeyExchangeGroup),
        ),
        (
            "sealpool_tls_channel_binding_total",
            "outcome",
            all!(ChannelBinding),
        ),
        ("sealpool_tls_reloads_total", "outcome", all!(ReloadOutcome)),
        (
            "sealpool_credential_refreshes_total",
            "outcome",
            all!(CredentialOutcome),
        ),
        (
            "sealpool_health_checks_total",
            "outcome",
            all!(HealthCheckOutcome),
        ),
        ("sealpool_lane_statements_total", "outcome", all!(Outcome)),
    ] {
        assert!(!values.is_empty());
        for value in values {
            assert_eq!(scrape.value("orders", name, Some((label, value))), 0.0);
        }
    }
    for state in PoolState::ALL {
        let expected = f64::from(*state == PoolState::Running);
        let label = Some(("state", state.as_str()));
        assert_eq!(scrape.value("orders", "sealpool_state", label), expected);
    }
    for name in [
        "sealpool_tls_handshake_attempts_total",
        "sealpool_connections_opened_total",
        "db_client_connection_timeouts_total",
        "sealpool_lane_evictions_total",
        "sealpool_leaks_suspected_total",
        "db_client_connection_wait_time_seconds_count",
        "db_client_connection_create_time_seconds_count",
        "db_client_connection_use_time_seconds_count",
        "sealpool_tls_handshake_duration_seconds_count",
    ] {
        assert_eq!(scrape.value("orders", name, None), 0.0, "{name}");
    }
}

/// Attempts = successes + failures + given up + under way, in every scrape and whoever else is counting.
#[test]
fn no_handshake_is_lost_or_counted_twice() {
    const THREADS: u64 = 4;
    const ROUNDS: usize = 25_000;
    let exported = Exported::new();
    let told = Told::new(&exported, "orders");
    let balance = |scrape: &Scrape| {
        let sum = |name| scrape.sum("orders", name);
        assert_eq!(
            sum("sealpool_tls_handshake_attempts_total"),
            sum("sealpool_tls_connections_total")
                + sum("sealpool_tls_handshake_failures_total")
                + sum("sealpool_tls_handshakes_active")
        );
        sum("sealpool_tls_handshakes_active")
    };
    let done = AtomicBool::new(false);
    let scrapes = std::thread::scope(|scope| {
        let tellers: Vec<_> = (0..THREADS)
            .map(|seed| {
                let told = &told;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let samples = Event::samples();
                    let begun =
                        |event: &&Event<'_>| matches!(event, Event::HandshakeStarted { .. });
                    let start = samples.iter().find(begun).unwrap();
                    let ends: Vec<_> = samples
                        .iter()
                        .filter(|event| {
                            matches!(
                                event,
                                Event::HandshakeFailed { .. } | Event::HandshakeSealed { .. }
                            )
                        })
                        .collect();
                    for _ in 0..ROUNDS {
                        told.tell(start);
                        told.tell(random.choice(&ends).unwrap());
                    }
                })
            })
            .collect();
        let scraper = scope.spawn(|| {
            let mut scrapes = 0;
            while !done.load(Ordering::Relaxed) || scrapes == 0 {
                balance(&exported.scrape());
                scrapes += 1;
            }
            scrapes
        });
        for teller in tellers {
            teller.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        scraper.join().unwrap()
    });
    assert!(scrapes > 0);
    let scrape = exported.scrape();
    assert_eq!(balance(&scrape), 0.0);
    let attempts = scrape.sum("orders", "sealpool_tls_handshake_attempts_total");
    assert_eq!(attempts, (THREADS * ROUNDS as u64) as f64);
    for name in [
        "sealpool_tls_handshake_duration_seconds_count",
        "sealpool_tls_key_exchange_total",
        "sealpool_tls_channel_binding_total",
    ] {
        let sealed = scrape.sum("orders", "sealpool_tls_connections_total");
        assert_eq!(scrape.sum("orders", name), sealed, "{name}");
    }
}

#[test]
fn several_observers_are_all_told() {
    let exported = Exported::new();
    let config = Config::new().host("db.example.net").user("app");
    let pool = Pool::builder(config)
        .observer(exported.metrics.observer("one"))
        .observer(exported.metrics.observer("two"))
        .build()
        .unwrap();
    assert!(pool.try_acquire().is_none());
    let scrape = exported.scrape();
    for name in ["one", "two"] {
        let running = Some(("state", "running"));
        assert_eq!(scrape.value(name, "sealpool_state", running), 1.0);
    }
}
