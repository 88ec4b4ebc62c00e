use std::iter;

use deadpool::managed::{Pool, WeakPool};
use tokio::task::JoinSet;

use super::{
    manager::{self, Manager},
    permits::Permit,
    retirement::{retire, take},
    session::Session,
};
use crate::event::CloseReason;

/// Whenever a connection is lost, checks all idle ones to the same server at once: if those are dead too, no acquire has to
/// find out one after the other.
pub(super) async fn check(connections: &WeakPool<Manager>) {
    let Some(pool) = connections.upgrade() else {
        return;
    };
    let connector = pool.manager().connector().clone();
    drop(pool);
    let mut checks = JoinSet::new();
    loop {
        tokio::select! {
            () = connector.lost() => {}
            Some(_) = checks.join_next() => continue,
        }
        let Some(pool) = connections.upgrade() else {
            return;
        };
        retire(&pool, |session| {
            session.is_closed().then_some(CloseReason::Broken)
        });
        begin(&pool, &mut checks);
    }
}

/// While a suspect is being checked, it has a permit: nobody opens another connection in its place.
fn begin(pool: &Pool<Manager>, checks: &mut JoinSet<()>) {
    let mut suspects = 0;
    retire(pool, |session| {
        suspects += usize::from(session.is_suspect());
        None
    });
    let free = || pool.manager().permits.free().ok().flatten();
    let permits: Vec<_> = iter::from_fn(free).take(suspects).collect();
    let mut room = permits.len();
    let taken = take(pool, |session| {
        let chosen = room > 0 && session.is_suspect();
        room -= usize::from(chosen);
        chosen
    });
    for (permit, session) in permits.into_iter().zip(taken) {
        checks.spawn(put_back_alive(permit, session, pool.weak()));
    }
}

async fn put_back_alive(permit: Permit, mut session: Session, connections: WeakPool<Manager>) {
    if manager::check(&mut session).await.is_err() {
        return session.end_in_place(permit);
    }
    let Some(connections) = connections.upgrade() else {
        return;
    };
    let surplus = permit.is_surplus().then_some(CloseReason::Resized);
    if let Some(reason) = session.outlived().or(surplus) {
        return session.close_in_place(reason, Some(permit));
    }
    connections.manager().shelf.put(session);
}
