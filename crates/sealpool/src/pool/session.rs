use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
    panic::Location,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use deadpool_postgres::ClientWrapper;
use tokio::time::Instant;

use super::{
    house::House,
    ledger::{Card, Place},
    permit::Permit,
    terms::Terms,
};

use crate::{
    connect::{CancelHandle, Condition, Connector, Endpoint, Loan, Losses, Opened, TlsSession},
    event::{CloseReason, Event, Server},
    policy::{Care, Generation},
};

mod health;

pub(super) use health::CHECK;

/// What the pool keeps: a connection and the facts of its TLS.
#[derive(Debug)]
pub(super) struct Session {
    client: Wrapper,
    tls: Arc<TlsSession>,
    host: Arc<str>,
    port: u16,
    address: SocketAddr,
    connector: Connector,
    house: Arc<House>,
    card: Arc<Card>,
    generation: Arc<Generation>,
    endpoint: Arc<Endpoint>,
    opened_after_evictions: u32,
    opened: Instant,
    idle_since: Instant,
    /// Where it was lent last, and when.
    lent: (&'static Location<'static>, Instant),
    is_given: bool,
    /// When it was last asked and answered, or opened.
    answered: Instant,
    condition: Arc<Condition>,
    losses: Arc<Losses>,
    /// How many there were before it last answered.
    losses_before: u64,
    terms: Terms,
    /// When it is retired within a rotation: 0 at its beginning, 1 at its end.
    turn: f64,
    /// The last loan, if it had cancel handles.
    unsettled: Option<Arc<Loan>>,
    closed_for: Option<CloseReason>,
    /// What keeps its place until it has been closed.
    permit: Option<Permit>,
}

/// Taken when the session ends, and not before.
#[derive(Debug)]
struct Wrapper(Option<ClientWrapper>);

impl Session {
    pub(super) fn new(opened: Opened, connector: Connector, house: Arc<House>, turn: f64) -> Self {
        let Opened {
            client,
            driver,
            task,
            owner,
            condition,
            method: _,
            losses,
            losses_before,
            tls,
            generation,
            endpoint,
            host,
            port,
            address,
        } = opened;
        generation.opened();
        let now = Instant::now();
        let terms = Terms::of(&connector, now, turn);
        let tls = Arc::new(tls);
        let card = house.ledger.open(
            Place {
                host: Arc::clone(&host),
                port,
                address,
            },
            Arc::clone(&tls),
            owner,
            driver,
            Arc::clone(&condition),
            CancelHandle {
                connector: connector.clone(),
                token: client.cancel_token(),
                host: Arc::clone(&host),
                port,
                address,
                loan: Arc::clone(&house.own_loan),
            },
        );
        let client = ClientWrapper::new(client, task);
        condition.statements().keep(
            &client.statement_cache,
            connector.policy().statement_cache,
            Arc::clone(&house.redefinitions),
        );
        Self {
            client: Wrapper(Some(client)),
            tls,
            host,
            port,
            address,
            connector,
            card,
            generation,
            endpoint,
            opened_after_evictions: house.evictions.load(Ordering::Relaxed),
            house,
            opened: now,
            idle_since: now,
            lent: (Location::caller(), now),
            is_given: false,
            answered: now,
            condition,
            losses,
            losses_before,
            terms,
            turn,
            unsettled: None,
            closed_for: None,
            permit: None,
        }
    }

    pub(super) fn tls(&self) -> &TlsSession {
        &self.tls
    }

    /// Takes note that it may be lent.
    pub(super) fn set_up(&self) {
        self.card.enter();
    }

    /// The same, for statements of many.
    pub(super) fn join_lane(&self) {
        self.card.join_lane();
    }

    /// Ends it whatever it is doing; what is then to be cancelled.
    pub(super) fn cut(&self) -> Option<CancelHandle> {
        self.card.cut()
    }

    pub(super) const fn house(&self) -> &Arc<House> {
        &self.house
    }

    pub(super) fn hook_timeout(&self) -> Duration {
        self.connector.policy().pooling.hook_timeout
    }

    pub(super) fn server(&self) -> Server<'_> {
        self.card.server()
    }

    pub(super) fn place(&self) -> (Arc<str>, u16, Option<SocketAddr>) {
        (Arc::clone(&self.host), self.port, Some(self.address))
    }

    pub(super) const fn condition(&self) -> &Arc<Condition> {
        &self.condition
    }

    pub(super) fn care(&self) -> Care {
        self.terms().care
    }

    fn terms(&self) -> Terms {
        if self.terms.are_in_force(&self.connector) {
            self.terms
        } else {
            Terms::of(&self.connector, self.opened, self.turn)
        }
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

    pub(super) fn lend(&mut self, place: &'static Location<'static>, now: Instant) {
        self.condition.statements().renew();
        let is_new = !std::ptr::eq(self.lent.0, place);
        self.lent = (place, now);
        self.card.lend(is_new.then_some(place), now);
    }

    /// Takes note that an acquire has ended with it, and that observers were told.
    pub(super) const fn given(&mut self) {
        self.is_given = true;
    }

    /// Takes note that it has come back; why it is to be closed, if it is.
    pub(super) fn come_back(&mut self) -> Option<CloseReason> {
        self.card.give_back();
        self.terms = self.terms();
        self.idle_since = Instant::now();
        if std::mem::take(&mut self.is_given) {
            let (_, since) = self.lent;
            self.connector.observer().on_event(&Event::ClientReturned {
                server: self.card.server(),
                held: self.idle_since - since,
            });
        }
        let overdue = self.idle_since >= self.terms.overdue;
        self.outlived()
            .or_else(|| overdue.then_some(CloseReason::MaxLifetime))
    }

    /// Why it is to be replaced while nobody uses it.
    pub(super) fn retirement(&self, now: Instant) -> Option<CloseReason> {
        if self.client.is_closed() {
            return Some(CloseReason::Broken);
        }
        self.outlived()
            .or_else(|| (now >= self.terms().expiry).then_some(CloseReason::MaxLifetime))
    }

    pub(super) fn outlived(&self) -> Option<CloseReason> {
        let evictions = self.house.evictions.load(Ordering::Relaxed);
        if let Some(reason) = self.endpoint.given_up() {
            Some(reason)
        } else if let Some(reason) = self.rotation() {
            Some(reason)
        } else if self.opened_after_evictions != evictions {
            Some(CloseReason::Evicted)
        } else if self
            .terms()
            .max_uses
            .is_some_and(|most| self.card.uses() >= most)
        {
            Some(CloseReason::MaxUses)
        } else {
            None
        }
    }

    pub(super) const fn idle_since(&self) -> Instant {
        self.idle_since
    }

    pub(super) fn has_been_idle_for(&self, limit: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) >= limit
    }

    /// Why it is to be closed, if what it was made with has been replaced and its turn has come.
    pub(super) fn rotation(&self) -> Option<CloseReason> {
        let (time, reason) = self.generation.superseded_for()?;
        let within = self.connector.policy().rotate_within;
        (time >= within.mul_f64(self.turn)).then_some(reason)
    }

    pub(super) fn settle_before_reuse(&mut self, loan: Arc<Loan>) {
        self.unsettled = Some(loan);
    }

    pub(super) const fn is_to_be_closed_for(&mut self, reason: CloseReason) {
        self.closed_for = Some(reason);
    }

    /// Lays it down for the next borrower.
    pub(super) fn lay_down(self: Box<Self>) {
        let house = Arc::clone(&self.house);
        let closed = house.shelf(|shelf| shelf.put(self));
        drop(closed);
    }

    pub(super) fn close(mut self: Box<Self>, reason: CloseReason) {
        self.is_to_be_closed_for(reason);
    }

    /// The same, while the permit under which it was lent keeps its place.
    pub(super) fn close_in_place(mut self: Box<Self>, reason: CloseReason, permit: Option<Permit>) {
        self.is_to_be_closed_for(reason);
        self.permit = permit;
    }

    /// The same, for the reason that it has already.
    pub(super) fn end_in_place(mut self: Box<Self>, permit: Permit) {
        self.permit = Some(permit);
    }
}

impl Deref for Wrapper {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("a session that has not ended")
    }
}

impl DerefMut for Wrapper {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        self.0.as_mut().expect("a session that has not ended")
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
            let own = self.closed_for.filter(|_| self.card.is_in_lane());
            own.unwrap_or(CloseReason::PoolClosed)
        } else if self.client.is_closed() {
            CloseReason::Broken
        } else if let Some(reason) = self.closed_for {
            reason
        } else if self.house.closing.load(Ordering::Relaxed) {
            CloseReason::PoolClosed
        } else {
            CloseReason::Detached
        };
        self.card.leave();
        self.connector
            .observer()
            .on_event(&Event::ConnectionClosed {
                server: self.card.server(),
                reason,
            });
        let asks = self.house.hooks.before_close.is_some() && reason != CloseReason::Broken;
        match self.client.0.take() {
            Some(client) if asks && !self.card.was_cut() => {
                let (permit, limit) = (self.permit.take(), self.hook_timeout());
                self.house.part(client, &self.card, permit, limit);
            }
            _ => self.card.let_go(),
        }
    }
}
