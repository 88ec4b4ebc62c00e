//! What the command says of configurations, run as users run it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;

use serde_json::{Value, json};

mod command;
use command::{run, run_with};

const PASSWORD: &str = command::SECRETS[0];

fn explained(text: &str) -> Value {
    let (code, out, _) = run(&["explain", "--parse-only", "--json", "-"], text);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        code,
        if value["outcome"] == "accepted" { 0 } else { 2 },
        "{out}"
    );
    value
}

#[test]
fn every_row_of_the_table_comes_to_what_it_must() {
    let table = include_str!("../../sealpool-dsn/tests/dialects.tsv");
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    assert!(rows.len() > 100);
    for row in rows {
        let [_, text, wanted] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let value = explained(&text.replace('⏎', "\n"));
        let got = match value["outcome"].as_str() {
            Some("accepted") => value["verification"].as_str().unwrap().to_owned(),
            _ => format!("refused:{}", value["code"].as_str().unwrap()),
        };
        assert_eq!(got, wanted, "{row}");
    }
}

#[test]
fn what_was_accepted_is_told_whole() {
    let value = explained(
        "Host=a.example.net,b.example.net;Port=5433;Database=shop;Username=app;Password=Winter-9Kq;Enlist=true",
    );
    assert_eq!(value["dialect"], "Npgsql/ADO.NET");
    assert_eq!(
        value["hosts"],
        json!([{"name": "a.example.net", "port": 5433}, {"name": "b.example.net", "port": 5433}])
    );
    assert_eq!(
        (&value["database"], &value["user"]),
        (&json!("shop"), &json!("app"))
    );
    assert_eq!(value["warnings"][0]["code"], "ignored");
    let password = value["settings"].as_array().unwrap();
    let password = password
        .iter()
        .find(|setting| setting["name"] == "password");
    assert_eq!(password.unwrap()["value"], "_");
    assert_eq!(password.unwrap()["origin"], "standard input (Password)");
}

#[test]
fn a_refusal_says_where_why_and_what_to_write() {
    let text = "postgresql://app:Winter-9Kq@db.example.net/shop?sslmode=prefer";
    let (code, out, err) = run(&["explain", text], "");
    assert_eq!((code, err.as_str()), (2, ""));
    assert_eq!(
        out,
        "refused (plaintext_fallback): the argument: url: `sslmode` is `prefer`, which permits plaintext when TLS fails \
         (column 57 of it); remove it or write `sslmode=verify-full`\n"
    );
    let value = explained(text);
    assert_eq!(value["help"], "remove it or write `sslmode=verify-full`");
    assert_eq!(value["key"], "url");
}

#[test]
fn files_are_opened_unless_it_is_parsed_only() {
    let text = "host=db.example.net user=app sslrootcert=/nowhere/ca.pem";
    let (code, out, _) = run(&["explain", "--json", "-"], text);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["code"]), (2, &json!("root_missing")));
    assert_eq!(explained(text)["outcome"], "accepted");
}

#[test]
fn every_source_is_read_as_the_service_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.toml");
    fs::write(
        &file,
        "[services.db]\nhost = \"toml.example.net\"\nuser = \"app\"\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let from = |arguments: &[&str], variables: &[(&str, &str)]| {
        let all = [&["explain", "--parse-only", "--json"], arguments].concat();
        let (code, out, err) = run_with(&all, "", variables);
        assert_eq!(code, 0, "{out}{err}");
        serde_json::from_str::<Value>(&out).unwrap()["hosts"][0]["name"].clone()
    };
    assert_eq!(
        from(&["--config", path, "--table", "services.db"], &[]),
        "toml.example.net"
    );
    let ours = [("APP_DB_HOST", "env.example.net"), ("APP_DB_USER", "app")];
    assert_eq!(from(&["--env", "APP_DB"], &ours), "env.example.net");
    let libpq = [("PGHOST", "libpq.example.net"), ("PGUSER", "app")];
    assert_eq!(from(&["--libpq-env"], &libpq), "libpq.example.net");

    fs::write(&file, "[db]\nhost = \"a\"\nuzer = \"app\"\n").unwrap();
    let (code, out, _) = run(&["config", "check", path, "--table", "db"], "");
    assert_eq!(code, 2);
    for piece in ["app.toml:3:1", "did you mean `user`?", "^^^^"] {
        assert!(out.contains(piece), "{out}");
    }
    fs::write(&file, "[db]\nhost = \"a\"\nuser = \"app\"\n").unwrap();
    let (code, out, _) = run(&["config", "check", path, "--table", "db"], "");
    assert_eq!((code, out), (0, format!("{path}: good\n")));
}

#[test]
fn toml_says_the_same_as_the_string() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "host=a.example.net,b.example.net port=5432,5433 dbname=shop user='o\\'hara \\\\ \"x\"' sslmode=verify-full \
         sslrootcert=/etc/ssl/ca.pem connect_timeout=7 keepalives=0 application_name=42 target_session_attrs=read-write",
        "Host=db.example.net;Username=app;Maximum Pool Size=50;Minimum Pool Size=2;SSL Mode=VerifyCA;\
         Root Certificate=/ca.pem;Search Path=a,b;Password=Winter-9Kq",
    ] {
        let (code, toml, err) = run(&["explain", "--parse-only", "--as", "toml", "-"], text);
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(
            toml.contains("# password was given"),
            text.contains(PASSWORD)
        );
        let file = folder.path().join("db.toml");
        fs::write(&file, &toml).unwrap();
        let arguments = [
            "explain",
            "--parse-only",
            "--json",
            "--config",
            file.to_str().unwrap(),
            "--table",
            "db",
        ];
        let (_, again, _) = run(&arguments, "");
        let again: Value = serde_json::from_str(&again).unwrap();
        let values = |of: &Value| -> Vec<(Value, Value)> {
            of["settings"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|setting| setting["name"] != "password")
                .map(|setting| (setting["name"].clone(), setting["value"].clone()))
                .collect()
        };
        assert_eq!(values(&again), values(&explained(text)), "{toml}");
    }
}

#[test]
fn a_wrong_call_is_told_without_what_was_written() {
    let string = "postgresql://app:Winter-9Kq@db.example.net/shop";
    for arguments in [
        &["explain"][..],
        &["explain", "--table", "db", string],
        &["explain", string, "--env", "APP"],
        &["explain", string, string],
        &[string],
        &["explain", "--as", string, "-"],
        &["explain", "--jsno", string],
    ] {
        let (code, out, err) = run(arguments, "");
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(
            err.starts_with("error: ") && err.contains("sealpool help"),
            "{err}"
        );
    }
}

#[test]
fn help_completions_and_the_manual_page() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, out, _) = run(&["completions", shell], "");
        assert!(code == 0 && out.contains("parse-only"), "{shell}");
    }
    let (code, page, _) = run(&["man"], "");
    assert!(code == 0 && page.contains(".TH") && page.contains("parse\\-only"));
    let (code, help, _) = run(&["explain", "--help"], "");
    assert!(code == 0 && help.contains("standard input"));
    let (code, template, _) = run(&["config", "template"], "");
    assert!(code == 0 && template.contains("[db]"));
    let (code, schema, _) = run(&["config", "schema"], "");
    assert!(code == 0 && serde_json::from_str::<Value>(&schema).is_ok());
}
