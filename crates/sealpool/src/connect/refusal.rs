use crate::policy::AuthMethod;

/// What the server asked for in the login and was not given; nothing was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the server asked for the password in clear text, which was not sent")]
    Cleartext,
    #[error(
        "the server asked for the method {method}, which require_auth = {written} does not allow"
    )]
    Method { method: AuthMethod, written: String },
    #[error("the server asked for the method {0}, which cannot be bound to the TLS session")]
    Unbound(AuthMethod),
}

impl Refusal {
    /// What happened, and what mends it.
    pub(super) fn problem(&self) -> String {
        match self {
            Self::Cleartext => {
                "the server asks for the password in clear text, which was not sent; use scram-sha-256 in pg_hba.conf"
                    .to_owned()
            }
            Self::Method { method, written } => {
                let asks = match method {
                    AuthMethod::None => "asks for no proof at all (method none)".to_owned(),
                    method => format!("asks for the method {method}"),
                };
                format!(
                    "the server {asks}, which require_auth = {written} does not allow; nothing was sent: correct the \
                     server's pg_hba.conf, or require_auth"
                )
            }
            Self::Unbound(method) => format!(
                "the server asks for the method {method}, and tls.channel_binding = require allows none but \
                 scram-sha-256; nothing was sent: use scram-sha-256 in pg_hba.conf"
            ),
        }
    }
}
