use sealpool::HandshakeFailure as Failure;

use super::{
    row::{CONNECTS, Group, and, fails, plain},
    workshop::Workshop,
};

pub(super) fn names(shop: &Workshop) -> Group {
    let mismatch = Failure::CertificateHostnameMismatch;
    let rows = vec![
        ("upper case", and(|_, c| c.host("LOCALHOST")), CONNECTS),
        ("trailing dot", and(|_, c| c.host("localhost.")), CONNECTS),
        (
            "an address that is named",
            and(|_, c| c.host("127.0.0.1")),
            CONNECTS,
        ),
        (
            "an address that is not named",
            and(|_, c| c.host("127.0.0.2").hostaddr("127.0.0.1")),
            fails(mismatch, &["localhost", "not for 127.0.0.2"]),
        ),
        (
            "another name",
            and(|_, c| c.host("db.example.net")),
            fails(
                mismatch,
                &["localhost", "not for db.example.net", "tls.server_name"],
            ),
        ),
        (
            "another name, the chain alone",
            and(|_, c| c.host("db.example.net").tls_mode("verify-ca")),
            CONNECTS,
        ),
        (
            "the right name in place of the host's",
            and(|_, c| c.host("db.example.net").tls_server_name("localhost")),
            CONNECTS,
        ),
        (
            "a wrong name in place of the host's",
            and(|_, c| c.tls_server_name("db.example.net")),
            fails(mismatch, &["not for db.example.net"]),
        ),
        (
            "a name below the one named",
            and(|_, c| c.host("a.localhost")),
            fails(mismatch, &["a.localhost"]),
        ),
    ];
    let leaf = shop.local().ip([127, 0, 0, 1]).issue();
    Group {
        server: "names and an address",
        leaf,
        rows,
    }
}

pub(super) fn odd_names(shop: &Workshop) -> Vec<Group> {
    let mismatch = Failure::CertificateHostnameMismatch;
    let pki = &shop.pki;
    let wild = pki.leaf().dns("*.example.net").issue();
    let address = pki.leaf().ip([127, 0, 0, 1]).issue();
    let common = pki.leaf().common_name("localhost").issue();
    vec![
        Group {
            server: "a wildcard",
            leaf: wild,
            rows: vec![
                ("one label", and(|_, c| c.host("db.example.net")), CONNECTS),
                (
                    "two labels",
                    and(|_, c| c.host("a.db.example.net")),
                    fails(mismatch, &["*.example.net"]),
                ),
                (
                    "no label",
                    and(|_, c| c.host("example.net")),
                    fails(mismatch, &["*.example.net"]),
                ),
            ],
        },
        Group {
            server: "an address alone",
            leaf: address,
            rows: vec![
                ("the address", and(|_, c| c.host("127.0.0.1")), CONNECTS),
                (
                    "a name",
                    plain(),
                    fails(mismatch, &["127.0.0.1", "not for localhost"]),
                ),
            ],
        },
        Group {
            server: "a common name alone",
            leaf: common,
            rows: vec![
                (
                    "that name",
                    plain(),
                    fails(mismatch, &["common name", "subjectAltName = DNS:localhost"]),
                ),
                (
                    "an address",
                    and(|_, c| c.host("127.0.0.1")),
                    fails(mismatch, &["subjectAltName = IP:127.0.0.1"]),
                ),
                (
                    "the chain alone",
                    and(|_, c| c.tls_mode("verify-ca")),
                    CONNECTS,
                ),
            ],
        },
        Group {
            server: "another trusted authority's, for another name",
            leaf: shop.stranger.leaf().dns("db.example.net").issue(),
            rows: vec![(
                "both roots",
                and(|shop, c| {
                    let other = shop.list("other.pem", shop.stranger.root_pem());
                    c.tls_root([shop.root(), other])
                }),
                fails(mismatch, &["db.example.net", "not for localhost"]),
            )],
        },
    ]
}
