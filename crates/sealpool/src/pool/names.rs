use std::sync::Weak;

use tokio::{sync::watch, time::sleep};

use super::manager::Manager;

/// Looks the hosts' names up from time to time, as long as connections are open to them: no other connect may do so.
pub(super) async fn follow(pool: &Weak<Manager>, mut swaps: watch::Receiver<()>) {
    loop {
        let Some(manager) = pool.upgrade() else {
            return;
        };
        let connector = manager.connector().clone();
        drop(manager);
        tokio::select! {
            () = sleep(connector.policy().network.resolve_interval) => {}
            _ = swaps.changed() => continue,
        }
        connector.look_names_up().await;
    }
}
