use sealpool::{Config, HandshakeFailure as Failure};
use sealpool_testkit::Leaf;

use super::workshop::Workshop;

/// What becomes of a connection: it is ready, or there is exactly one reason and its text holds all of the words.
pub(super) type Expected = Result<(), (Failure, &'static [&'static str])>;

/// What is written besides where the server is and who logs in.
pub(super) type Policy = Box<dyn Fn(&Workshop, Config) -> Config>;

pub(super) struct Group {
    pub(super) server: &'static str,
    pub(super) leaf: Leaf,
    pub(super) rows: Vec<(&'static str, Policy, Expected)>,
}

/// The right root, and what else the row says.
pub(super) fn and(more: impl Fn(&Workshop, Config) -> Config + 'static) -> Policy {
    Box::new(move |shop, config| more(shop, config.tls_root(shop.root())))
}

pub(super) fn plain() -> Policy {
    and(|_, config| config)
}

/// Nothing but what the row says.
pub(super) fn only(policy: impl Fn(&Workshop, Config) -> Config + 'static) -> Policy {
    Box::new(policy)
}

pub(super) fn trusting(root: String) -> Policy {
    only(move |_, config| config.tls_root(root.clone()))
}

pub(super) fn pinning(pins: &[&str]) -> Policy {
    let pins: Vec<_> = pins.iter().map(|pin| (*pin).to_owned()).collect();
    only(move |_, config| config.tls_pin(pins.clone()))
}

pub(super) fn listing(crl: String) -> Policy {
    and(move |_, config| config.tls_crl(crl.as_str()))
}

pub(super) const CONNECTS: Expected = Ok(());

pub(super) const fn fails(failure: Failure, words: &'static [&'static str]) -> Expected {
    Err((failure, words))
}
