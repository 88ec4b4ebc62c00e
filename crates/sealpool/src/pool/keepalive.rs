use tokio::time::Instant;

use super::{manager::Manager, mend, permit::Permit, session::Session};
use crate::event::CloseReason;

/// Asks the idle sessions whose time has come whether they answer, one after the other, and closes the first that does not;
/// whether there was one.
///
/// It holds a permit as every borrower does, so that the pool does not grow beyond its size, and takes none that somebody
/// waits for. Who comes meanwhile and finds no other idle session opens one, if there is room: what is asked may be dead.
pub(super) async fn ask_idle(manager: &Manager) -> bool {
    let Some(interval) = manager.pooling().keepalive_interval else {
        return false;
    };
    let began = Instant::now();
    while !manager.is_closing() {
        let Ok(Some(permit)) = Permit::free(&manager.house) else {
            return false;
        };
        let due = |session: &Session| session.is_due(interval, began);
        // The one used longest ago before the others.
        let Some(mut session) = manager.house.shelf(|shelf| shelf.take_first(due)) else {
            return false;
        };
        match ask(&mut session).await {
            Ok(()) => session.lay_down(),
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
