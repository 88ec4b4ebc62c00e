use sealpool::HandshakeFailure as Failure;
use sealpool_testkit::Leaf;
use std::process::Command;

use super::{
    row::{CONNECTS, Group, and, fails, only, pinning, plain, trusting},
    workshop::Workshop,
};

pub(super) const NOBODY: &str = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(super) fn pins(shop: &Workshop) -> Group {
    let leaf = shop.local().issue();
    let (pin, hex) = (pin_of(&leaf), hex_of(&leaf));
    let curl = pin.replacen('/', "//", 1);
    let wrong = Failure::CertificatePinMismatch;
    let stranger = shop.list("other.pem", shop.stranger.root_pem());
    let rows = vec![
        ("its pin", pinning(&[&pin]), CONNECTS),
        ("as curl writes it", pinning(&[&curl]), CONNECTS),
        ("in hexadecimal digits", pinning(&[&hex]), CONNECTS),
        ("one of several", pinning(&[NOBODY, &pin]), CONNECTS),
        (
            "of nobody",
            pinning(&[NOBODY]),
            fails(wrong, &["none of the 1 pinned", "is sha256/"]),
        ),
        (
            "of nobody, and the root",
            and(|_, c| c.tls_pin(NOBODY)),
            fails(wrong, &["the table's server"]),
        ),
        (
            "its pin, and the root",
            and({
                let pin = pin.clone();
                move |_, c| c.tls_pin(pin.clone())
            }),
            CONNECTS,
        ),
        (
            "its pin, and the root, and another host",
            and({
                let pin = pin.clone();
                move |_, c| c.tls_pin(pin.clone()).host("b.example.net")
            }),
            fails(Failure::CertificateHostnameMismatch, &[]),
        ),
        (
            "its pin, and a stranger's root",
            only(move |_, c| c.tls_pin(pin.clone()).tls_root(stranger.clone())),
            fails(Failure::CertificateUnknownIssuer, &[]),
        ),
        (
            "of nobody, in TLS 1.2",
            only(|_, c| c.tls_pin(NOBODY).tls_max_version("1.2")),
            fails(wrong, &[]),
        ),
    ];
    Group {
        server: "pinned",
        leaf,
        rows,
    }
}

pub(super) fn self_signed(shop: &Workshop) -> Vec<Group> {
    let unknown = Failure::CertificateUnknownIssuer;
    let own = shop.local().self_signed().issue();
    let authority = shop.local().self_signed().marked_as_ca().issue();
    let (own_pin, authority_pin) = (pin_of(&own), pin_of(&authority));
    let (own_root, authority_root) = (
        shop.list("own.pem", own.certificate_pem()),
        shop.list("authority.pem", authority.certificate_pem()),
    );
    vec![
        Group {
            server: "self-signed",
            rows: vec![
                (
                    "a root",
                    plain(),
                    fails(unknown, &["is self-signed", "set tls.pin = sha256/"]),
                ),
                ("itself", trusting(own_root.clone()), CONNECTS),
                ("its pin", pinning(&[&own_pin]), CONNECTS),
                (
                    "its pin and another host",
                    only({
                        let pin = own_pin.clone();
                        move |_, c| c.tls_pin(pin.clone()).host("b.example.net")
                    }),
                    CONNECTS,
                ),
                (
                    "its pin and a root",
                    and({
                        let pin = own_pin.clone();
                        move |_, c| c.tls_pin(pin.clone())
                    }),
                    fails(unknown, &["is self-signed"]),
                ),
                (
                    "its pin and itself",
                    only(move |_, c| c.tls_pin(own_pin.clone()).tls_root(own_root.clone())),
                    CONNECTS,
                ),
            ],
            leaf: own,
        },
        Group {
            server: "self-signed, CA:TRUE",
            rows: vec![
                (
                    "itself",
                    trusting(authority_root),
                    fails(
                        Failure::CertificateRejected,
                        &["CA:TRUE", "basicConstraints=critical,CA:FALSE"],
                    ),
                ),
                ("its pin", pinning(&[&authority_pin]), CONNECTS),
            ],
            leaf: authority,
        },
    ]
}

/// The key's hash as a pin, as OpenSSL computes it: not by the code under test.
pub(crate) fn pin_of(leaf: &Leaf) -> String {
    format!("sha256/{}", hash_of(leaf, "-binary | openssl base64 -A"))
}

/// The same in hexadecimal digits.
pub(super) fn hex_of(leaf: &Leaf) -> String {
    hash_of(leaf, "-r | cut -c1-64")
}

pub(super) fn hash_of(leaf: &Leaf, form: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), leaf.certificate_pem()).unwrap();
    let script = format!(
        "openssl x509 -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 {form}"
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(file.path())
        .output()
        .expect("these tests need a shell and the openssl command line: apt-get install openssl");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
