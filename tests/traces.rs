use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    future::{Future, poll_fn},
    io,
    net::{Ipv4Addr, TcpListener},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use sealpool::{Class, Config, Error, HandshakeFailure, Pool, PoolBuilder};
use sealpool_testkit::Pki;
use tokio::task::spawn_blocking;
use tracing::{
    Event, Instrument, Level, Span, Subscriber,
    field::{Field, Visit},
    info_span,
    level_filters::LevelFilter,
    span,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::rig::{Rig, SLACK, eventually, on_both};

on_both! {
    on_shared() => an_acquire_that_waits_and_what_it_waits_for;
    on_shared() => an_acquire_that_ends_at_once_has_a_span_at_debug_only;
    on_shared() => waits_that_end_without_a_client;
    on_shared() => connects_that_fail_are_of_the_type_that_the_metrics_tell;
    on_shared() => a_connect_outlives_the_acquire_that_asked_for_it;
    on_shared() => a_handshake_given_up_was_cancelled;
    on_shared() => a_connect_for_nobody_follows_from_nothing;
    on_shared() => a_cancel_request_is_a_connect_of_its_own;
    on_shared() => a_connection_has_no_span_of_a_request;
    on_shared() => neither_secrets_nor_words_of_the_server;
}

/// What a subscriber is told.
#[derive(Clone, Default)]
struct Traces(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    spans: Vec<Seen>,
    events: Vec<Said>,
    shown: usize,
}

struct Seen {
    name: &'static str,
    level: Level,
    parent: Option<usize>,
    follows: Vec<usize>,
    fields: Fields,
    is_open: bool,
}

struct Said {
    level: Level,
    is_root: bool,
    fields: Fields,
}

/// Each with all values that it was given.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, Vec<String>>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let values = self.0.entry(field.name()).or_default();
        values.push(value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, values) in &self.0 {
            write!(f, " {name}={}", values.join("|"))?;
        }
        Ok(())
    }
}

/// A span's place among all; its own number is used again once it is closed.
#[derive(Clone, Copy)]
struct Place(usize);

impl Traces {
    fn told<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// The spans since the last time, once all have been closed: each under its parent, in order.
    async fn tree(&self) -> String {
        eventually("every span is closed", async || {
            self.told(|told| told.spans.iter().all(|seen| !seen.is_open))
        })
        .await;
        self.told(|told| {
            let mut text = String::new();
            for at in told.shown..told.spans.len() {
                if told.spans[at].parent.is_none() {
                    told.show(at, 0, &mut text);
                }
            }
            told.shown = told.spans.len();
            text
        })
    }
}

impl Told {
    fn show(&self, at: usize, depth: usize, into: &mut String) {
        let Seen {
            name,
            level,
            parent: _,
            follows,
            fields,
            is_open: _,
        } = &self.spans[at];
        write!(into, "{:1$}{name}", "", 2 * depth).unwrap();
        if *level != Level::INFO {
            write!(into, " ({level})").unwrap();
        }
        for before in follows {
            write!(into, " after {}", self.spans[*before].name).unwrap();
        }
        writeln!(into, "{fields}").unwrap();
        for (child, seen) in self.spans.iter().enumerate() {
            if seen.parent == Some(at) {
                self.show(child, depth + 1, into);
            }
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Traces {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, cx: Context<'_, S>) {
        let span = cx.span(id).unwrap();
        let parent = span.parent().map(|parent| place(&parent));
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let at = self.told(|told| {
            told.spans.push(Seen {
                name: span.name(),
                level: *span.metadata().level(),
                parent,
                follows: Vec::new(),
                fields,
                is_open: true,
            });
            told.spans.len() - 1
        });
        span.extensions_mut().insert(Place(at));
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, cx: Context<'_, S>) {
        let at = place(&cx.span(id).unwrap());
        self.told(|told| values.record(&mut told.spans[at].fields));
    }

    fn on_follows_from(&self, id: &span::Id, follows: &span::Id, cx: Context<'_, S>) {
        let at = place(&cx.span(id).unwrap());
        let before = place(&cx.span(follows).unwrap());
        self.told(|told| told.spans[at].follows.push(before));
    }

    fn on_close(&self, id: span::Id, cx: Context<'_, S>) {
        let at = place(&cx.span(&id).unwrap());
        self.told(|told| told.spans[at].is_open = false);
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let said = Said {
            level: *event.metadata().level(),
            is_root: cx.event_span(event).is_none(),
            fields,
        };
        self.told(|told| told.events.push(said));
    }
}

fn place<'a, S: LookupSpan<'a>>(span: &tracing_subscriber::registry::SpanRef<'a, S>) -> usize {
    let Place(at) = span.extensions().get().copied().unwrap();
    at
}

/// Runs a test on one thread, all of whose traces up to a level are kept.
async fn traced<F>(level: LevelFilter, rig: &Arc<Rig>, test: F)
where
    F: AsyncFnOnce(&Rig, &Traces) + Send + 'static,
{
    let rig = Arc::clone(rig);
    let run = move || {
        let traces = Traces::default();
        let registry = tracing_subscriber::registry().with(level);
        tracing::subscriber::with_default(registry.with(traces.clone()), || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(test(&rig, &traces));
        });
    };
    spawn_blocking(run).await.unwrap();
}

/// On behalf of a request.
async fn request<F: Future>(work: F) -> F::Output {
    work.instrument(info_span!("request")).await
}

fn named(rig: &Rig, text: &str) -> String {
    text.replace("PORT", &rig.tap.port().to_string())
        .replace("POOL", "db.client.connection.pool.name")
}

/// The right configuration, with a name to be resolved.
fn by_name(rig: &Rig) -> PoolBuilder {
    let port = rig.tap.port();
    let config = Config::new()
        .connect_retry(false)
        .host("localhost")
        .port(port)
        .database(rig.cluster.database())
        .user(rig.cluster.user())
        .password(rig.cluster.password())
        .tls_root(rig.cluster.root_file())
        .pool_max_size(1);
    Pool::builder(config)
        .observer(rig.record.clone())
        .resolver(move |_, _| async move { Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]) })
}

/// Polls a future once, in which it has to wait, and drops it.
async fn given_up(work: impl Future) {
    let mut work = pin!(work);
    let polled = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await;
    assert!(polled, "it has to wait");
}

const CONNECT: &str = "\
connect after pool.acquire db.namespace=app db.system.name=postgresql network.peer.address=127.0.0.1 \
server.address=localhost server.port=PORT
  tcp
  tls tls.protocol.version=1.3
  startup
";

async fn an_acquire_that_waits_and_what_it_waits_for(rig: Arc<Rig>) {
    traced(LevelFilter::INFO, &rig, async |rig, traces| {
        let pool = by_name(rig).build().unwrap();
        let client = request(pool.acquire()).await.unwrap();
        let opens = "\
request
  pool.acquire POOL=localhost:PORT/app outcome=waited
connect after pool.acquire db.namespace=app db.system.name=postgresql network.peer.address=127.0.0.1 \
server.address=localhost server.port=PORT
  resolve
  tcp
  tls tls.protocol.version=1.3
  startup
";
        assert_eq!(traces.tree().await, named(rig, opens));

        let (next, ()) = tokio::join!(request(pool.acquire()), async {
            eventually("one waits", async || pool.status().waiting == 1).await;
            drop(client);
        });
        drop(next.unwrap());
        let returned = "\
request
  pool.acquire POOL=localhost:PORT/app outcome=waited
";
        assert_eq!(traces.tree().await, named(rig, returned));

        eventually("one is idle", async || {
            request(async { pool.try_acquire() }).await.is_some()
        })
        .await;
        traces.tree().await;
        drop(request(pool.acquire()).await.unwrap());
        assert_eq!(traces.tree().await, "request\n");
        pool.shutdown(6 * SLACK).await;
    })
    .await;
}

async fn an_acquire_that_ends_at_once_has_a_span_at_debug_only(rig: Arc<Rig>) {
    traced(LevelFilter::DEBUG, &rig, async |rig, traces| {
        let pool = rig.pool(rig.config().pool_max_size(1).pool_max_waiting(1_u32));
        drop(request(pool.acquire()).await.unwrap());
        traces.tree().await;
        let client = request(pool.acquire()).await.unwrap();
        let direct = "\
request
  pool.acquire (DEBUG) POOL=localhost:PORT/app outcome=direct
";
        assert_eq!(traces.tree().await, named(rig, direct));

        let (late, full) = tokio::join!(pool.acquire_timeout(Duration::from_millis(300)), async {
            eventually("one waits", async || pool.status().waiting == 1).await;
            request(pool.acquire()).await
        });
        assert!(matches!(late, Err(Error::Timeout(_))));
        assert!(matches!(full, Err(Error::QueueFull(1))));
        drop(client);
        pool.shutdown(6 * SLACK).await;
        assert!(matches!(request(pool.acquire()).await, Err(Error::Closed)));
        let refused = "\
pool.acquire POOL=localhost:PORT/app error.type=timeout outcome=timeout
request
  pool.acquire (DEBUG) POOL=localhost:PORT/app error.type=queue_full outcome=queue_full
request
  pool.acquire (DEBUG) POOL=localhost:PORT/app error.type=closed outcome=closed
";
        assert_eq!(traces.tree().await, named(rig, refused));
    })
    .await;
}

async fn waits_that_end_without_a_client(rig: Arc<Rig>) {
    traced(LevelFilter::INFO, &rig, async |rig, traces| {
        let pool = rig.pool(rig.config().pool_max_size(1));
        let client = pool.acquire().await.unwrap();
        traces.tree().await;
        let late = request(pool.acquire_timeout(Duration::from_millis(20))).await;
        assert!(matches!(late, Err(Error::Timeout(_))));
        given_up(request(pool.acquire())).await;
        let (closed, ()) = tokio::join!(request(pool.acquire()), async {
            eventually("one waits", async || pool.status().waiting == 1).await;
            drop(client);
            pool.shutdown(6 * SLACK).await;
        });
        assert!(matches!(closed, Err(Error::Closed)));
        let waits = "\
request
  pool.acquire POOL=localhost:PORT/app error.type=timeout outcome=timeout
request
  pool.acquire POOL=localhost:PORT/app error.type=cancelled outcome=cancelled
request
  pool.acquire POOL=localhost:PORT/app error.type=closed outcome=closed
";
        assert_eq!(traces.tree().await, named(rig, waits));
    })
    .await;
}

/// What a failed connect and the acquire that asked for it look like.
fn failure(rig: &Rig, error_type: &str, place: &str, stages: &str) -> String {
    let tree = format!(
        "\
request
  pool.acquire POOL=localhost:PORT/app error.type={error_type} outcome=connect_failed
connect after pool.acquire db.namespace=app db.system.name=postgresql error.type={error_type}{place}
{stages}"
    );
    named(rig, &tree)
}

const PLACE: &str = " network.peer.address=127.0.0.1 server.address=localhost server.port=PORT";

async fn connects_that_fail_are_of_the_type_that_the_metrics_tell(rig: Arc<Rig>) {
    traced(LevelFilter::INFO, &rig, async |rig, traces| {
        let folder = tempfile::tempdir().unwrap();
        let stranger = folder.path().join("root.pem");
        std::fs::write(&stranger, Pki::new().root_pem()).unwrap();
        let refused = async |pool: Pool| {
            let error = request(pool.acquire()).await.unwrap_err();
            pool.shutdown(6 * SLACK).await;
            error
        };

        let error = refused(rig.pool(rig.config().tls_root(stranger.as_path()))).await;
        assert_eq!(error.class(), Class::Tls);
        let counts = rig.record.counts();
        let [(reason, 1)] = counts.failed.iter().collect::<Vec<_>>()[..] else {
            panic!("{:?}", counts.failed)
        };
        let stages = format!("  tcp\n  tls error.type={reason}\n");
        assert_eq!(
            traces.tree().await,
            failure(rig, reason.as_str(), PLACE, &stages)
        );
        assert_eq!(*reason, HandshakeFailure::CertificateUnknownIssuer);

        let error = refused(rig.pool(rig.config().password("wrong"))).await;
        assert_eq!(error.class(), Class::Auth);
        let stages = "  tcp\n  tls tls.protocol.version=1.3\n  startup error.type=auth\n";
        assert_eq!(traces.tree().await, failure(rig, "auth", PLACE, stages));

        let nothing = by_name(rig).resolver(|_, _| async { Err(io::Error::other("no")) });
        refused(nothing.build().unwrap()).await;
        let place = " server.address=localhost server.port=PORT";
        let stages = "  resolve error.type=resolve\n";
        assert_eq!(traces.tree().await, failure(rig, "resolve", place, stages));

        let hook = by_name(rig).before_connect(|_| async { Err("no".into()) });
        refused(hook.build().unwrap()).await;
        assert_eq!(traces.tree().await, failure(rig, "setup", place, ""));

        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        refused(rig.pool(rig.config().port([port]))).await;
        let there = port.to_string();
        let tree = traces.tree().await.replace(&there, "PORT");
        let stages = "  tcp error.type=tcp\n";
        let here = rig.tap.port().to_string();
        let expected = failure(rig, "tcp", PLACE, stages).replace(&here, "PORT");
        assert_eq!(tree, expected);
    })
    .await;
}

async fn a_connect_outlives_the_acquire_that_asked_for_it(rig: Arc<Rig>) {
    traced(LevelFilter::INFO, &rig, async |rig, traces| {
        let pool = rig.pool(rig.config().pool_max_size(1));
        given_up(request(pool.acquire())).await;
        eventually("it is opened all the same", async || {
            rig.record.counts().opened == 1
        })
        .await;
        let cancelled = "\
request
  pool.acquire POOL=localhost:PORT/app error.type=cancelled outcome=cancelled
";
        let tree = [cancelled, CONNECT].concat();
        assert_eq!(traces.tree().await, named(rig, &tree));
        drop(pool.acquire().await.unwrap());
        assert_eq!(rig.record.counts().opened, 1);
        pool.shutdown(6 * SLACK).await;
    })
    .await;
}

async fn a_handshake_given_up_was_cancelled(rig: Arc<Rig>) {
    traced(LevelFilter::INFO, &rig, async |rig, traces| {
        // Takes connections, and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let pool = rig.pool(rig.config().port([port]));
        let (closed, ()) = tokio::join!(request(pool.acquire()), async {
            eventually("the handshake has begun", async || {
                rig.record.counts().started == 1
            })
            .await;
            pool.shutdown(6 * SLACK).await;
        });
        assert!(matches!(closed, Err(Error::Closed)));
        let tree = traces.tree().await.replace(&port.to_string(), "PORT");
        let expected = "\
request
  pool.acquire db.client.connection.pool.name=localhost:PORT/app error.type=closed outcome=closed
connect after pool.acquire db.namespace=app db.system.name=postgresql error.type=cancelled
  tcp
  tls error.type=cancelled
";
        assert_eq!(tree, expected);
        let counts = rig.record.counts();
        let counted: Vec<_> = counts.failed.keys().map(|reason| reason.as_str()).collect();
        assert_eq!(counted, ["cancelled"]);
    })
    .await;
}

async fn a_connect_for_nobody_follows_from_nothing(rig: Arc<Rig>) {
    traced(LevelFilter::INFO, &rig, async |rig, traces| {
        let pool = rig.pool(rig.config());
        let listener = request(async { pool.listen(["orders"]).await.unwrap() }).await;
        let alone = CONNECT.replace(" after pool.acquire", "");
        let tree = ["request\n", &alone].concat();
        assert_eq!(traces.tree().await, named(rig, &tree));
        drop(listener);
        pool.shutdown(6 * SLACK).await;
    })
    .await;
}

async fn a_cancel_request_is_a_connect_of_its_own(rig: Arc<Rig>) {
    traced(LevelFilter::INFO, &rig, async |rig, traces| {
        let pool = rig.pool(rig.config().pool_max_size(1));
        let client = pool.acquire().await.unwrap();
        traces.tree().await;
        request(client.cancel_handle().cancel()).await.unwrap();
        let connect = CONNECT.replace("pool.acquire", "request");
        let connect = connect.replace("  startup\n", "");
        let tree = ["request\n", &connect].concat();
        assert_eq!(traces.tree().await, named(rig, &tree));
        drop(client);
        pool.shutdown(6 * SLACK).await;
    })
    .await;
}

async fn a_connection_has_no_span_of_a_request(rig: Arc<Rig>) {
    traced(LevelFilter::DEBUG, &rig, async |rig, traces| {
        let pool = rig.pool(rig.config().pool_max_size(1));
        // Held while it waits, which lets every task of the thread see it.
        let held = info_span!("held");
        let guard = held.enter();
        let client = pool.acquire().await.unwrap();
        let notice = "do $$ begin raise notice 'a word of the server'; end $$";
        client.batch_execute(notice).await.unwrap();
        let end = "select pg_terminate_backend(pg_backend_pid())";
        client.batch_execute(end).await.unwrap_err();
        drop(client);
        pool.shutdown(6 * SLACK).await;
        drop(guard);
        drop(held);

        traces.told(|told| {
            for words in ["a word of the server", "connection lost"] {
                let said: Vec<_> = told
                    .events
                    .iter()
                    // The driver logs what is asked, in the span of who asks.
                    .filter(|said| said.fields.0.contains_key("server"))
                    .filter(|said| said.fields.to_string().contains(words))
                    .collect();
                assert!(!said.is_empty(), "{words}");
                assert!(said.iter().all(|said| said.is_root), "{words}");
            }
        });
        let tree = traces.tree().await;
        let held = "\
held
  pool.acquire POOL=localhost:PORT/app outcome=waited
";
        assert_eq!(tree, named(rig, &[held, CONNECT].concat()));
    })
    .await;
}

async fn neither_secrets_nor_words_of_the_server(rig: Arc<Rig>) {
    const SECRET: &str = "a-password-that-is-wrong";
    const WORDS: &str = "password authentication failed";
    traced(LevelFilter::TRACE, &rig, async |rig, traces| {
        let right = rig.pool(rig.config());
        let client = request(right.acquire()).await.unwrap();
        let notice = format!("do $$ begin raise warning '{WORDS}'; end $$");
        client.batch_execute(&notice).await.unwrap();
        drop(client);
        right.shutdown(6 * SLACK).await;
        let wrong = rig.pool(rig.config().password(SECRET));
        let error = request(wrong.acquire()).await.unwrap_err();
        assert!(crate::rig::chain(&error).contains(WORDS));
        wrong.shutdown(6 * SLACK).await;
        traces.tree().await;

        traces.told(|told| {
            let spans = told.spans.iter().map(|seen| (seen.level, &seen.fields));
            let events = told.events.iter().map(|said| (said.level, &said.fields));
            let mut heard = 0;
            for (level, fields) in spans.chain(events) {
                let fields = fields.to_string();
                for secret in [SECRET, rig.cluster.password()] {
                    assert!(!fields.contains(secret), "{fields}");
                }
                if fields.contains(WORDS) {
                    assert!(level >= Level::DEBUG, "{level} {fields}");
                    heard += 1;
                }
            }
            assert!(heard > 0, "the server's words are there at debug");
        });
        assert!(Span::current().is_none());
    })
    .await;
}
