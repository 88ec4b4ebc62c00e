use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio_postgres::{NoTls, config::SslMode};

use super::{
    Peer, SELECT_ONE, SELECT_PAYLOAD, Site,
    raw::{self, Seal},
};
use crate::Failure;

#[derive(Clone)]
pub(crate) struct Deadpool(Pool);

impl Deadpool {
    pub(super) fn open(
        site: &Site,
        seal: Seal,
        recycling_method: RecyclingMethod,
        size: u32,
    ) -> Result<Self, Failure> {
        let settings = ManagerConfig { recycling_method };
        let manager = match seal {
            Seal::None => {
                Manager::from_config(raw::config(site, SslMode::Disable), NoTls, settings)
            }
            Seal::AwsLc | Seal::Ring => {
                let config = raw::config(site, SslMode::Require);
                Manager::from_config(config, raw::tls(site, seal)?, settings)
            }
        };
        let pool = Pool::builder(manager).max_size(usize::try_from(size)?);
        Ok(Self(pool.build()?))
    }
}

impl Peer for Deadpool {
    type Client = Object;

    async fn acquire(&self) -> Result<Object, Failure> {
        Ok(self.0.get().await?)
    }

    async fn cycle(&self) -> Result<(), Failure> {
        drop(self.0.get().await?);
        Ok(())
    }

    async fn select_one(client: &mut Object) -> Result<i32, Failure> {
        select_one(client).await
    }

    async fn select_payload(client: &mut Object) -> Result<(usize, usize), Failure> {
        select_payload(client).await
    }
}

/// With the cache of statements that sealpool's client has as well.
pub(super) async fn select_one(client: &ClientWrapper) -> Result<i32, Failure> {
    let statement = client.prepare_cached(SELECT_ONE).await?;
    Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
}

pub(super) async fn select_payload(client: &ClientWrapper) -> Result<(usize, usize), Failure> {
    let statement = client.prepare_cached(SELECT_PAYLOAD).await?;
    raw::size(&client.query(&statement, &[]).await?)
}
