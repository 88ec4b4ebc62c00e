use std::env;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use sealpool_testkit::Cluster;

use crate::wait;

const AS_CHILD: &str = "SEALPOOL_TESTKIT_ORPHAN";

/// Runs a test of this binary in another process, with a temporary folder of its own.
fn child(test: &str, temp: &Path) -> Child {
    fs::create_dir(temp).unwrap();
    // As /tmp is: when root runs this test, the server runs as nobody.
    fs::set_permissions(temp, Permissions::from_mode(0o1777)).unwrap();
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(AS_CHILD, "1")
        .env("TMPDIR", temp)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn temp(name: &str) -> PathBuf {
    env::temp_dir().join(format!("{name}-{}", std::process::id()))
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

fn lives(pid: &str) -> bool {
    Command::new("sh")
        .args(["-c", "kill -s 0 \"$1\" 2>&-", "sh", pid])
        .status()
        .unwrap()
        .success()
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    if env::var_os(AS_CHILD).is_some() {
        let cluster = Cluster::start().unwrap();
        let pid = fs::read_to_string(cluster.data_dir().join("postmaster.pid")).unwrap();
        println!(
            "\ncluster {} {}",
            cluster.addr(),
            pid.lines().next().unwrap()
        );
        loop {
            thread::park();
        }
    }
    let temp = temp("killed");
    let mut child = child("orphan::a_killed_process_leaves_nothing_behind", &temp);
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let line = lines
        .filter_map(|line| line.strip_prefix("cluster ").map(str::to_owned))
        .next()
        .unwrap();
    let (addr, pid) = line.split_once(' ').unwrap();
    let addr: SocketAddr = addr.parse().unwrap();
    TcpStream::connect(addr).unwrap();
    assert!(lives(pid) && !is_empty(&temp));

    child.kill().unwrap();
    child.wait().unwrap();
    wait::until("the port answers", &false, || {
        TcpStream::connect(addr).is_ok()
    });
    wait::until("the server lives", &false, || lives(pid));
    wait::until("the folder is empty", &true, || is_empty(&temp));
    fs::remove_dir(temp).unwrap();
}

#[test]
fn a_process_killed_while_it_starts_a_server_leaves_nothing_behind() {
    if env::var_os(AS_CHILD).is_some() {
        let cluster = Cluster::start().unwrap();
        panic!("not killed in time: {cluster:?}");
    }
    let temp = temp("killed-early");
    let mut child = child(
        "orphan::a_process_killed_while_it_starts_a_server_leaves_nothing_behind",
        &temp,
    );
    let begun = || {
        fs::read_dir(&temp)
            .unwrap()
            .any(|home| home.unwrap().path().join("data").exists())
    };
    wait::until("initdb has begun", &true, begun);
    child.kill().unwrap();
    child.wait().unwrap();
    wait::until("the folder is empty", &true, || is_empty(&temp));
    fs::remove_dir(temp).unwrap();
}
