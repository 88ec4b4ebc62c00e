use std::{
    net::SocketAddr,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

use super::connection_info::ConnectionInfo;
use crate::{
    connect::{CancelHandle, Condition, Parting, TlsSession},
    event::Server,
};

/// Every open connection of a pool, wherever it is.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Vec<Weak<Card>>>);

/// What is known of an open connection while somebody else holds it.
#[derive(Debug)]
pub(super) struct Card {
    server: Place,
    tls: Arc<TlsSession>,
    opened: Instant,
    /// How often it has been lent.
    uses: AtomicU32,
    condition: Arc<Condition>,
    request: CancelHandle,
    /// From the end of its opening to the beginning of its closing.
    pooled: AtomicBool,
    /// Whether it is one of the lane's, which are never lent.
    in_lane: AtomicBool,
    /// While nobody has it, the three below are those of the last loan.
    is_lent: AtomicBool,
    /// In nanoseconds since it was opened.
    lent_at: AtomicU64,
    lent_to: Mutex<&'static Location<'static>>,
    /// The last use that was told to last too long.
    suspected: AtomicU32,
    hold: Mutex<Hold>,
}

/// Where a connection leads.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) address: SocketAddr,
}

#[derive(Debug)]
struct Hold {
    /// Its end tells the connection that it may go.
    owner: Option<oneshot::Sender<Parting>>,
    driver: Option<JoinHandle<()>>,
    cut: bool,
}

/// Somebody who holds a client.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Holder {
    /// Where it was acquired.
    pub place: &'static Location<'static>,
    /// For how long it has been held.
    pub held: Duration,
}

impl Ledger {
    pub(super) fn open(
        &self,
        server: Place,
        tls: Arc<TlsSession>,
        owner: oneshot::Sender<Parting>,
        driver: JoinHandle<()>,
        condition: Arc<Condition>,
        request: CancelHandle,
    ) -> Arc<Card> {
        let card = Arc::new(Card {
            server,
            tls,
            opened: Instant::now(),
            uses: AtomicU32::new(0),
            condition,
            request,
            pooled: AtomicBool::new(false),
            in_lane: AtomicBool::new(false),
            is_lent: AtomicBool::new(false),
            lent_at: AtomicU64::new(0),
            lent_to: Mutex::new(Location::caller()),
            suspected: AtomicU32::new(0),
            hold: Mutex::new(Hold {
                owner: Some(owner),
                driver: Some(driver),
                cut: false,
            }),
        });
        let mut cards = lock(&self.0);
        cards.retain(|card| card.strong_count() > 0);
        cards.push(Arc::downgrade(&card));
        card
    }

    /// Those that have not been closed.
    pub(super) fn cards(&self) -> Vec<Arc<Card>> {
        let cards = lock(&self.0);
        let cards = cards.iter().filter_map(Weak::upgrade);
        cards
            .filter(|card| lock(&card.hold).owner.is_some())
            .collect()
    }

    /// How many wait for a borrower.
    pub(super) fn idle(&self) -> usize {
        let cards = self.cards();
        let idle = |card: &&Arc<Card>| card.is_pooled() && !card.is_lent();
        cards.iter().filter(idle).count()
    }

    pub(super) fn holders(&self) -> Vec<Holder> {
        let cards = self.cards();
        cards.iter().filter_map(|card| card.holder()).collect()
    }

    pub(super) fn connections(&self) -> Vec<ConnectionInfo> {
        let cards = self.cards();
        let open = cards
            .iter()
            .filter(|card| card.is_pooled() || card.is_in_lane());
        open.map(|card| card.info()).collect()
    }
}

impl Card {
    /// Takes note of a loan, which only whoever has it alone may do; `place` is told when it is another than last time.
    pub(super) fn lend(&self, place: Option<&'static Location<'static>>, since: Instant) {
        // First, so that whoever reads the rest meanwhile sees that it is of two loans.
        let uses = self.uses().saturating_add(1);
        self.uses.store(uses, Ordering::Release);
        if let Some(place) = place {
            *lock(&self.lent_to) = place;
        }
        let lent_at = since.saturating_duration_since(self.opened).as_nanos();
        let lent_at = u64::try_from(lent_at).unwrap_or(u64::MAX);
        self.lent_at.store(lent_at, Ordering::Release);
        self.is_lent.store(true, Ordering::Release);
    }

    pub(super) fn give_back(&self) {
        self.is_lent.store(false, Ordering::Release);
    }

    pub(super) fn is_lent(&self) -> bool {
        self.is_lent.load(Ordering::Acquire)
    }

    pub(super) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Relaxed)
    }

    pub(super) fn is_in_lane(&self) -> bool {
        self.in_lane.load(Ordering::Relaxed)
    }

    pub(super) fn join_lane(&self) {
        self.in_lane.store(true, Ordering::Relaxed);
    }

    pub(super) fn enter(&self) {
        self.pooled.store(true, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.pooled.store(false, Ordering::Relaxed);
        self.in_lane.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_suspected(&self) -> bool {
        self.is_lent() && self.suspected.load(Ordering::Relaxed) == self.uses()
    }

    pub(super) fn uses(&self) -> u32 {
        self.uses.load(Ordering::Acquire)
    }

    fn info(&self) -> ConnectionInfo {
        let Place {
            host,
            port,
            address,
        } = &self.server;
        ConnectionInfo {
            host: Arc::clone(host),
            port: *port,
            address: *address,
            age: self.opened.elapsed(),
            uses: self.uses(),
            held: self.holder().map(|holder| holder.held),
            in_lane: self.is_in_lane(),
            tls: Arc::clone(&self.tls),
        }
    }

    fn holder(&self) -> Option<Holder> {
        self.loan().map(|(_, holder)| holder)
    }

    /// The number of its present loan, and who has it.
    fn loan(&self) -> Option<(u32, Holder)> {
        loop {
            let uses = self.uses();
            if !self.is_lent() {
                return None;
            }
            let lent_at = Duration::from_nanos(self.lent_at.load(Ordering::Acquire));
            let place = *lock(&self.lent_to);
            if self.uses() == uses {
                let held = self.opened.elapsed().saturating_sub(lent_at);
                return Some((uses, Holder { place, held }));
            }
        }
    }

    pub(super) fn server(&self) -> Server<'_> {
        let Place {
            host,
            port,
            address,
        } = &self.server;
        Server {
            host,
            port: *port,
            address: *address,
        }
    }

    /// Whoever has held it for so long, once.
    pub(super) fn suspect(&self, threshold: Duration) -> Option<Holder> {
        let (uses, holder) = self.loan()?;
        if holder.held < threshold || self.suspected.swap(uses, Ordering::Relaxed) == uses {
            return None;
        }
        Some(holder)
    }

    /// Whether the connection is the pool's and still works, as far as this side knows.
    pub(super) fn is_alive(&self) -> bool {
        let hold = lock(&self.hold);
        self.is_pooled()
            && hold
                .driver
                .as_ref()
                .is_some_and(|driver| !driver.is_finished())
    }

    /// Lets the connection say goodbye.
    pub(super) fn let_go(&self) {
        lock(&self.hold).owner = None;
    }

    /// Ends the connection whatever it is doing, unless it is saying goodbye; what is then to be cancelled, since the
    /// server goes on with it.
    pub(super) fn cut(&self) -> Option<CancelHandle> {
        let mut hold = lock(&self.hold);
        let owner = hold.owner.take()?;
        let is_busy = self.condition.is_busy();
        hold.cut = owner.send(Parting::Cut).is_ok();
        (hold.cut && is_busy).then(|| self.request.clone())
    }

    pub(super) fn was_cut(&self) -> bool {
        lock(&self.hold).cut
    }

    /// What ends when the connection has ended.
    pub(super) fn take_driver(&self) -> Option<JoinHandle<()>> {
        lock(&self.hold).driver.take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
