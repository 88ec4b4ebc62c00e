use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use sealpool::Event;

use crate::{dashboard::rules, events::Told, scrape::Exported};

fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("promtool: {error}; install Prometheus (Debian's package `prometheus` has it)")
        });
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn of_the_names_it_dislikes_opentelemetrys_count_alone() {
    let exported = Exported::new();
    let told = Told::new(&exported, "orders");
    for event in Event::samples() {
        told.tell(&event);
    }
    let output = promtool(&["check", "metrics"], &exported.text());
    let complaints = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(
        complaints,
        "db_client_connection_count non-histogram and non-summary metrics should not have \"_count\" suffix\n"
    );
}

#[test]
fn the_rules_are_rules() {
    let output = promtool(&["check", "rules", "alerts/sealpool.yaml"], "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found = format!("{} rules found", rules().len());
    assert!(text(&output.stdout).contains(&found), "{output:?}");
}

#[test]
fn each_alert_fires_when_it_should_and_is_silent_otherwise() {
    let output = promtool(&["test", "rules", "tests/alerts.yaml"], "");
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let cases = include_str!("../alerts.yaml");
    let cases: Vec<_> = cases.split("- eval_time:").skip(1).collect();
    for (name, _) in rules() {
        let of_alert = cases
            .iter()
            .filter(|case| case.contains(&format!("alertname: {name}\n")));
        let (silent, firing): (Vec<&&str>, Vec<&&str>) =
            of_alert.partition(|case| case.contains("exp_alerts: []"));
        assert!(!silent.is_empty(), "{name} is never silent");
        assert!(!firing.is_empty(), "{name} never fires");
    }
}
