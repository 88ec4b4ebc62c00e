use std::collections::{BTreeMap, BTreeSet};

use promql_parser::{
    parser::{self, Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};
use sealpool_metrics::{ALERTS, DASHBOARD};
use serde_json::Value;

use crate::catalogue::CATALOGUE;

/// The labels of each family.
fn catalogue() -> BTreeMap<&'static str, Vec<&'static str>> {
    let lines = CATALOGUE.lines();
    lines
        .map(|line| {
            let columns: Vec<_> = line.split(" | ").collect();
            (columns[0], columns[3].split(',').collect())
        })
        .collect()
}

/// Every series that an expression asks for.
fn selectors(expression: &str) -> Vec<VectorSelector> {
    struct Selectors(Vec<VectorSelector>);

    impl ExprVisitor for Selectors {
        type Error = String;

        fn pre_visit(&mut self, expression: &Expr) -> Result<bool, String> {
            match expression {
                Expr::VectorSelector(selector) => self.0.push(selector.clone()),
                Expr::MatrixSelector(selector) => self.0.push(selector.vs.clone()),
                _ => {}
            }
            Ok(true)
        }
    }

    let plain = expression.replace("$__rate_interval", "5m");
    let parsed = parser::parse(&plain).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let mut found = Selectors(Vec::new());
    walk_expr(&mut found, &parsed).unwrap();
    assert!(!found.0.is_empty(), "{expression} asks for nothing");
    found.0
}

/// The families of an expression, each with no label that it does not have.
fn families(expression: &str) -> BTreeSet<&'static str> {
    let catalogue = catalogue();
    let known = |selector: VectorSelector| {
        let name = selector.name.expect("a name");
        let family = catalogue.keys().find(|family| {
            let rest = name.strip_prefix(**family);
            rest.is_some_and(|rest| {
                rest.is_empty()
                    || family.ends_with("_seconds") && ["_bucket", "_count", "_sum"].contains(&rest)
            })
        });
        let family = *family.unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        for matcher in selector.matchers.matchers {
            let label = matcher.name.as_str();
            let of_all = ["job", "instance", "db_client_connection_pool_name"];
            assert!(
                of_all.contains(&label) || catalogue[family].contains(&label),
                "{name} has no label {label}"
            );
        }
        family
    };
    selectors(expression).into_iter().map(known).collect()
}

/// Name and expression of each rule: the file is ours, and written in one way.
pub(crate) fn rules() -> Vec<(String, String)> {
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut is_expression = false;
    for line in ALERTS.lines() {
        let text = line.trim();
        if let Some(name) = text.strip_prefix("- alert: ") {
            rules.push((name.to_owned(), String::new()));
        } else if let Some(first) = text.strip_prefix("expr: ") {
            is_expression = first == "|";
            if !is_expression {
                rules.last_mut().unwrap().1.push_str(first);
            }
        } else if text.starts_with("for: ") || text == "labels:" {
            is_expression = false;
        } else if is_expression {
            let (_, expression) = rules.last_mut().unwrap();
            expression.push_str(text);
            expression.push(' ');
        }
    }
    rules
}

#[test]
fn every_alert_asks_for_what_there_is_and_has_a_runbook() {
    let readme = include_str!("../../README.md");
    let names: Vec<_> = rules().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "PoolSaturated",
            "PoolAcquireTimeouts",
            "PoolSlowAcquire",
            "TlsHandshakeFailures",
            "PoolCannotConnect",
            "ServerCertificateExpiresSoon",
            "ClientCertificateExpiresSoon",
            "TlsReloadFailing",
            "TlsStaleConnections",
            "PoolLeakSuspected",
            "PoolChurn",
        ]
    );
    for (name, expression) in rules() {
        assert!(!families(&expression).is_empty(), "{name}");
        assert!(
            readme.contains(&format!("\n### {name}\n")),
            "no section on {name}"
        );
        let anchor = format!(
            "runbook_url: {}/blob/main/crates/sealpool-metrics/README.md#{}\n",
            env!("CARGO_PKG_REPOSITORY"),
            name.to_lowercase()
        );
        assert_eq!(ALERTS.matches(&anchor).count(), 1, "{anchor}");
    }
    for key in ["severity: ", "summary: ", "description: "] {
        assert_eq!(ALERTS.matches(key).count(), names.len(), "{key}");
    }
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let all = dashboard["panels"].as_array().unwrap().iter();
    all.filter(|panel| panel["type"] != "row")
        .cloned()
        .collect()
}

#[test]
fn every_panel_says_what_it_shows_and_shows_what_there_is() {
    let mut shown = BTreeSet::new();
    let mut titles = BTreeSet::new();
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(titles.insert(title.to_owned()), "{title:?} twice");
        assert!(panel["description"].as_str().unwrap().len() > 20, "{title}");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
        assert!(!unit.unwrap().is_empty(), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!target["legendFormat"].as_str().unwrap().is_empty());
            let expression = target["expr"].as_str().unwrap();
            for selector in selectors(expression) {
                let of_build = selector.name.as_deref() == Some("sealpool_build_info");
                let wanted = ["job", "instance", "db_client_connection_pool_name"];
                let wanted = &wanted[..if of_build { 2 } else { 3 }];
                let chosen: Vec<_> = selector.matchers.matchers.iter().collect();
                for label in wanted {
                    assert!(
                        chosen
                            .iter()
                            .any(|m| m.name == *label && m.value.starts_with('$')),
                        "{title}: {label} cannot be chosen"
                    );
                }
            }
            let rates = expression.matches("rate(").count();
            assert_eq!(
                expression.matches("[$__rate_interval])").count(),
                rates,
                "{title}"
            );
            shown.extend(families(expression));
        }
    }
    let all: BTreeSet<_> = catalogue().into_keys().collect();
    assert_eq!(shown, all, "a metric that nobody sees");
}

#[test]
fn the_variables_are_data_source_job_instance_and_pool() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "job", "instance", "pool"]);
    for variable in &variables[1..] {
        let query = variable["query"]["query"].as_str().unwrap();
        let arguments = query.strip_prefix("label_values(").unwrap();
        let (series, label) = arguments.rsplit_once(", ").unwrap();
        let family = families(series).into_iter().next().unwrap();
        let label = label.strip_suffix(')').unwrap();
        let of_all = ["job", "instance"].contains(&label);
        let of_pools = label == "db_client_connection_pool_name" && family != "sealpool_build_info";
        assert!(of_all || of_pools, "{query}");
    }
}

/// No two panels lie on each other, and none beyond the edge.
#[test]
fn the_panels_fit_beside_each_other() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(side("x") + side("w") <= 24, "{}", panel["title"]);
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{}", panel["title"]);
            }
        }
    }
}
