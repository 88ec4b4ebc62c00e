use std::{error::Error, fs, path::Path, thread};

use clap::Args;
use sealpool::{ChannelBinding, Config, HandshakeFailure, Pool};
use sealpool_testkit::{Cluster, Tap};

use crate::report::Report;

type Done = Result<(), Box<dyn Error>>;

/// Shows what the pool does, on a PostgreSQL with TLS that it starts and takes away again.
///
/// A sealed session, a plaintext configuration refused at build, a server without TLS refused on the wire, and what left
/// the client in clear. It fails unless all of it happened. A server must be installed.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Leaves the server up until it is interrupted, and prints how to connect to it
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(crate) fn run(self) -> Report {
        let Self { keep } = self;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let shown = runtime.map_err(Into::into).and_then(|runtime| {
            let cluster = Cluster::start()?;
            runtime.block_on(show(&cluster))?;
            match keep {
                true => stay(&cluster),
                false => Ok(()),
            }
        });
        match shown {
            Ok(()) => Report::good(""),
            Err(error) => Report::failed(format!("\n{error}")),
        }
    }
}

/// Until the program is interrupted; the server ends with it in any case.
fn stay(cluster: &Cluster) -> Done {
    cluster.ssl_on()?;
    let root = cluster.root_file();
    // It is removed with the server, however this program ends.
    let folder = root.parent().unwrap_or(root);
    let (password, passfile) = (folder.join("password"), folder.join("pgpass"));
    write_private(&password, cluster.password())?;
    write_private(&passfile, &format!("*:*:*:*:{}\n", cluster.password()))?;
    let toml = folder.join("app.toml");
    let (port, database, user) = (cluster.port(), cluster.database(), cluster.user());
    fs::write(
        &toml,
        format!(
            "[db]\nhost = \"localhost\"\nhostaddr = \"127.0.0.1\"\nport = {port}\ndatabase = \"{database}\"\n\
             user = \"{user}\"\npassword_file = {password:?}\ntls.root = {root:?}\n"
        ),
    )?;
    headline("The server stays up until this is interrupted (Ctrl-C)");
    println!(
        "   psql 'host=localhost hostaddr=127.0.0.1 port={port} dbname={database} user={user} sslmode=verify-full \
         sslrootcert={} passfile={}'",
        root.display(),
        passfile.display()
    );
    println!("   sealpool doctor --config {} --table db", toml.display());
    loop {
        thread::park();
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}

async fn show(cluster: &Cluster) -> Done {
    let tap = Tap::start(cluster.addr())?;
    tap.forbid(cluster.password());
    println!(
        "PostgreSQL {} with TLS is up on port {}; a tap stands in front of it.",
        cluster.version(),
        cluster.port()
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
    a_server_without_tls(cluster, config).await?;
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
