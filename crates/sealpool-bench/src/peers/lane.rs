use sealpool::Lane;

use super::{SELECT_ONE, Sealed, Single, Site};
use crate::Failure;

/// sealpool's lane: it has no clients.
#[derive(Clone)]
pub(crate) struct SharedLane(Lane);

impl SharedLane {
    pub(crate) const NAME: &str = "sealpool, lane";
    pub(crate) const SETTINGS: &str =
        "as with metrics, and `lane.max_size = 4`: single statements share 4 connections";

    pub(crate) fn open(site: &Site) -> Result<Self, Failure> {
        let pool = Sealed::with_lane(site, 4)?;
        Ok(Self(pool.lane()))
    }
}

impl Single for SharedLane {
    async fn single(&self) -> Result<i32, Failure> {
        let row = self.0.query_one(SELECT_ONE, &[]).await?;
        Ok(row.try_get(0)?)
    }
}
