use crate::{Failure, server::Site};

mod bb8;
pub(crate) use self::bb8::Bb8;
mod deadpool;
pub(crate) use self::deadpool::Deadpool;
mod kind;
pub(crate) use self::kind::Kind;
mod lane;
pub(crate) use self::lane::SharedLane;
mod raw;
mod sealed;
pub(crate) use self::sealed::{Sealed, config, scrape};
mod sqlx;
pub(crate) use self::sqlx::Sqlx;

/// The statement of every row about single statements. Each peer prepares it once a connection, in its own way.
const SELECT_ONE: &str = "SELECT 1";
/// The statement of the row about many rows.
const SELECT_PAYLOAD: &str = "SELECT text FROM payload";

/// A pool.
pub(crate) trait Peer: Clone + Send + Sync + 'static {
    type Client: Send + 'static;

    fn acquire(&self) -> impl Future<Output = Result<Self::Client, Failure>> + Send;

    /// Acquires and releases, as directly as an application does: a way round [`Peer::acquire`] would move the client twice.
    fn cycle(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// [`SELECT_ONE`], prepared.
    fn select_one(client: &mut Self::Client) -> impl Future<Output = Result<i32, Failure>> + Send;

    /// [`SELECT_PAYLOAD`], prepared: how many rows and how many bytes.
    fn select_payload(
        client: &mut Self::Client,
    ) -> impl Future<Output = Result<(usize, usize), Failure>> + Send;
}

/// One prepared statement, whoever executes it: a pool with acquire and release round it, or what needs neither.
pub(crate) trait Single: Clone + Send + Sync + 'static {
    fn single(&self) -> impl Future<Output = Result<i32, Failure>> + Send;
}

impl<P: Peer> Single for P {
    async fn single(&self) -> Result<i32, Failure> {
        let mut client = self.acquire().await?;
        P::select_one(&mut client).await
    }
}

/// A statement's result, if it is the right one: nobody wins by being wrong.
pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(found: T, right: T) -> Result<(), Failure> {
    match found == right {
        true => Ok(()),
        false => Err(format!("a wrong result: {found:?} instead of {right:?}").into()),
    }
}

/// Opens so many connections, each of which has prepared the statement.
pub(crate) async fn fill<P: Peer>(peer: &P, size: u32) -> Result<(), Failure> {
    let mut held = Vec::new();
    for _ in 0..size {
        let mut client = peer.acquire().await?;
        expect(P::select_one(&mut client).await?, 1)?;
        held.push(client);
    }
    Ok(())
}

/// A pool of any [`Kind`]. What is measured is generic over [`Peer`], with the choice made outside of every loop.
#[derive(Clone)]
pub(crate) enum Contender {
    Bb8(Bb8),
    Deadpool(Deadpool),
    Sealed(Sealed),
    Sqlx(Sqlx),
}

/// `with_peer!(contender, peer => what to do with it)`.
macro_rules! with_peer {
    ($contender:expr, $peer:ident => $body:expr) => {
        match $contender {
            $crate::peers::Contender::Bb8($peer) => $body,
            $crate::peers::Contender::Deadpool($peer) => $body,
            $crate::peers::Contender::Sealed($peer) => $body,
            $crate::peers::Contender::Sqlx($peer) => $body,
        }
    };
}
pub(crate) use with_peer;

/// For many pools at once. What it costs to choose anew each time is nothing beside the round trip.
impl Single for Contender {
    async fn single(&self) -> Result<i32, Failure> {
        with_peer!(self, peer => peer.single().await)
    }
}
