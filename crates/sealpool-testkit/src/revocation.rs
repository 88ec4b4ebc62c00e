use rcgen::{
    CertificateRevocationList, CertificateRevocationListParams, KeyIdMethod, RevokedCertParams,
    SerialNumber,
};
use rustls_pki_types::CertificateRevocationListDer;
use time::{Duration, OffsetDateTime};

use crate::{Leaf, Pki};

/// Revocation lists in the making; see [`Pki::revocation`].
#[derive(Debug)]
#[must_use = "nothing is made before `issue`"]
pub struct RevocationBuilder<'a> {
    pki: &'a Pki,
    revoked: Vec<SerialNumber>,
    this_update: OffsetDateTime,
    next_update: OffsetDateTime,
}

impl<'a> RevocationBuilder<'a> {
    pub(crate) fn new(pki: &'a Pki) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            pki,
            revoked: Vec::new(),
            this_update: now - Duration::days(2),
            next_update: now + Duration::days(7),
        }
    }

    /// Revokes a leaf of this PKI.
    pub fn revoke(mut self, leaf: &Leaf) -> Self {
        self.revoked.push(leaf.serial().clone());
        self
    }

    /// When the lists have to be renewed; in seven days by default. Before now they are stale.
    pub fn next_update(mut self, time: OffsetDateTime) -> Self {
        self.next_update = time;
        self
    }

    /// Signs the lists.
    ///
    /// # Panics
    /// When the lists are to be renewed before they were made, two days ago.
    pub fn issue(self) -> RevocationLists {
        let list = |revoked: &[SerialNumber]| {
            let revoked = revoked.iter().map(|serial| RevokedCertParams {
                serial_number: serial.clone(),
                revocation_time: self.this_update,
                reason_code: None,
                invalidity_date: None,
            });
            CertificateRevocationListParams {
                this_update: self.this_update,
                next_update: self.next_update,
                crl_number: SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: revoked.collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            }
        };
        let signed = "a list of our own making is well-formed";
        RevocationLists {
            leaves: self
                .pki
                .intermediate()
                .sign_list(&list(&self.revoked))
                .expect(signed),
            authorities: self.pki.root().sign_list(&list(&[])).expect(signed),
        }
    }
}

/// The two lists that a chain of root, intermediate and leaf needs.
#[derive(Debug)]
pub struct RevocationLists {
    leaves: CertificateRevocationList,
    authorities: CertificateRevocationList,
}

impl RevocationLists {
    /// Both lists as PEM.
    pub fn pem(&self) -> String {
        let encoded = "a list has a PEM form";
        [&self.leaves, &self.authorities]
            .map(|list| list.pem().expect(encoded))
            .concat()
    }

    /// The list of the intermediate CA, which says what became of leaves, as DER.
    pub fn leaves_der(&self) -> &CertificateRevocationListDer<'static> {
        self.leaves.der()
    }

    /// The list of the root, which says what became of the intermediate, as DER.
    pub fn authorities_der(&self) -> &CertificateRevocationListDer<'static> {
        self.authorities.der()
    }
}
