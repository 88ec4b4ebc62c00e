//! The command as users run it.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

/// What no output may hold.
pub(crate) const SECRETS: [&str; 2] = ["Winter-9Kq", "Wrong-9Kq"];

/// The exit code, and what was printed on both ways.
pub(crate) fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    run_with(arguments, input, &[])
}

pub(crate) fn run_with(
    arguments: &[&str],
    input: &str,
    variables: &[(&str, &str)],
) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sealpool"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    for said in [&out, &err] {
        for secret in SECRETS {
            assert!(!said.contains(secret), "{arguments:?} says {said}");
        }
    }
    (output.status.code().unwrap(), out, err)
}
