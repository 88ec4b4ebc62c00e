//! What the pool does, on a real PostgreSQL with TLS that this program starts and takes away again: a sealed session,
//! a plaintext configuration refused at build, a server without TLS refused on the wire, and the proof of what left the
//! client in clear. It fails unless all of it happened.
use std::{error::Error, fs, time::Instant};

use sealpool::{ChannelBinding, Config, HandshakeFailure, Pool};
use sealpool_testkit::{Cluster, Tap};

type Done = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Done {
    let started = Instant::now();
    let cluster = Cluster::start()?;
    let tap = Tap::start(cluster.addr())?;
    tap.forbid(cluster.password());
    println!(
        "PostgreSQL {} with TLS is up on port {} ({:.1?}); a tap stands in front of it.",
        cluster.version(),
        cluster.port(),
        started.elapsed()
    );

    let config = Config::new()
        .host("localhost")
        .hostaddr("127.0.0.1")
        .port(tap.port())
        .database(cluster.database())
        .user(cluster.user())
        .password(cluster.password())
        .tls_root(cluster.root_file());

    a_sealed_session(config.clone()).await?;
    a_plaintext_configuration()?;
    a_server_without_tls(&cluster, config).await?;
    what_left_in_clear(&tap)
}

async fn a_sealed_session(config: Config) -> Done {
    headline("1. The pool connects");
    let pool = Pool::builder(config).build()?;
    let client = pool.acquire().await?;
    let tls = client.tls();
    let certificate = tls.certificate();
    let days = certificate
        .not_after()
        .duration_since(std::time::SystemTime::now())?
        .as_secs()
        / 86_400;
    fact("TLS version", tls.protocol_version());
    fact("key exchange", tls.key_exchange_group());
    fact(
        "server name",
        format_args!("{} (verified)", tls.server_name()),
    );
    fact("certificate", certificate.subject());
    fact("  names", certificate.names().join(", "));
    fact("  issued by", certificate.issuer());
    let expiry = humantime::format_rfc3339_seconds(certificate.not_after());
    fact("  expires", format_args!("{expiry}, in {days} days"));
    fact("channel binding", tls.channel_binding());

    let row = client
        .query_one(
            "select pid, ssl, version, cipher, bits from pg_stat_ssl where pid = pg_backend_pid()",
            &[],
        )
        .await?;
    let (pid, ssl, version, cipher, bits): (i32, bool, String, String, i32) =
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
    fact(
        "pg_stat_ssl",
        format_args!("pid {pid}, ssl {ssl}, {version}, {cipher}, {bits} bits"),
    );
    expect(ssl, "the server itself says that this session is encrypted")?;
    expect(
        version == format!("TLSv{}", tls.protocol_version()),
        "client and server agree on the version of TLS",
    )?;
    expect(
        tls.channel_binding() == ChannelBinding::Bound,
        "the login is bound to this TLS session: nobody stands between",
    )
}

fn a_plaintext_configuration() -> Done {
    headline("2. A configuration that permits plaintext is refused when the pool is built");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.toml");
    let text = "[db]\nhost = \"db.example.net\"\nuser = \"app\"\ntls.mode = \"prefer\"\n";
    fs::write(&path, text)?;
    let refused = Pool::builder(Config::from_toml(&path, "db")?).build();
    let Err(error) = refused else {
        return Err("plaintext was accepted".into());
    };
    let shown = error
        .to_string()
        .replace(&format!("{}/", folder.path().display()), "");
    quote(&shown);
    expect(
        shown.starts_with("app.toml:4:12"),
        "it names the line and what to write instead",
    )
}

async fn a_server_without_tls(cluster: &Cluster, config: Config) -> Done {
    headline("3. A server that offers no TLS (ssl = off) is refused on the wire");
    cluster.ssl_off()?;
    let refused = Pool::builder(config).build()?.acquire().await;
    let Err(error) = refused else {
        return Err("a server without TLS was accepted".into());
    };
    quote(&error.to_string());
    let sealpool::Error::Connect(connect) = &error else {
        return Err(error.into());
    };
    let reasons: Vec<_> = connect
        .attempts()
        .iter()
        .map(|a| a.handshake_failure())
        .collect();
    expect(
        reasons == [Some(HandshakeFailure::ServerRefusedTls)],
        "the reason is server_refused_tls, as in the metrics",
    )
}

fn what_left_in_clear(tap: &Tap) -> Done {
    headline("4. What left the client in clear, as the tap saw it");
    let summary = tap.verify()?;
    for (index, connection) in tap.connections().iter().enumerate() {
        let clear = connection
            .bytes()
            .get(..connection.cleartext_len())
            .unwrap_or_default();
        let sealed = connection.bytes().len() - clear.len();
        fact(
            &format!("connection {}", index + 1),
            format_args!(
                "{} bytes in clear ({clear:02x?}), {sealed} bytes in TLS records",
                clear.len()
            ),
        );
    }
    expect(
        summary.cleartext_bytes() == [8, 8],
        "eight bytes a connection, the request for TLS; no password, no SQL",
    )
}

fn headline(text: &str) {
    println!("\n{text}");
}

fn fact(name: &str, value: impl std::fmt::Display) {
    println!("   {name:<16} {value}");
}

fn quote(text: &str) {
    for line in text.lines() {
        println!("   > {line}");
    }
}

fn expect(held: bool, claim: &str) -> Done {
    if !held {
        return Err(format!("NOT SO: {claim}").into());
    }
    println!("   ok: {claim}");
    Ok(())
}
