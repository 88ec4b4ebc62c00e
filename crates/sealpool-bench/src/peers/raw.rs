use std::{fs, net::Ipv4Addr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{aws_lc_rs, ring},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio_postgres::{Row, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Site;
use crate::Failure;

/// What those who use tokio-postgres as it is put round a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    AwsLc,
    None,
    Ring,
}

pub(super) fn config(site: &Site, mode: SslMode) -> tokio_postgres::Config {
    let Site {
        port,
        user,
        password,
        database,
        root_file: _,
    } = site;
    let mut config = tokio_postgres::Config::new();
    config
        .host("localhost")
        .hostaddr(Ipv4Addr::LOCALHOST.into())
        .port(*port)
        .user(user)
        .password(password)
        .dbname(database)
        .ssl_mode(mode);
    config
}

/// As the documentation of rustls has it: chain and name are verified.
pub(super) fn tls(site: &Site, seal: Seal) -> Result<MakeRustlsConnect, Failure> {
    let provider = match seal {
        Seal::AwsLc | Seal::None => aws_lc_rs::default_provider(),
        Seal::Ring => ring::default_provider(),
    };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&fs::read(&site.root_file)?) {
        roots.add(root?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// How many rows, and how many bytes they have.
pub(super) fn size(rows: &[Row]) -> Result<(usize, usize), Failure> {
    let mut bytes = 0;
    for row in rows {
        bytes += row.try_get::<_, &str>(0)?.len();
    }
    Ok((rows.len(), bytes))
}
