//! Two tables of connection strings and what each must come to.
#![allow(clippy::unwrap_used)]

use sealpool_dsn::{Dsn, DsnError};

const GIVEN: &str = include_str!("dialects.tsv");
const MORE: &str = include_str!("dialects_more.tsv");

#[test]
fn every_row_of_the_given_table_holds() {
    check("dialects.tsv", GIVEN, 100);
}

#[test]
fn every_row_of_the_larger_table_holds() {
    check("dialects_more.tsv", MORE, 300);
}

fn check(name: &str, table: &str, at_least: usize) {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for (number, line) in table
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        rows += 1;
        let columns: Vec<&str> = line.split('\t').collect();
        let [dialect, written, expected, facts @ ..] = columns.as_slice() else {
            panic!("{name}:{} has fewer than three columns", number + 1);
        };
        let text = written.replace('⏎', "\n").replace('⇥', "\t");
        if let Err(found) = row(&text, expected, facts) {
            wrong.push(format!(
                "{name}:{} [{dialect}] {written}\n    expected {expected}, {found}",
                number + 1
            ));
        }
    }
    println!("{name}: {} of {rows} rows hold", rows - wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(rows >= at_least, "{name} has only {rows} rows");
}

fn row(text: &str, expected: &str, facts: &[&str]) -> Result<(), String> {
    let result = Dsn::parse(text);
    let found = result.as_ref().map_or_else(
        |e| format!("refused:{}", e.code()),
        |dsn| dsn.verification.to_string(),
    );
    if found != expected {
        return Err(format!(
            "found {found}: {}",
            result.map_or_else(|e: DsnError| e.to_string(), |dsn| dsn.to_string())
        ));
    }
    for fact in facts {
        let (name, wanted) = fact
            .split_once('=')
            .ok_or_else(|| format!("no fact: {fact}"))?;
        let found = match &result {
            Ok(dsn) => of_dsn(dsn, name)?,
            Err(error) => of_error(error, name)?,
        };
        if found != wanted {
            return Err(format!("{name} is {found:?} instead of {wanted:?}"));
        }
    }
    Ok(())
}

fn of_dsn(dsn: &Dsn, name: &str) -> Result<String, String> {
    let list = |item: &dyn Fn(&sealpool_dsn::Host) -> String| {
        dsn.hosts.iter().map(item).collect::<Vec<_>>().join(",")
    };
    let text = |value: &Option<sealpool_dsn::Located<String>>| {
        value.as_ref().map(|v| v.value.clone()).unwrap_or_default()
    };
    let number = |value: &Option<sealpool_dsn::Located<u32>>| {
        value
            .as_ref()
            .map(|v| v.value.to_string())
            .unwrap_or_default()
    };
    Ok(match name {
        "host" => list(&|host| host.name.clone()),
        "port" => list(&|host| host.port.to_string()),
        "hostaddr" => list(&|host| host.hostaddr.map(|a| a.to_string()).unwrap_or_default()),
        "db" => text(&dsn.database),
        "user" => text(&dsn.user),
        "password" => dsn
            .password
            .as_ref()
            .map(|v| v.value.expose().to_owned())
            .unwrap_or_default(),
        "dialect" => dsn.dialect.to_string(),
        "app" => text(&dsn.application_name),
        "options" => text(&dsn.options),
        "search_path" => text(&dsn.search_path),
        "pool_max" => number(&dsn.pool_max),
        "pool_min" => number(&dsn.pool_min),
        "cache" => number(&dsn.statement_cache),
        "attrs" => dsn
            .target_session_attrs
            .as_ref()
            .map(|v| v.value.to_string())
            .unwrap_or_default(),
        "balance" => dsn
            .load_balance_hosts
            .as_ref()
            .map(|v| v.value.to_string())
            .unwrap_or_default(),
        "negotiation" => dsn
            .ssl_negotiation
            .as_ref()
            .map(|v| v.value.to_string())
            .unwrap_or_default(),
        "connect" => limit(&dsn.connect_timeout),
        "statement" => limit(&dsn.statement_timeout),
        "idle" => limit(&dsn.idle_timeout),
        "life" => limit(&dsn.max_lifetime),
        "acquire" => limit(&dsn.acquire_timeout),
        "user_timeout" => limit(&dsn.tcp_user_timeout),
        "root" => match dsn.root.as_ref().map(|root| &root.value) {
            None => String::new(),
            Some(sealpool_dsn::Root::System) => "system".to_owned(),
            Some(sealpool_dsn::Root::File(path)) => path.display().to_string(),
        },
        "warnings" => dsn
            .warnings
            .iter()
            .map(|w| w.code.as_str())
            .collect::<Vec<_>>()
            .join(","),
        _ => return Err(format!("no such fact: {name}")),
    })
}

fn limit(value: &Option<sealpool_dsn::Located<sealpool_dsn::Limit>>) -> String {
    match value.as_ref().map(|v| v.value) {
        None => String::new(),
        Some(sealpool_dsn::Limit::Unlimited) => "unlimited".to_owned(),
        Some(sealpool_dsn::Limit::After(duration)) => format!("{duration:?}"),
    }
}

fn of_error(error: &DsnError, name: &str) -> Result<String, String> {
    Ok(match name {
        "key" => error.key().unwrap_or_default().to_owned(),
        "column" => error.column().to_string(),
        "line" => error.line().to_string(),
        "help" => error.help().to_owned(),
        _ => return Err(format!("no such fact of an error: {name}")),
    })
}
