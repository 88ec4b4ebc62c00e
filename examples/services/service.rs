use std::{fs, net::TcpStream, os::unix::fs::PermissionsExt as _, path::Path};

use sealpool_testkit::{Cluster, Installation, Leaf, Pki, Tap};
use tokio::runtime::Builder;

use crate::process::{Process, eventually};

/// The name of a thing that is ordered: it must not be in the metrics or the log.
pub(crate) const CANARY: &str = "canary-9f2b7c1e-of-an-order";

/// A service, its server and the tap between them.
pub(crate) struct Service {
    pub(crate) cluster: Cluster,
    pub(crate) leaf: Leaf,
    tap: Tap,
    process: Process,
    address: String,
}

impl Service {
    pub(crate) fn start(program: &str, major: u32) -> Self {
        let installation = Installation::find(major).unwrap_or_else(|error| panic!("{error}"));
        let pki = Pki::new();
        let leaf = pki.leaf().dns("localhost").issue();
        let client = pki.leaf().common_name("app").client_auth().issue();
        let builder = Cluster::builder().installation(installation).pki(pki);
        let cluster = builder.certificate(leaf.clone()).start();
        let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
        let tap = Tap::start(cluster.addr()).unwrap();
        tap.forbid(cluster.password());
        tap.forbid(cluster.superuser_password());
        tap.forbid(CANARY);

        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let variables = [
            ("APP_DB_HOST", "localhost".to_owned()),
            ("APP_DB_HOSTADDR", "127.0.0.1".to_owned()),
            ("APP_DB_PORT", tap.port().to_string()),
            ("APP_DB_DATABASE", cluster.database().to_owned()),
            ("APP_DB_USER", cluster.user().to_owned()),
            ("APP_DB_PASSWORD", cluster.password().to_owned()),
            (
                "APP_DB_TLS_ROOT",
                write("root.pem", cluster.pki().root_pem()),
            ),
            (
                "APP_DB_TLS_CLIENT_CERT",
                write("client.pem", client.chain_pem()),
            ),
            (
                "APP_DB_TLS_CLIENT_KEY",
                write("client.key", client.key_pem()),
            ),
        ];
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("service.toml");
        let command = [program, settings.to_str().unwrap(), "127.0.0.1:0"];
        let process = Process::start(folder, &command, &variables);
        let address = process.says("listening on ");
        Self {
            cluster,
            leaf,
            tap,
            process,
            address,
        }
    }

    /// Where the tap in front of its server listens.
    pub(crate) fn port(&self) -> u16 {
        self.tap.port()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.answer(agent().get(self.url(path)).call())
    }

    pub(crate) fn post(&self, path: &str) -> (u16, String) {
        self.answer(agent().post(self.url(path)).send_empty())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn answer(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> (u16, String) {
        let mut answer =
            answer.unwrap_or_else(|error| panic!("{error}\n{}", self.process.output()));
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }

    /// Waits until a path is answered with this status.
    pub(crate) fn comes_to(&self, path: &str, status: u16) {
        eventually(&format!("{status} from {path}"), || match self.get(path) {
            (found, _) if found == status => Ok(()),
            (found, text) => Err(format!("{found} {text}\n{}", self.process.output())),
        });
    }

    /// Runs a statement as the superuser.
    pub(crate) fn sql(
        &self,
        statement: &str,
    ) -> Result<Vec<Vec<Option<String>>>, sealpool_testkit::Error> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.cluster.sql(statement))
    }

    /// Waits until the pool has what it keeps and opens nothing: what is being opened when a pool is closed is given up.
    fn comes_to_rest(&self) {
        eventually("a pool at rest", || {
            let (_, metrics) = self.get("/metrics");
            let value = |series: &str| {
                let line = metrics.lines().find_map(|line| line.strip_prefix(series));
                let value = line.unwrap_or_else(|| panic!("no {series} in {metrics}"));
                value.trim().parse::<f64>().unwrap()
            };
            let pool = "db_client_connection_pool_name=\"orders\"";
            let idle =
                format!("db_client_connection_count{{{pool},db_client_connection_state=\"idle\"}}");
            let opening = format!("sealpool_connections_opening{{{pool}}}");
            match (value(&idle), value(&opening)) {
                (1.0.., 0.0) => Ok(()),
                levels => Err(format!("{levels:?} idle and opening")),
            }
        });
    }

    /// Tells it to stop: it fails its probe, then lets nobody in any more.
    pub(crate) fn told_to_stop(&self) {
        self.comes_to_rest();
        self.process.signal("TERM");
        self.comes_to("/readyz", 503);
        assert_eq!(self.get("/livez").0, 200);
        // Nobody else has to notice.
        self.process.signal("TERM");
        eventually("a closed door", || {
            match TcpStream::connect(&self.address) {
                Ok(_) => Err(self.process.output()),
                Err(_) => Ok(()),
            }
        });
    }

    /// Waits for its end, which is in order.
    pub(crate) fn stopped(self) {
        let Self {
            cluster,
            leaf: _,
            tap,
            process,
            address: _,
        } = self;
        let (status, output) = process.end();
        assert!(status.success(), "{status}: {output}");
        assert!(output.contains("stopped"), "{output}");
        for secret in [cluster.password(), CANARY] {
            assert!(!output.contains(secret), "{output}");
        }
        let log = cluster.log();
        for rude in [
            "could not receive",
            "could not send",
            "unexpected EOF",
            "reset by peer",
        ] {
            assert!(!log.contains(rude), "no goodbye: {log}");
        }
        assert!(!tap.connections().is_empty());
        tap.verify().expect("nothing but TLS leaves the service");
    }
}

pub(crate) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.build().new_agent()
}
