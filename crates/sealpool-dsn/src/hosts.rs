use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::code::Code;
use crate::dialect::Dialect;
use crate::error::DsnError;
use crate::host::Host;
use crate::located::Located;

const DEFAULT_PORT: u16 = 5432;

/// What a string says of its servers, before it is put together.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) hosts: Option<Located<String>>,
    pub(crate) addresses: Option<Located<String>>,
    pub(crate) ports: Option<Located<String>>,
}

impl Places {
    /// Refuses a socket, over which there is no TLS, whatever else the string says.
    pub(crate) fn refuse_sockets(&self) -> Result<(), DsnError> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        if hosts
            .value
            .split(',')
            .any(|host| host.trim_start().starts_with(['/', '@']))
        {
            return Err(unix_socket(&hosts.key, hosts.span.clone()));
        }
        Ok(())
    }

    /// The hosts, each with its address and port.
    pub(crate) fn assemble(self, dialect: Dialect, end: usize) -> Result<Vec<Host>, DsnError> {
        let Self {
            hosts,
            addresses,
            ports,
        } = self;
        let Some(hosts) = hosts.filter(|hosts| !hosts.value.trim().is_empty()) else {
            return Err(match addresses {
                Some(addresses) => no_name(&addresses.key, addresses.span),
                None => no_host(end..end),
            });
        };
        let items: Vec<&str> = hosts.value.split(',').collect();
        let bad = |message: &str, help: &str| {
            DsnError::new(
                Code::InvalidValue,
                hosts.span.clone(),
                format!("`{}` {message}", hosts.key),
                help,
            )
            .of_key(&hosts.key)
        };
        let addresses = addresses
            .map(|list| address_list(&list, items.len()))
            .transpose()?
            .unwrap_or_default();
        let given = ports
            .map(|list| port_list(&list, items.len()))
            .transpose()?;
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let item = if dialect.is_semicolon_list() {
                item.trim()
            } else {
                item
            };
            let (name, own_port) = if dialect.is_semicolon_list() {
                split_port(item)
            } else {
                (item, None)
            };
            let hostaddr = addresses.get(index).copied().flatten();
            if name.is_empty() {
                return Err(match hostaddr {
                    Some(_) => no_name(&hosts.key, hosts.span.clone()),
                    None => no_host(hosts.span.clone()),
                });
            }
            let name = check_name(name).map_err(|(message, help)| bad(message, help))?;
            let own_port = match own_port {
                Some(text) => {
                    Some(port(text).ok_or_else(|| bad("has a port that is none", PORT_HELP))?)
                }
                None => None,
            };
            let listed = given
                .as_ref()
                .and_then(|ports| ports.get(index).or_else(|| ports.first()))
                .copied();
            let port = own_port.or(listed).unwrap_or(DEFAULT_PORT);
            found.push(Host {
                name: name.to_owned(),
                hostaddr,
                port,
                span: hosts.span.clone(),
            });
        }
        Ok(found)
    }
}

const PORT_HELP: &str = "write a number from 1 to 65535";

/// Npgsql's `name:port`; an IPv6 address has more than one colon.
fn split_port(item: &str) -> (&str, Option<&str>) {
    match item.rsplit_once(':') {
        Some((name, port)) if name.ends_with(']') || !name.contains(':') => (name, Some(port)),
        _ => (item, None),
    }
}

fn check_name(name: &str) -> Result<&str, (&'static str, &'static str)> {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bare {
        return match address.parse::<Ipv6Addr>() {
            Ok(_) => Ok(address),
            Err(_) => Err((
                "has brackets round something that is no IPv6 address",
                "write it as [2001:db8::7]",
            )),
        };
    }
    if name.parse::<IpAddr>().is_ok() {
        return Ok(name);
    }
    if name.contains(':') {
        return Err((
            "has a colon that belongs to no IPv6 address",
            "give the port as `port`",
        ));
    }
    if name.ends_with(';') || name.contains(char::is_whitespace) {
        return Err((
            "has a `;` or a blank in it",
            "separate hosts by commas alone",
        ));
    }
    if !name.is_ascii() {
        return Err((
            "has a letter that is none of ASCII",
            "write an international name in its `xn--` form",
        ));
    }
    let labels_are_fine = name.len() <= 253
        && name
            .strip_suffix('.')
            .unwrap_or(name)
            .split('.')
            .all(|label| {
                !label.is_empty()
                    && label.len() <= 63
                    && label
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            });
    if !labels_are_fine {
        return Err((
            "is no host name",
            "write letters, digits and hyphens with dots between them",
        ));
    }
    let last = name
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) && name.parse::<Ipv4Addr>().is_err() {
        return Err((
            "ends in a number and is no IPv4 address",
            "write the name, and give the port as `port`",
        ));
    }
    Ok(name)
}

fn address_list(list: &Located<String>, hosts: usize) -> Result<Vec<Option<IpAddr>>, DsnError> {
    let parsed: Option<Vec<_>> = list
        .value
        .split(',')
        .map(|item| {
            if item.is_empty() {
                Some(None)
            } else {
                item.parse().ok().map(Some)
            }
        })
        .collect();
    let bad = |message: &str, help: &str| {
        DsnError::new(
            Code::InvalidValue,
            list.span.clone(),
            format!("`{}` {message}", list.key),
            help,
        )
        .of_key(&list.key)
    };
    match parsed {
        None => Err(bad(
            "is no IP address",
            "write an address like 203.0.113.9 or 2001:db8::7",
        )),
        Some(parsed) if list.value.is_empty() => Ok(vec![None; parsed.len().max(hosts)]),
        Some(parsed) if parsed.len() != hosts => Err(bad(
            "has not as many addresses as there are hosts",
            "name one for each",
        )),
        Some(parsed) => Ok(parsed),
    }
}

fn port_list(list: &Located<String>, hosts: usize) -> Result<Vec<u16>, DsnError> {
    let bad = |message: &str, help: &str| {
        DsnError::new(
            Code::InvalidValue,
            list.span.clone(),
            format!("`{}` {message}", list.key),
            help,
        )
        .of_key(&list.key)
    };
    let parsed: Option<Vec<_>> = list
        .value
        .split(',')
        .map(|item| {
            if item.trim().is_empty() {
                Some(DEFAULT_PORT)
            } else {
                port(item)
            }
        })
        .collect();
    match parsed {
        None => Err(bad("is no port", PORT_HELP)),
        Some(parsed) if parsed.len() != 1 && parsed.len() != hosts => Err(bad(
            "has not as many ports as there are hosts",
            "give one port for all hosts or one for each",
        )),
        Some(parsed) => Ok(parsed),
    }
}

fn port(text: &str) -> Option<u16> {
    let text = text.trim();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

pub(crate) fn unix_socket(key: &str, span: Range<usize>) -> DsnError {
    DsnError::new(
        Code::UnixSocket,
        span,
        format!("`{key}` names a Unix socket, over which there is no TLS"),
        "name the host that is in the server's certificate",
    )
    .of_key(key)
}

fn no_name(key: &str, span: Range<usize>) -> DsnError {
    DsnError::new(
        Code::NoName,
        span,
        format!("`{key}` gives an address, and there is no name that a certificate could be checked against"),
        "add `host` with the name that is in the server's certificate",
    )
    .of_key(key)
}

fn no_host(span: Range<usize>) -> DsnError {
    DsnError::new(
        Code::NoHost,
        span,
        "no host is named, which elsewhere means a Unix socket",
        "name the host that is in the server's certificate",
    )
}
