/// The crates whose versions decide the numbers.
pub(crate) const CRATES: [&str; 14] = [
    "aws-lc-rs",
    "bb8",
    "bb8-postgres",
    "deadpool",
    "deadpool-postgres",
    "metrics",
    "metrics-exporter-prometheus",
    "ring",
    "rustls",
    "sealpool",
    "sqlx",
    "tokio",
    "tokio-postgres",
    "tokio-postgres-rustls",
];

/// The version of a crate that this program was built with.
pub(crate) fn version(name: &str) -> Option<&'static str> {
    let (_, entry) = include_str!("../../../Cargo.lock")
        .split_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    entry.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_has_a_version() {
        for name in CRATES {
            assert!(
                version(name).is_some_and(|version| version.contains('.')),
                "{name}"
            );
        }
    }
}
