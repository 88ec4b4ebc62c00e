use std::{future::poll_fn, io, sync::Arc, task::Poll};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::TlsConnector;

use super::{Certificate, stream::SealedStream, wire::Wire};
use crate::{
    failure::HandshakeFailure,
    policy::{Opening, PROTOCOL},
};

/// Asks for TLS ahead of the start-up message (PostgreSQL protocol 3, "SSLRequest").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// What an opening ends in: a stream, or a reason of which the layers below know nothing.
pub(super) type Opened = Result<SealedStream, HandshakeFailure>;

/// 1. Eight bytes out, exactly one byte back: `S`, or the attempt ends. Not in direct negotiation.
/// 2. Nothing may follow that byte before our hello.
/// 3. The handshake, with chain, dates and name verified by the policy.
/// 4. In direct negotiation the server must have agreed to speak PostgreSQL's protocol.
pub(super) async fn open(
    stream: TcpStream,
    config: ClientConfig,
    opening: Opening,
    name: &str,
) -> io::Result<Opened> {
    match opening {
        Opening::Postgres => asked(stream, config, name).await,
        Opening::Direct => direct(stream, config, name).await,
    }
}

/// The classic way, which every server understands.
async fn asked(mut stream: TcpStream, config: ClientConfig, name: &str) -> io::Result<Opened> {
    if let Some(failure) = ask(&mut stream).await? {
        return Ok(Err(failure));
    }
    let mut tls = MakeRustlsConnect::new(config);
    let Ok(connect) = MakeTlsConnect::<Wire>::make_tls_connect(&mut tls, name);
    let stream = connect.connect(Wire(stream)).await?;
    Ok(Ok(SealedStream::Asked(Box::new(stream))))
}

/// The hello at once. A server of another protocol could be made to take our bytes for its own (the ALPACA attack), so
/// this one has to name PostgreSQL's.
async fn direct(stream: TcpStream, config: ClientConfig, name: &str) -> io::Result<Opened> {
    let name = ServerName::try_from(name.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, Wire(stream))
        .await?;
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(PROTOCOL) {
        return Ok(Err(HandshakeFailure::Alpn));
    }
    let end_point = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(|leaf| Certificate::new(leaf.clone()).end_point());
    Ok(Ok(SealedStream::Direct {
        stream: Box::new(stream),
        end_point,
    }))
}

/// Asks for TLS; `Some` when the server did not agree.
async fn ask(stream: &mut TcpStream) -> io::Result<Option<HandshakeFailure>> {
    stream.write_all(&SSL_REQUEST).await?;
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).await?;
    Ok(match answer {
        [b'S'] => match early_bytes(stream).await? {
            None => None,
            // A server of SSH greets first, and its greeting begins like consent.
            Some([b'S', b'H', b'-']) => Some(HandshakeFailure::ServerUnintelligible),
            Some(_) => Some(HandshakeFailure::PlaintextInjection),
        },
        [b'N'] => Some(HandshakeFailure::ServerRefusedTls),
        [b'E'] => Some(HandshakeFailure::ServerErrorBeforeTls),
        _ => Some(HandshakeFailure::ServerUnintelligible),
    })
}

/// What has come already, without waiting for any: nothing may precede our hello (CVE-2021-23222).
async fn early_bytes(stream: &TcpStream) -> io::Result<Option<[u8; 3]>> {
    let mut bytes = [0; 3];
    poll_fn(|cx| {
        Poll::Ready(match stream.poll_peek(cx, &mut ReadBuf::new(&mut bytes)) {
            Poll::Ready(Ok(0)) | Poll::Pending => Ok(None),
            Poll::Ready(Ok(_)) => Ok(Some(bytes)),
            Poll::Ready(Err(error)) => Err(error),
        })
    })
    .await
}
