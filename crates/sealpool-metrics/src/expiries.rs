use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use sealpool::{CertificateInUse, CertificateRole};

use crate::{catalogue as all, totals::unix_time, writer::Writer};

/// The certificates whose end has been written.
#[derive(Debug, Default)]
pub(crate) struct Expiries(BTreeSet<Expiring>);

/// Whose end is known: of the server with that address, of the client, of the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expiring {
    Ca,
    Client,
    Server(String),
}

impl Expiries {
    /// What is known no longer is not a number, so that no alert goes by it.
    pub(crate) fn write(&mut self, writer: Writer<'_>, certificates: &[CertificateInUse]) {
        let known = first_ends(certificates, unix_time(SystemTime::now()));
        self.0.extend(known.keys().cloned());
        for expiring in &self.0 {
            let time = known.get(expiring).copied().unwrap_or(f64::NAN);
            match expiring {
                Expiring::Ca => writer.gauge(&all::CA_EXPIRY, time),
                Expiring::Client => writer.gauge(&all::CLIENT_CERTIFICATE_EXPIRY, time),
                Expiring::Server(address) => writer.gauge_of(
                    &all::SERVER_CERTIFICATE_EXPIRY,
                    all::SERVER_ADDRESS,
                    address.clone(),
                    time,
                ),
            }
        }
    }
}

/// The first end of each. Of the roots those count that have not ended: bundles are full of the others, unless there is
/// nothing else.
fn first_ends(certificates: &[CertificateInUse], now: f64) -> BTreeMap<Expiring, f64> {
    let mut first: BTreeMap<Expiring, f64> = BTreeMap::new();
    for used in certificates {
        let expiring = match (used.role, &used.server) {
            (CertificateRole::Server, Some((host, _))) => Expiring::Server(host.clone()),
            (CertificateRole::Client, _) => Expiring::Client,
            (CertificateRole::Root, _) => Expiring::Ca,
            _ => continue,
        };
        let end = unix_time(used.certificate.not_after());
        let is_root = expiring == Expiring::Ca;
        first
            .entry(expiring)
            .and_modify(|known| {
                *known = match (is_root && *known < now, is_root && end < now) {
                    (true, false) => end,
                    (false, true) => *known,
                    (true, true) => known.max(end),
                    (false, false) => known.min(end),
                };
            })
            .or_insert(end);
    }
    first
}
