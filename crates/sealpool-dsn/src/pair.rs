use std::ops::Range;

/// A key with its value, decoded and unquoted, as a grammar hands it on.
///
/// No `Debug`: any value may be a secret.
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    /// `None` for a bare key.
    pub(crate) value: Option<String>,
    pub(crate) span: Range<usize>,
    /// Whether the key can only be a key, never the tail of a password that was cut at a separator.
    pub(crate) key_is_showable: bool,
}

/// What a grammar makes of a text.
#[derive(Default)]
pub(crate) struct Pairs {
    pub(crate) list: Vec<Pair>,
    pub(crate) warnings: Vec<crate::warning::Warning>,
}
