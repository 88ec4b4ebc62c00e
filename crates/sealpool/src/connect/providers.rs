/// Where the roots of well-known providers are to be had, by what their authorities are called.
const ROOTS: [(&str, &str); 10] = [
    (
        "Amazon RDS",
        "this is Amazon RDS: fetch https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem and set tls.root to it",
    ),
    (
        "Google Cloud SQL",
        "this is Google Cloud SQL: fetch the instance's server-ca.pem (gcloud sql ssl server-ca-certs list) and set tls.root to it",
    ),
    (
        "Supabase",
        "this is Supabase: download the certificate under Database, Settings, SSL and set tls.root to it",
    ),
    (
        "Project CA",
        "this looks like Aiven or DigitalOcean: download the CA certificate of the service and set tls.root to it",
    ),
    (
        "Crunchy",
        "this looks like Crunchy Bridge: download the team's CA certificate and set tls.root to it",
    ),
    (
        "Yugabyte",
        "this is YugabyteDB: download the cluster's CA certificate and set tls.root to it",
    ),
    (
        "citus-auto-ssl",
        "this is the certificate that Citus makes for itself: pin it, or give the server one of an authority",
    ),
    (
        "DigiCert",
        "this authority is public (Azure uses it): leave tls.root out, or write system",
    ),
    (
        "Microsoft",
        "this authority is public (Azure uses it): leave tls.root out, or write system",
    ),
    (
        "Let's Encrypt",
        "this authority is public: leave tls.root out, or write system",
    ),
];

/// What to do about an issuer that is known by name.
pub(super) fn hint(issuer: &str) -> Option<&'static str> {
    ROOTS
        .iter()
        .find(|(name, _)| issuer.contains(name))
        .map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_authorities_have_a_hint_and_others_none() {
        for (issuer, words) in [
            (
                "CN=Amazon RDS eu-central-1 Root CA RSA2048 G1, O=Amazon",
                "global-bundle.pem",
            ),
            ("CN=Google Cloud SQL Server CA, O=Google", "server-ca.pem"),
            (
                "C=US, ST=Delware, O=Supabase Inc, CN=Supabase Root 2021 CA",
                "Supabase",
            ),
            (
                "C=US, O=DigiCert Inc, CN=DigiCert Global Root G2",
                "leave tls.root out",
            ),
            ("CN=0d1f Project CA", "Aiven"),
        ] {
            assert!(
                hint(issuer).is_some_and(|hint| hint.contains(words)),
                "{issuer}"
            );
        }
        assert_eq!(hint("CN=Our own authority"), None);
    }
}
