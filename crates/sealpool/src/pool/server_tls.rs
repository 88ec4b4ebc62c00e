use super::Client;

/// What the server says of a connection's TLS (`pg_stat_ssl`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerTls {
    /// The version in OpenSSL's words, such as `TLSv1.3`.
    pub version: String,
    /// The cipher suite in OpenSSL's words, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The strength of the cipher in bits.
    pub bits: i32,
    /// The subject of our own certificate, when the server took one.
    pub client_subject: Option<String>,
}

impl Client {
    /// Asks the server what it knows of this connection's TLS, which costs a round trip. `None` should never be seen: it
    /// means that somebody between decrypts.
    ///
    /// # Errors
    ///
    /// When the query fails.
    pub async fn server_tls(&self) -> Result<Option<ServerTls>, tokio_postgres::Error> {
        const QUERY: &str = "select version, cipher, bits, client_dn from pg_catalog.pg_stat_ssl \
                             where pid = pg_catalog.pg_backend_pid() and ssl";
        let row = self.query_opt(QUERY, &[]).await?;
        row.map(|row| {
            Ok(ServerTls {
                version: row.try_get(0)?,
                cipher: row.try_get(1)?,
                bits: row.try_get(2)?,
                client_subject: row.try_get(3)?,
            })
        })
        .transpose()
    }
}
