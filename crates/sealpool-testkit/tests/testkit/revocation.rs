use std::{fs, path::PathBuf, process::Command};

use sealpool_testkit::{KeyType, Leaf, OffsetDateTime, Pki};

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// A folder of this test's own, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn openssl(arguments: &[&str], files: &[(&str, PathBuf)]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .args(files.iter().flat_map(|(option, path)| {
            let option = (!option.is_empty()).then(|| PathBuf::from(option));
            option.into_iter().chain([path.clone()])
        }))
        .output()
        .expect("these tests need the openssl command line: apt-get install openssl");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn verified(folder: &Folder, pki: &Pki, leaf: &Leaf, lists: &str) -> String {
    openssl(
        &["verify", "-crl_check_all"],
        &[
            ("-CAfile", folder.file("root.pem", pki.root_pem())),
            (
                "-untrusted",
                folder.file("above.pem", pki.intermediate_pem()),
            ),
            ("-CRLfile", folder.file("lists.pem", lists)),
            ("", folder.file("leaf.pem", leaf.certificate_pem())),
        ],
    )
}

#[test]
fn openssl_goes_by_the_lists() {
    let folder = Folder::new("revocation");
    let pki = Pki::new();
    let (good, bad) = (pki.leaf().dns("a").issue(), pki.leaf().dns("b").issue());
    let lists = pki.revocation().revoke(&bad).issue().pem();
    let stale = pki
        .revocation()
        .next_update(OffsetDateTime::now_utc() - DAY);
    for (leaf, lists, expected) in [
        (&good, &lists, "leaf.pem: OK"),
        (&bad, &lists, "certificate revoked"),
        (&good, &stale.issue().pem(), "CRL has expired"),
    ] {
        let text = verified(&folder, &pki, leaf, lists);
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn openssl_reads_old_certificates_and_all_keys() {
    let folder = Folder::new("version-1");
    let pki = Pki::new();
    let old = pki.leaf().common_name("old").version_1().issue();
    let text = openssl(
        &["x509", "-noout", "-text"],
        &[("-in", folder.file("old.pem", old.certificate_pem()))],
    );
    assert!(text.contains("Version: 1 (0x0)"), "{text}");
    let text = verified(&folder, &pki, &old, &pki.revocation().issue().pem());
    assert!(text.contains("leaf.pem: OK"), "{text}");
    for key_type in [KeyType::Ed25519, KeyType::P521] {
        let leaf = pki.leaf().dns("a").key_type(key_type).issue();
        let key = folder.file("key.pem", leaf.key_pem());
        let text = openssl(&["pkey", "-noout", "-text"], &[("-in", key)]);
        assert!(text.contains("rivate"), "{key_type:?}: {text}");
    }
}

#[test]
fn a_leaf_may_come_without_its_intermediate_or_from_elsewhere() {
    let pki = Pki::new();
    let leaf = pki.leaf().dns("a").issue();
    assert_eq!(leaf.alone().chain_pem(), leaf.certificate_pem());
    let again = Leaf::from_pem(leaf.chain_pem(), leaf.key_pem());
    assert_eq!(again.certificate_der(), leaf.certificate_der());
    assert_eq!(again.chain_pem(), leaf.chain_pem());
}
