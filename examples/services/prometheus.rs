use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    process::{Process, eventually},
    service::agent,
};

/// A Prometheus server with the alerts that are shipped, which scrapes these services.
pub(crate) struct Prometheus {
    _process: Process,
    address: String,
}

impl Prometheus {
    pub(crate) fn start(services: [&str; 2]) -> Self {
        let found = Command::new("prometheus").arg("--version").output();
        found.expect("prometheus: install Debian's package of that name");
        let folder = tempfile::tempdir().unwrap();
        let alerts = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../crates/sealpool-metrics/alerts/sealpool.yaml");
        let configuration = format!(
            "global: {{scrape_interval: 500ms, evaluation_interval: 1s}}\n\
             rule_files: [{alerts:?}]\n\
             scrape_configs: [{{job_name: orders, static_configs: [{{targets: {services:?}}}]}}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, configuration).unwrap();
        let [file, data] = [
            format!("--config.file={}", file.display()),
            format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ),
        ];
        let listen = "--web.listen-address=127.0.0.1:0";
        let process = Process::start(folder, &["prometheus", &file, &data, listen], &[]);
        let address = process.says("msg=\"Listening on\" address=");
        process.says("Server is ready to receive web requests");
        Self {
            _process: process,
            address,
        }
    }

    /// The series that an expression gives, each with its value.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let mut answer = agent()
            .post(format!("http://{}/api/v1/query", self.address))
            .send_form([("query", expression)])
            .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// The one number that an expression gives.
    pub(crate) fn number(&self, expression: &str) -> f64 {
        let series = self.query(expression);
        let [one] = &series[..] else {
            panic!("{expression}: {series:?}");
        };
        one["value"][1].as_str().unwrap().parse().unwrap()
    }

    /// Waits until an expression gives something.
    pub(crate) fn comes_to(&self, expression: &str) {
        eventually(expression, || match self.query(expression).is_empty() {
            false => Ok(()),
            true => Err("nothing".to_owned()),
        });
    }

    /// Name, state and reason of each alert that is not silent.
    pub(crate) fn alerts(&self) -> Vec<[String; 3]> {
        let answer = self.look("alerts");
        let alerts = answer["data"]["alerts"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        alerts
            .map(|alert| {
                let labels = &alert["labels"];
                [&labels["alertname"], &alert["state"], &labels["error_type"]].map(text)
            })
            .collect()
    }

    /// Waits until every rule has been looked at from now on, and found to be in order.
    pub(crate) fn evaluates(&self) {
        // The evaluation that is under way may have begun before.
        for _ in 0..2 {
            let before = self.evaluated();
            eventually("a look at the rules", || match self.evaluated() == before {
                false => Ok(()),
                true => Err(before.clone()),
            });
        }
        for rule in self.rules() {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }

    /// Every alert as Prometheus has understood it.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let answer = self.look("rules");
        answer["data"]["groups"][0]["rules"]
            .as_array()
            .unwrap()
            .clone()
    }

    fn evaluated(&self) -> String {
        self.look("rules")["data"]["groups"][0]["lastEvaluation"].to_string()
    }

    fn look(&self, what: &str) -> Value {
        let url = format!("http://{}/api/v1/{what}", self.address);
        let mut answer = agent().get(url).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }
}
