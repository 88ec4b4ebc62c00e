use std::path::Path;

use sealpool::{Config, Error, Pool};
use sealpool_testkit::OffsetDateTime;

/// Each configuration, and the whole message with which `build()` refuses it. `{here}` is this file with the line.
#[test]
fn what_could_mean_plaintext_or_an_unverified_server() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = root.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pki = sealpool_testkit::Pki::new();
    let folder = root.path().to_str().unwrap();
    std::fs::create_dir(root.path().join("nothing")).unwrap();
    file("nothing/README", "nothing to see");
    let good = || Config::new().host("db.example.net").user("app");
    let key = pki.leaf().dns("x").issue().key_pem().to_owned();
    let rows: Vec<(Config, String)> = vec![
        (Config::new(), "host: no server is named; set host".into()),
        (
            good().host("/var/run/postgresql"),
            "{here}: host: a Unix socket carries no TLS; write the name that the server's certificate bears, such as \
             localhost or db.example.net"
                .into(),
        ),
        (
            good().host(""),
            "{here}: host: a Unix socket carries no TLS; write the name that the server's certificate bears, such as \
             localhost or db.example.net"
                .into(),
        ),
        (
            good().host(["db.example.net", "/tmp"]),
            "{here}: host: a Unix socket carries no TLS; write the name that the server's certificate bears, such as \
             localhost or db.example.net"
                .into(),
        ),
        (
            good().host("db.example.net:5432"),
            "{here}: host: this is neither a DNS name nor an IP address; write the name alone, and the port in port"
                .into(),
        ),
        (
            Config::new().hostaddr("203.0.113.9").user("app"),
            "{here}: hostaddr: an address alone leaves nothing to verify the server's certificate against; write the \
             server's name in host as well"
                .into(),
        ),
        (
            good().hostaddr("db"),
            "{here}: hostaddr: this is not an IP address; write an address such as 203.0.113.9, or leave hostaddr out \
             to have host resolved"
                .into(),
        ),
        (
            good().port([5432, 5433]),
            "{here}: port: 2 ports for 1 hosts; write one for each host".into(),
        ),
        (good().port(0), "{here}: port: no server listens on port 0; write 1 to 65535".into()),
        (Config::new().host("db.example.net"), "user: no role to log in as; set user".into()),
        (
            good().pool_max_size(0),
            "{here}: pool.max_size: a pool of 0 connections is not possible; write a whole number from 1 to 262143"
                .into(),
        ),
        (
            good().pool_max_size(u32::MAX),
            "{here}: pool.max_size: a pool of 4294967295 connections is not possible; write a whole number from 1 to \
             262143"
                .into(),
        ),
        (
            good().connect_max_concurrent_handshakes(0),
            "{here}: connect.max_concurrent_handshakes: 0 connections cannot be opened at once; write a whole number \
             from 1 to 262143"
                .into(),
        ),
        (
            good().pool_reset("never"),
            "{here}: pool.reset: this is none of its words; write always, auto, transaction".into(),
        ),
        (
            good().pool_cancel_grace(std::time::Duration::from_secs(5)),
            "{here}: pool.cancel_grace: a query left behind would go on for 5s, and its connection is closed after 5s; \
             write a pool.cancel_grace that is shorter than pool.mend_timeout"
                .into(),
        ),
        (
            good().pool_mend_timeout(std::time::Duration::from_millis(50)),
            "{here}: pool.mend_timeout: a query left behind would go on for 100ms, and its connection is closed after \
             50ms; write a pool.cancel_grace that is shorter than pool.mend_timeout"
                .into(),
        ),
        (
            good().connect_tls_timeout(std::time::Duration::ZERO),
            "{here}: connect.tls_timeout: this limit cannot be kept; write a time from 1ms to 24h: nothing waits for \
             ever here"
                .into(),
        ),
        (
            good().tls_reload_interval(std::time::Duration::from_millis(999)),
            "{here}: tls.reload_interval: this limit cannot be kept; write a time from 1s to 24h: nothing waits for ever \
             here"
                .into(),
        ),
        (
            good().password("hunter2").password_file("/nowhere"),
            "{here}: password_file: a password is written as well; remove either password or password_file".into(),
        ),
        (
            good().password_file(file("empty", "\n")),
            format!("{{here}}: password_file: {folder}/empty is empty; write the password into it"),
        ),
        (
            good().password_file(format!("{folder}/absent")),
            format!("{{here}}: password_file: {folder}/absent cannot be read: No such file or directory (os error 2); name a file that this process may read and that holds the password alone, in UTF-8"),
        ),
        (
            good().tls_mode("verify-ca"),
            "{here}: tls.mode: verify-ca with public roots would trust every server that has a certificate of theirs; \
             write verify-full, or set tls.root to the file of your own authority"
                .into(),
        ),
        (
            good().tls_root(file("empty.pem", "")),
            format!("{{here}}: tls.root: {folder}/empty.pem holds 0 usable certificates: it is empty; name a file of PEM certificates"),
        ),
        (
            good().tls_root(file("key.pem", &key)),
            format!("{{here}}: tls.root: {folder}/key.pem holds 0 usable certificates: it holds a private key; name a file of PEM certificates"),
        ),
        (
            good().tls_root(file("page.pem", "<!doctype html><title>Sign in</title>")),
            format!("{{here}}: tls.root: {folder}/page.pem holds 0 usable certificates: it is a saved web page; name a file of PEM certificates"),
        ),
        (
            good().tls_root(file("bom.pem", &format!("\u{feff}{}", pki.root_pem()))),
            format!("{{here}}: tls.root: {folder}/bom.pem holds 0 usable certificates: it begins with a byte-order mark; save it without; name a file of PEM certificates"),
        ),
        (
            good().tls_root(format!("{folder}/absent.pem")),
            format!("{{here}}: tls.root: {folder}/absent.pem cannot be read: No such file or directory (os error 2); confirm that the value matches the path of the saved file"),
        ),
        (
            good().tls_root(format!("{folder}/nothing")),
            format!("{{here}}: tls.root: {folder}/nothing holds 0 usable certificates: none of its files holds one; name a file of PEM certificates"),
        ),
        (
            good().tls_root(file("garbage.pem", "\u{1}\u{2}\u{3}")),
            format!("{{here}}: tls.root: {folder}/garbage.pem holds 0 usable certificates; name a file of PEM certificates"),
        ),
        (
            good().tls_root(file("list.pem", &pki.revocation().issue().pem())),
            format!("{{here}}: tls.root: {folder}/list.pem holds 0 usable certificates: it is a revocation list; name a file of PEM certificates"),
        ),
        (
            good().tls_root([file("root.pem", pki.root_pem()), "mozilla".to_owned()]),
            "{here}: tls.root: Mozilla's roots stand beside files; write either mozilla or the files".into(),
        ),
        (
            good().tls_root("mozilla").tls_mode("verify-ca"),
            "{here}: tls.mode: verify-ca with public roots would trust every server that has a certificate of theirs; \
             write verify-full, or set tls.root to the file of your own authority"
                .into(),
        ),
        (
            good().tls_pin("sha1/q6urq6s="),
            "{here}: tls.pin: this is not the SHA-256 of a key; write sha256/ and 44 characters of base64, or 64 \
             hexadecimal digits: openssl x509 -in server.crt -noout -pubkey | openssl pkey -pubin -outform DER | openssl \
             dgst -sha256 -binary | openssl base64"
                .into(),
        ),
        (
            good().tls_pin("aa".repeat(32)).tls_crl(file("some.crl", &pki.revocation().issue().pem()).as_str()),
            "{here}: tls.crl: a pinned key has no authority that could revoke it; set tls.root as well, or take the old \
             key out of tls.pin to revoke it"
                .into(),
        ),
        (
            good().tls_crl(format!("{folder}/absent.crl").as_str()),
            format!("{{here}}: tls.crl: {folder}/absent.crl cannot be read: No such file or directory (os error 2); confirm that the value matches the path of the saved file"),
        ),
        (
            good().tls_crl(file("empty.crl", "").as_str()),
            format!("{{here}}: tls.crl: {folder}/empty.crl holds 0 revocation lists: it is empty; name a file of revocation lists, PEM or DER"),
        ),
        (
            good().tls_crl(file("root.crl", pki.root_pem()).as_str()),
            format!("{{here}}: tls.crl: {folder}/root.crl holds 0 revocation lists: it holds certificates; name a file of revocation lists, PEM or DER"),
        ),
        (
            good().tls_crl(file("bad.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").as_str()),
            format!("{{here}}: tls.crl: {folder}/bad.crl holds a list that is damaged; name a file of revocation lists, PEM or DER"),
        ),
        (
            good().tls_server_name("project:instance"),
            "{here}: tls.server_name: this is neither a DNS name nor an IP address; a certificate that has such a name in \
             its common name alone can only be verified by its chain: write tls.mode = verify-ca and the authority's file \
             in tls.root"
                .into(),
        ),
        (
            good().tls_negotiation("starttls"),
            "{here}: tls.negotiation: this word is not known here; write postgres or direct".into(),
        ),
        (
            good().tls_min_version("1.3").tls_max_version("1.2"),
            "{here}: tls.min_version: tls.min_version 1.3 and tls.max_version 1.2 leave no version; raise \
             tls.max_version, or lower tls.min_version"
                .into(),
        ),
        (
            good().tls_min_version("TLSv1.1"),
            "{here}: tls.min_version: versions of TLS below 1.2 are broken and not offered here; write 1.2 or 1.3".into(),
        ),
        (
            good().tls_max_version("1.4"),
            "{here}: tls.max_version: this is no version of TLS; write 1.2 or 1.3".into(),
        ),
        (
            good().tls_channel_binding("perhaps"),
            "{here}: tls.channel_binding: this word is not known here; write prefer, require or disable".into(),
        ),
        (
            good().require_auth(["scram-sha-256", "!md5"]),
            "{here}: require_auth: methods that are allowed stand beside methods that are not; write some of \
             scram-sha-256, md5, password, none, gss and sspi, or some of them each with ! before it"
                .into(),
        ),
        (
            good().password("x-47").password_file(file("password", "y")),
            "{here}: password_file: a password is written as well; remove either password or password_file".into(),
        ),
        (
            good().password_file(file("empty", "\n")),
            format!("{{here}}: password_file: {folder}/empty is empty; write the password into it"),
        ),
        (
            good().password_file(format!("{folder}/absent")),
            format!("{{here}}: password_file: {folder}/absent cannot be read: No such file or directory (os error 2); name a file that this process may read and that holds the password alone, in UTF-8"),
        ),
        (
            good().tls_root(["system".to_owned(), file("root.pem", pki.root_pem())]),
            "{here}: tls.root: the system's roots stand beside files; write either system or the files".into(),
        ),
    ];
    for (config, expected) in rows {
        let error = Pool::builder(config).build().unwrap_err().to_string();
        let shown = match error.split_once(": ") {
            Some((place, rest)) if place.starts_with(file!()) => format!("{{here}}: {rest}"),
            _ => error,
        };
        assert_eq!(shown, expected);
    }
}

#[test]
fn roots_that_have_expired() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.pem");
    let now = OffsetDateTime::now_utc();
    let day = std::time::Duration::from_secs(86_400);
    let pki = sealpool_testkit::Pki::new();
    let old = pki.leaf().common_name("an old root").self_signed();
    let old = old.not_before(now - day * 3).not_after(now - day).issue();
    let config = || {
        let config = Config::new().host("db.example.net").user("app");
        config.tls_root(path.as_path())
    };
    std::fs::write(&path, old.certificate_pem()).unwrap();
    let error = Pool::builder(config()).build().unwrap_err().to_string();
    assert!(
        error.contains(
            "old.pem holds 0 usable certificates: what it holds has expired, the last on"
        ),
        "{error}"
    );
    std::fs::write(&path, [old.certificate_pem(), pki.root_pem()].concat()).unwrap();
    Pool::builder(config())
        .build()
        .expect("one of two is still valid");
}

/// As `openssl ca -gencrl` makes it unless told otherwise.
const VERSION_1: &str = "\
-----BEGIN X509 CRL-----
MIGQMDkwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EXDTI2MTEyMzEzMzUyMFoX
DTI2MTEyNTEzMzUyMFowCgYIKoZIzj0EAwIDRwAwRAIgKplORg2o7QM8VTrNKw02
nSJhJwaeFV83w03bf4QjFR4CIGY1gfBS2kUCRbrrSMBvpq1arffE2ZLuHJM9KptO
gWQS
-----END X509 CRL-----
";

#[test]
fn a_list_of_version_1() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), VERSION_1).unwrap();
    let config = Config::new().host("db.example.net").user("app");
    let error = Pool::builder(config.tls_crl(list.path()))
        .build()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the list is of version 1; issue a list of version 2"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_told_from_an_unusable_one() {
    let config = || Config::new().host("db.example.net").user("app");
    let (absent, folder) = (Path::new("/absent"), Path::new("/proc/self/mem"));
    for (config, code) in [
        (config().tls_root(absent), "root_missing"),
        (config().tls_root(folder), "root_unusable"),
        (config().tls_crl(absent), "crl_missing"),
        (config().tls_crl(folder), "crl_unusable"),
        (
            config().tls_client_cert(absent).tls_client_key(absent),
            "identity_missing",
        ),
    ] {
        let Error::Config(error) = Pool::builder(config).build().unwrap_err() else {
            panic!("{code}")
        };
        assert_eq!(error.code(), code);
    }
}

#[test]
fn truncated_and_garbled_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let pki = sealpool_testkit::Pki::new();
    let pem = pki.root_pem();
    let truncated = &pem[..pem.len() / 2];
    let garbled = pem.replacen("MII", "AAA", 1);
    for (name, content) in [("truncated.pem", truncated), ("garbled.pem", &garbled)] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let config = Config::new()
            .host("db.example.net")
            .user("app")
            .tls_root(path.to_str().unwrap());
        let error = Pool::builder(config).build().unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("cannot be read"),
            "{error}"
        );
    }
}

#[test]
fn no_password_in_any_debug_output() {
    let config = Config::new()
        .host("db.example.net")
        .user("app")
        .password("hunter2-4711");
    assert!(
        format!("{config:?}").contains("\"password\": _ ("),
        "{config:?}"
    );
    let pool = Pool::builder(config.clone()).build().unwrap();
    let builder = Pool::builder(config.clone());
    let connector = sealpool::Connector::new(config.clone()).unwrap();
    let inline = Config::new()
        .tls_client_key("-----BEGIN PRIVATE KEY-----\nhunter2")
        .tls_client_key_password("hunter2-4712");
    for shown in [
        format!("{inline:?}"),
        format!("{config:?}"),
        format!("{config:#?}"),
        format!("{pool:?}"),
        format!("{builder:?}"),
        format!("{connector:?}"),
        format!("{:?}", sealpool::Password::new("hunter2-4711")),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_password_beside_a_provider() {
    let config = Config::new()
        .host("db.example.net")
        .user("app")
        .password("hunter2");
    let provider = |_| async { Ok(sealpool::Password::new("token")) };
    let built = Pool::builder(config).password_provider(provider).build();
    let error = built.unwrap_err().to_string();
    assert!(
        error.ends_with("password: there is a password provider as well; remove one of the two"),
        "{error}"
    );
}
