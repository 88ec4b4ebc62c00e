//! The whole of it: read the configuration, build the pool, run a query.
//!
//! `APP_DB_HOST=db.example.net APP_DB_USER=app APP_DB_PASSWORD=… cargo run --example quickstart`
use sealpool::{Config, Pool};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::builder(Config::from_env("APP_DB")?).build()?;
    let client = pool.acquire().await?;
    let row = client.query_one("select version()", &[]).await?;
    println!("{}", row.get::<_, String>(0));
    println!("TLS {}", client.tls().protocol_version());
    Ok(())
}
