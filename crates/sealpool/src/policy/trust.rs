use std::{path::PathBuf, sync::Arc};

use rustls::{
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
};
use sealpool_dsn::{Code, Verification};

use super::{
    pins::Pins,
    revocation,
    roots::{Loaded, RootNames, Roots},
    verifiers::{AnyName, Pinned, PinnedToo},
};
use crate::config::{ConfigError, Written};

/// Which servers are trusted, and how much of them is verified.
#[derive(Debug)]
pub(super) struct Trust {
    verification: Verification,
    /// `None` when the pins alone decide.
    roots: Option<Roots>,
    pins: Option<Pins>,
    lists: Option<Written<Vec<PathBuf>>>,
}

/// What was written of trust.
pub(super) struct TrustWritten {
    pub(super) mode: Option<Written<String>>,
    pub(super) root: Option<Written<Vec<String>>>,
    pub(super) pin: Option<Written<Vec<String>>>,
    pub(super) crl: Option<Written<Vec<PathBuf>>>,
}

/// A verifier, and the names of the roots that it goes by.
pub(super) type Verifier = (Arc<dyn ServerCertVerifier>, RootNames);

impl Trust {
    pub(super) fn decide(written: TrustWritten) -> Result<Self, ConfigError> {
        let TrustWritten {
            mode,
            root,
            pin,
            crl: lists,
        } = written;
        let verification = match &mode {
            None => Verification::VerifyFull,
            Some(Written { value, place }) => Verification::of_word(value)
                .map_err(|code| place.refuse("tls.mode", refusal(code)))?,
        };
        let pins = Pins::decide(pin)?;
        // A key that was named is proof enough: whoever pins a self-signed certificate has no root to give.
        let roots = match (root, &pins) {
            (None, Some(_)) => None,
            (root, _) => Some(Roots::decide(root)?),
        };
        let trust = Self {
            verification,
            roots,
            pins,
            lists,
        };
        trust.check(mode)?;
        Ok(trust)
    }

    fn check(&self, mode: Option<Written<String>>) -> Result<(), ConfigError> {
        let own = matches!(self.roots, None | Some(Roots::Files(_)));
        if let (Verification::VerifyCa, Some(Written { place, .. }), false) =
            (self.verification, mode, own)
        {
            return Err(place.refuse(
                "tls.mode",
                ConfigError::new(
                    "root_required",
                    "verify-ca with public roots would trust every server that has a certificate of theirs",
                    "write verify-full, or set tls.root to the file of your own authority",
                ),
            ));
        }
        if let (None, Some(Written { place, .. })) = (&self.roots, &self.lists) {
            return Err(place.refuse(
                "tls.crl",
                ConfigError::new(
                    "conflict",
                    "a pinned key has no authority that could revoke it",
                    "set tls.root as well, or take the old key out of tls.pin to revoke it",
                ),
            ));
        }
        Ok(())
    }

    /// Reads the files and makes a verifier of them.
    pub(super) fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, ConfigError> {
        let (chain, names) = match (&self.roots, &self.pins) {
            (Some(roots), _) => self.chain(roots, provider)?,
            (None, Some(pins)) => {
                let pinned = Pinned::new(pins.clone(), provider);
                return Ok((Arc::new(pinned), RootNames::Own(Vec::new())));
            }
            (None, None) => return Err(unverified()),
        };
        let named: Arc<dyn ServerCertVerifier> = match self.verification {
            Verification::VerifyFull => chain,
            Verification::VerifyCa => Arc::new(AnyName(chain)),
        };
        Ok(match &self.pins {
            None => (named, names),
            Some(pins) => (Arc::new(PinnedToo(named, pins.clone())), names),
        })
    }

    fn chain(
        &self,
        roots: &Roots,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Verifier, ConfigError> {
        #[cfg(any(windows, target_vendor = "apple", target_os = "android"))]
        if let (Roots::System, None) = (roots, &self.lists) {
            return platform(provider);
        }
        let Loaded { store, names } = roots.load()?;
        let mut builder = WebPkiServerVerifier::builder_with_provider(store, Arc::clone(provider));
        if let Some(lists) = &self.lists {
            builder = builder
                .with_crls(revocation::load(lists)?)
                .enforce_revocation_expiration();
        }
        let verifier = builder.build().map_err(|error| {
            ConfigError::new(
                "root_unusable",
                error.to_string(),
                "check the files of tls.root and tls.crl",
            )
            .about("tls.root")
        })?;
        Ok((verifier, names))
    }
}

fn refusal(code: Code) -> ConfigError {
    let problem = match code {
        Code::Plaintext => "this permits plaintext",
        Code::PlaintextFallback => "this permits plaintext when TLS fails",
        Code::Unverified => "this leaves the server unverified",
        _ => "this word means nothing here",
    };
    ConfigError::new(code.as_str(), problem, "write verify-full, or leave it out")
}

#[cfg(any(windows, target_vendor = "apple", target_os = "android"))]
fn platform(provider: &Arc<CryptoProvider>) -> Result<Verifier, ConfigError> {
    let verifier =
        rustls_platform_verifier::Verifier::new(Arc::clone(provider)).map_err(|error| {
            ConfigError::new(
                "no_roots",
                format!("the system's roots cannot be used: {error}"),
                "set tls.root to a file",
            )
        })?;
    let names = RootNames::Public("the system's roots".to_owned());
    Ok((Arc::new(verifier), names))
}

/// Cannot happen: `decide` leaves the roots out only where there are pins.
fn unverified() -> ConfigError {
    ConfigError::new(
        "unverified",
        "neither roots nor pins say which server is trusted",
        "set tls.root or tls.pin",
    )
}
