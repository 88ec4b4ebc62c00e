use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{self, AssertUnwindSafe};

use sealpool_testkit::{Cluster, Installation, Mode, Scripted, Step, Tap};

use crate::client::Login;
use crate::wait;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Counts are those of TLS 1.3 with SCRAM: SSLRequest, hello, startup, two of SCRAM.
#[tokio::test]
async fn a_sealed_client_passes_and_its_round_trips_are_counted() {
    for installation in Installation::all() {
        let cluster = Cluster::builder()
            .installation(installation)
            .start()
            .unwrap();
        let tap = Tap::start(cluster.addr()).unwrap();
        tap.forbid(cluster.password());
        tap.forbid("select 'a canary'");
        let client = Login::through(&cluster, tap.port())
            .connect()
            .await
            .unwrap();
        let [recording] = &tap.connections()[..] else {
            panic!("{:?}", tap.connections())
        };
        assert_eq!(
            (
                recording.mode(),
                recording.cleartext_len(),
                recording.flights()
            ),
            (Some(Mode::Classic), 8, 5)
        );
        client.batch_execute("select 'a canary'").await.unwrap();
        assert_eq!(tap.connections()[0].flights(), 6);
        let summary = tap.verify().unwrap();
        assert_eq!(
            (summary.connections(), summary.cleartext_bytes()),
            (1, &[8][..])
        );
        assert_eq!(summary.tls_bytes(), tap.connections()[0].bytes().len() - 8);
        assert!(summary.tls_bytes() > 500);
    }
}

#[tokio::test]
async fn a_direct_client_saves_a_round_trip_and_sends_no_byte_in_clear() {
    let cluster = Cluster::builder()
        .installation(Installation::find(18).unwrap())
        .start()
        .unwrap();
    let tap = Tap::start(cluster.addr()).unwrap();
    let mut login = Login::through(&cluster, tap.port());
    login.direct = true;
    let _client = login.connect().await.unwrap();
    let [recording] = &tap.connections()[..] else {
        panic!("{:?}", tap.connections())
    };
    assert_eq!(
        (
            recording.mode(),
            recording.cleartext_len(),
            recording.flights()
        ),
        (Some(Mode::Direct), 0, 4)
    );
    assert_eq!(tap.verify().unwrap().cleartext_bytes(), [0]);
}

/// A tap that must report something, now and when it is dropped.
fn violation(forbidden: &str, sent: &[&[u8]]) -> String {
    let server = Scripted::start([Step::Silence]).unwrap();
    let tap = Tap::start(server.addr()).unwrap();
    tap.forbid(forbidden);
    let mut client = TcpStream::connect(tap.addr()).unwrap();
    client.write_all(&sent.concat()).unwrap();
    wait::until("passed on", &vec![sent.concat()], || server.received());
    let violation = tap.verify().unwrap_err();
    let port = tap.port();
    let panic = panic::catch_unwind(AssertUnwindSafe(|| drop(tap))).unwrap_err();
    let text = panic.downcast::<String>().unwrap();
    assert_eq!(
        *text,
        format!("the tap on 127.0.0.1:{port} saw what must not travel: {violation}")
    );
    violation.to_string()
}

#[test]
fn a_plaintext_client_is_reported() {
    let text = violation(
        "s3cret",
        &[&SSL_REQUEST, b"\0\0\0\x13\0\x03\0\0user\0alice\0\0"],
    );
    assert_eq!(
        text,
        "connection 0, byte 8: no TLS record begins with 00 00 00 13 00"
    );
}

#[test]
fn a_startup_message_instead_of_the_request_is_reported() {
    let text = violation("s3cret", &[b"\0\0\0\x13\0\x03\0\0user\0alice\0\0"]);
    assert_eq!(
        text,
        "connection 0, byte 0: neither an SSLRequest nor a TLS handshake but 00 00 00 13 00 03 00 00"
    );
}

#[test]
fn a_canary_in_clear_is_reported_and_not_repeated() {
    let text = violation("s3cret", &[&SSL_REQUEST, &[23, 3, 3, 0, 8], b"<s3cret>"]);
    assert_eq!(text, "connection 0, byte 14: canary 0 (6 bytes) in clear");
}

#[tokio::test]
async fn a_real_client_in_plaintext_is_reported() {
    let cluster = Cluster::builder()
        .hba("host all app 127.0.0.1/32 password")
        .start()
        .unwrap();
    let tap = Tap::start(cluster.addr()).unwrap();
    tap.forbid(cluster.password());
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(tap.port())
        .user("app")
        .password(cluster.password());
    let (_client, _connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let text = tap.verify().unwrap_err().to_string();
    assert!(text.contains("canary 0 (32 bytes) in clear"), "{text}");
    panic::catch_unwind(AssertUnwindSafe(|| drop(tap))).unwrap_err();
}

#[test]
fn what_was_sent_just_before_the_end_still_counts() {
    for _ in 0..50 {
        let server = Scripted::start([Step::Silence]).unwrap();
        let tap = Tap::start(server.addr()).unwrap();
        let mut client = TcpStream::connect(tap.addr()).unwrap();
        client.write_all(b"select 1").unwrap();
        panic::catch_unwind(AssertUnwindSafe(|| drop(tap))).unwrap_err();
    }
}

#[test]
fn a_panicking_test_is_not_made_worse() {
    let server = Scripted::start([Step::Silence]).unwrap();
    let panic = panic::catch_unwind(AssertUnwindSafe(|| {
        let tap = Tap::start(server.addr()).unwrap();
        TcpStream::connect(tap.addr())
            .unwrap()
            .write_all(b"select 1")
            .unwrap();
        panic!("the test's own");
    }));
    assert_eq!(
        *panic.unwrap_err().downcast::<&str>().unwrap(),
        "the test's own"
    );
}

#[test]
fn a_short_canary_is_refused() {
    let tap = Tap::start(([127, 0, 0, 1], 1).into()).unwrap();
    let panic = panic::catch_unwind(AssertUnwindSafe(|| tap.forbid("app"))).unwrap_err();
    assert!(
        panic
            .downcast::<String>()
            .unwrap()
            .contains("a canary of 3 bytes turns up in ciphertext by chance")
    );
}

/// A client, the tap's connection to the server, and the tap between them.
fn pair() -> (TcpStream, TcpStream, Tap) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let tap = Tap::start(listener.local_addr().unwrap()).unwrap();
    let client = TcpStream::connect(tap.addr()).unwrap();
    (client, listener.accept().unwrap().0, tap)
}

#[test]
fn a_half_close_is_passed_on_and_the_other_half_stays_open() {
    let (mut client, mut server, tap) = pair();
    client.write_all(&SSL_REQUEST).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all, SSL_REQUEST);
    server.write_all(b"still here").unwrap();
    drop(server);
    all.clear();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"still here");
    assert_eq!(tap.verify().unwrap().cleartext_bytes(), [8]);
}

#[test]
fn a_reset_is_passed_on_in_both_directions() {
    for client_first in [true, false] {
        let (client, server, tap) = pair();
        let (resets, mut other) = if client_first {
            (client, server)
        } else {
            (server, client)
        };
        reset(resets);
        assert_eq!(
            other.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        drop(tap);
    }
}

#[test]
fn what_the_server_said_before_its_reset_arrives() {
    let (mut client, mut server, _tap) = pair();
    server.write_all(b"FATAL").unwrap();
    let mut said = [0; 5];
    client.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"FATAL");
    reset(server);
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn a_client_of_a_dead_upstream_is_reset() {
    let upstream = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let tap = Tap::start(upstream).unwrap();
    let mut client = TcpStream::connect(tap.addr()).unwrap();
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(tap.verify().unwrap().cleartext_bytes(), [0]);
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
}
