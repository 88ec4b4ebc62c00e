use std::fmt;

use crate::config::Change;

/// What the change of a pool's configuration came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconfigured {
    /// The settings that have another value, in the order of the reference.
    pub changes: Vec<Change>,
    /// How many open connections were made with what has changed: they are retired within `tls.rotate_within`.
    pub retiring: usize,
}

impl fmt::Display for Reconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, retiring } = self;
        if changes.is_empty() {
            return f.write_str("nothing has changed");
        }
        for (index, change) in changes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{change}")?;
        }
        match retiring {
            0 => Ok(()),
            1 => f.write_str("; 1 connection is retired for it"),
            several => write!(f, "; {several} connections are retired for it"),
        }
    }
}
