/// Splits at the first of `stops`; it stays at the head of the rest.
pub(super) const fn until<'a>(bytes: &'a [u8], stops: &[u8]) -> (&'a [u8], &'a [u8]) {
    let mut ahead = bytes;
    let mut taken = 0;
    while let [first, rest @ ..] = ahead {
        if holds(stops, *first) {
            break;
        }
        taken += 1;
        ahead = rest;
    }
    bytes.split_at(taken)
}

pub(super) const fn holds(mut bytes: &[u8], wanted: u8) -> bool {
    while let [first, rest @ ..] = bytes {
        if *first == wanted {
            return true;
        }
        bytes = rest;
    }
    false
}

pub(super) const fn same(mut left: &[u8], mut right: &[u8]) -> bool {
    loop {
        match (left, right) {
            ([], []) => return true,
            ([a, left_rest @ ..], [b, right_rest @ ..]) if *a == *b => {
                left = left_rest;
                right = right_rest;
            }
            _ => return false,
        }
    }
}

pub(super) const fn is_one_of(word: &[u8], mut words: &[&str]) -> bool {
    while let [first, rest @ ..] = words {
        if same(word, first.as_bytes()) {
            return true;
        }
        words = rest;
    }
    false
}

/// Letters, digits and `extra`, at least one of them.
pub(super) const fn is_plain(mut bytes: &[u8], extra: &[u8]) -> bool {
    if bytes.is_empty() {
        return false;
    }
    while let [first, rest @ ..] = bytes {
        if !first.is_ascii_alphanumeric() && !holds(extra, *first) {
            return false;
        }
        bytes = rest;
    }
    true
}

/// The value of one to nine digits.
pub(super) const fn number(mut digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut sum: u32 = 0;
    while let [first, rest @ ..] = digits {
        if !first.is_ascii_digit() {
            return None;
        }
        sum = sum * 10 + (*first - b'0') as u32;
        digits = rest;
    }
    Some(sum)
}

pub(super) const fn starts_with_ignoring_case(mut bytes: &[u8], mut prefix: &[u8]) -> bool {
    loop {
        match (bytes, prefix) {
            (_, []) => return true,
            ([a, rest @ ..], [b, prefix_rest @ ..]) if a.eq_ignore_ascii_case(b) => {
                bytes = rest;
                prefix = prefix_rest;
            }
            _ => return false,
        }
    }
}

/// Whether a value could be a template: more is taken for one than at run time.
pub(super) const fn may_be_template(value: &[u8]) -> bool {
    if starts_with_ignoring_case(value, b"your") && !holds(value, b'.') {
        return true;
    }
    if let Some((_, tail)) = value.split_at_checked(value.len().saturating_sub(4))
        && starts_with_ignoring_case(tail, b"here")
    {
        return true;
    }
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        if !holds(b"xX.*", *first) {
            return false;
        }
        rest = tail;
    }
    value.len() > 2
}
