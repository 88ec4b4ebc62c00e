use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use sealpool::{Client, Mark, Outcome, Pool};
use sealpool_testkit::Tap;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::rig::{Rig, eventually, on_both};

on_both! {
    on_shared() => a_commit_cut_off_after_every_byte;
    on_shared() => a_commit_dropped_at_every_poll;
    on_shared() => a_query_that_never_left;
    on_shared() => a_query_cut_off_while_it_is_prepared;
    on_shared() => what_the_server_has_answered;
}

/// A proxy whose connections end, both ways, after so many bytes more in one direction.
pub(crate) struct Cutter {
    pub(crate) addr: SocketAddr,
    left: Arc<[AtomicUsize; 2]>,
    once: Arc<AtomicBool>,
}

pub(crate) const TO_SERVER: usize = 0;
pub(crate) const TO_CLIENT: usize = 1;
pub(crate) const UNCUT: usize = usize::MAX / 2;

impl Cutter {
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let left = Arc::new([AtomicUsize::new(UNCUT), AtomicUsize::new(UNCUT)]);
        let once = Arc::new(AtomicBool::new(false));
        let (budget, is_once) = (Arc::clone(&left), Arc::clone(&once));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(upstream).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let (budget, is_once) = (Arc::clone(&budget), Arc::clone(&is_once));
                tokio::spawn(async move {
                    tokio::select! {
                        () = copy(from_client, to_server, &budget[TO_SERVER]) => {}
                        () = copy(from_server, to_client, &budget[TO_CLIENT]) => {}
                    }
                    if is_once.load(Ordering::SeqCst) {
                        for left in &*budget {
                            left.store(UNCUT, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        Self { addr, left, once }
    }

    /// The same, and connections made after it are left alone.
    pub(crate) fn cut_once_after(&self, direction: usize, bytes: usize) {
        self.once.store(true, Ordering::SeqCst);
        self.cut_after(direction, bytes);
    }

    pub(crate) fn cut_after(&self, direction: usize, bytes: usize) {
        self.left[direction].store(bytes, Ordering::SeqCst);
    }

    /// How many bytes have passed since it was told not to cut.
    pub(crate) fn passed(&self, direction: usize) -> usize {
        UNCUT - self.left[direction].load(Ordering::SeqCst)
    }
}

/// Ends when all bytes that were left have passed and more come, or when one side closes.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: &AtomicUsize) {
    let mut buffer = vec![0; 1 << 14];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let allowed = count.min(left.load(Ordering::SeqCst));
        left.fetch_sub(allowed, Ordering::SeqCst);
        if to.write_all(&buffer[..allowed]).await.is_err() || allowed < count {
            return;
        }
    }
}

/// The tap, then the proxy that cuts, then the server.
struct Line {
    cutter: Cutter,
    tap: Tap,
    pool: Pool,
}

impl Line {
    async fn new(rig: &Rig) -> Self {
        let cutter = Cutter::start(rig.cluster.addr()).await;
        let tap = Tap::start(cutter.addr).unwrap();
        tap.forbid(rig.cluster.password());
        let pool = rig.pool(rig.retrying().port(tap.port()).pool_max_size(1));
        Self { cutter, tap, pool }
    }

    fn end(self) {
        let Self {
            cutter: _,
            tap,
            pool,
        } = self;
        drop(pool);
        tap.verify().unwrap();
    }
}

pub(crate) async fn table(admin: &Client, name: &str) -> String {
    let name = format!("{name}_{}", fastrand::u64(..));
    let create = format!("create table {name} (id int)");
    admin.batch_execute(&create).await.unwrap();
    name
}

/// Looked at from elsewhere, and not before the server is done with what was cut off.
pub(crate) async fn rows(admin: &Client, table: &str, id: i32) -> i64 {
    let lock = format!("begin; lock table {table}; end");
    admin.batch_execute(&lock).await.unwrap();
    let count = format!("select count(*) from {table} where id = $1");
    let row = admin.query_one(&count, &[&id]).await.unwrap();
    row.get(0)
}

/// Inserts a row and commits; the mark is put before the commit.
async fn commit(
    line: &Line,
    table: &str,
    id: i32,
    cut: Option<(usize, usize)>,
) -> (Client, Mark, bool) {
    let mut client = line.pool.acquire().await.unwrap();
    let mut mark = client.mark();
    let transaction = client.transaction().await.unwrap();
    let insert = format!("insert into {table} values ({id})");
    transaction.batch_execute(&insert).await.unwrap();
    mark.renew();
    for direction in [TO_SERVER, TO_CLIENT] {
        let after = match cut {
            Some((chosen, bytes)) if chosen == direction => bytes,
            _ => UNCUT,
        };
        line.cutter.cut_after(direction, after);
    }
    let committed = transaction.commit().await.is_ok();
    (client, mark, committed)
}

/// Whatever the number of bytes after which it was cut off, in either direction, nobody is told that it was not done.
async fn a_commit_cut_off_after_every_byte(rig: Arc<Rig>) {
    let admin = rig.pool(rig.config()).acquire().await.unwrap();
    let table = table(&admin, "cut").await;
    let line = Line::new(&rig).await;
    let (client, mark, committed) = commit(&line, &table, 0, None).await;
    assert!(committed);
    assert_eq!(mark.outcome(), Outcome::Answered);
    let passed = [TO_SERVER, TO_CLIENT].map(|direction| line.cutter.passed(direction));
    assert!(passed.iter().all(|bytes| *bytes > 20), "{passed:?}");
    drop(client);
    let mut id = 0;
    for direction in [TO_SERVER, TO_CLIENT] {
        for bytes in 0..passed[direction] {
            id += 1;
            let (client, mark, committed) =
                commit(&line, &table, id, Some((direction, bytes))).await;
            assert!(!committed, "cut after {bytes} bytes");
            assert_eq!(mark.outcome(), Outcome::Unknown, "cut after {bytes} bytes");
            drop(client);
            line.cutter.cut_after(direction, UNCUT);
            let done = rows(&admin, &table, id).await;
            let expected = i64::from(direction == TO_CLIENT);
            assert_eq!(done, expected, "cut after {bytes} bytes: never twice");
        }
    }
    assert_eq!(rows(&admin, &table, 0).await, 1);
    line.end();
}

async fn a_commit_dropped_at_every_poll(rig: Arc<Rig>) {
    let admin = rig.pool(rig.config()).acquire().await.unwrap();
    let table = table(&admin, "dropped").await;
    let line = Line::new(&rig).await;
    for polls in 0..3 {
        let mut client = line.pool.acquire().await.unwrap();
        let mut mark = client.mark();
        let transaction = client.transaction().await.unwrap();
        let insert = format!("insert into {table} values ({polls})");
        transaction.batch_execute(&insert).await.unwrap();
        eventually("the insert has been dealt with", async || {
            mark.renew();
            mark.outcome() == Outcome::NotSent
        })
        .await;
        {
            let mut commit = pin!(transaction.commit());
            let mut left = polls;
            poll_fn(|cx| {
                while left > 0 && commit.as_mut().poll(cx).is_pending() {
                    left -= 1;
                }
                std::task::Poll::Ready(())
            })
            .await;
        }
        // At least the ROLLBACK of a transaction that was dropped is under way.
        assert_ne!(mark.outcome(), Outcome::NotSent, "{polls} polls");
        eventually("both have been answered", async || {
            mark.outcome() == Outcome::Answered
        })
        .await;
        drop(client);
        let done = rows(&admin, &table, polls).await;
        assert_eq!(done, i64::from(polls > 0), "{polls} polls");
    }
    line.end();
}

async fn a_query_that_never_left(rig: Arc<Rig>) {
    let line = Line::new(&rig).await;
    let client = line.pool.acquire().await.unwrap();
    line.cutter.cut_after(TO_SERVER, 0);
    let error = client.query_one("select 1", &[]).await.unwrap_err();
    assert!(error.as_db_error().is_none(), "{error}");
    eventually("it has ended", async || client.is_closed()).await;
    let mark = client.mark();
    let error = client.batch_execute("select 1").await.unwrap_err();
    assert!(error.is_closed(), "{error}");
    eventually("nothing has left", async || {
        mark.outcome() == Outcome::NotSent
    })
    .await;
    line.cutter.cut_after(TO_SERVER, UNCUT);
    drop(client);
    let again = line.pool.acquire().await.unwrap();
    again.query_one("select 1", &[]).await.unwrap();
    drop(again);
    line.end();
}

/// Parse has left, but nothing was to be executed.
async fn a_query_cut_off_while_it_is_prepared(rig: Arc<Rig>) {
    let line = Line::new(&rig).await;
    for direction in [TO_SERVER, TO_CLIENT] {
        let client = line.pool.acquire().await.unwrap();
        let mark = client.mark();
        line.cutter.cut_after(direction, 10);
        client.query_one("select 1", &[]).await.unwrap_err();
        eventually("it was not sent", async || {
            mark.outcome() == Outcome::NotSent
        })
        .await;
        line.cutter.cut_after(direction, UNCUT);
        drop(client);

        let client = line.pool.acquire().await.unwrap();
        let select = client.prepare("select 1").await.unwrap();
        let mark = client.mark();
        line.cutter.cut_after(direction, 10);
        client.query_one(&select, &[]).await.unwrap_err();
        assert_eq!(mark.outcome(), Outcome::Unknown);
        line.cutter.cut_after(direction, UNCUT);
    }
    line.end();
}

async fn what_the_server_has_answered(rig: Arc<Rig>) {
    let client = rig.pool(rig.config()).acquire().await.unwrap();
    let mark = client.mark();
    client.batch_execute("select 1").await.unwrap();
    assert_eq!(mark.outcome(), Outcome::Answered);
    client
        .query_one("select 1 where false", &[])
        .await
        .unwrap_err();
    assert_eq!(
        mark.outcome(),
        Outcome::Answered,
        "it is ours to have wanted a row"
    );
    let mark = client.mark();
    client.batch_execute("select 1 / 0").await.unwrap_err();
    assert_eq!(mark.outcome(), Outcome::Refused);
    let mark = client.mark();
    let running = client.batch_execute("select pg_sleep(60)");
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(50), running).await;
    assert!(given_up.is_err());
    assert_eq!(mark.outcome(), Outcome::Unknown);
}
