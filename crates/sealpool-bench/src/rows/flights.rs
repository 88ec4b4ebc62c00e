use sealpool_testkit::{Recording, Tap};

use crate::{
    Failure,
    bench::{Bench, one_worker},
    peers::{Contender, Kind, Peer, Sealed, config, with_peer},
    rounds::Series,
    row::{Row, Target},
    server::Server,
};

/// The first connection of a pool, and those after it.
const CONNECTIONS: u32 = 4;
const DIRECT: &str = "sealpool, direct";

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let mut majors = Vec::new();
    for server in bench.servers() {
        // The kind of certificate makes no difference to it.
        if !majors.contains(&server.cluster().major()) {
            majors.push(server.cluster().major());
            rows.extend(one_worker()?.block_on(measure(server))?);
        }
    }
    Ok(rows)
}

async fn measure(server: &Server) -> Result<Vec<Row>, Failure> {
    let (mut flights, mut hellos) = (Vec::new(), Vec::new());
    for name in ["deadpool", "sealpool", DIRECT] {
        if name == DIRECT && server.cluster().major() < 17 {
            continue;
        }
        let tap = Tap::start(server.cluster().addr())?;
        let site = server.behind(&tap);
        let contender = match name {
            "deadpool" => Kind::Deadpool.open(&site, CONNECTIONS)?,
            "sealpool" => Kind::Sealpool.open(&site, CONNECTIONS)?,
            _ => {
                let direct = config(&site)
                    .tls_negotiation("direct")
                    .pool_max_size(CONNECTIONS);
                Contender::Sealed(Sealed::configured(direct, |builder| builder)?)
            }
        };
        with_peer!(&contender, peer => connect(peer).await?);
        let connections = tap.connections();
        tap.verify()?;
        let later = connections
            .get(1..)
            .ok_or("no connection came through the tap")?;
        let series = |count: fn(&Recording) -> usize| Series {
            name: name.to_owned(),
            values: later.iter().map(|one| Some(count(one) as f64)).collect(),
        };
        flights.push(series(Recording::flights));
        hellos.push(series(client_hellos));
    }
    server.settle().await?;
    let major = server.cluster().major();
    let about = "SCRAM, after TCP, counted by a tap on the wire; from the second connection of a pool on, up to its first statement.";
    let round_trips = Row::new(
        format!("round trips of a connection, PostgreSQL {major}"),
        "round trips",
        about,
        &flights,
    )
    .must(&["sealpool"], Target::AtMost(5.0), &flights)
    .must(&[DIRECT], Target::AtMost(4.0), &flights);
    let greetings = Row::new(
        format!("hellos of a connection, PostgreSQL {major}"),
        "ClientHellos",
        "The same connections: a second one answers a HelloRetryRequest, and costs a round trip.",
        &hellos,
    )
    .must(&["sealpool", DIRECT], Target::AtMost(1.0), &hellos);
    Ok(vec![
        round_trips.without_ratios(),
        greetings.without_ratios(),
    ])
}

async fn connect<P: Peer>(peer: &P) -> Result<(), Failure> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(peer.acquire().await?);
    }
    Ok(())
}

/// The records of a client that are a handshake in clear text (RFC 8446, 5.1): after its hello, everything it says of TLS
/// 1.3 is encrypted.
fn client_hellos(recording: &Recording) -> usize {
    const HANDSHAKE: u8 = 22;
    let mut rest = recording
        .bytes()
        .get(recording.cleartext_len()..)
        .unwrap_or_default();
    let mut hellos = 0;
    while let [kind, _, _, high, low, after @ ..] = rest {
        hellos += usize::from(*kind == HANDSHAKE);
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = after.get(length..).unwrap_or_default();
    }
    hellos
}
