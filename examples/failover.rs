//! Two pools over a primary and its standby, before and after the standby takes over.
//!
//! It teaches what to configure: all servers in `host`, and in `connect.target_session_attrs` the role that is wanted. The
//! writers' pool wants `read-write`, the readers' `prefer-standby`. The servers are real ones, started by this program:
//! `cargo run -p sealpool-examples --example failover`
use std::{error::Error, time::Instant};

use sealpool::{Config, Event, Observer, Pool};
use sealpool_testkit::{Cluster, Shutdown};

type Done = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Done {
    let first = Cluster::start()?;
    let second = first.standby().await?;
    let servers = Config::new()
        .host(["localhost", "localhost"])
        .hostaddr(["127.0.0.1", "127.0.0.1"])
        .port([first.port(), second.port()])
        .database(first.database())
        .user(first.user())
        .password(first.password())
        .tls_root(first.root_file());
    let pool = |name, wanted| {
        Pool::builder(servers.clone().connect_target_session_attrs(wanted))
            .observer(Reporter(name))
            .build()
    };
    let (writers, readers) = (
        pool("writers", "read-write")?,
        pool("readers", "prefer-standby")?,
    );

    println!(
        "1. {} is the primary, {} its standby",
        first.port(),
        second.port()
    );
    write(&writers).await?;
    expect("writers", &writers, &first).await?;
    expect("readers", &readers, &second).await?;

    println!("2. The primary takes no more writes, and the standby is promoted");
    first.set("default_transaction_read_only", "on")?;
    second.promote().await?;
    // One write is refused. That makes the pool ask the server for its role, and leave it.
    match write(&writers).await {
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            println!("   one write fails: {}", cause.unwrap_or_default());
        }
        Ok(()) => return Err("the write went to a server that takes none".into()),
    }
    write(&writers).await?;
    expect("writers", &writers, &second).await?;

    println!("3. The old primary stops, and comes back as the standby of the new one");
    first.stop(Shutdown::Fast)?;
    first.set("default_transaction_read_only", "off")?;
    first.follow(&second)?;
    write(&writers).await?;
    expect("writers", &writers, &second).await?;
    // Connections to what has become a primary will do until they are replaced (pool.max_lifetime), or on demand:
    readers.evict_all();
    expect("readers", &readers, &first).await?;

    println!("4. The primary is gone: an acquire waits for the next one, within its limit");
    second.stop(Shutdown::Fast)?;
    let started = Instant::now();
    let (written, promoted) = tokio::join!(write(&writers), first.promote());
    promoted?;
    written?;
    println!(
        "   {:.1?} after the promotion began, a write has succeeded",
        started.elapsed()
    );
    expect("writers", &writers, &first).await
}

async fn write(pool: &Pool) -> Done {
    let client = pool.acquire().await?;
    let sql = "create table if not exists written (at timestamptz default now()); insert into written default values";
    client.batch_execute(sql).await?;
    Ok(())
}

/// Which server the pool's next client is connected to.
async fn expect(name: &str, pool: &Pool, server: &Cluster) -> Done {
    let client = pool.acquire().await?;
    let row = client.query_one("show port", &[]).await?;
    let port: &str = row.get(0);
    println!("   the {name} are on {port}");
    if port != server.port().to_string() {
        return Err(format!("NOT SO: {} was expected", server.port()).into());
    }
    Ok(())
}

/// Prints what becomes of connections.
struct Reporter(&'static str);

impl Observer for Reporter {
    fn on_event(&self, event: &Event<'_>) {
        let Self(pool) = self;
        match event {
            Event::ConnectionOpened { server, .. } => {
                println!("   {pool}: connected to {}", server.port)
            }
            Event::ConnectionClosed { server, reason, .. } => {
                println!("   {pool}: left {}, {reason}", server.port);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() -> super::Done {
        super::main()
    }
}
