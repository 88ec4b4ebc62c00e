use std::{
    io,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::{
    deadline::Deadline,
    dial::{self, within},
    findings::ServerFacts,
    hello,
};
use crate::policy::{Host, Opening, PROTOCOL, Policy};

/// Nobody's name: what is asked without TLS must tell nothing.
const INVENTED: &str = "sealpool_doctor";
/// An error of a server is shorter.
const LONGEST_ANSWER: u32 = 30_000;

/// Whether the server takes a hello at once, as PostgreSQL 17 and newer do.
pub(super) async fn takes_direct(policy: &Policy, host: &Host, address: SocketAddr) -> bool {
    let limit = policy.network.limits.tls;
    let asked = async {
        let (mut config, _) = policy.tls.handshake().map_err(io::Error::other)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        let stream = dial::connect(address, &policy.network, Deadline::after(None)).await?;
        hello::open(stream, config, Opening::Direct, &host.server_name).await
    };
    matches!(within(limit, asked).await, Ok(Ok(_)))
}

/// Whether the server takes a session without TLS from here; `None` when its answer does not tell.
///
/// It is asked for one with invented names, and what it says is read for its code alone.
pub(super) async fn takes_plaintext(policy: &Policy, address: SocketAddr) -> Option<bool> {
    let limit = policy.network.limits.startup;
    let asked = async {
        let mut stream = dial::connect(address, &policy.network, Deadline::after(None)).await?;
        let mut request = Default::default();
        let names = [("user", INVENTED), ("database", INVENTED)];
        frontend::startup_message(names, &mut request)?;
        stream.write_all(&request).await?;
        let kind = match stream.read_u8().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(false)),
            kind => kind?,
        };
        let length = stream.read_u32().await?.min(LONGEST_ANSWER);
        let mut body = vec![0; usize::try_from(length.saturating_sub(4)).unwrap_or_default()];
        stream.read_exact(&mut body).await?;
        Ok(match kind {
            // It wants to know who we are: the line of pg_hba.conf was passed.
            b'R' => Some(true),
            b'E' => taken(&body),
            _ => None,
        })
    };
    within(limit, asked).await.ok().flatten()
}

/// What an error says of the line of pg_hba.conf. Its text depends on the server's language, its code does not, and both
/// refusals that matter have the same: they differ in the place in PostgreSQL's source.
fn taken(body: &[u8]) -> Option<bool> {
    let field = |kind: u8| {
        let mut fields = body.split(|byte| *byte == 0);
        fields.find_map(|field| field.strip_prefix(&[kind]))
    };
    match (field(b'C')?, field(b'R')) {
        (b"28000", Some(b"ClientAuthentication")) => Some(false),
        (b"28000" | b"3D000", Some(_)) => Some(true),
        _ => None,
    }
}

/// What a server says of itself, and by how much its clock differs from ours.
pub(super) async fn facts(
    client: &Client,
    limit: Duration,
) -> io::Result<(ServerFacts, Duration, f64)> {
    const QUESTION: &str = "select pg_catalog.current_setting('server_version'), \
                            pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()), \
                            pg_catalog.pg_is_in_recovery(), \
                            pg_catalog.current_setting('transaction_read_only') = 'on', \
                            ssl.version, ssl.cipher \
                            from pg_catalog.pg_stat_ssl ssl where pid = pg_catalog.pg_backend_pid()";
    let before = SystemTime::now();
    let asked = async {
        client
            .simple_query(QUESTION)
            .await
            .map_err(io::Error::other)
    };
    let answer = within(limit, asked).await?;
    let took = before.elapsed().unwrap_or_default();
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or_else(|| io::Error::other("the server does not list this connection"))?;
    let text = |column: usize| row.try_get(column).ok().flatten().map(str::to_owned);
    let midway = before + took / 2;
    let ours = midway
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    let theirs = text(1).and_then(|seconds| seconds.parse::<f64>().ok());
    Ok((
        ServerFacts {
            version: text(0).unwrap_or_default(),
            tls_version: text(4),
            cipher: text(5),
            in_recovery: is_true(row, 2),
            read_only: is_true(row, 3),
        },
        took,
        theirs.map_or(0.0, |theirs| theirs - ours),
    ))
}

fn is_true(row: &SimpleQueryRow, column: usize) -> bool {
    row.try_get(column).ok().flatten() == Some("t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_by_its_code_and_place_whether_the_line_was_passed() {
        let error = |code: &str, place: &str| {
            taken(format!("SFATAL\0C{code}\0Mwhatever\0R{place}\0\0").as_bytes())
        };
        assert_eq!(error("28000", "ClientAuthentication"), Some(false));
        assert_eq!(error("28000", "InitializeSessionUserId"), Some(true));
        assert_eq!(error("3D000", "InitPostgres"), Some(true));
        assert_eq!(error("53300", "InitProcess"), None);
        assert_eq!(taken(b"SFATAL\0C28000\0\0"), None);
        assert_eq!(taken(b""), None);
    }
}
