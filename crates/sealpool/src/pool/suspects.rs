use std::{
    iter,
    sync::{Arc, Weak},
};

use tokio::task::JoinSet;

use super::{
    manager::{self, Manager},
    permit::Permit,
    retirement::retire,
    session::Session,
};
use crate::event::CloseReason;

/// Whenever a connection is lost, checks all idle ones to the same server at once: if those are dead too, no acquire has to
/// find out one after the other.
pub(super) async fn check(pool: &Weak<Manager>) {
    let Some(connector) = pool.upgrade().map(|manager| manager.connector().clone()) else {
        return;
    };
    let mut checks = JoinSet::new();
    loop {
        tokio::select! {
            () = connector.lost() => {}
            Some(_) = checks.join_next() => continue,
        }
        let Some(manager) = pool.upgrade() else {
            return;
        };
        retire(&manager, |session| {
            session.is_closed().then_some(CloseReason::Broken)
        });
        begin(&manager, &mut checks);
    }
}

/// While a suspect is being checked, it has a permit: nobody opens another connection in its place.
fn begin(manager: &Arc<Manager>, checks: &mut JoinSet<()>) {
    let suspects = manager
        .house
        .shelf(|shelf| shelf.count(Session::is_suspect));
    let free = || Permit::free(&manager.house).ok().flatten();
    let permits: Vec<_> = iter::from_fn(free).take(suspects).collect();
    let mut room = permits.len();
    let chosen = |session: &Session| {
        let chosen = room > 0 && session.is_suspect();
        room -= usize::from(chosen);
        chosen
    };
    let taken = manager.house.shelf(|shelf| shelf.take_if(chosen));
    for (permit, session) in permits.into_iter().zip(taken) {
        checks.spawn(put_back_alive(permit, session));
    }
}

async fn put_back_alive(permit: Permit, mut session: Box<Session>) {
    if !manager::check(&mut session).await {
        return session.end_in_place(permit);
    }
    let surplus = permit.is_surplus().then_some(CloseReason::Resized);
    if let Some(reason) = session.outlived().or(surplus) {
        return session.close_in_place(reason, Some(permit));
    }
    session.lay_down();
}
