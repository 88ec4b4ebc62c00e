use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealpool_testkit::Cluster;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Logs in as `app` on a port, as one does who trusts only the cluster's root file.
pub(crate) struct Login {
    pub(crate) port: u16,
    pub(crate) password: String,
    pub(crate) direct: bool,
    roots: RootCertStore,
}

impl Login {
    pub(crate) fn to(cluster: &Cluster) -> Self {
        Self {
            port: cluster.port(),
            password: cluster.password().to_owned(),
            direct: false,
            roots: roots(cluster.root_file()),
        }
    }

    pub(crate) fn through(cluster: &Cluster, port: u16) -> Self {
        Self {
            port,
            ..Self::to(cluster)
        }
    }

    pub(crate) async fn connect(&self) -> Result<Client, String> {
        let mut config = Config::new();
        config
            .host("localhost")
            .port(self.port)
            .user("app")
            .dbname("app")
            .password(&self.password);
        config.ssl_mode(SslMode::Require);
        let mut tls = tls(self.roots.clone());
        if self.direct {
            config.ssl_negotiation(SslNegotiation::Direct);
            tls.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        let (client, connection) = config
            .connect(MakeRustlsConnect::new(tls))
            .await
            .map_err(chain)?;
        tokio::spawn(connection);
        Ok(client)
    }
}

fn tls(roots: RootCertStore) -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    // The one group that every version accepts at once, so that round trips can be counted.
    provider.kx_groups = vec![kx_group::SECP256R1];
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn roots(file: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&fs::read(file).unwrap()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

pub(crate) fn chain(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// The first column of the first row.
pub(crate) async fn value(cluster: &Cluster, statement: &str) -> String {
    let rows = cluster.sql(statement).await.map_err(chain).unwrap();
    rows.into_iter().flatten().flatten().next().unwrap()
}
