use std::ops::Range;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// What the text means.
    pub value: T,
    /// The key as the text spells it, `"Ssl Mode"` say. Parts of a URI that have no key of their own carry libpq's:
    /// `host`, `port`, `user`, `password`, `dbname`.
    pub key: String,
    /// The bytes of the value in the text that was given to the parser, quotes included.
    pub span: Range<usize>,
}
