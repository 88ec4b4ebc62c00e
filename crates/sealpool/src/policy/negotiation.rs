use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use crate::config::{ConfigError, Written};

/// How TLS is begun and what may come of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Negotiation {
    pub(crate) opening: Opening,
    pub(crate) sni: bool,
    pub(crate) binding: Binding,
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
}

/// Who speaks TLS first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The hello at once, which PostgreSQL understands since version 17.
    Direct,
    /// The request for TLS, and the hello when the server agrees.
    Postgres,
}

/// Whether the login is bound to the TLS session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    Disable,
    Prefer,
    Require,
}

/// What was written of it.
pub(super) struct NegotiationWritten {
    pub(super) negotiation: Option<Written<String>>,
    pub(super) sni: Option<Written<bool>>,
    pub(super) min_version: Option<Written<String>>,
    pub(super) max_version: Option<Written<String>>,
    pub(super) channel_binding: Option<Written<String>>,
}

impl Negotiation {
    pub(super) fn decide(written: NegotiationWritten) -> Result<Self, ConfigError> {
        let NegotiationWritten {
            negotiation,
            sni,
            min_version,
            max_version,
            channel_binding,
        } = written;
        Ok(Self {
            opening: word(
                "tls.negotiation",
                negotiation,
                &[("postgres", Opening::Postgres), ("direct", Opening::Direct)],
                "write postgres or direct",
            )?
            .unwrap_or(Opening::Postgres),
            sni: sni.is_none_or(|written| written.value),
            binding: word(
                "tls.channel_binding",
                channel_binding,
                &[
                    ("prefer", Binding::Prefer),
                    ("require", Binding::Require),
                    ("disable", Binding::Disable),
                ],
                "write prefer, require or disable",
            )?
            .unwrap_or(Binding::Prefer),
            versions: versions(min_version, max_version)?,
        })
    }
}

static OLD: [&SupportedProtocolVersion; 1] = [&TLS12];
static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

#[derive(Clone, Copy)]
enum Version {
    V1_2,
    V1_3,
}

fn versions(
    min: Option<Written<String>>,
    max: Option<Written<String>>,
) -> Result<&'static [&'static SupportedProtocolVersion], ConfigError> {
    let place = min.as_ref().map(|written| written.place.clone());
    let min = version("tls.min_version", min)?.unwrap_or(Version::V1_2);
    let max = version("tls.max_version", max)?.unwrap_or(Version::V1_3);
    match (min, max) {
        (Version::V1_2, Version::V1_2) => Ok(&OLD),
        (Version::V1_2, Version::V1_3) => Ok(&BOTH),
        (Version::V1_3, Version::V1_3) => Ok(&NEW),
        (Version::V1_3, Version::V1_2) => {
            let error = ConfigError::new(
                "conflict",
                "tls.min_version 1.3 and tls.max_version 1.2 leave no version",
                "raise tls.max_version, or lower tls.min_version",
            );
            Err(match place {
                Some(place) => place.refuse("tls.min_version", error),
                None => error.about("tls.min_version"),
            })
        }
    }
}

/// libpq's spelling `TLSv1.2` is understood too.
fn version(key: &str, written: Option<Written<String>>) -> Result<Option<Version>, ConfigError> {
    let Some(Written { value, place }) = written else {
        return Ok(None);
    };
    let bare = value.trim().to_ascii_lowercase();
    match bare.strip_prefix("tlsv").unwrap_or(&bare) {
        "1.2" => Ok(Some(Version::V1_2)),
        "1.3" => Ok(Some(Version::V1_3)),
        "1" | "1.0" | "1.1" => Err(place.refuse(
            key,
            ConfigError::new(
                "weak_protocol",
                "versions of TLS below 1.2 are broken and not offered here",
                "write 1.2 or 1.3",
            ),
        )),
        _ => Err(place.refuse(
            key,
            ConfigError::new(
                "invalid_value",
                "this is no version of TLS",
                "write 1.2 or 1.3",
            ),
        )),
    }
}

fn word<T: Copy>(
    key: &str,
    written: Option<Written<String>>,
    words: &[(&str, T)],
    fix: &str,
) -> Result<Option<T>, ConfigError> {
    let Some(Written { value, place }) = written else {
        return Ok(None);
    };
    let found = words
        .iter()
        .find(|(word, _)| value.trim().eq_ignore_ascii_case(word));
    match found {
        Some((_, meant)) => Ok(Some(*meant)),
        None => Err(place.refuse(
            key,
            ConfigError::new("invalid_value", "this word is not known here", fix),
        )),
    }
}
