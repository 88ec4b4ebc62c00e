use std::{net::IpAddr, sync::Arc};

use rustls_pki_types::ServerName;
use sealpool_dsn::Secret;

use crate::config::{ConfigError, Place, Written};

/// A server: the name that its certificate must bear, and where to find it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) port: u16,
    pub(crate) address: Option<IpAddr>,
    /// The name that is asked for and verified: the host's own without the dot that ends an absolute name, or the one
    /// that was written to take its place.
    pub(crate) server_name: String,
    /// The password that a password file has for this host.
    pub(crate) password: Option<Secret>,
}

const DEFAULT_PORT: u16 = 5432;

pub(super) fn decide(
    names: Option<Written<Vec<String>>>,
    addresses: Option<Written<Vec<String>>>,
    ports: Option<Written<Vec<u16>>>,
    override_name: Option<Written<String>>,
) -> Result<Vec<Host>, ConfigError> {
    let Some(names) = names else {
        return Err(match addresses {
            Some(Written { place, .. }) => place.refuse(
                "hostaddr",
                ConfigError::new(
                    "no_name",
                    "an address alone leaves nothing to verify the server's certificate against",
                    "write the server's name in host as well",
                ),
            ),
            None => ConfigError::new("no_host", "no server is named", "set host").about("host"),
        });
    };
    let server_names = names
        .value
        .iter()
        .map(|name| server_name(name).map_err(|error| names.place.refuse("host", error)))
        .collect::<Result<Vec<_>, _>>()?;
    let override_name = override_name.map(overriding).transpose()?;
    let ports = ports_for(names.value.len(), ports)?;
    let addresses = addresses_for(names.value.len(), addresses)?;
    Ok(names
        .value
        .iter()
        .zip(server_names)
        .zip(ports.into_iter().zip(addresses))
        .map(|((name, server_name), (port, address))| Host {
            name: name.as_str().into(),
            port,
            address,
            server_name: override_name.clone().unwrap_or(server_name),
            password: None,
        })
        .collect())
}

impl Host {
    /// The address, if it was written, or if the name itself is one.
    pub(crate) fn known_address(&self) -> Option<IpAddr> {
        let name = self.name.strip_suffix('.').unwrap_or(&self.name);
        self.address.or_else(|| name.parse().ok())
    }
}

fn overriding(Written { value, place }: Written<String>) -> Result<String, ConfigError> {
    server_name(&value).map_err(|_| {
        let fix = if value.contains(':') {
            "a certificate that has such a name in its common name alone can only be verified by its chain: write \
             tls.mode = verify-ca and the authority's file in tls.root"
        } else {
            "write the name that the certificate bears"
        };
        place.refuse(
            "tls.server_name",
            ConfigError::new(
                "invalid_value",
                "this is neither a DNS name nor an IP address",
                fix,
            ),
        )
    })
}

fn server_name(name: &str) -> Result<String, ConfigError> {
    if name.is_empty() || name.starts_with(['/', '@', '\\']) {
        return Err(ConfigError::new(
            "unix_socket",
            "a Unix socket carries no TLS",
            "write the name that the server's certificate bears, such as localhost or db.example.net",
        ));
    }
    let bare = name.strip_suffix('.').unwrap_or(name);
    match ServerName::try_from(bare) {
        Ok(_) => Ok(bare.to_owned()),
        Err(_) => Err(ConfigError::new(
            "invalid_host",
            "this is neither a DNS name nor an IP address",
            "write the name alone, and the port in port",
        )),
    }
}

fn ports_for(hosts: usize, ports: Option<Written<Vec<u16>>>) -> Result<Vec<u16>, ConfigError> {
    let Some(Written { value, place }) = ports else {
        return Ok(vec![DEFAULT_PORT; hosts]);
    };
    if value.contains(&0) {
        return Err(place.refuse(
            "port",
            ConfigError::new(
                "invalid_value",
                "no server listens on port 0",
                "write 1 to 65535",
            ),
        ));
    }
    match value.as_slice() {
        [port] => Ok(vec![*port; hosts]),
        _ if value.len() == hosts => Ok(value),
        _ => Err(place.refuse("port", count(value.len(), "ports", hosts))),
    }
}

fn addresses_for(
    hosts: usize,
    addresses: Option<Written<Vec<String>>>,
) -> Result<Vec<Option<IpAddr>>, ConfigError> {
    let Some(Written { value, place }) = addresses else {
        return Ok(vec![None; hosts]);
    };
    if value.len() != hosts {
        return Err(place.refuse("hostaddr", count(value.len(), "addresses", hosts)));
    }
    value
        .iter()
        .map(|address| parsed(address, &place).map(Some))
        .collect()
}

fn parsed(address: &str, place: &Place) -> Result<IpAddr, ConfigError> {
    address.parse().map_err(|_| {
        place.refuse(
            "hostaddr",
            ConfigError::new(
                "invalid_value",
                "this is not an IP address",
                "write an address such as 203.0.113.9, or leave hostaddr out to have host resolved",
            ),
        )
    })
}

fn count(written: usize, what: &str, hosts: usize) -> ConfigError {
    ConfigError::new(
        "invalid_value",
        format!("{written} {what} for {hosts} hosts"),
        "write one for each host",
    )
}
