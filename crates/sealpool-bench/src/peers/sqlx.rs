use sqlx::{
    PgPool, Postgres, Row as _,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use super::{Peer, SELECT_ONE, SELECT_PAYLOAD, Site};
use crate::Failure;

#[derive(Clone)]
pub(crate) struct Sqlx(PgPool);

impl Sqlx {
    pub(super) fn open(
        site: &Site,
        size: u32,
        set: impl FnOnce(PgPoolOptions) -> PgPoolOptions,
    ) -> Self {
        let Site {
            port,
            user,
            password,
            database,
            root_file,
        } = site;
        // It has no way to say an address for a name: the certificate bears the address too, and nothing is resolved.
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(*port)
            .username(user)
            .password(password)
            .database(database)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(root_file);
        Self(set(PgPoolOptions::new().max_connections(size)).connect_lazy_with(options))
    }
}

/// It prepares by text and keeps the statement with the connection.
impl Peer for Sqlx {
    type Client = PoolConnection<Postgres>;

    async fn acquire(&self) -> Result<Self::Client, Failure> {
        Ok(self.0.acquire().await?)
    }

    async fn cycle(&self) -> Result<(), Failure> {
        drop(self.0.acquire().await?);
        Ok(())
    }

    async fn select_one(client: &mut Self::Client) -> Result<i32, Failure> {
        Ok(sqlx::query_scalar(SELECT_ONE)
            .fetch_one(&mut **client)
            .await?)
    }

    async fn select_payload(client: &mut Self::Client) -> Result<(usize, usize), Failure> {
        let rows = sqlx::query(SELECT_PAYLOAD).fetch_all(&mut **client).await?;
        let mut bytes = 0;
        for row in &rows {
            bytes += row.try_get::<&str, _>(0)?.len();
        }
        Ok((rows.len(), bytes))
    }
}
