//! What the doctor finds: servers and configurations that are wrong in one way each, on PostgreSQL 15 and 18.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{cell::RefCell, env, fs, net::TcpListener, path::Path, time::Duration};

use sealpool_testkit::{Cluster, Installation, Leaf, Pki, Scripted, Step, Tap};
use serde_json::Value;
use tempfile::TempDir;

mod command;
use command::run;

/// A server with a tap in front of it, and a TOML file that is right in everything.
struct Ward {
    cluster: Cluster,
    tap: Tap,
    folder: TempDir,
    /// What was printed, for the golden file.
    told: RefCell<String>,
}

impl Ward {
    fn open(major: u32) -> Self {
        let installation = Installation::find(major).unwrap_or_else(|error| panic!("{error}"));
        let cluster = Cluster::builder()
            .installation(installation)
            .start()
            .unwrap();
        let tap = Tap::start(cluster.addr()).unwrap();
        tap.forbid(cluster.password());
        let ward = Self {
            cluster,
            tap,
            folder: tempfile::tempdir().unwrap(),
            told: RefCell::default(),
        };
        fs::write(ward.path("password"), ward.cluster.password()).unwrap();
        fs::write(ward.path("wrong"), "Wrong-9Kq").unwrap();
        ward
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The right configuration, in which the lines given stand instead of their like.
    fn toml(&self, other: &[(&str, &str)]) -> String {
        let mut lines = vec![
            ("host", quoted("localhost")),
            ("hostaddr", quoted("127.0.0.1")),
            ("port", self.tap.port().to_string()),
            ("user", quoted(self.cluster.user())),
            ("database", quoted(self.cluster.database())),
            ("password_file", quoted(&self.path("password"))),
            (
                "tls.root",
                quoted(self.cluster.root_file().to_str().unwrap()),
            ),
        ];
        for (key, value) in other {
            lines.retain(|(known, _)| known != key);
            if !value.is_empty() {
                lines.push((key, (*value).to_owned()));
            }
        }
        let lines = lines
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        let path = self.path("db.toml");
        fs::write(&path, lines.collect::<String>()).unwrap();
        path
    }

    /// Runs the doctor with other lines, and more arguments.
    fn doctor(&self, other: &[(&str, &str)], more: &[&str]) -> (i32, String) {
        let path = self.toml(other);
        let arguments = [&["doctor", "--config", &path], more].concat();
        let (code, out, err) = run(&arguments, "");
        for said in [&out, &err] {
            assert!(!said.contains(self.cluster.password()), "{said}");
        }
        (code, out + &err)
    }

    fn examined(&self, other: &[(&str, &str)]) -> (i32, Value) {
        let (code, out) = self.doctor(other, &["--json", "--skip-plaintext-probe"]);
        (
            code,
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}")),
        )
    }

    /// The failing stage, the reason as the metrics have it, and a piece of what mends it.
    fn fails(&self, what: &str, other: &[(&str, &str)], wanted: (&str, Option<&str>, &str)) {
        let (code, value) = self.examined(other);
        let (stage, error_type, fix) = wanted;
        assert_eq!(
            (code, &value["outcome"]),
            (1, &Value::from("failed")),
            "{what}: {value}"
        );
        assert_eq!(value["stage"], stage, "{what}: {value}");
        assert_eq!(value["error_type"].as_str(), error_type, "{what}: {value}");
        let help = value["help"].as_str().unwrap();
        assert!(help.contains(fix), "{what}: {help}");
        let (code, text) = self.tell(what, other);
        assert_eq!(code, 1);
        assert!(
            text.contains("FAILED") && text.contains(help),
            "{what}: {text}"
        );
        self.note(&format!("{what}, as JSON"), &value.to_string());
    }

    /// The code of a refusal, before anything is asked.
    fn refuses(&self, what: &str, other: &[(&str, &str)], code: &str) {
        let (exit, value) = self.examined(other);
        assert_eq!(
            (exit, &value["outcome"]),
            (2, &Value::from("refused")),
            "{what}: {value}"
        );
        assert_eq!(value["code"], code, "{what}: {value}");
        assert!(
            value["help"].as_str().unwrap().len() > 10,
            "{what}: {value}"
        );
        self.tell(what, other);
        self.note(&format!("{what}, as JSON"), &value.to_string());
    }

    /// Prints for people, and takes it down for the golden file.
    fn tell(&self, what: &str, other: &[(&str, &str)]) -> (i32, String) {
        let (code, text) = self.doctor(other, &["--skip-plaintext-probe"]);
        self.note(what, &text);
        (code, text)
    }

    fn note(&self, what: &str, text: &str) {
        let folder = self.folder.path().to_str().unwrap();
        let mut text = plain(&text.replace(folder, "FOLDER")).replace(" (Debian #.#-#)", "");
        // What the resolver says is the system's affair.
        let said = "failed to lookup address information: ";
        if let Some((before, rest)) = text.split_once(said)
            && let Some(end) = rest.find(['"', '('])
        {
            text = format!("{before}#{}", &rest[end..]);
        }
        self.told
            .borrow_mut()
            .push_str(&format!("# {what}\n{text}\n"));
    }

    /// All that was printed, as the file in the repository has it; `SEALPOOL_UPDATE_GOLDEN=1` writes it anew.
    fn compare(&self, major: u32) {
        let path = format!("{}/tests/doctor/{major}.txt", env!("CARGO_MANIFEST_DIR"));
        let told = self.told.borrow();
        if env::var_os("SEALPOOL_UPDATE_GOLDEN").is_some() {
            fs::write(&path, told.as_bytes()).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap();
        for (told, golden) in told.lines().zip(golden.lines()) {
            assert_eq!(told, golden, "{path}");
        }
        assert_eq!(told.lines().count(), golden.lines().count(), "{path}");
    }

    fn pki(&self) -> &Pki {
        self.cluster.pki()
    }

    /// Runs it while the server has another certificate.
    fn with_leaf(&self, leaf: &Leaf, then: impl FnOnce()) {
        self.cluster.swap_certificate(leaf).unwrap();
        then();
        let right = self
            .pki()
            .leaf()
            .dns("localhost")
            .ip([127, 0, 0, 1])
            .issue();
        self.cluster.swap_certificate(&right).unwrap();
    }

    fn with(&self, name: &str, value: &str, then: impl FnOnce()) {
        self.cluster.set(name, value).unwrap();
        then();
    }

    fn with_hba(&self, lines: &str, then: impl FnOnce()) {
        self.cluster.hba(lines).unwrap();
        then();
        self.cluster
            .hba("hostssl all all all scram-sha-256")
            .unwrap();
    }
}

/// What differs from run to run becomes `#`: numbers, keys, the names of throw-away authorities.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let is_authority = ["root ", "intermediate "]
            .iter()
            .any(|before| out.ends_with(before))
            && word.len() == 8;
        if word.contains(|c: char| c.is_ascii_digit()) || word.len() > 40 || is_authority {
            out.push('#');
        } else {
            out.push_str(word);
        }
        let next = behind.find(is_of_word).unwrap_or(behind.len());
        let (marks, behind) = behind.split_at(next);
        out.push_str(marks);
        rest = behind;
    }
    out
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn file(path: &str, text: &str) -> String {
    fs::write(path, text).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    quoted(path)
}

#[test]
fn what_is_wrong_is_found_on_postgresql_15() {
    situations(15);
}

#[test]
fn what_is_wrong_is_found_on_postgresql_18() {
    situations(18);
}

fn situations(major: u32) {
    let ward = Ward::open(major);
    all_is_well(&ward, major);
    wrong_network(&ward);
    wrong_certificates(&ward);
    wrong_identity(&ward);
    wrong_login(&ward, major);
    wrong_configuration(&ward);
    ward.tap.verify().unwrap();
    plaintext(&ward);
    ward.compare(major);
}

fn all_is_well(ward: &Ward, major: u32) {
    let (code, value) = ward.examined(&[]);
    assert_eq!(
        (code, &value["outcome"]),
        (0, &Value::from("ok")),
        "{value}"
    );
    let session = &value["session"];
    assert_eq!(session["tls_version"], "1.3");
    assert_eq!(session["channel_binding"], "bound");
    assert!(session["cipher"].as_str().unwrap().starts_with("TLS_"));
    assert_eq!(session["certificate"]["names"][0], "localhost");
    let version = value["server"]["version"].as_str().unwrap();
    assert!(version.starts_with(&major.to_string()), "{version}");
    assert_eq!(value["server"]["accepts_plaintext"], Value::Null);
    let findings = value["hosts"][0]["findings"].as_array().unwrap();
    let of = |check: &str| {
        let found = findings.iter().find(|finding| finding["check"] == check);
        found.unwrap()["message"].as_str().unwrap().to_owned()
    };
    for check in [
        "resolve", "tcp", "tls", "auth", "server", "startup", "clock",
    ] {
        assert!(!of(check).is_empty());
    }
    assert_eq!(
        of("direct").contains("not available"),
        major < 17,
        "{value}"
    );
    assert!(
        value["files"][0]["message"]
            .as_str()
            .unwrap()
            .contains("more days")
    );

    ward.note("all is well, as JSON", &pretty(&value));
    let (code, text) = ward.tell("all is well", &[]);
    assert_eq!(code, 0);
    for piece in ["good", "all is well", "for localhost", "which is trusted"] {
        assert!(text.contains(piece), "{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours go to terminals only");

    let (code, pem) = ward.doctor(&[], &["--show-chain"]);
    assert_eq!((code, pem.matches("BEGIN CERTIFICATE").count()), (0, 2));
    let (code, pin) = ward.doctor(&[], &["--print-pin"]);
    assert!(code == 0 && pin.starts_with("sha256/") && pin.contains("compare it"));
    let pin = quoted(pin.lines().next().unwrap());
    let (code, value) = ward.examined(&[("tls.root", ""), ("tls.pin", &pin)]);
    assert_eq!(code, 0, "the pin that it printed is the server's: {value}");
}

fn wrong_network(ward: &Ward) {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port().to_string();
    drop(closed);
    ward.fails("dead host", &[("port", &port)], ("tcp", None, "firewalls"));
    ward.fails(
        "a name that does not resolve",
        &[("host", "\"nowhere.invalid\""), ("hostaddr", "")],
        ("resolve", None, "resolver"),
    );
    let short = [("connect.tls_timeout", "\"300ms\"")];
    let scripts: [(&str, Vec<Step>, &str, &str); 5] = [
        (
            "firewall-like silence",
            vec![Step::Silence],
            "timeout",
            "connect.tls_timeout",
        ),
        (
            "a server without TLS",
            answer(b"N"),
            "server_refused_tls",
            "ssl = on",
        ),
        (
            "an error before TLS",
            answer(b"E"),
            "server_error_before_tls",
            "log",
        ),
        (
            "HTTP",
            answer(b"HTTP/1.1 400"),
            "server_unintelligible",
            "host and port",
        ),
        (
            "bytes behind consent",
            answer(b"Sxyz"),
            "plaintext_injection",
            "",
        ),
    ];
    for (what, steps, error_type, fix) in scripts {
        let server = Scripted::start(steps).unwrap();
        let port = server.port().to_string();
        let other = [("port", port.as_str()), short[0]];
        ward.fails(what, &other, ("tls", Some(error_type), fix));
    }
    ward.with("ssl", "off", || {
        ward.fails(
            "ssl = off",
            &[],
            ("tls", Some("server_refused_tls"), "ssl = on"),
        );
    });
    ward.cluster.ssl_on().unwrap();
}

fn answer(bytes: &[u8]) -> Vec<Step> {
    vec![
        Step::ReadExactly(8),
        Step::Send(bytes.to_vec()),
        Step::Silence,
    ]
}

fn wrong_certificates(ward: &Ward) {
    let leaf =
        |make: fn(sealpool_testkit::LeafBuilder<'_>) -> sealpool_testkit::LeafBuilder<'_>| {
            make(ward.pki().leaf().dns("localhost").ip([127, 0, 0, 1])).issue()
        };
    let stranger = Pki::new();
    let strange_root = file(&ward.path("strange.pem"), stranger.root_pem());
    let unknown = ("tls", Some("certificate_unknown_issuer"), "tls.root");
    ward.fails("a wrong CA", &[("tls.root", &strange_root)], unknown);
    let other = ward.pki().leaf().dns("other.example.net").issue();
    ward.with_leaf(&other, || {
        let wanted = ("tls", Some("certificate_hostname_mismatch"), "localhost");
        ward.fails("a wrong name", &[], wanted);
    });
    let hour = Duration::from_secs(3600);
    let now = std::time::SystemTime::now();
    let expired = ward
        .pki()
        .leaf()
        .dns("localhost")
        .not_after((now - hour).into())
        .issue();
    ward.with_leaf(&expired, || {
        ward.fails(
            "an expired one",
            &[],
            ("tls", Some("certificate_expired"), ""),
        );
    });
    let early = ward
        .pki()
        .leaf()
        .dns("localhost")
        .not_before((now + hour).into())
        .issue();
    ward.with_leaf(&early, || {
        ward.fails(
            "one too early",
            &[],
            ("tls", Some("certificate_not_yet_valid"), ""),
        );
    });
    let alone = leaf(|builder| builder).alone();
    ward.with_leaf(&alone, || {
        let wanted = ("tls", Some("certificate_unknown_issuer"), "");
        ward.fails("no intermediate", &[], wanted);
    });
    let own = leaf(|builder| builder.self_signed());
    ward.with_leaf(&own, || {
        let wanted = ("tls", Some("certificate_unknown_issuer"), "");
        ward.fails("self-signed", &[], wanted);
    });
    let authority = leaf(|builder| builder.marked_as_ca());
    ward.with_leaf(&authority, || {
        ward.fails(
            "an authority's",
            &[],
            ("tls", Some("certificate_rejected"), ""),
        );
    });
    let pin = quoted(&format!("sha256/{}=", "A".repeat(43)));
    let pinned = [("tls.root", ""), ("tls.pin", pin.as_str())];
    ward.fails(
        "another key",
        &pinned,
        ("tls", Some("certificate_pin_mismatch"), "out of band"),
    );
}

fn wrong_identity(ward: &Ward) {
    let root = ward.cluster.root_file().to_str().unwrap();
    ward.cluster.set("ssl_ca_file", root).unwrap();
    ward.with_hba("hostssl all all all cert", || {
        let wanted = (
            "tls",
            Some("client_certificate_required"),
            "tls.client_cert",
        );
        ward.fails("no client certificate", &[], wanted);
        let stranger = Pki::new();
        let leaf = stranger
            .leaf()
            .common_name(ward.cluster.user())
            .client_auth()
            .issue();
        let cert = file(&ward.path("strange.crt"), leaf.chain_pem());
        let key = file(&ward.path("strange.key"), leaf.key_pem());
        ward.fails(
            "a stranger's certificate",
            &[("tls.client_cert", &cert), ("tls.client_key", &key)],
            ("tls", Some("client_certificate_rejected"), ""),
        );
    });
}

fn wrong_login(ward: &Ward, major: u32) {
    let wrong = quoted(&ward.path("wrong"));
    ward.fails(
        "a wrong password",
        &[("password_file", &wrong)],
        ("auth", None, "password"),
    );
    ward.fails(
        "no such role",
        &[("user", "\"nobody\"")],
        ("auth", None, ""),
    );
    ward.fails(
        "no such database",
        &[("database", "\"nowhere\"")],
        ("auth", None, "database"),
    );
    ward.with_hba("hostssl all somebody all scram-sha-256", || {
        ward.fails("no line for us", &[], ("auth", None, "pg_hba"));
    });
    ward.with_hba("hostssl all all all password", || {
        ward.fails("a clear password", &[], ("auth", None, "scram-sha-256"));
    });
    let standby = [("connect.target_session_attrs", "\"standby\"")];
    ward.fails(
        "a role that it has not",
        &standby,
        ("startup", None, "target_session_attrs"),
    );
    ward.with("default_transaction_read_only", "on", || {
        let writes = [("connect.target_session_attrs", "\"read-write\"")];
        ward.fails(
            "a read-only host",
            &writes,
            ("startup", None, "target_session_attrs"),
        );
    });
    ward.cluster
        .set("default_transaction_read_only", "off")
        .unwrap();
    let direct = [("tls.negotiation", "\"direct\"")];
    if major < 17 {
        let wanted = ("tls", Some("connection_closed"), "postgres");
        ward.fails("direct, and older", &direct, wanted);
    } else {
        assert_eq!(ward.examined(&direct).0, 0);
    }
    ward.with("ssl_max_protocol_version", "TLSv1.2", || {
        let newer = [("tls.min_version", "\"1.3\"")];
        ward.fails(
            "older TLS only",
            &newer,
            ("tls", Some("protocol_version"), "version"),
        );
    });
    ward.cluster.set("ssl_max_protocol_version", "").unwrap();
}

fn wrong_configuration(ward: &Ward) {
    ward.refuses(
        "plaintext",
        &[("tls.mode", "\"prefer\"")],
        "plaintext_fallback",
    );
    ward.refuses(
        "a missing root",
        &[("tls.root", "\"/nowhere/ca.pem\"")],
        "root_missing",
    );
    let empty = file(&ward.path("empty.pem"), "");
    assert!(Path::new(&ward.path("empty.pem")).exists());
    ward.refuses("an empty root", &[("tls.root", &empty)], "root_unusable");
    ward.refuses(
        "a socket",
        &[("host", "\"/tmp\""), ("hostaddr", "")],
        "unix_socket",
    );
}

/// Past the tap, which would not let it pass.
fn plaintext(ward: &Ward) {
    let port = ward.cluster.port().to_string();
    let examined = |hba: &str| {
        let mut value = Value::Null;
        ward.with_hba(hba, || {
            let (code, out) = ward.doctor(&[("port", &port)], &["--json"]);
            assert_eq!(code, 0, "{out}");
            value = serde_json::from_str(&out).unwrap();
        });
        let findings = value["hosts"][0]["findings"].as_array().unwrap();
        let finding = findings
            .iter()
            .find(|finding| finding["check"] == "plaintext");
        (
            value["server"]["accepts_plaintext"].clone(),
            finding.unwrap().clone(),
        )
    };
    let (accepts, _) = examined("hostssl all all all scram-sha-256");
    assert_eq!(accepts, false);
    for method in ["scram-sha-256", "trust", "md5"] {
        let (accepts, finding) = examined(&format!("host all all all {method}"));
        assert_eq!(accepts, true, "{method}");
        assert_eq!(finding["level"], "warning");
        assert!(finding["help"].as_str().unwrap().contains("hostssl"));
    }
}
