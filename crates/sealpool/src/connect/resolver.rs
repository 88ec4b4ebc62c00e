use std::{fmt, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc};

use tokio::net::lookup_host;

type Answer = io::Result<Vec<SocketAddr>>;
type Resolve = dyn Fn(Arc<str>, u16) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// Who knows the addresses of a name: the system, unless the application does.
#[derive(Default)]
pub(crate) struct Resolver(Option<Box<Resolve>>);

impl Resolver {
    pub(crate) fn new<F, R>(resolver: F) -> Self
    where
        F: Fn(Arc<str>, u16) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        Self(Some(Box::new(move |name, port| {
            Box::pin(resolver(name, port))
        })))
    }

    pub(super) async fn resolve(&self, name: &Arc<str>, port: u16) -> Answer {
        let addresses = match &self.0 {
            Some(resolve) => resolve(Arc::clone(name), port).await?,
            None => lookup_host((name.as_ref(), port)).await?.collect(),
        };
        if addresses.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ));
        }
        Ok(addresses)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Some(_) => "Resolver(the application's)",
            None => "Resolver(the system's)",
        })
    }
}
