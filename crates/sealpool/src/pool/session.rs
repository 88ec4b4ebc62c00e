use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::ClientWrapper;
use tokio::time::{Instant, timeout};

use super::ledger::{Card, Ledger, Place};

use crate::{
    connect::{CancelHandle, Condition, Connector, Loan, Opened, TlsSession},
    event::{CloseReason, Event, HealthCheckOutcome},
    policy::{Care, Generation},
};

/// How long the next borrower waits for a cancel request of the last one to be through.
const SETTLING: Duration = Duration::from_secs(1);

/// A connection that has rested for longer is checked before it is lent.
const RESTED: Duration = Duration::from_secs(1);
const CHECK: Duration = Duration::from_millis(500);

/// What all sessions of a pool go by.
#[derive(Debug, Default)]
pub(super) struct House {
    pub(super) closing: AtomicBool,
    /// How often all connections were to be replaced.
    pub(super) evictions: AtomicU32,
    pub(super) ledger: Ledger,
}

/// What the pool keeps: a connection and the facts of its TLS.
#[derive(Debug)]
pub(super) struct Session {
    client: ClientWrapper,
    tls: TlsSession,
    host: Arc<str>,
    port: u16,
    address: SocketAddr,
    connector: Connector,
    house: Arc<House>,
    card: Arc<Card>,
    generation: Arc<Generation>,
    opened_after_evictions: u32,
    /// When it is to be replaced.
    expires: Instant,
    /// When it is closed even if nothing replaces it.
    overdue: Instant,
    idle_since: Instant,
    uses: u32,
    max_uses: Option<u32>,
    condition: Arc<Condition>,
    care: Care,
    /// When it is retired within a rotation: 0 at its beginning, 1 at its end.
    turn: f64,
    /// The last loan, if it had cancel handles.
    unsettled: Option<Arc<Loan>>,
    closed_for: Option<CloseReason>,
}

impl Session {
    pub(super) fn new(opened: Opened, connector: Connector, house: Arc<House>, turn: f64) -> Self {
        let Opened {
            client,
            driver,
            task,
            owner,
            condition,
            tls,
            generation,
            host,
            port,
            address,
        } = opened;
        generation.opened();
        let now = Instant::now();
        let policy = connector.policy();
        let lifetime = policy.pooling.max_lifetime;
        let expires = now + lifetime.mul_f64(0.9 + 0.2 * turn);
        let replaced = policy.pooling.min_idle > 0;
        let grace = if replaced {
            lifetime / 10
        } else {
            Duration::ZERO
        };
        let care = policy.care;
        let card = house.ledger.open(
            Place {
                host: Arc::clone(&host),
                port,
                address,
            },
            owner,
            driver,
        );
        Self {
            client: ClientWrapper::new(client, task),
            tls,
            host,
            port,
            address,
            connector,
            card,
            generation,
            opened_after_evictions: house.evictions.load(Ordering::Relaxed),
            house,
            expires,
            overdue: expires + grace,
            idle_since: now,
            uses: 0,
            max_uses: policy.pooling.max_uses,
            condition,
            care,
            turn,
            unsettled: None,
            closed_for: None,
        }
    }

    pub(super) const fn tls(&self) -> &TlsSession {
        &self.tls
    }

    pub(super) const fn condition(&self) -> &Arc<Condition> {
        &self.condition
    }

    pub(super) const fn care(&self) -> Care {
        self.care
    }

    pub(super) fn cancel_handle(&self, loan: Arc<Loan>) -> CancelHandle {
        CancelHandle {
            connector: self.connector.clone(),
            token: self.client.cancel_token(),
            host: Arc::clone(&self.host),
            port: self.port,
            address: self.address,
            loan,
        }
    }

    pub(super) fn lend(&mut self, place: &'static Location<'static>) {
        self.uses = self.uses.saturating_add(1);
        // The clock is read for `Pool::holders`.
        self.card.lend(place, Instant::now());
    }

    /// Takes note that it has come back; why it is to be closed, if it is.
    pub(super) fn come_back(&mut self) -> Option<CloseReason> {
        self.card.give_back();
        self.idle_since = Instant::now();
        let overdue = self.idle_since >= self.overdue;
        self.outlived()
            .or_else(|| overdue.then_some(CloseReason::MaxLifetime))
    }

    /// Why it is to be replaced while nobody uses it.
    pub(super) fn retirement(&self, now: Instant) -> Option<CloseReason> {
        if self.client.is_closed() {
            return Some(CloseReason::Broken);
        }
        self.outlived()
            .or_else(|| (now >= self.expires).then_some(CloseReason::MaxLifetime))
    }

    fn outlived(&self) -> Option<CloseReason> {
        let evictions = self.house.evictions.load(Ordering::Relaxed);
        if self.is_to_be_rotated() {
            Some(CloseReason::TlsRotated)
        } else if self.opened_after_evictions != evictions {
            Some(CloseReason::Evicted)
        } else if self.max_uses.is_some_and(|most| self.uses >= most) {
            Some(CloseReason::MaxUses)
        } else {
            None
        }
    }

    pub(super) fn has_been_idle_for(&self, limit: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) >= limit
    }

    /// Whether it answers, asked only when it has rested for a while: a query on every acquire halves what a pool can do.
    pub(super) async fn answers(&self) -> bool {
        if self.idle_since.elapsed() <= RESTED {
            return true;
        }
        let answered = matches!(
            timeout(CHECK, self.client.simple_query("")).await,
            Ok(Ok(_))
        );
        let outcome = if answered {
            HealthCheckOutcome::Ok
        } else {
            HealthCheckOutcome::Failed
        };
        self.connector.observer().on_event(&Event::HealthChecked {
            server: self.card.server(),
            outcome,
        });
        answered
    }

    /// Whether its certificates, keys or lists have been replaced, and its turn has come.
    pub(super) fn is_to_be_rotated(&self) -> bool {
        self.generation
            .superseded_for()
            .is_some_and(|time| time >= self.connector.policy().rotate_within.mul_f64(self.turn))
    }

    pub(super) fn settle_before_reuse(&mut self, loan: Arc<Loan>) {
        self.unsettled = Some(loan);
    }

    /// Whether no cancel request of the last borrower can hit the next one.
    pub(super) async fn settled(&mut self) -> bool {
        let Some(loan) = &self.unsettled else {
            return true;
        };
        let settled = timeout(SETTLING, loan.settled()).await.unwrap_or(false);
        if settled {
            self.unsettled = None;
        }
        settled
    }

    pub(super) const fn is_to_be_closed_for(&mut self, reason: CloseReason) {
        self.closed_for = Some(reason);
    }

    pub(super) fn close(mut self, reason: CloseReason) {
        self.is_to_be_closed_for(reason);
    }
}

impl Deref for Session {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.generation.closed();
        let reason = if self.card.was_cut() {
            CloseReason::PoolClosed
        } else if self.client.is_closed() {
            CloseReason::Broken
        } else if let Some(reason) = self.closed_for {
            reason
        } else if self.house.closing.load(Ordering::Relaxed) {
            CloseReason::PoolClosed
        } else {
            CloseReason::Detached
        };
        self.card.let_go();
        self.connector
            .observer()
            .on_event(&Event::ConnectionClosed {
                server: self.card.server(),
                reason,
            });
    }
}
