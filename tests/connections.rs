use std::{sync::Arc, time::Duration};

use sealpool::ConnectionInfo;

use crate::rig::{Rig, eventually, on_both};

on_both! {
    on_shared() => what_is_known_of_each_connection;
    on_shared() => a_pool_that_is_gone_has_none;
}

fn split(connections: Vec<ConnectionInfo>) -> (Vec<ConnectionInfo>, Vec<ConnectionInfo>) {
    let mut split: (Vec<_>, Vec<_>) = connections.into_iter().partition(|one| one.held.is_some());
    for part in [&mut split.0, &mut split.1] {
        part.sort_by_key(|one| one.uses);
    }
    split
}

async fn what_is_known_of_each_connection(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(2).pool_min_idle(0));
    assert!(pool.connections().is_empty(), "none is opened by itself");
    let (held, other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(other);
    let idle = async || split(pool.connections()).1.len() == 1;
    eventually("one rests", idle).await;
    drop(pool.acquire().await.unwrap());
    eventually("one rests", idle).await;

    let (lent, idle) = split(pool.connections());
    assert_eq!((lent.len(), idle.len()), (1, 1));
    assert_eq!((lent[0].uses, idle[0].uses), (1, 2));
    for one in lent.iter().chain(&idle) {
        assert_eq!(&*one.host, "localhost");
        assert_eq!(one.port, rig.tap.port());
        assert_eq!(one.address.to_string(), format!("127.0.0.1:{}", one.port));
        assert!(one.held.is_none_or(|held| held <= one.age), "{one:?}");
    }
    let (known, tls) = (&lent[0].tls, held.tls());
    assert_eq!(known.certificate(), tls.certificate());
    assert_eq!(known.protocol_version(), tls.protocol_version());
    assert_eq!(known.key_exchange_group(), tls.key_exchange_group());
    assert_eq!(known.channel_binding(), tls.channel_binding());

    let weak = pool.downgrade();
    assert_eq!(weak.connections().map(|all| all.len()), Some(2));
    let holders = weak.holders().unwrap();
    assert_eq!(holders.len(), 1);
    assert!(holders[0].place.file().ends_with("connections.rs"));
}

async fn a_pool_that_is_gone_has_none(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let weak = pool.downgrade();
    let client = pool.acquire().await.unwrap();
    pool.shutdown(Duration::from_millis(1)).await;
    drop(client);
    eventually("all are closed", async || pool.connections().is_empty()).await;
    assert_eq!(weak.connections().map(|all| all.len()), Some(0));
    drop(pool);
    assert!(weak.connections().is_none() && weak.holders().is_none());
}
