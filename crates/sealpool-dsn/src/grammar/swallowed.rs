use crate::keys;

/// Whether `key` looks like the name of a setting.
pub(crate) fn is_identifier(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.len() <= 64
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-. ".contains(c))
}

/// The byte at which `value` holds one of `separators`, then a known key, then `=`: a parameter that a separator of
/// another dialect would hide inside the value before it.
///
/// In a password, where any character may stand, only a key about TLS counts.
pub(crate) fn swallowed_parameter(key: &str, value: &str, separators: &[char]) -> Option<usize> {
    if !value.contains('=') || keys::is_options(key) {
        return None;
    }
    let secret = keys::is_secret(key);
    value
        .match_indices(separators)
        .map(|(at, _)| at)
        .find(|&at| {
            let tail = value.get(at + 1..).unwrap_or_default();
            starts_with_parameter(tail)
                && (!secret || keys::is_about_tls(tail.split('=').next().unwrap_or_default()))
        })
}

/// Whether `text` begins with a known key and `=`.
pub(crate) fn starts_with_parameter(text: &str) -> bool {
    let reach = text.char_indices().nth(64).map_or(text.len(), |(at, _)| at);
    let near = text.get(..reach).unwrap_or_default();
    near.split_once('=')
        .is_some_and(|(key, _)| is_identifier(key.trim()) && keys::is_known(key))
}
