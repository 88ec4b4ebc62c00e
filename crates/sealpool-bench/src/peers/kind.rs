use deadpool_postgres::RecyclingMethod;
use sealpool::NoopObserver;

use super::{Bb8, Contender, Deadpool, Sealed, Site, Sqlx, raw::Seal};
use crate::Failure;

/// A peer and how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bb8,
    Bb8Unchecked,
    Deadpool,
    DeadpoolPlain,
    DeadpoolRing,
    DeadpoolVerified,
    Sealpool,
    SealpoolMetrics,
    SealpoolNoop,
    Sqlx,
    SqlxUnchecked,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::Deadpool,
        Self::DeadpoolRing,
        Self::DeadpoolPlain,
        Self::DeadpoolVerified,
        Self::Sealpool,
        Self::SealpoolMetrics,
        Self::SealpoolNoop,
        Self::Bb8,
        Self::Bb8Unchecked,
        Self::Sqlx,
        Self::SqlxUnchecked,
    ];

    /// For the rows about what every call pays. Those whose ratio is wanted stand beside the reference, so that their turns
    /// come right after its.
    pub(crate) const POOLS: [Self; 10] = [
        Self::Deadpool,
        Self::Sealpool,
        Self::SealpoolMetrics,
        Self::DeadpoolRing,
        Self::DeadpoolPlain,
        Self::DeadpoolVerified,
        Self::Bb8,
        Self::Bb8Unchecked,
        Self::Sqlx,
        Self::SqlxUnchecked,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bb8 => "bb8",
            Self::Bb8Unchecked => "bb8, unchecked",
            Self::Deadpool => "deadpool",
            Self::DeadpoolPlain => "deadpool, plaintext",
            Self::DeadpoolRing => "deadpool, ring",
            Self::DeadpoolVerified => "deadpool, verified",
            Self::Sealpool => "sealpool",
            Self::SealpoolMetrics => "sealpool, metrics",
            Self::SealpoolNoop => "sealpool, no-op observer",
            Self::Sqlx => "sqlx",
            Self::SqlxUnchecked => "sqlx, unchecked",
        }
    }

    /// What is set beside the address, the credentials, the root and the size.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::Bb8 => {
                "bb8-postgres over rustls with aws-lc-rs; defaults (`test_on_check_out` is on)"
            }
            Self::Bb8Unchecked => "the same, `test_on_check_out(false)`",
            Self::Deadpool => {
                "deadpool-postgres over tokio-postgres-rustls, rustls with aws-lc-rs; defaults, which are its cheapest \
                 (`RecyclingMethod::Fast`); all ratios are to this one"
            }
            Self::DeadpoolPlain => "the same without TLS: the limit of what TLS could cost",
            Self::DeadpoolRing => "the same, rustls with ring",
            Self::DeadpoolVerified => "the same with aws-lc-rs, `RecyclingMethod::Verified`",
            Self::Sealpool => "defaults, no observer",
            Self::SealpoolMetrics => {
                "defaults, `sealpool_metrics::observer` and a recorder of metrics-exporter-prometheus with the shipped buckets"
            }
            Self::SealpoolNoop => "defaults, `NoopObserver`",
            Self::Sqlx => "sqlx over rustls with aws-lc-rs; defaults (`test_before_acquire` is on)",
            Self::SqlxUnchecked => "the same, `test_before_acquire(false)`",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// A pool of at most `size` connections, none of them open. Wants a runtime.
    pub(crate) fn open(self, site: &Site, size: u32) -> Result<Contender, Failure> {
        let deadpool = |seal, method| Deadpool::open(site, seal, method, size);
        Ok(match self {
            Self::Bb8 => Contender::Bb8(Bb8::open(site, size, |builder| builder)?),
            Self::Bb8Unchecked => {
                let unchecked = |builder: bb8::Builder<_>| builder.test_on_check_out(false);
                Contender::Bb8(Bb8::open(site, size, unchecked)?)
            }
            Self::Deadpool => Contender::Deadpool(deadpool(Seal::AwsLc, RecyclingMethod::Fast)?),
            Self::DeadpoolPlain => {
                Contender::Deadpool(deadpool(Seal::None, RecyclingMethod::Fast)?)
            }
            Self::DeadpoolRing => Contender::Deadpool(deadpool(Seal::Ring, RecyclingMethod::Fast)?),
            Self::DeadpoolVerified => {
                Contender::Deadpool(deadpool(Seal::AwsLc, RecyclingMethod::Verified)?)
            }
            Self::Sealpool => Contender::Sealed(Sealed::open(site, size, |builder| builder)?),
            Self::SealpoolMetrics => Contender::Sealed(Sealed::with_metrics(site, size)?),
            Self::SealpoolNoop => Contender::Sealed(Sealed::open(site, size, |builder| {
                builder.observer(NoopObserver)
            })?),
            Self::Sqlx => Contender::Sqlx(Sqlx::open(site, size, |options| options)),
            Self::SqlxUnchecked => Contender::Sqlx(Sqlx::open(site, size, |options| {
                options.test_before_acquire(false)
            })),
        })
    }
}
