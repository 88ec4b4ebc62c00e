use promql_parser::{
    parser::{self, Expr},
    util::{ExprVisitor, walk_expr},
};
use sealpool_metrics::DASHBOARD;
use serde_json::Value;

/// Every expression of the dashboard, with all pools chosen.
pub(crate) fn of_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    let chosen = [
        ("$__rate_interval", "5m"),
        ("$job", ".*"),
        ("$instance", ".*"),
        ("$pool", ".*"),
    ];
    let expressions = targets.flatten().map(|target| {
        let expression = target["expr"].as_str().unwrap().to_owned();
        let plain = chosen
            .iter()
            .fold(expression, |text, (name, value)| text.replace(name, value));
        assert!(!plain.contains('$'), "{plain}");
        plain
    });
    expressions.collect()
}

/// The series that an expression looks at.
pub(crate) fn selectors(expression: &str) -> Vec<String> {
    struct Selectors(Vec<String>);

    impl ExprVisitor for Selectors {
        type Error = String;

        fn pre_visit(&mut self, expression: &Expr) -> Result<bool, String> {
            match expression {
                Expr::VectorSelector(selector) => self.0.push(selector.to_string()),
                Expr::MatrixSelector(selector) => self.0.push(selector.vs.to_string()),
                _ => {}
            }
            Ok(true)
        }
    }

    let parsed = parser::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let mut found = Selectors(Vec::new());
    walk_expr(&mut found, &parsed).unwrap();
    assert!(!found.0.is_empty(), "{expression} looks at nothing");
    found.0
}
