use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;

use sealpool_testkit::{KeyType, Leaf, OffsetDateTime, Pki};
use x509_parser::prelude::*;

/// What `openssl verify` says of a leaf whose server sends this chain. The name is part of a folder's.
fn openssl(name: &str, pki: &Pki, chain: &str, arguments: &[&str]) -> String {
    let folder = env::temp_dir().join(format!("pki-{name}-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let file = |name: &str, content: &str| -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let output = Command::new("openssl")
        .arg("verify")
        .args(arguments)
        .arg("-x509_strict")
        .arg("-CAfile")
        .arg(file("root.pem", pki.root_pem()))
        .arg("-untrusted")
        .arg(file("chain.pem", chain))
        .arg(file("leaf.pem", chain))
        .output()
        .expect("these tests need the openssl command line: apt-get install openssl");
    fs::remove_dir_all(folder).unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn server(name: &str, pki: &Pki, leaf: &Leaf) -> String {
    openssl(
        name,
        pki,
        leaf.chain_pem(),
        &["-purpose", "sslserver", "-verify_hostname", "db.example"],
    )
}

#[test]
fn openssl_accepts_every_kind_of_key() {
    let pki = Pki::new();
    for key_type in [
        KeyType::P256,
        KeyType::P384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
    ] {
        let leaf = pki.leaf().dns("db.example").key_type(key_type).issue();
        let text = server(&format!("{key_type:?}"), &pki, &leaf);
        assert!(text.ends_with("leaf.pem: OK\n"), "{key_type:?}: {text}");
    }
    let text = server(
        "root",
        &pki,
        &pki.leaf().dns("db.example").signed_by_root().issue(),
    );
    assert!(text.ends_with("leaf.pem: OK\n"), "{text}");
}

#[test]
fn openssl_names_every_defect() {
    let pki = Pki::new();
    let leaf = || pki.leaf().dns("db.example");
    let hour = std::time::Duration::from_secs(3600);
    let now = OffsetDateTime::now_utc();
    for (name, leaf, defect) in [
        (
            "expired",
            leaf().not_after(now - hour).issue(),
            "certificate has expired",
        ),
        (
            "early",
            leaf().not_before(now + hour).issue(),
            "certificate is not yet valid",
        ),
        (
            "name",
            pki.leaf().dns("other.example").issue(),
            "hostname mismatch",
        ),
        (
            "client",
            leaf().client_auth().issue(),
            "unsuitable certificate purpose",
        ),
        (
            "self",
            leaf().self_signed().issue(),
            "self-signed certificate",
        ),
        (
            "remade",
            pki.remade().leaf().dns("db.example").issue(),
            "unable to get local issuer certificate",
        ),
        (
            "stranger",
            Pki::new().leaf().dns("db.example").issue(),
            "unable to get",
        ),
    ] {
        let text = server(name, &pki, &leaf);
        assert!(text.contains(defect), "{name}: {text}");
    }
    let text = openssl("alone", &pki, leaf().issue().certificate_pem(), &[]);
    assert!(
        text.contains("unable to get local issuer certificate"),
        "{text}"
    );
}

#[test]
fn openssl_accepts_a_client() {
    let pki = Pki::new();
    let leaf = pki.leaf().common_name("app").client_auth().issue();
    let text = openssl("app", &pki, leaf.chain_pem(), &["-purpose", "sslclient"]);
    assert!(text.ends_with("leaf.pem: OK\n"), "{text}");
}

fn parsed(der: &[u8]) -> X509Certificate<'_> {
    let (rest, certificate) = X509Certificate::from_der(der).unwrap();
    assert!(rest.is_empty());
    certificate
}

#[test]
fn a_leaf_says_what_it_was_told_to() {
    let pki = Pki::new();
    let from = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let to = OffsetDateTime::from_unix_timestamp(1_900_000_000).unwrap();
    let builder = pki
        .leaf()
        .dns("*.db.example")
        .ip(Ipv4Addr::LOCALHOST)
        .ip(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let leaf = builder
        .common_name("app")
        .not_before(from)
        .not_after(to)
        .issue();
    let certificate = parsed(leaf.certificate_der());
    assert_eq!(certificate.version(), X509Version::V3);
    assert_eq!(certificate.subject().to_string(), "CN=app");
    assert_eq!(
        certificate.validity().not_before.timestamp(),
        from.unix_timestamp()
    );
    assert_eq!(
        certificate.validity().not_after.timestamp(),
        to.unix_timestamp()
    );
    let names = &certificate
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names;
    let loopback = [[0; 15].as_slice(), &[1]].concat();
    assert_eq!(
        *names,
        [
            GeneralName::DNSName("*.db.example"),
            GeneralName::IPAddress(&[127, 0, 0, 1]),
            GeneralName::IPAddress(&loopback)
        ]
    );
    assert!(!certificate.is_ca());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth);
}

#[test]
fn a_leaf_is_valid_from_yesterday_for_a_month_unless_told_otherwise() {
    let pki = Pki::new();
    let leaf = pki.leaf().dns("db.example").issue();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let day = 86_400;
    let certificate = parsed(leaf.certificate_der());
    let (from, to) = (
        certificate.validity().not_before.timestamp(),
        certificate.validity().not_after.timestamp(),
    );
    assert!(
        (now - from - day).abs() < 60 && (to - now - 30 * day).abs() < 60,
        "{from} {now} {to}"
    );
    let marked = pki.leaf().dns("db.example").marked_as_ca().issue();
    assert!(parsed(marked.certificate_der()).is_ca());
}

#[test]
fn a_remade_pki_has_the_same_names_and_other_keys() {
    let pki = Pki::new();
    let remade = pki.remade();
    let (old, new) = (parsed(pki.root_der()), parsed(remade.root_der()));
    assert_eq!(old.subject(), new.subject());
    assert_ne!(old.public_key(), new.public_key());
    let stranger = Pki::new();
    assert_ne!(parsed(stranger.root_der()).subject(), old.subject());
    assert!(old.is_ca() && old.verify_signature(None).is_ok());
}

#[test]
fn a_chain_is_the_leaf_and_what_signed_it() {
    let pki = Pki::new();
    let leaf = pki.leaf().issue();
    assert_eq!(
        leaf.chain_pem(),
        format!("{}{}", leaf.certificate_pem(), pki.intermediate_pem())
    );
    let leaf = pki.leaf().signed_by_root().issue();
    assert_eq!(leaf.chain_pem(), leaf.certificate_pem());
    assert!(leaf.key_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(!format!("{leaf:?}").contains("PRIVATE KEY"));
}
