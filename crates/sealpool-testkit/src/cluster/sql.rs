use std::error::Error as StdError;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Cluster;
use super::pinned::Pinned;
use crate::Error;

impl Cluster {
    /// Runs one or more statements as the superuser in the database `app` and returns their rows, all as text.
    ///
    /// Each call opens a connection of its own, over TLS, to exactly the certificate that the cluster uses now, even one
    /// that a client has to refuse. It wants a tokio runtime with IO, has no deadline, and cannot work after [`Cluster::ssl_off`].
    ///
    /// # Errors
    /// When the connection or a statement fails.
    pub async fn sql(&self, statement: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let session = self.session().await?;
        let messages = session.run(statement).await;
        // The session is over when this returns, so it is in nobody's statistics.
        session.end().await;
        let messages = messages?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows
            .map(|row| {
                (0..row.len())
                    .map(|column| row.get(column).map(str::to_owned))
                    .collect()
            })
            .collect())
    }

    pub(super) async fn session(&self) -> Result<Session<'_>, Error> {
        let tls = self
            .tls()
            .map_err(|error| self.sql_failure("preparing TLS", error))?;
        let (client, connection) = self
            .superuser()
            .connect(tls)
            .await
            .map_err(|error| self.sql_failure("connecting as postgres over TLS", error))?;
        Ok(Session {
            cluster: self,
            client,
            connection: tokio::spawn(async move {
                let _ = connection.await;
            }),
        })
    }

    fn superuser(&self) -> Config {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.port())
            .user("postgres")
            .password(self.superuser_password())
            .dbname(self.database())
            .application_name("sealpool-testkit")
            .ssl_mode(SslMode::Require)
            // The pin leaves nobody in the middle, and some keys allow no binding.
            .channel_binding(ChannelBinding::Disable);
        config
    }

    fn tls(&self) -> Result<MakeRustlsConnect, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pinned = Pinned {
            certificate: self.state().material.leaf.certificate_der().clone(),
            algorithms: provider.signature_verification_algorithms,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }

    fn sql_failure(&self, action: &str, source: impl StdError + Send + Sync + 'static) -> Error {
        Error::Sql {
            version: self.version().to_owned(),
            port: self.port(),
            action: action.to_owned(),
            source: Box::new(source),
        }
    }
}

/// A session of the superuser's.
pub(super) struct Session<'a> {
    cluster: &'a Cluster,
    client: Client,
    connection: JoinHandle<()>,
}

impl Session<'_> {
    pub(super) async fn run(&self, statement: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        let answer = self.client.simple_query(statement).await;
        answer.map_err(|error| self.cluster.sql_failure(statement, error))
    }

    pub(super) async fn end(self) {
        let Self {
            cluster: _,
            client,
            connection,
        } = self;
        drop(client);
        let _ = connection.await;
    }
}
