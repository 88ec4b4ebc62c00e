use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use sealpool_testkit::{Scripted, Step};

use crate::wait;

#[test]
fn steps_are_played_in_order_to_each_client() {
    let server = Scripted::start([
        Step::ReadExactly(3),
        Step::Send(b"N".to_vec()),
        Step::ReadExactly(2),
        Step::Close,
    ])
    .unwrap();
    for _ in 0..2 {
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.write_all(b"abcde").unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"N");
        client.write_all(b"after the close").unwrap();
    }
    assert_eq!(server.connections(), 2);
    wait::until(
        "recorded",
        &vec![b"abcdeafter the close".to_vec(); 2],
        || server.received(),
    );
}

#[test]
fn nothing_is_sent_before_enough_was_read() {
    let server = Scripted::start([Step::ReadExactly(3), Step::Send(b"N".to_vec())]).unwrap();
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client.write_all(b"ab").unwrap();
    wait::until("recorded", &vec![b"ab".to_vec()], || server.received());
    client.set_nonblocking(true).unwrap();
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    client.set_nonblocking(false).unwrap();
    client.write_all(b"c").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 1);
}

#[test]
fn a_client_that_leaves_early_ends_the_script() {
    let server = Scripted::start([Step::ReadExactly(3), Step::Send(b"N".to_vec())]).unwrap();
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_reset_is_a_reset() {
    let server = Scripted::start([Step::ReadExactly(1), Step::Reset]).unwrap();
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client.write_all(b"abc").unwrap();
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn a_drip_takes_its_time() {
    let every = Duration::from_millis(30);
    let server = Scripted::start([Step::Drip {
        bytes: b"slow".to_vec(),
        every,
    }])
    .unwrap();
    let begun = Instant::now();
    let mut client = TcpStream::connect(server.addr()).unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"slow");
    assert!(begun.elapsed() >= every * 4);
}

#[test]
fn silence_lasts_until_the_server_is_dropped() {
    let forever = Duration::from_secs(3600);
    let drip = Step::Drip {
        bytes: vec![0],
        every: forever,
    };
    for step in [Step::Silence, Step::ReadExactly(1), drip] {
        let server = Scripted::start([step]).unwrap();
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.set_nonblocking(true).unwrap();
        wait::until("accepted", &1, || server.connections());
        assert_eq!(
            client.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        drop(server);
        client.set_nonblocking(false).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}
