use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use sealpool::{ChannelBinding, Class, Error, HandshakeFailure, KeyExchangeGroup, TlsVersion};
use sealpool_testkit::{KeyType, Mode, Pki};

use crate::rig::{Rig, chain, on_both};

on_both! {
    on_shared() => direct_negotiation;
    on_shared() => the_flights_of_a_connection;
    on_shared() => the_versions_that_are_allowed;
    on_shared() => the_name_that_is_told;
    on_shared() => channel_binding_as_it_was_wanted;
    on_shared() => openssl_sees_the_same_session;
    on_shared() => the_server_sees_the_same_session;
    on_own(|builder| builder) => servers_that_have_nothing_in_common_with_us;
    on_own(|builder| builder) => certificates_that_cannot_bind;
}

async fn refused(rig: &Rig, config: sealpool::Config) -> Error {
    rig.pool(config).acquire().await.unwrap_err()
}

fn reason(error: &Error) -> Option<HandshakeFailure> {
    let Error::Connect(connect) = error else {
        panic!("{error}")
    };
    connect.attempts().last().unwrap().handshake_failure()
}

async fn direct_negotiation(rig: Arc<Rig>) {
    let config = rig.config().tls_negotiation("direct");
    if rig.cluster.major() < 17 {
        let error = refused(&rig, config).await;
        assert_eq!(reason(&error), Some(HandshakeFailure::ConnectionClosed));
        assert!(
            error.to_string().contains("older than PostgreSQL 17?"),
            "{error}"
        );
        return;
    }
    for binding in ["require", "disable"] {
        let pool = rig.pool(config.clone().tls_channel_binding(binding));
        let client = pool.acquire().await.unwrap();
        client.query_one("select 1", &[]).await.unwrap();
        let expected = match binding {
            "require" => ChannelBinding::Bound,
            _ => ChannelBinding::NotUsed,
        };
        assert_eq!(client.tls().channel_binding(), expected);
    }
    for connection in rig.tap.connections() {
        assert_eq!(connection.mode(), Some(Mode::Direct));
    }
}

/// Round trips after TCP: the request for TLS, the hello, start-up, two of SCRAM; and one for a second hello where the
/// first guessed the group wrong. `client.query_one` would add its own.
async fn the_flights_of_a_connection(rig: Arc<Rig>) {
    let openings: &[(&str, usize)] = match rig.cluster.major() {
        ..17 => &[("postgres", 5)],
        _ => &[("postgres", 5), ("direct", 4)],
    };
    let mut seen = 0;
    for (opening, flights) in openings {
        let pool = rig.pool(rig.config().tls_negotiation(*opening).pool_max_size(3));
        let clients = [
            pool.acquire().await.unwrap(),
            pool.acquire().await.unwrap(),
            pool.acquire().await.unwrap(),
        ];
        let cold =
            usize::from(clients[0].tls().key_exchange_group() == KeyExchangeGroup::Secp256r1);
        let connections = rig.tap.connections();
        let counted: Vec<_> = connections[seen..].iter().map(|c| c.flights()).collect();
        assert_eq!(counted, [flights + cold, *flights, *flights], "{opening}");
        seen = connections.len();
    }
    // TLS 1.2 takes a round trip more, and no hello is ever said twice.
    let pool = rig.pool(rig.config().tls_max_version("1.2"));
    pool.acquire().await.unwrap();
    assert_eq!(rig.tap.connections()[seen].flights(), 6);
}

async fn the_versions_that_are_allowed(rig: Arc<Rig>) {
    for (min, max, expected) in [
        ("1.2", "1.3", TlsVersion::V1_3),
        ("1.2", "1.2", TlsVersion::V1_2),
        ("1.3", "1.3", TlsVersion::V1_3),
        ("TLSv1.2", "TLSv1.2", TlsVersion::V1_2),
    ] {
        let config = rig.config().tls_min_version(min).tls_max_version(max);
        let client = rig.pool(config).acquire().await.unwrap();
        assert_eq!(client.tls().protocol_version(), expected, "{min} to {max}");
        assert_eq!(client.tls().channel_binding(), ChannelBinding::Bound);
        assert_ne!(
            client.tls().key_exchange_group(),
            KeyExchangeGroup::Other,
            "{min} to {max}"
        );
    }
}

async fn the_name_that_is_told(rig: Arc<Rig>) {
    for (sni, expected) in [(true, true), (false, false)] {
        let before = rig.tap.connections().len();
        let pool = rig.pool(rig.config().tls_sni(sni));
        pool.acquire().await.unwrap();
        let connection = &rig.tap.connections()[before];
        let told = connection
            .bytes()
            .windows(9)
            .any(|window| window == b"localhost");
        assert_eq!(told, expected, "tls.sni = {sni}");
    }
}

async fn channel_binding_as_it_was_wanted(rig: Arc<Rig>) {
    for (wanted, expected) in [
        ("prefer", ChannelBinding::Bound),
        ("require", ChannelBinding::Bound),
        ("disable", ChannelBinding::NotUsed),
    ] {
        let pool = rig.pool(rig.config().tls_channel_binding(wanted));
        let client = pool.acquire().await.unwrap();
        assert_eq!(client.tls().channel_binding(), expected, "{wanted}");
    }
}

async fn certificates_that_cannot_bind(rig: Arc<Rig>) {
    let pki = Pki::new();
    let own = |key_type| {
        let leaf = pki.leaf().dns("localhost").self_signed();
        leaf.key_type(key_type).issue()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut leaves = vec![(own(KeyType::Ed25519), "Ed25519"), (rsa_pss(), "RSA-PSS")];
    // ring knows no P-521.
    if cfg!(feature = "aws-lc-rs") {
        leaves.push((own(KeyType::P521), "ECDSA with SHA-512"));
    }
    for (leaf, algorithm) in leaves {
        rig.cluster.swap_certificate(&leaf).unwrap();
        let root = folder.path().join("root.pem");
        std::fs::write(&root, leaf.certificate_pem()).unwrap();
        let config = rig.config().tls_root(root.as_path());
        let pool = rig.pool(config.clone());
        let client = pool.acquire().await.unwrap();
        assert_eq!(
            client.tls().channel_binding(),
            ChannelBinding::Unavailable,
            "{algorithm}"
        );

        let error = refused(&rig, config.tls_channel_binding("require")).await;
        assert_eq!((error.class(), error.is_transient()), (Class::Auth, false));
        let text = format!(
            "auth: tls.channel_binding = require, and the server's certificate is signed with {algorithm}, for which \
             there is none; nothing was sent: sign it with ECDSA or RSA and SHA-256, or write prefer"
        );
        assert!(chain(&error).ends_with(&text), "{}", chain(&error));
    }
}

/// RSA-PSS cannot be made by rcgen.
fn rsa_pss() -> sealpool_testkit::Leaf {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("crt"), folder.path().join("key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256"])
        .args([
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            "rsa_pss_saltlen:digest",
            "-subj",
            "/CN=pss",
            "-days",
            "2",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("these tests need the openssl command line: apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
    let read = |path| std::fs::read_to_string(path).unwrap();
    sealpool_testkit::Leaf::from_pem(&read(certificate), &read(key))
}

async fn servers_that_have_nothing_in_common_with_us(rig: Arc<Rig>) {
    let reset = |settings: &[(&str, &str)]| {
        for (name, value) in settings {
            rig.cluster.set(name, value).unwrap();
        }
    };
    reset(&[("ssl_max_protocol_version", "TLSv1.2")]);
    let error = refused(&rig, rig.config().tls_min_version("1.3")).await;
    assert_eq!(
        reason(&error),
        Some(HandshakeFailure::ProtocolVersion),
        "{error}"
    );

    // A suite without ECDHE, for a key that it cannot serve either.
    reset(&[("ssl_ciphers", "AES128-SHA")]);
    let error = refused(&rig, rig.config()).await;
    assert_eq!(
        reason(&error),
        Some(HandshakeFailure::NoCommonCipher),
        "{error}"
    );

    reset(&[
        ("ssl_min_protocol_version", "TLSv1.1"),
        ("ssl_max_protocol_version", "TLSv1.1"),
        ("ssl_ciphers", "ALL:@SECLEVEL=0"),
    ]);
    let error = refused(&rig, rig.config()).await;
    assert_eq!(
        reason(&error),
        Some(HandshakeFailure::ProtocolVersion),
        "{error}"
    );

    let curve = match rig.cluster.major() {
        ..18 => "ssl_ecdh_curve",
        _ => "ssl_groups",
    };
    reset(&[
        ("ssl_max_protocol_version", ""),
        ("ssl_min_protocol_version", "TLSv1.2"),
        ("ssl_ciphers", "HIGH"),
        (curve, "secp521r1"),
    ]);
    let error = refused(&rig, rig.config()).await;
    assert_eq!(
        reason(&error),
        Some(HandshakeFailure::NoCommonCipher),
        "{error}"
    );

    reset(&[(curve, "prime256v1")]);
    rig.pool(rig.config())
        .acquire()
        .await
        .expect("a group in common");
}

/// OpenSSL's own client, asked of the same server, and what we say of our session.
async fn openssl_sees_the_same_session(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let client = pool.acquire().await.unwrap();
    let tls = client.tls();
    let groups = match tls.key_exchange_group() {
        KeyExchangeGroup::Secp256r1 => "P-256",
        KeyExchangeGroup::X25519 => "X25519",
        other => panic!("OpenSSL 3.0 has no group {other}"),
    };
    let mut openssl = Command::new("openssl")
        .args([
            "s_client",
            "-starttls",
            "postgres",
            "-groups",
            groups,
            "-servername",
            "localhost",
        ])
        .args(["-connect", &rig.cluster.addr().to_string(), "-CAfile"])
        .arg(rig.cluster.root_file())
        .args(["-verify_hostname", "localhost", "-verify_return_error"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("these tests need the openssl command line: apt-get install openssl");
    drop(openssl.stdin.take());
    let output = openssl.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
    assert!(
        text.contains(&format!("New, TLSv{}", tls.protocol_version())),
        "{text}"
    );
    let key = match tls.key_exchange_group() {
        KeyExchangeGroup::X25519 => "Temp Key: X25519",
        _ => "Temp Key: ECDH, prime256v1",
    };
    assert!(text.contains(key), "{text}");

    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let (start, stop) = (text.find(begin).unwrap(), text.find(end).unwrap());
    let mut openssl = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = openssl.stdin.take().unwrap();
    input
        .write_all(&text.as_bytes()[start..stop + end.len()])
        .unwrap();
    drop(input);
    let output = openssl.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout)
        .to_ascii_lowercase()
        .replace(':', "");
    let ours: String = tls
        .certificate()
        .sha256()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(shown.contains(&ours), "{shown} and {ours}");
}

async fn the_server_sees_the_same_session(rig: Arc<Rig>) {
    for max in ["1.2", "1.3"] {
        let pool = rig.pool(rig.config().tls_max_version(max));
        let client = pool.acquire().await.unwrap();
        let server = client.server_tls().await.unwrap().unwrap();
        assert_eq!(
            server.version,
            format!("TLSv{}", client.tls().protocol_version())
        );
        assert!(
            server.cipher.contains("AES") || server.cipher.contains("CHACHA20"),
            "{server:?}"
        );
        assert!(server.bits >= 128, "{server:?}");
        assert_eq!(server.client_subject, None);
    }
}

/// Servers that speak TLS at once and something else than PostgreSQL inside it.
#[tokio::test]
async fn direct_negotiation_with_a_server_of_another_protocol() {
    let pki = Pki::new();
    let leaf = pki.leaf().dns("localhost").issue();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (root, certificate) = (
        file("root", pki.root_pem()),
        file("crt", leaf.certificate_pem()),
    );
    let (above, key) = (
        file("above", pki.intermediate_pem()),
        file("key", leaf.key_pem()),
    );
    for protocols in [&["-alpn", "http/1.1"][..], &[]] {
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let mut server = Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-accept",
                &format!("127.0.0.1:{port}"),
            ])
            .args(protocols)
            .arg("-cert")
            .arg(&certificate)
            .arg("-key")
            .arg(&key)
            .arg("-cert_chain")
            .arg(&above)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need the openssl command line: apt-get install openssl");
        let config = sealpool::Config::new()
            .connect_retry(false)
            .host("localhost")
            .hostaddr("127.0.0.1")
            .port(port)
            .user("app")
            .password("never-to-be-seen-by-a-stranger")
            .tls_root(root.as_path())
            .tls_negotiation("direct");
        let pool = sealpool::Pool::builder(config).build().unwrap();
        let mut left = 100;
        let error = loop {
            let error = pool.acquire().await.unwrap_err();
            left -= 1;
            if error.class() != Class::Network || left == 0 {
                break error;
            }
            // OpenSSL's server does not say when it listens.
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        server.kill().unwrap();
        server.wait().unwrap();
        assert_eq!(
            reason(&error),
            Some(HandshakeFailure::Alpn),
            "{}",
            chain(&error)
        );
    }
}
