use std::{sync::Arc, time::Duration};

use sealpool::{Class, Config, Error, HandshakeFailure, Pool, Stage};
use sealpool_testkit::{ClusterBuilder, OffsetDateTime, Pki, Scripted, Step};

use crate::rig::{Record, Rig, SLACK, chain, eventually, on_both};

on_both! {
    on_own(|builder| builder.setting("ssl", "off")) => a_server_without_tls;
    on_shared() => an_unknown_authority;
    on_shared() => a_name_that_the_certificate_lacks;
    on_own(expired) => an_expired_certificate;
    on_own(future) => a_certificate_of_tomorrow;
    on_own(self_signed) => a_self_signed_certificate;
}

async fn refused(rig: &Rig, config: Config) -> (HandshakeFailure, Error) {
    let error = rig.pool(config).acquire().await.unwrap_err();
    assert_eq!(error.class(), Class::Tls, "{error}");
    let Error::Connect(connect) = &error else {
        panic!("{error}")
    };
    let [attempt] = connect.attempts() else {
        panic!("{error}")
    };
    assert_eq!(attempt.stage(), Stage::Tls);
    let failure = attempt.handshake_failure().expect("a reason");
    assert_eq!(
        rig.record.counts().failed[&failure],
        1,
        "the observer heard the same reason"
    );
    (failure, error)
}

async fn a_server_without_tls(rig: Arc<Rig>) {
    let (failure, error) = refused(&rig, rig.config()).await;
    assert_eq!(failure, HandshakeFailure::ServerRefusedTls);
    assert!(!error.is_transient());
    assert_eq!(
        chain(&error),
        format!(
            "cannot connect to localhost:{} at {}: tls: server_refused_tls: the server does not offer TLS; \
             set ssl = on in postgresql.conf and reload the server",
            rig.tap.port(),
            rig.tap.addr(),
        )
    );
    let [connection] = &rig.tap.connections()[..] else {
        panic!("one connection")
    };
    assert_eq!(
        connection.bytes().len(),
        8,
        "nothing but the request for TLS was sent"
    );

    rig.cluster.ssl_on().unwrap();
    rig.pool(rig.config())
        .acquire()
        .await
        .expect("the same configuration, once the server has TLS");
}

async fn an_unknown_authority(rig: Arc<Rig>) {
    for stranger in [Pki::new(), rig.cluster.pki().remade()] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root.pem");
        std::fs::write(&root, stranger.root_pem()).unwrap();
        let config = rig.config().tls_root(root.to_str().unwrap());
        let error = rig.pool(config).acquire().await.unwrap_err();
        assert!(
            error.to_string().contains("certificate_unknown_issuer"),
            "{error}"
        );
    }
    let failed = rig.record.counts().failed;
    assert_eq!(failed[&HandshakeFailure::CertificateUnknownIssuer], 2);
}

async fn a_name_that_the_certificate_lacks(rig: Arc<Rig>) {
    let (failure, error) = refused(&rig, rig.config().host("db.example.net")).await;
    assert_eq!(failure, HandshakeFailure::CertificateHostnameMismatch);
    assert!(!error.is_transient());

    let chain_only = rig.config().host("db.example.net").tls_mode("verify-ca");
    rig.pool(chain_only)
        .acquire()
        .await
        .expect("verify-ca leaves the name out");
    for spelt in ["LOCALHOST", "localhost.", "127.0.0.1"] {
        rig.pool(rig.config().host(spelt))
            .acquire()
            .await
            .expect(spelt);
    }
}

fn expired(builder: ClusterBuilder) -> ClusterBuilder {
    let pki = Pki::new();
    let yesterday = OffsetDateTime::now_utc() - Duration::from_secs(86_400);
    let leaf = pki
        .leaf()
        .dns("localhost")
        .not_before(yesterday - Duration::from_secs(86_400));
    let leaf = leaf.not_after(yesterday).issue();
    builder.pki(pki).certificate(leaf)
}

async fn an_expired_certificate(rig: Arc<Rig>) {
    let (failure, error) = refused(&rig, rig.config()).await;
    assert_eq!(failure, HandshakeFailure::CertificateExpired);
    assert!(
        chain(&error).contains("certificate expired: verification time"),
        "{}",
        chain(&error)
    );
}

fn future(builder: ClusterBuilder) -> ClusterBuilder {
    let pki = Pki::new();
    let tomorrow = OffsetDateTime::now_utc() + Duration::from_secs(86_400);
    let leaf = pki.leaf().dns("localhost").not_before(tomorrow).issue();
    builder.pki(pki).certificate(leaf)
}

async fn a_certificate_of_tomorrow(rig: Arc<Rig>) {
    let (failure, _) = refused(&rig, rig.config()).await;
    assert_eq!(failure, HandshakeFailure::CertificateNotYetValid);
}

fn self_signed(builder: ClusterBuilder) -> ClusterBuilder {
    let pki = Pki::new();
    let leaf = pki.leaf().dns("localhost").self_signed().issue();
    builder.pki(pki).certificate(leaf)
}

async fn a_self_signed_certificate(rig: Arc<Rig>) {
    let (failure, _) = refused(&rig, rig.config()).await;
    assert_eq!(failure, HandshakeFailure::CertificateUnknownIssuer);
}

const REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A row: what the server does after the request for TLS, and what that is called.
type Row = (&'static str, Vec<Step>, HandshakeFailure);

fn send(bytes: &[u8]) -> Step {
    Step::Send(bytes.to_vec())
}

/// Servers that do not agree to TLS: after the request not one byte more may reach them.
fn without_consent() -> Vec<Row> {
    let asked = || Step::ReadExactly(REQUEST.len());
    vec![
        (
            "refusal",
            vec![asked(), send(b"N")],
            HandshakeFailure::ServerRefusedTls,
        ),
        (
            "an error",
            vec![
                asked(),
                send(b"E\0\0\0\x20SFATAL\0C53300\0Mwords-of-a-stranger\0\0"),
            ],
            HandshakeFailure::ServerErrorBeforeTls,
        ),
        (
            "a web server",
            vec![asked(), send(b"HTTP/1.1 400 Bad Request\r\n\r\n")],
            HandshakeFailure::ServerUnintelligible,
        ),
        (
            "an SSH server",
            vec![send(b"SSH-2.0-OpenSSH_9.2\r\n")],
            HandshakeFailure::ServerUnintelligible,
        ),
        (
            "the end",
            vec![asked(), Step::Close],
            HandshakeFailure::ConnectionClosed,
        ),
        (
            "a reset",
            vec![asked(), Step::Reset],
            HandshakeFailure::ConnectionClosed,
        ),
        ("silence", vec![Step::Silence], HandshakeFailure::Timeout),
        (
            "consent and a forged login in one segment",
            vec![asked(), send(b"SR\0\0\0\x08\0\0\0\0")],
            HandshakeFailure::PlaintextInjection,
        ),
    ]
}

fn alert(description: u8) -> Vec<Step> {
    let record = [0x15, 3, 3, 0, 2, 2, description];
    vec![
        Step::ReadExactly(REQUEST.len()),
        send(b"S"),
        Step::ReadExactly(1),
        send(&record),
    ]
}

/// Servers that agree and then speak no TLS, or not as they should.
fn with_consent() -> Vec<Row> {
    let asked = || Step::ReadExactly(REQUEST.len());
    vec![
        (
            "silence",
            vec![asked(), send(b"S"), Step::Silence],
            HandshakeFailure::Timeout,
        ),
        (
            "a forged login",
            vec![
                asked(),
                send(b"S"),
                Step::ReadExactly(1),
                send(b"R\0\0\0\x08\0\0\0\0"),
            ],
            HandshakeFailure::ProtocolError,
        ),
        (
            "an alert of its own",
            alert(80),
            HandshakeFailure::PeerAlert,
        ),
        (
            "the alert handshake_failure",
            alert(40),
            HandshakeFailure::NoCommonCipher,
        ),
        (
            "the alert protocol_version",
            alert(70),
            HandshakeFailure::ProtocolVersion,
        ),
        (
            "a hello that is none",
            vec![
                asked(),
                send(b"S"),
                Step::ReadExactly(1),
                send(&[0x16, 3, 3, 0, 4, 9, 9, 9, 9]),
                Step::Silence,
            ],
            HandshakeFailure::ProtocolError,
        ),
        (
            "a record that is too long",
            vec![
                asked(),
                send(b"S"),
                Step::ReadExactly(1),
                send(&[&[0x16, 3, 3, 0x50, 0][..], &[0; 0x5000]].concat()),
            ],
            HandshakeFailure::ProtocolError,
        ),
        (
            "a record, one byte at a time",
            vec![
                asked(),
                send(b"S"),
                Step::ReadExactly(1),
                Step::Drip {
                    bytes: [&[0x16, 3, 3, 0x40, 0][..], &[0; 200]].concat(),
                    every: Duration::from_millis(50),
                },
                Step::Silence,
            ],
            HandshakeFailure::Timeout,
        ),
        (
            "the end",
            vec![asked(), send(b"S"), Step::ReadExactly(1), Step::Close],
            HandshakeFailure::ConnectionClosed,
        ),
    ]
}

async fn answered(row: &Row) -> (Vec<u8>, Error) {
    let (name, steps, expected) = row;
    let server = Scripted::start(steps.clone()).unwrap();
    let record = Record::default();
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), Pki::new().root_pem()).unwrap();
    let limit = Duration::from_millis(1_000);
    let config = Config::new()
        .connect_retry(false)
        .host("127.0.0.1")
        .port(server.port())
        .user("app")
        .password("never-to-be-seen-by-a-stranger")
        .tls_root(root.path().to_str().unwrap())
        .connect_tls_timeout(limit);
    let pool = Pool::builder(config)
        .observer(record.clone())
        .build()
        .unwrap();
    let started = std::time::Instant::now();
    let error = pool.acquire().await.unwrap_err();
    let taken = started.elapsed();
    assert!(taken < limit + SLACK, "{name}: {taken:?}");
    assert_eq!(
        record.counts().failed.into_iter().collect::<Vec<_>>(),
        [(*expected, 1)],
        "{name}"
    );
    assert!(!chain(&error).contains("stranger"), "{name}: {error}");
    drop(pool);
    eventually("the server has read the request", async || {
        server.received().concat().len() >= REQUEST.len()
    })
    .await;
    let received = server.received();
    assert_eq!(received.len(), 1, "{name}: one connection");
    (received.concat(), error)
}

#[tokio::test]
async fn a_server_that_does_not_agree_gets_eight_bytes_and_no_more() {
    for row in without_consent() {
        let (received, error) = answered(&row).await;
        assert!(REQUEST.starts_with(&received), "{}: {received:x?}", row.0);
        // A greeting that the client leaves unread makes its close a reset, which may overtake the request.
        if matches!(row.1.first(), Some(Step::ReadExactly(_))) {
            assert_eq!(received, REQUEST, "{}: {error}", row.0);
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_gets_a_hello_and_no_more() {
    for row in with_consent() {
        let (received, error) = answered(&row).await;
        let (request, hello) = received.split_at(REQUEST.len());
        assert_eq!(request, REQUEST, "{}: {error}", row.0);
        assert!(
            hello.is_empty() || hello.first() == Some(&0x16),
            "{}: {hello:?}",
            row.0
        );
    }
}
