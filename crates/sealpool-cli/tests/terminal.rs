//! What is seen on a terminal, driven by tmux, and what a pipe gets instead.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

mod command;
use command::run;

/// A terminal of 120 by 40, which ends with it.
struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    fn run(command: &str) -> Self {
        let terminal = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        // The pane stays when the command has ended.
        let kept = format!("{command}; echo ENDED; sleep 600");
        let started = terminal.tmux(&[
            "new-session",
            "-d",
            "-x",
            "120",
            "-y",
            "40",
            "sh",
            "-c",
            &kept,
        ]);
        assert!(started.status.success(), "{started:?}");
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        Command::new("tmux")
            .arg("-S")
            .arg(self.folder.path().join("socket"))
            .args(["-f", "/dev/null"])
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("TMUX")
            .output()
            .expect("tmux: apt-get install tmux")
    }

    /// The screen, once it shows `piece`.
    fn shows(&self, piece: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.tmux(&["capture-pane", "-p", "-e"]);
            let screen = String::from_utf8_lossy(&screen.stdout).into_owned();
            if screen.contains(piece) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no {piece:?} in\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpool");
const RED: &str = "\u{1b}[31m";

#[test]
fn the_doctor_uses_colours_on_a_terminal_unless_it_is_told_not_to() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db.toml");
    let text =
        format!("host = \"localhost\"\nhostaddr = \"127.0.0.1\"\nport = {port}\nuser = \"app\"\n");
    fs::write(&file, text).unwrap();
    let doctor = format!("{PROGRAM} doctor --config {}", file.display());
    let screen = Terminal::run(&doctor).shows("ENDED");
    assert!(
        screen.contains(RED) && screen.contains("FAILED"),
        "{screen}"
    );
    assert!(screen.contains("fix: check host, port"), "{screen}");
    let screen = Terminal::run(&format!("NO_COLOR=1 {doctor}")).shows("ENDED");
    assert!(
        !screen.contains(RED) && screen.contains("FAILED"),
        "{screen}"
    );
}

/// Serves metrics as they are after so many looks; the pools' own are in the crate that exports them.
fn service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    thread::spawn(move || {
        let looks = AtomicU64::new(0);
        for stream in listener.incoming() {
            let _ = answer(stream.unwrap(), looks.fetch_add(1, Ordering::Relaxed));
        }
    });
    url
}

fn answer(mut stream: TcpStream, looks: u64) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?).lines();
    while request
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let pool = "db_client_connection_pool_name=\"orders\"";
    let acquires = looks * 1000;
    let body = format!(
        "sealpool_state{{{pool},state=\"closed\"}} 0\n\
         sealpool_state{{{pool},state=\"running\"}} 1\n\
         db_client_connection_count{{{pool},db_client_connection_state=\"idle\"}} 5\n\
         db_client_connection_count{{{pool},db_client_connection_state=\"used\"}} 3\n\
         db_client_connection_max{{{pool}}} 10\n\
         sealpool_acquires_total{{{pool},outcome=\"direct\"}} {acquires}\n\
         sealpool_tls_handshake_failures_total{{{pool},error_type=\"certificate_expired\"}} {looks}\n"
    );
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_watcher_sees_what_changes() {
    let url = service();
    let terminal = Terminal::run(&format!("{PROGRAM} watch --interval 50ms {url}"));
    let screen = terminal.shows("certificate_expired 5 (+1)");
    for piece in ["orders", "running", "3 used, 5 idle of 10", "#"] {
        assert!(screen.contains(piece), "{piece:?} in\n{screen}");
    }
    assert_eq!(
        screen.matches("3 used, 5 idle of 10").count(),
        1,
        "one look at a time"
    );
}

#[test]
fn a_pipe_gets_lines() {
    let url = service();
    let (code, out, err) = run(&["watch", "--interval", "10ms", "--count", "3", &url], "");
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    for (looks, line) in lines.into_iter().enumerate() {
        assert!(
            line.starts_with("pool=\"orders\" state=running used=3 idle=5 max=10"),
            "{line}"
        );
        assert!(line.contains(&format!("tls_failures={looks}")), "{line}");
    }
}

#[test]
fn what_serves_no_metrics_is_told() {
    assert!(Path::new(PROGRAM).exists());
    let (code, out, err) = run(&["watch", "http://127.0.0.1:1/metrics"], "");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("error: no metrics: "), "{err}");
    let (code, _, err) = run(&["watch", "--interval", "soon", "http://127.0.0.1:1/"], "");
    assert_eq!(code, 2);
    assert!(err.contains("sealpool help"), "{err}");
}
