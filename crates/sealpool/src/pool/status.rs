use std::fmt;

/// The levels of a pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The most connections that are open at once.
    pub max_size: usize,
    /// Connections held by borrowers.
    pub used: usize,
    /// Connections that wait for a borrower.
    pub idle: usize,
    /// Connections that are being opened.
    pub opening: usize,
    /// Acquires that wait for a connection, or for one to be opened.
    pub waiting: usize,
    /// Open connections that were made with certificates, keys or lists which have been replaced since.
    pub stale: usize,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            max_size,
            used,
            idle,
            opening,
            waiting,
            stale: _,
        } = self;
        write!(
            f,
            "{used} used, {idle} idle, {opening} opening, {waiting} waiting of at most {max_size}"
        )
    }
}
