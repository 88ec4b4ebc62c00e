use bb8::{Builder, ManageConnection, Pool, PooledConnection};
use bb8_postgres::PostgresConnectionManager;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Error, Statement, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Peer, SELECT_ONE, SELECT_PAYLOAD, Site,
    raw::{self, Seal},
};
use crate::Failure;

#[derive(Clone)]
pub(crate) struct Bb8(Pool<Manager>);

impl Bb8 {
    pub(super) fn open(
        site: &Site,
        size: u32,
        set: impl FnOnce(Builder<Manager>) -> Builder<Manager>,
    ) -> Result<Self, Failure> {
        let config = raw::config(site, SslMode::Require);
        let connections = PostgresConnectionManager::new(config, raw::tls(site, Seal::AwsLc)?);
        let pool = set(Pool::builder().max_size(size));
        Ok(Self(pool.build_unchecked(Manager { connections })))
    }
}

/// bb8-postgres hands out tokio-postgres' client, which keeps no statements. Whoever wants them kept pools them with it.
pub(crate) struct Manager {
    connections: PostgresConnectionManager<MakeRustlsConnect>,
}

pub(crate) struct Connection {
    client: Client,
    one: OnceCell<Statement>,
    payload: OnceCell<Statement>,
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        Ok(Connection {
            client: self.connections.connect().await?,
            one: OnceCell::new(),
            payload: OnceCell::new(),
        })
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), Error> {
        self.connections.is_valid(&mut connection.client).await
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        self.connections.has_broken(&mut connection.client)
    }
}

impl Peer for Bb8 {
    type Client = PooledConnection<'static, Manager>;

    async fn acquire(&self) -> Result<Self::Client, Failure> {
        Ok(self.0.get_owned().await?)
    }

    /// With the borrowed client, which bb8 advises and which is the cheaper one.
    async fn cycle(&self) -> Result<(), Failure> {
        drop(self.0.get().await?);
        Ok(())
    }

    async fn select_one(client: &mut Self::Client) -> Result<i32, Failure> {
        let Connection { client, one, .. } = &**client;
        let statement = one.get_or_try_init(|| client.prepare(SELECT_ONE)).await?;
        Ok(client.query_one(statement, &[]).await?.try_get(0)?)
    }

    async fn select_payload(client: &mut Self::Client) -> Result<(usize, usize), Failure> {
        let Connection {
            client, payload, ..
        } = &**client;
        let statement = payload
            .get_or_try_init(|| client.prepare(SELECT_PAYLOAD))
            .await?;
        raw::size(&client.query(statement, &[]).await?)
    }
}
