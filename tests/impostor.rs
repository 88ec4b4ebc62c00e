use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
};

use rustls::{
    NamedGroup, ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::ResolvesServerCert,
    sign::{CertifiedKey, SingleCertAndKey},
};
use sealpool::{Config, Error, HandshakeFailure, Pool};
use sealpool_testkit::{Leaf, Pki};

/// Shows one leaf's chain with another leaf's key.
fn certified(shown: &Leaf, held: &Leaf) -> Arc<dyn ResolvesServerCert> {
    let chain = CertificateDer::pem_slice_iter(shown.chain_pem().as_bytes());
    let key = PrivateKeyDer::from_pem_slice(held.key_pem().as_bytes()).unwrap();
    let provider = aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = CertifiedKey::new(chain.collect::<Result<_, _>>().unwrap(), key);
    Arc::new(SingleCertAndKey::from(certified))
}

/// Agrees to TLS once, shakes hands and leaves; says in which group, if it came so far.
fn server(resolver: Arc<dyn ResolvesServerCert>) -> (u16, JoinHandle<Option<NamedGroup>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        shake_hands(&mut stream, config)
    });
    (port, serving)
}

fn shake_hands(stream: &mut TcpStream, config: ServerConfig) -> Option<NamedGroup> {
    stream.read_exact(&mut [0; 8]).unwrap();
    stream.write_all(b"S").unwrap();
    let mut session = ServerConnection::new(config.into()).unwrap();
    while session.is_handshaking() {
        session.complete_io(stream).ok()?;
    }
    session
        .negotiated_key_exchange_group()
        .map(|group| group.name())
}

fn config(port: u16) -> Config {
    Config::new()
        .host("localhost")
        .hostaddr("127.0.0.1")
        .port(port)
        .user("app")
        .password("never-to-be-seen-by-a-stranger")
        .connect_retry(false)
}

async fn reason(config: Config) -> Option<HandshakeFailure> {
    let pool = Pool::builder(config).build().unwrap();
    match pool.acquire().await.unwrap_err() {
        Error::Connect(error) => error.attempts().last().unwrap().handshake_failure(),
        other => panic!("{other}"),
    }
}

/// A certificate is public: whoever shows it must prove to hold its key, also where nothing but the key is pinned.
#[tokio::test]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let pki = Pki::new();
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), pki.root_pem()).unwrap();
    let leaf = || pki.leaf().dns("localhost").issue();
    let (shown, held) = (leaf(), leaf());
    let pin = crate::certificates::pin_of(&shown);
    for version in ["1.2", "1.3"] {
        for pinned in [false, true] {
            let (port, serving) = server(certified(&shown, &held));
            let config = config(port).tls_max_version(version);
            let config = match pinned {
                true => config.tls_pin(pin.as_str()),
                false => config.tls_root(root.path()),
            };
            assert_eq!(
                reason(config).await,
                Some(HandshakeFailure::SignatureInvalid),
                "TLS {version}, pinned: {pinned}"
            );
            assert_eq!(serving.join().unwrap(), None);
        }
    }
}

/// A server that knows the hybrid group gets it at the first hello, without having to ask for it.
#[tokio::test]
async fn the_hybrid_group_is_used_where_the_server_knows_it() {
    let pki = Pki::new();
    let leaf = pki.leaf().dns("localhost").issue();
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), pki.root_pem()).unwrap();
    let (port, serving) = server(certified(&leaf, &leaf));
    // The server leaves after the handshake, which is no failure of the handshake.
    assert_eq!(reason(config(port).tls_root(root.path())).await, None);
    assert_eq!(serving.join().unwrap(), Some(NamedGroup::X25519MLKEM768));
}
