use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use crate::config::ConfigError;

/// The cryptography this crate was built with, by its name: `aws-lc-rs`, `aws-lc-rs-fips`, `ring`, or `none`.
pub const CRYPTO_PROVIDER: &str = if cfg!(feature = "fips") {
    "aws-lc-rs-fips"
} else if cfg!(feature = "aws-lc-rs") {
    "aws-lc-rs"
} else if cfg!(feature = "ring") {
    "ring"
} else {
    "none"
};

/// The cryptography this crate was built with; never the process-wide default, which another library may have set.
pub(super) fn provider() -> Result<Arc<CryptoProvider>, ConfigError> {
    #[cfg(feature = "fips")]
    return Ok(Arc::new(rustls::crypto::default_fips_provider()));
    #[cfg(all(feature = "aws-lc-rs", not(feature = "fips")))]
    return Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    Err(ConfigError::new(
        "no_provider",
        "sealpool was built without cryptography",
        "enable its feature aws-lc-rs or ring",
    ))
}

#[cfg(all(test, feature = "aws-lc-rs", not(feature = "fips")))]
mod tests {
    use rustls::NamedGroup;

    #[test]
    fn the_hybrid_group_is_offered_first() {
        let groups = super::provider().unwrap().kx_groups.clone();
        let names: Vec<_> = groups.iter().map(|group| group.name()).collect();
        assert_eq!(
            names.first(),
            Some(&NamedGroup::X25519MLKEM768),
            "{names:?}"
        );
        assert!(names.contains(&NamedGroup::secp256r1), "{names:?}");
    }
}

#[cfg(all(test, not(any(feature = "aws-lc-rs", feature = "ring"))))]
mod tests {
    #[test]
    fn without_cryptography_there_is_no_pool() {
        let config = crate::Config::new().host("db.example.net").user("app");
        let error = crate::Pool::builder(config).build().unwrap_err();
        assert_eq!(
            error.to_string(),
            "sealpool was built without cryptography; enable its feature aws-lc-rs or ring"
        );
    }
}
