use super::role::{Accepts, Field, Row, Vote, ado_field, ignored, refused, refused_secret, vote};

/// Keys about TLS, of libpq and of everyone else. They count in every dialect.
pub(super) const ROWS: &[Row] = &[
    vote(&["sslmode"], Vote::Mode),
    vote(&["ssl", "useSSL", "ssl_enabled", "enable_ssl"], Vote::Mode),
    vote(&["tls", "useTLS", "tls_enabled", "enable_tls"], Vote::Mode),
    vote(&["tlsmode"], Vote::Mode),
    vote(&["requiressl"], Vote::Mode),
    vote(&["encrypt"], Vote::Mode),
    vote(&["sslaccept"], Vote::Accept),
    vote(
        &["Trust Server Certificate", "accept_invalid_certs"],
        Vote::Trust,
    ),
    vote(
        &["rejectUnauthorized", "sslRejectUnauthorized"],
        Vote::Verify,
    ),
    vote(
        &[
            "verifyServerCertificate",
            "ssl_verify",
            "ssl_verify_cert",
            "sslverifyservercert",
        ],
        Vote::Verify,
    ),
    vote(&["uselibpqcompat"], Vote::LibpqCompat),
    vote(&["sslfactory"], Vote::Factory),
    vote(&["gssencmode", "GSS Encryption Mode"], Vote::Gss),
    ado_field(&["sslnegotiation"], Field::SslNegotiation),
    ado_field(&["direct_tls"], Field::DirectTls),
    ado_field(
        &[
            "sslrootcert",
            "Root Certificate",
            "ssl-ca",
            "sslcacert",
            "sslcafile",
            "sslrootcertificate",
            "cacertfile",
            "tls_ca",
            "tlscafile",
            "ca_cert",
            "rootcert",
        ],
        Field::Root,
    ),
    ado_field(
        &[
            "sslcert",
            "SSL Certificate",
            "Client Certificate",
            "ssl_client_cert",
            "tls_cert",
            "certfile",
        ],
        Field::ClientCert,
    ),
    ado_field(
        &[
            "sslkey",
            "Client Certificate Key",
            "ssl_client_key",
            "tls_key",
            "keyfile",
        ],
        Field::ClientKey,
    ),
    ado_field(&["sslpassword", "sslkeypassword"], Field::ClientKeyPassword),
    ado_field(&["sslcertmode"], Field::ClientCertMode),
    ado_field(&["sslcrl"], Field::Crl),
    ado_field(&["sslcrldir"], Field::CrlDir),
    ado_field(&["sslsni"], Field::Sni),
    ado_field(
        &[
            "ssl_min_protocol_version",
            "tls_min_version",
            "min_tls_version",
        ],
        Field::MinTls,
    ),
    ado_field(
        &[
            "ssl_max_protocol_version",
            "tls_max_version",
            "max_tls_version",
        ],
        Field::MaxTls,
    ),
    ignored(
        &["sslcompression"],
        Accepts::Default(&["0", "false", "off"]),
        "TLS is never compressed",
    ),
    refused(
        &["sslkeylogfile"],
        "it would write the keys of every session to a file",
        "remove it; capture at the server instead",
    ),
    refused(
        &["sslinline"],
        "keys and certificates do not belong into a connection string",
        "save them as files and name the files",
    ),
    refused(
        &["sslidentity"],
        "PKCS#12 files are not read",
        "convert it to PEM, then name sslcert and sslkey",
    ),
    refused(
        &["sslfactoryarg"],
        "Java classes are not loaded",
        "name the certificate of the root as sslrootcert",
    ),
    refused(
        &["sslhostnameverifier"],
        "Java classes are not loaded, and names are checked the one way there is",
        "remove it",
    ),
    refused(
        &["sslpasswordcallback"],
        "Java classes are not loaded",
        "give the passphrase as sslpassword",
    ),
    refused(
        &["sslContextBuilderCustomizer"],
        "Java classes are not loaded",
        "name the files as sslrootcert, sslcert and sslkey",
    ),
    refused(
        &["sslResponseTimeout"],
        "phases have no limits of their own in a string",
        "set connectTimeout",
    ),
    refused(&["gssResponseTimeout"], "GSSAPI is not spoken", "remove it"),
    refused(&["gssUseDefaultCreds"], "GSSAPI is not spoken", "remove it"),
    refused_secret(
        &["sslcontext"],
        "objects of another language cannot be read",
        "name the files",
    ),
    refused(
        &[
            "trustCertificateKeyStoreUrl",
            "clientCertificateKeyStoreUrl",
            "sslTrustStore",
            "trustStore",
        ],
        "Java key stores are not read",
        "export the certificates as PEM and name the file as sslrootcert",
    ),
    refused(
        &["sslciphers", "sslcipher", "tlsciphersuites"],
        "cipher suites are not negotiable here",
        "remove it",
    ),
    refused(
        &["sslengine", "sslcapi"],
        "keys are read from files",
        "name the files as sslcert and sslkey",
    ),
    ignored(
        &["Use SSL Stream"],
        Accepts::Any,
        "there is one TLS stack here",
    ),
    ignored(
        &["Check Certificate Revocation"],
        Accepts::Default(&["false", "no", "0"]),
        "revocation is checked against the lists that sslcrl names",
    ),
];
