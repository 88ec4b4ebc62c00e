use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use sealpool::{Class, Config, Error, HandshakeFailure, Pool};
use sealpool_testkit::{Cluster, ClusterBuilder, KeyType, Leaf, OffsetDateTime, Pki};

use crate::rig::{Rig, chain, on_both};

on_both! {
    on_own(certificates_only) => a_client_certificate_is_the_login;
    on_own(certificates_only) => certificates_that_the_server_refuses;
    on_own(certificates_only) => the_reason_is_the_same_every_time;
}

/// The role `app` may only come with a certificate for `app`.
fn certificates_only(builder: ClusterBuilder) -> ClusterBuilder {
    builder.hba("hostssl all app all cert\n")
}

/// The server goes by the root of its own PKI.
fn trust_clients(cluster: &Cluster) {
    let file = cluster.root_file().to_str().unwrap();
    cluster.set("ssl_ca_file", file).unwrap();
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn certificate(&self, leaf: &Leaf) -> PathBuf {
        self.write("client.crt", leaf.chain_pem(), 0o644)
    }

    fn key(&self, leaf: &Leaf) -> PathBuf {
        self.write("client.key", leaf.key_pem(), 0o600)
    }

    /// The key as OpenSSL makes something else of it.
    fn converted(&self, leaf: &Leaf, name: &str, arguments: &[&str]) -> PathBuf {
        let (from, to) = (self.key(leaf), self.path(name));
        let output = Command::new("openssl")
            .args(arguments)
            .arg("-in")
            .arg(from)
            .arg("-out")
            .arg(&to)
            .output()
            .expect("these tests need the openssl command line: apt-get install openssl");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
        to
    }
}

fn client(pki: &Pki) -> Leaf {
    pki.leaf().client_auth().common_name("app").issue()
}

fn with(config: Config, certificate: &Path, key: &Path) -> Config {
    config.tls_client_cert(certificate).tls_client_key(key)
}

async fn a_client_certificate_is_the_login(rig: Arc<Rig>) {
    trust_clients(&rig.cluster);
    let files = Files::new();
    let pki = rig.cluster.pki();
    for (key_type, forms) in [
        (
            KeyType::P256,
            &[
                (
                    "pkcs8.der",
                    &["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"][..],
                ),
                ("sec1.pem", &["ec"]),
                ("sec1.der", &["ec", "-outform", "DER"]),
                (
                    "encrypted.pem",
                    &["pkcs8", "-topk8", "-passout", "pass:let-me-in"],
                ),
                (
                    "encrypted.der",
                    &[
                        "pkcs8",
                        "-topk8",
                        "-outform",
                        "DER",
                        "-passout",
                        "pass:let-me-in",
                    ],
                ),
                (
                    "scrypt.pem",
                    &["pkcs8", "-topk8", "-scrypt", "-passout", "pass:let-me-in"],
                ),
            ][..],
        ),
        (
            KeyType::Rsa2048,
            &[
                ("pkcs1.pem", &["rsa", "-traditional"][..]),
                ("pkcs1.der", &["rsa", "-traditional", "-outform", "DER"]),
            ],
        ),
        (
            KeyType::Ed25519,
            &[("pkcs8.pem", &["pkcs8", "-topk8", "-nocrypt"][..])],
        ),
    ] {
        let leaf = pki.leaf().client_auth().common_name("app");
        let leaf = leaf.key_type(key_type).issue();
        let certificate = files.certificate(&leaf);
        for (name, arguments) in forms {
            let key = files.converted(&leaf, name, arguments);
            let mut config = with(rig.config(), &certificate, &key);
            if arguments.contains(&"-passout") {
                config = config.tls_client_key_password("let-me-in");
            }
            for version in ["1.2", "1.3"] {
                let pool = rig.pool(config.clone().tls_max_version(version));
                let client = match pool.acquire().await {
                    Ok(client) => client,
                    Err(error) => panic!("{name}, TLS {version}: {}", chain(&error)),
                };
                let server = client.server_tls().await.unwrap().unwrap();
                assert_eq!(server.client_subject.as_deref(), Some("/CN=app"), "{name}");
            }
        }
    }
    let leaf = pki
        .leaf()
        .client_auth()
        .common_name("app")
        .signed_by_root()
        .issue();
    let certificate = files.write("client.der", leaf.certificate_der(), 0o644);
    let pool = rig.pool(with(rig.config(), &certificate, &files.key(&leaf)));
    pool.acquire().await.expect("a certificate in DER");
}

fn reason(error: &Error) -> Option<HandshakeFailure> {
    let Error::Connect(connect) = error else {
        panic!("{error}")
    };
    connect.attempts().last().unwrap().handshake_failure()
}

async fn certificates_that_the_server_refuses(rig: Arc<Rig>) {
    trust_clients(&rig.cluster);
    let files = Files::new();
    let other = rig
        .cluster
        .pki()
        .leaf()
        .client_auth()
        .common_name("somebody")
        .issue();
    for version in ["1.2", "1.3"] {
        let config = rig.config().tls_max_version(version);
        let error = rig.pool(config.clone()).acquire().await.unwrap_err();
        assert_eq!(
            reason(&error),
            Some(HandshakeFailure::ClientCertificateRequired),
            "{error}"
        );
        assert_eq!((error.class(), error.is_transient()), (Class::Tls, false));
        assert!(
            error
                .to_string()
                .contains("set tls.client_cert and tls.client_key"),
            "{error}"
        );

        let (certificate, key) = (files.certificate(&other), files.key(&other));
        let pool = rig.pool(with(config, &certificate, &key));
        let error = pool.acquire().await.unwrap_err();
        assert_eq!(reason(&error), None, "{error}");
        assert_eq!((error.class(), error.is_transient()), (Class::Auth, false));
    }
    // A refusal of another kind, with a server that asks for certificates too.
    rig.cluster.hba("hostssl all other all cert\n").unwrap();
    let error = rig.pool(rig.config()).acquire().await.unwrap_err();
    assert_eq!(error.class(), Class::Auth, "{error}");
}

/// In TLS 1.3 the refusal comes after our handshake, as an alert and then a reset, while we are writing.
async fn the_reason_is_the_same_every_time(rig: Arc<Rig>) {
    trust_clients(&rig.cluster);
    let files = Files::new();
    let stranger = client(&Pki::new());
    let (certificate, key) = (files.certificate(&stranger), files.key(&stranger));
    for (version, direct) in [("1.2", false), ("1.3", false), ("1.3", true)] {
        if direct && rig.cluster.major() < 17 {
            continue;
        }
        let mut config = with(rig.config(), &certificate, &key).tls_max_version(version);
        if direct {
            // Straight to the server as well: the tap may reorder an alert and a reset less than a network does.
            config = config.tls_negotiation("direct");
        }
        for port in [rig.tap.port(), rig.cluster.port()] {
            let pool = rig.pool(config.clone().port(port));
            for round in 0..100 {
                let error = pool.acquire().await.unwrap_err();
                assert_eq!(
                    reason(&error),
                    Some(HandshakeFailure::ClientCertificateRejected),
                    "TLS {version}, round {round}: {}",
                    chain(&error)
                );
            }
        }
    }
}

/// What is wrong with an identity before any byte is sent, and words of the error.
#[test]
fn identities_that_build_refuses() {
    let files = Files::new();
    let pki = Pki::new();
    let now = OffsetDateTime::now_utc();
    let day = std::time::Duration::from_secs(86_400);
    let good = client(&pki);
    let certificate = files.certificate(&good);
    let key = files.key(&good);
    let encrypted = |name| {
        let arguments = ["pkcs8", "-topk8", "-passout", "pass:let-me-in"];
        files.converted(&good, name, &arguments)
    };
    let old = files.converted(&good, "old.key", &["ec", "-aes128", "-passout", "pass:x"]);
    let encrypted = encrypted("encrypted.key");
    let weak = files.converted(
        &good,
        "weak.key",
        &[
            "pkcs8",
            "-topk8",
            "-v1",
            "PBE-SHA1-3DES",
            "-passout",
            "pass:let-me-in",
        ],
    );
    let linked = files.path("linked.key");
    std::os::unix::fs::symlink(&key, &linked).unwrap();
    let expired = pki
        .leaf()
        .client_auth()
        .common_name("app")
        .not_before(now - day * 3);
    let expired = files.write(
        "expired.crt",
        expired.not_after(now - day).issue().chain_pem(),
        0o644,
    );
    let early = pki
        .leaf()
        .client_auth()
        .common_name("app")
        .not_before(now + day);
    let early = files.write("early.crt", early.issue().chain_pem(), 0o644);
    let open = |mode| files.write(&format!("open-{mode:o}.key"), good.key_pem(), mode);
    let text = files.write("text.key", "not a key", 0o600);
    let der = files.write("der.key", [0x30, 3, 2, 1, 0], 0o600);
    let another = files.write("another.key", client(&pki).key_pem(), 0o600);
    let base = || Config::new().host("db.example.net").user("app");
    let pair = |certificate: &Path, key: &Path| with(base(), certificate, key);
    let rows: Vec<(&str, Config, &[&str])> = vec![
        (
            "a certificate alone",
            base().tls_client_cert(certificate.as_path()),
            &["tls.client_cert", "without its key", "set tls.client_key"],
        ),
        (
            "a key alone",
            base().tls_client_key(key.as_path()),
            &["tls.client_key", "set tls.client_cert"],
        ),
        (
            "a passphrase alone",
            base().tls_client_key_password("let-me-in"),
            &["tls.client_key_password", "no key"],
        ),
        (
            "no such certificate",
            pair(&files.path("absent.crt"), &key),
            &["absent.crt cannot be read"],
        ),
        (
            "no such key",
            pair(&certificate, &files.path("absent.key")),
            &["absent.key cannot be read"],
        ),
        (
            "another key",
            pair(&certificate, &another),
            &["another.key does not belong to the certificate of CN=app"],
        ),
        (
            "expired",
            pair(&expired, &key),
            &["expired.crt", "CN=app", "expired at 20", "it is now 20"],
        ),
        (
            "not yet valid",
            pair(&early, &key),
            &["early.crt", "is not valid before 20"],
        ),
        (
            "a key as certificate",
            pair(&key, &key),
            &["holds 0 usable certificates: it holds a private key"],
        ),
        (
            "a certificate as key",
            pair(
                &certificate,
                &files.write("c.key", good.certificate_pem(), 0o600),
            ),
            &["holds a certificate and no private key"],
        ),
        (
            "text as key",
            pair(&certificate, &text),
            &["text.key holds no private key"],
        ),
        (
            "garbage as key",
            pair(&certificate, &der),
            &["der.key cannot be used"],
        ),
        (
            "under a passphrase",
            pair(&certificate, &encrypted),
            &["under a passphrase", "set tls.client_key_password"],
        ),
        (
            "with another passphrase",
            pair(&certificate, &encrypted).tls_client_key_password("let-me-out"),
            &["does not open with this passphrase"],
        ),
        (
            "in an old encryption",
            pair(&certificate, &weak).tls_client_key_password("let-me-in"),
            &["openssl pkcs8 -topk8 -v2 aes-256-cbc"],
        ),
        (
            "in OpenSSL's old encryption",
            pair(&certificate, &old).tls_client_key_password("x"),
            &["Proc-Type: 4,ENCRYPTED", "openssl pkcs8 -topk8"],
        ),
        (
            "open to the world",
            pair(&certificate, &open(0o644)),
            &["may be read by others (mode 0644)", "chmod 0600"],
        ),
        (
            "open to writers",
            pair(&certificate, &open(0o620)),
            &["mode 0620"],
        ),
        (
            "a directory",
            pair(&certificate, files.0.path()),
            &["is not a file"],
        ),
        (
            "a device",
            pair(&certificate, Path::new("/dev/null")),
            &["/dev/null is not a file"],
        ),
        (
            "inline",
            base()
                .tls_client_cert(certificate.as_path())
                .tls_client_key(good.key_pem()),
            &["a key in the configuration itself"],
        ),
    ];
    for (name, config, words) in rows {
        let error = Pool::builder(config).build().unwrap_err();
        assert_eq!(error.class(), Class::Config, "{name}");
        let text = error.to_string();
        assert!(text.starts_with(file!()), "{name}: {text}");
        for word in words {
            assert!(text.contains(word), "{name}: {word:?} is not in {text}");
        }
        assert!(
            !text.contains("let-me") && !text.contains("PRIVATE KEY-----"),
            "{name}: {text}"
        );
    }
    Pool::builder(pair(&certificate, &linked))
        .build()
        .expect("links are followed");
    let groups = Pool::builder(pair(&certificate, &open(0o640))).build();
    let root = std::os::unix::fs::MetadataExt::uid(&certificate.metadata().unwrap()) == 0;
    assert_eq!(groups.is_ok(), root, "0640 is for root's files: {groups:?}");
}
