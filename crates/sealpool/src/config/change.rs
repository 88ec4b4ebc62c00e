use std::fmt;

use super::{Origin, Written, value::Setting};

/// A setting that has another value than before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The setting.
    pub name: &'static str,
    /// Its value before; `_` for a secret.
    pub old: String,
    /// Its value from now on; `_` for a secret.
    pub new: String,
    /// Where that was written; [`Origin::Default`] if it is written no more.
    pub origin: Origin,
}

impl Change {
    /// Nothing, if both mean the same: to write the default is no change.
    pub(super) fn between<T: Setting + PartialEq>(
        name: &'static str,
        default: &str,
        old: &Option<Written<T>>,
        new: &Option<Written<T>>,
    ) -> Option<Self> {
        let show = |written: &Option<Written<T>>| {
            written
                .as_ref()
                .map_or_else(|| default.to_owned(), |written| written.value.show())
        };
        let (old_text, new_text) = (show(old), show(new));
        let same = match (old, new) {
            (Some(old), Some(new)) => old.value == new.value,
            _ => old_text == new_text,
        };
        (!same).then(|| Self {
            name,
            old: old_text,
            new: new_text,
            origin: new
                .as_ref()
                .map_or(Origin::Default, |written| written.place.origin.clone()),
        })
    }

    /// Whether it concerns TLS as such, and not only when its files are looked at.
    pub(crate) fn is_of_tls(&self) -> bool {
        self.name.starts_with("tls.") && self.outdates()
    }

    /// Whether connections made before it are to be replaced: all but those that it means nothing to.
    pub(crate) fn outdates(&self) -> bool {
        const ONLY_WHEN_CONNECTING: &[&str] = &[
            "connect.cancel_timeout",
            "connect.load_balance_hosts",
            "connect.max_concurrent_handshakes",
            "connect.password_timeout",
            "connect.resolve_interval",
            "connect.resolve_timeout",
            "connect.retry",
            "connect.startup_timeout",
            "connect.tcp_timeout",
            "connect.timeout",
            "connect.tls_timeout",
            "connect.total_timeout",
            "passfile",
            "password",
            "password_file",
        ];
        const ONLY_THE_POOL: &[&str] = &["tls.reload_interval", "tls.rotate_within"];
        let spared = ONLY_WHEN_CONNECTING.iter().chain(ONLY_THE_POOL);
        let of_pools = ["pool.", "lane."];
        let is_of_pools = of_pools.iter().any(|prefix| self.name.starts_with(prefix));
        !is_of_pools && spared.into_iter().all(|spared| *spared != self.name)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            old,
            new,
            origin,
        } = self;
        write!(f, "{name}: {} -> {} ({origin})", Brief(old), Brief(new))
    }
}

/// A value in a line: certificates may stand where their file could.
struct Brief<'a>(&'a str);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 80;
        let line = self.0.lines().next().unwrap_or_default();
        match line.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{}...", line.get(..end).unwrap_or_default()),
            None if line.len() < self.0.len() => write!(f, "{line}..."),
            None => f.write_str(line),
        }
    }
}
