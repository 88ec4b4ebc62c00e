use std::net::IpAddr;
use std::ops::Range;

/// A server to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The DNS name or IP address that is dialled and that the certificate is checked against. IPv6 without brackets.
    pub name: String,
    /// The address to dial instead of resolving the name.
    pub hostaddr: Option<IpAddr>,
    /// 5432 if none was written.
    pub port: u16,
    /// The bytes of the whole list of hosts in the text that was given; empty where the dialect supplies `localhost`.
    pub span: Range<usize>,
}
