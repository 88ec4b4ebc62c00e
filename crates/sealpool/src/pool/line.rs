use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{error::Elapsed, timeout},
};
use tokio_postgres::{Client, Error};

use super::ledger::Place;
use crate::{
    connect::{Connector, Mailbox, Opened, Parting},
    event::{CloseReason, Event, Server},
    policy::Generation,
};

/// The connection of a listener.
#[derive(Debug)]
pub(super) struct Line {
    client: Option<Client>,
    driver: Option<JoinHandle<()>>,
    owner: Option<oneshot::Sender<Parting>>,
    connector: Connector,
    generation: Arc<Generation>,
    pub(super) server: Place,
    /// When it is replaced within a rotation: 0 at its beginning, 1 at its end.
    turn: f64,
    reason: CloseReason,
}

impl Line {
    pub(super) fn new(opened: Opened, connector: Connector, mailbox: Arc<Mailbox>) -> Self {
        let Opened {
            client,
            task: _,
            driver,
            owner,
            condition,
            tls: _,
            method: _,
            losses: _,
            losses_before: _,
            generation,
            host,
            port,
            address,
            endpoint: _,
        } = opened;
        condition.deliver_to(mailbox);
        generation.opened();
        Self {
            client: Some(client),
            driver: Some(driver),
            owner: Some(owner),
            connector,
            generation,
            server: Place {
                host,
                port,
                address,
            },
            turn: fastrand::f64(),
            reason: CloseReason::Broken,
        }
    }

    pub(super) async fn execute(
        &self,
        sql: &str,
        limit: Duration,
    ) -> Result<Result<(), Error>, Elapsed> {
        let Some(client) = &self.client else {
            return Ok(Ok(()));
        };
        timeout(limit, client.batch_execute(sql)).await
    }

    /// Returns when the connection has been lost.
    pub(super) async fn lost(&mut self) {
        if let Some(driver) = &mut self.driver {
            let _ = driver.await;
        }
        self.driver = None;
    }

    /// Why it is to be replaced, when what it was made with has been and its turn has come.
    pub(super) fn rotation(&self) -> Option<CloseReason> {
        let (time, reason) = self.generation.superseded_for()?;
        let within = self.connector.policy().rotate_within;
        (time >= within.mul_f64(self.turn)).then_some(reason)
    }

    /// Returns when the goodbye has been said or has taken too long.
    pub(super) async fn close(mut self, reason: CloseReason) {
        let Some(driver) = self.driver.take() else {
            return;
        };
        self.reason = reason;
        drop(self);
        let _ = driver.await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Both together tell the connection that it may go.
        self.client = None;
        self.owner = None;
        self.generation.closed();
        let Place {
            host,
            port,
            address,
        } = &self.server;
        let (port, address) = (*port, *address);
        self.connector
            .observer()
            .on_event(&Event::ConnectionClosed {
                server: Server {
                    host,
                    port,
                    address,
                },
                reason: self.reason,
            });
    }
}
