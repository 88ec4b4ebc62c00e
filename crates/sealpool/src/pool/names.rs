use tokio::{sync::watch, time::sleep};

use super::upkeep::WeakConnections;

/// Looks the hosts' names up from time to time, as long as connections are open to them: no other connect may do so.
pub(super) async fn follow(connections: &WeakConnections, mut swaps: watch::Receiver<()>) {
    loop {
        let Some(pool) = connections.upgrade() else {
            return;
        };
        let connector = pool.manager().connector().clone();
        drop(pool);
        tokio::select! {
            () = sleep(connector.policy().network.resolve_interval) => {}
            _ = swaps.changed() => continue,
        }
        connector.look_names_up().await;
    }
}
