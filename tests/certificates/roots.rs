use sealpool::HandshakeFailure as Failure;

use super::{
    row::{CONNECTS, Group, and, fails, only, plain, trusting},
    workshop::Workshop,
};

/// A good certificate, and everything that a policy can say of whom it trusts.
pub(super) fn roots(shop: &Workshop) -> Group {
    let (pki, stranger) = (&shop.pki, &shop.stranger);
    let leaf = shop.local().issue();
    let file = |name: &str, content: &[u8]| shop.list(name, content);
    let both = format!("{}{}", stranger.root_pem(), pki.root_pem());
    let other = file("stranger.pem", stranger.root_pem().as_bytes());
    let unknown = Failure::CertificateUnknownIssuer;
    let directory = shop.folder.path().join("roots");
    file("roots/b.pem", stranger.root_pem().as_bytes());
    file("roots/a.der", pki.root_der());
    file("roots/.old.pem", b"-----BEGIN CERTIFICATE-----\nAAA");
    file("roots/README", b"the roots of the house");
    let directory = directory.to_str().unwrap().to_owned();
    let two = vec![other.clone(), shop.root()];
    let rows = vec![
        ("PEM", plain(), CONNECTS),
        ("DER", trusting(file("root.der", pki.root_der())), CONNECTS),
        (
            "several in one file",
            trusting(file("both.pem", both.as_bytes())),
            CONNECTS,
        ),
        (
            "several files",
            only(move |_, c| c.tls_root(two.clone())),
            CONNECTS,
        ),
        ("a directory", trusting(directory), CONNECTS),
        ("inline", trusting(pki.root_pem().to_owned()), CONNECTS),
        (
            "inline in one line",
            trusting(pki.root_pem().replace('\n', "\\n")),
            CONNECTS,
        ),
        (
            "the intermediate as anchor",
            trusting(file("intermediate.pem", pki.intermediate_pem().as_bytes())),
            CONNECTS,
        ),
        (
            "verify-full in so many words",
            and(|_, c| c.tls_mode("verify-full")),
            CONNECTS,
        ),
        ("without SNI", and(|_, c| c.tls_sni(false)), CONNECTS),
        (
            "a stranger's root",
            trusting(other),
            fails(
                unknown,
                &[
                    "the table's server",
                    "sealpool test root",
                    "trusted are CN=sealpool test root",
                    "set tls.root",
                ],
            ),
        ),
        (
            "the root made anew",
            trusting(file("remade.pem", shop.remade.root_pem().as_bytes())),
            fails(
                unknown,
                &["made anew", "set tls.root to its new certificate"],
            ),
        ),
        (
            "the system's roots",
            only(|_, c| c),
            fails(unknown, &["the system's", "roots"]),
        ),
        (
            "the system's roots by name",
            only(|_, c| c.tls_root("system")),
            fails(unknown, &["the system's"]),
        ),
        (
            "Mozilla's roots",
            only(|_, c| c.tls_root("mozilla")),
            fails(unknown, &["Mozilla's"]),
        ),
    ];
    Group {
        server: "a good certificate",
        leaf,
        rows,
    }
}

pub(super) fn chains(shop: &Workshop) -> Vec<Group> {
    let unknown = Failure::CertificateUnknownIssuer;
    let intermediate = shop.list("above.pem", shop.pki.intermediate_pem());
    vec![
        Group {
            server: "no intermediate",
            leaf: shop.local().issue().alone(),
            rows: vec![
                (
                    "the root",
                    plain(),
                    fails(unknown, &["sent no intermediate", "ssl_cert_file"]),
                ),
                ("the intermediate", trusting(intermediate), CONNECTS),
            ],
        },
        Group {
            server: "straight from the root",
            leaf: shop.local().signed_by_root().issue(),
            rows: vec![("the root", plain(), CONNECTS)],
        },
        Group {
            server: "a stranger's",
            leaf: shop.stranger.leaf().dns("localhost").issue(),
            rows: vec![
                ("the root", plain(), fails(unknown, &["not trusted"])),
                (
                    "the chain alone",
                    and(|_, c| c.tls_mode("verify-ca")),
                    fails(unknown, &["not trusted"]),
                ),
            ],
        },
        Group {
            server: "of the authority made anew",
            leaf: shop.remade.leaf().dns("localhost").issue(),
            rows: vec![("the old root", plain(), fails(unknown, &["made anew"]))],
        },
    ]
}
