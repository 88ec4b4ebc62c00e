use sealpool::HandshakeFailure as Failure;
use sealpool_testkit::{KeyType, OffsetDateTime};
use std::time::Duration;

use super::{
    pins::pin_of,
    row::{CONNECTS, Group, and, fails, listing, pinning, plain},
    workshop::Workshop,
};

pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn dates(shop: &Workshop) -> Vec<Group> {
    let (expired, early) = (Failure::CertificateExpired, Failure::CertificateNotYetValid);
    let now = OffsetDateTime::now_utc();
    let old = shop
        .local()
        .not_before(now - DAY * 3)
        .not_after(now - DAY)
        .issue();
    let old_pin = pin_of(&old);
    vec![
        Group {
            server: "expired",
            leaf: old,
            rows: vec![
                (
                    "the root",
                    plain(),
                    fails(expired, &["expired at 20", "it is now 20", "renew"]),
                ),
                (
                    "the chain alone",
                    and(|_, c| c.tls_mode("verify-ca")),
                    fails(expired, &["the table's server"]),
                ),
                (
                    "another name besides",
                    and(|_, c| c.host("b.example.net")),
                    fails(expired, &[]),
                ),
                ("its pin", pinning(&[&old_pin]), CONNECTS),
            ],
        },
        Group {
            server: "of tomorrow",
            leaf: shop.local().not_before(now + DAY).issue(),
            rows: vec![(
                "the root",
                plain(),
                fails(early, &["is not valid before 20", "clocks"]),
            )],
        },
    ]
}

pub(super) fn usages(shop: &Workshop) -> Vec<Group> {
    let old = shop.local().version_1().issue();
    let old_pin = pin_of(&old);
    vec![
        Group {
            server: "CA:TRUE below the intermediate",
            leaf: shop.local().marked_as_ca().issue(),
            rows: vec![(
                "the root",
                plain(),
                fails(Failure::CertificateRejected, &["CA:TRUE"]),
            )],
        },
        Group {
            server: "for clients",
            leaf: shop.local().client_auth().issue(),
            rows: vec![(
                "the root",
                plain(),
                fails(
                    Failure::CertificateRejected,
                    &["is not for servers", "serverAuth"],
                ),
            )],
        },
        Group {
            server: "X.509 version 1",
            leaf: old,
            rows: vec![
                (
                    "the root",
                    plain(),
                    fails(
                        Failure::CertificateMalformed,
                        &["X.509 version 1", "-extfile"],
                    ),
                ),
                ("its pin", pinning(&[&old_pin]), CONNECTS),
            ],
        },
    ]
}

pub(super) fn revocation(shop: &Workshop) -> Vec<Group> {
    let (revoked, unknown) = (
        Failure::CertificateRevoked,
        Failure::CertificateRevocationUnknown,
    );
    let (good, bad) = (shop.local().issue(), shop.local().issue());
    let pki = &shop.pki;
    let lists = pki.revocation().revoke(&bad).issue();
    let stale = pki
        .revocation()
        .next_update(OffsetDateTime::now_utc() - DAY)
        .issue();
    let all = shop.list("all.crl", lists.pem());
    shop.file("lists/leaves.crl", lists.leaves_der());
    shop.file("lists/authorities.crl", lists.authorities_der());
    let directory = shop
        .folder
        .path()
        .join("lists")
        .to_str()
        .unwrap()
        .to_owned();
    vec![
        Group {
            server: "not revoked",
            leaf: good,
            rows: vec![
                ("both lists", listing(all.clone()), CONNECTS),
                ("a directory of both", listing(directory.clone()), CONNECTS),
                (
                    "the list of leaves alone",
                    listing(shop.list("leaves.crl", lists.leaves_der())),
                    fails(
                        unknown,
                        &["do not cover the whole chain", "sealpool test root"],
                    ),
                ),
                (
                    "the list of authorities alone",
                    listing(shop.list("authorities.crl", lists.authorities_der())),
                    fails(unknown, &["sealpool test intermediate"]),
                ),
                (
                    "stale lists",
                    listing(shop.list("stale.crl", stale.pem())),
                    fails(unknown, &["was to be renewed by 20", "fetch the current"]),
                ),
                (
                    "a stranger's lists",
                    listing(shop.list("stranger.crl", shop.stranger.revocation().issue().pem())),
                    fails(unknown, &["do not cover"]),
                ),
                (
                    "lists of the authority made anew",
                    listing(shop.list("remade.crl", shop.remade.revocation().issue().pem())),
                    fails(unknown, &["do not cover"]),
                ),
            ],
        },
        Group {
            server: "revoked",
            leaf: bad,
            rows: vec![
                ("no list", plain(), CONNECTS),
                (
                    "both lists",
                    listing(all.clone()),
                    fails(revoked, &["has been revoked"]),
                ),
                (
                    "a directory of both",
                    listing(directory),
                    fails(revoked, &[]),
                ),
                (
                    "both lists, the chain alone",
                    and(move |_, c| c.tls_crl(all.as_str()).tls_mode("verify-ca")),
                    fails(revoked, &["the table's server"]),
                ),
            ],
        },
    ]
}

pub(super) fn keys(shop: &Workshop) -> Vec<Group> {
    let mut groups = Vec::new();
    for (server, key_type) in [
        ("P-384", KeyType::P384),
        ("RSA", KeyType::Rsa2048),
        ("Ed25519", KeyType::Ed25519),
        ("P-521", KeyType::P521),
    ] {
        let leaf = shop.local().key_type(key_type).issue();
        // Signed by the intermediate's P-256, so all of them can be bound.
        let bound = and(|_, c| c.tls_channel_binding("require"));
        // ring knows no P-521.
        let unknown = key_type == KeyType::P521 && !cfg!(feature = "aws-lc-rs");
        let outcome = if unknown {
            fails(Failure::NoCommonCipher, &[])
        } else {
            CONNECTS
        };
        let rows = vec![("the root, bound", bound, outcome)];
        groups.push(Group { server, leaf, rows });
    }
    groups
}
