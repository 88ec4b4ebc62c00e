use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sealpool_testkit::{Cluster, Direction, Link, Proxy, Tap, Treatment};

use crate::client::Login;
use crate::wait;

use Direction::{ToClient, ToServer};

/// For bytes that must not arrive: long enough that they would have.
const WHILE: Duration = Duration::from_millis(100);

struct Rig {
    proxy: Proxy,
    listener: TcpListener,
}

impl Rig {
    fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
        Self { proxy, listener }
    }

    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.addr()).unwrap();
        (client, self.listener.accept().unwrap().0)
    }

    /// A client, what it is connected to, and the link between them.
    fn pair(&self) -> (TcpStream, TcpStream, Link) {
        let (client, server) = self.connect();
        (client, server, self.proxy.links().pop().unwrap())
    }
}

fn says(from: &mut TcpStream, to: &mut TcpStream, text: &str) {
    from.write_all(text.as_bytes()).unwrap();
    hears(to, text);
}

fn hears(to: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    to.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), text);
}

fn hears_nothing(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(WHILE)).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );
    stream.set_read_timeout(None).unwrap();
}

fn hears_the_end(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

fn hears_a_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn without_a_treatment_all_passes_the_end_too() {
    let rig = Rig::new();
    let (mut client, mut server, link) = rig.pair();
    says(&mut client, &mut server, "question");
    says(&mut server, &mut client, "answer");
    assert_eq!((link.passed(ToServer), link.passed(ToClient)), (8, 6));
    client.shutdown(Shutdown::Write).unwrap();
    hears_the_end(&mut server);
    says(&mut server, &mut client, "still here");
    drop(server);
    hears_the_end(&mut client);
}

#[test]
fn a_reset_passes_in_both_directions() {
    let rig = Rig::new();
    for client_first in [true, false] {
        let (client, server, _) = rig.pair();
        let (resets, mut other) = if client_first {
            (client, server)
        } else {
            (server, client)
        };
        socket2::SockRef::from(&resets)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(resets);
        hears_a_reset(&mut other);
    }
}

#[test]
fn what_is_held_arrives_when_it_is_let_go() {
    let rig = Rig::new();
    let (mut client, mut server, link) = rig.pair();
    link.treat(ToServer, Treatment::Hold);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    hears_nothing(&mut server);
    says(&mut server, &mut client, "the other way is open");
    link.treat(ToServer, Treatment::Pass);
    hears(&mut server, "question");
    hears_the_end(&mut server);
}

#[test]
fn what_is_discarded_never_arrives_nor_does_its_end() {
    let rig = Rig::new();
    let (mut client, mut server, link) = rig.pair();
    link.treat(ToServer, Treatment::Discard);
    client.write_all(b"question").unwrap();
    hears_nothing(&mut server);
    link.treat(ToServer, Treatment::Pass);
    says(&mut client, &mut server, "again");
    link.treat(ToServer, Treatment::Discard);
    client.shutdown(Shutdown::Write).unwrap();
    hears_nothing(&mut server);
}

#[test]
fn a_delay_and_a_drip_take_their_time() {
    let rig = Rig::new();
    let pause = Duration::from_millis(20);
    for (treatment, least) in [
        (Treatment::Delay(pause), pause),
        (Treatment::Drip(pause), 8 * pause),
    ] {
        let (mut client, mut server, link) = rig.pair();
        link.treat(ToClient, treatment);
        let started = Instant::now();
        says(&mut server, &mut client, "greeting");
        assert!(
            started.elapsed() >= least,
            "{treatment:?}: {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn a_fin_closes_one_half() {
    let rig = Rig::new();
    let (mut client, mut server, link) = rig.pair();
    link.treat(ToClient, Treatment::Fin);
    hears_the_end(&mut client);
    says(&mut client, &mut server, "I go on");
    server.write_all(b"in vain").unwrap();
    hears_the_end(&mut client);
}

#[test]
fn a_rst_ends_both_sides() {
    let rig = Rig::new();
    for direction in [ToClient, ToServer] {
        let (mut client, mut server, link) = rig.pair();
        link.treat(direction, Treatment::Reset);
        hears_a_reset(&mut client);
        hears_a_reset(&mut server);
    }
}

#[test]
fn it_is_cut_after_so_many_bytes() {
    let rig = Rig::new();
    for cut in [
        Treatment::Fin,
        Treatment::Discard,
        Treatment::Hold,
        Treatment::Reset,
    ] {
        let (mut client, mut server, link) = rig.pair();
        says(&mut server, &mut client, "some before");
        link.treat_after(ToClient, 4, cut);
        says(&mut server, &mut client, "an");
        server.write_all(b"swer").unwrap();
        // A reset takes along what has not been read.
        if cut == Treatment::Reset {
            wait::until("cut", &15, || link.passed(ToClient));
            hears_a_reset(&mut server);
            continue;
        }
        hears(&mut client, "sw");
        match cut {
            Treatment::Fin => hears_the_end(&mut client),
            _ => hears_nothing(&mut client),
        }
        assert_eq!(link.passed(ToClient), 15, "{cut:?}");
        link.treat(ToClient, Treatment::Pass);
        match cut {
            Treatment::Hold => hears(&mut client, "er"),
            Treatment::Discard => says(&mut server, &mut client, "other"),
            _ => {}
        }
    }
}

#[test]
fn a_black_hole_swallows_old_connections_and_new_ones_pass() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    rig.proxy.black_hole();
    client.write_all(b"question").unwrap();
    drop(client);
    hears_nothing(&mut server);
    let (mut client, mut server) = rig.connect();
    says(&mut client, &mut server, "question");
    says(&mut server, &mut client, "answer");
}

#[test]
fn new_connections_are_treated_from_their_first_byte_on() {
    let rig = Rig::new();
    let (mut old_client, mut old_server) = rig.connect();
    rig.proxy.treat_new(ToClient, Treatment::Fin);
    rig.proxy.treat_new(ToServer, Treatment::Discard);
    let (mut client, mut server) = rig.connect();
    hears_the_end(&mut client);
    client.write_all(b"question").unwrap();
    hears_nothing(&mut server);
    says(&mut old_client, &mut old_server, "as ever");

    rig.proxy.treat_new_after(ToClient, 3, Treatment::Fin);
    let (mut client, mut server) = rig.connect();
    server.write_all(b"greeting").unwrap();
    hears(&mut client, "gre");
    hears_the_end(&mut client);
}

#[test]
fn another_upstream_gets_the_new_ones() {
    let rig = Rig::new();
    let (mut old_client, mut old_server) = rig.connect();
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    rig.proxy.swap_upstream(other.local_addr().unwrap());
    let mut client = TcpStream::connect(rig.proxy.addr()).unwrap();
    let mut server = other.accept().unwrap().0;
    says(&mut client, &mut server, "to the other");
    says(&mut old_client, &mut old_server, "to the first");
}

#[test]
fn a_client_of_a_dead_upstream_is_reset() {
    let rig = Rig::new();
    let gone = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    rig.proxy.swap_upstream(gone);
    hears_a_reset(&mut TcpStream::connect(rig.proxy.addr()).unwrap());
}

#[test]
fn dropping_it_ends_what_it_holds() {
    let rig = Rig::new();
    let (mut client, mut server, link) = rig.pair();
    link.treat(ToServer, Treatment::Hold);
    link.treat(ToClient, Treatment::Discard);
    client.write_all(b"question").unwrap();
    drop(rig);
    let _ = client.read(&mut [0]);
    let _ = server.read(&mut [0]);
    link.treat(ToServer, Treatment::Reset);
}

#[tokio::test]
async fn a_sealed_client_does_not_mind_a_byte_at_a_time() {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.addr()).unwrap();
    let tap = Tap::start(proxy.addr()).unwrap();
    tap.forbid(cluster.password());
    for direction in [ToClient, ToServer] {
        proxy.treat_new(direction, Treatment::Drip(Duration::ZERO));
    }
    let client = Login::through(&cluster, tap.port())
        .connect()
        .await
        .unwrap();
    client.batch_execute("select 1").await.unwrap();
    tap.verify().unwrap();
    let [link] = &proxy.links()[..] else {
        panic!("one link")
    };
    assert_eq!(
        link.passed(ToServer),
        tap.connections()[0].bytes().len() as u64
    );
}
