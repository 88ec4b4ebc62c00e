//! The demo, and the server that it leaves up.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

mod command;
use command::run;

#[test]
fn all_of_it_happens() {
    let (code, out, err) = run(&["demo"], "");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(out.matches("\n   ok: ").count(), 6, "{out}");
}

/// Ends the demo as a terminal that is closed does.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_it_leaves_up_can_be_used_and_ends_with_it() {
    let child = Command::new(env!("CARGO_BIN_EXE_sealpool"))
        .args(["demo", "--keep"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut kept = Kept(child);
    let lines = BufReader::new(kept.0.stdout.take().unwrap()).lines();
    let told = lines
        .map(|line| line.unwrap())
        .find(|line| line.contains("sealpool doctor"))
        .expect("it says how to go on");
    let arguments: Vec<&str> = told.split_whitespace().skip(1).collect();
    let (code, out, _) = run(&arguments, "");
    assert_eq!(code, 0, "{out}");
    let file = arguments.get(2).copied().unwrap();
    assert!(Path::new(file).exists());
    drop(kept);
    let deadline = Instant::now() + Duration::from_secs(60);
    while Path::new(file).exists() {
        assert!(Instant::now() < deadline, "the server is still there");
        thread::sleep(Duration::from_millis(20));
    }
}
