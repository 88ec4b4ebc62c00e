use crate::{closed_set::closed_set, config::ConfigError};

closed_set! {
    /// What a look at the files of certificates, keys, lists and the password came to.
    pub enum Reload {
        /// Something was new and is in force.
        Swapped = "swapped",
        /// Nothing was new.
        Unchanged = "unchanged",
    }
}

/// Why a new configuration, or new certificates, keys, lists or a new password were not taken; what is in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The pool has been closed.
    #[error("the pool is closed")]
    Closed,
    /// They cannot be used together.
    #[error(transparent)]
    Refused(#[from] ConfigError),
    /// They were being written at that moment.
    #[error("the files changed while they were read; the next look will take them")]
    HalfWritten,
    /// The look at them did not come to an end.
    #[error("the files could not be looked at; see the log for a panic, or the limit of threads")]
    Unfinished,
}
