use deadpool::managed;
use tokio::time::Instant;

use super::{manager::Manager, mend, retirement, session::Session};
use crate::event::CloseReason;

/// Asks the idle sessions whose time has come whether they answer, one after the other, and closes the first that does not;
/// whether there was one.
///
/// It holds a permit as every borrower does, so that the pool does not grow beyond its size, and takes none that somebody
/// waits for. Who comes meanwhile and finds no other idle session opens one, if there is room: what is asked may be dead.
pub(super) async fn ask_idle(pool: &managed::Pool<Manager>) -> bool {
    let manager = pool.manager();
    let Some(interval) = manager.pooling().keepalive_interval else {
        return false;
    };
    let began = Instant::now();
    while !manager.is_closing() {
        let Ok(Some(permit)) = manager.permits.free() else {
            return false;
        };
        let Some(mut session) = take(pool, |session| session.is_due(interval, began)) else {
            return false;
        };
        match ask(&mut session).await {
            Ok(()) => {
                manager.shelf.put(session);
            }
            Err(reason) => {
                session.close_in_place(reason, Some(permit));
                return true;
            }
        }
    }
    false
}

async fn ask(session: &mut Session) -> Result<(), CloseReason> {
    if !session.settled().await {
        return Err(CloseReason::Dirty);
    }
    mend::check(session).await?;
    if session.ask().await {
        Ok(())
    } else {
        Err(CloseReason::CheckFailed)
    }
}

/// The first idle session of that kind, the one used longest ago before the others.
fn take(
    pool: &managed::Pool<Manager>,
    mut chosen: impl FnMut(&Session) -> bool,
) -> Option<Session> {
    let mut taken = false;
    let first = |session: &Session| {
        let chosen = !taken && chosen(session);
        taken |= chosen;
        chosen
    };
    retirement::take(pool, first).pop()
}
