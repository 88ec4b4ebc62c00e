/// Whether a whole value is a template that nobody filled in.
pub(crate) fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    enclosed(value, "{", "}")
        || enclosed(value, "<", ">")
        || enclosed(value, "[", "]")
        || enclosed(value, "${", "}")
        || enclosed(value, "$(", ")")
        || enclosed(value, "#{", "}")
        || enclosed(value, "%", "%")
        || enclosed(value, "<%=", "%>")
        || is_masked(value)
        || is_yours(value)
        || is_variable(value)
}

/// Whether a value that is no secret contains a template, `boss@{your_server}` say.
pub(crate) fn holds_placeholder(value: &str) -> bool {
    is_placeholder(value)
        || [('{', '}'), ('<', '>')].into_iter().any(|(open, close)| {
            let inner = value
                .split_once(open)
                .and_then(|(_, rest)| rest.split_once(close));
            inner.is_some_and(|(name, _)| is_name(name))
        })
}

/// Whether `text` begins with a template that blanks do not end, `<your password>` say.
pub(crate) fn begins_with_placeholder(text: &str) -> bool {
    [('{', '}'), ('<', '>'), ('[', ']')]
        .into_iter()
        .any(|(open, close)| {
            let inner = text
                .strip_prefix(open)
                .and_then(|rest| rest.split_once(close));
            inner.is_some_and(|(name, _)| is_name(name) && name.contains(' '))
        })
}

fn enclosed(value: &str, open: &str, close: &str) -> bool {
    let inner = value
        .strip_prefix(open)
        .and_then(|rest| rest.strip_suffix(close));
    inner.is_some_and(|name| is_name(name) || enclosed(name, open, close))
}

fn is_name(name: &str) -> bool {
    let name = name.trim();
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_- .'/\"@".contains(c))
}

fn is_masked(value: &str) -> bool {
    let alike = |mark: char, least: usize| {
        value.chars().count() >= least && value.chars().all(|c| c == mark)
    };
    alike('*', 3)
        || alike('•', 3)
        || alike('x', 4)
        || alike('X', 4)
        || alike('.', 3)
        || value == "…"
}

const NOUNS: [&str; 19] = [
    "account", "cluster", "cred", "database", "db", "host", "key", "login", "name", "pass",
    "project", "pwd", "role", "secret", "server", "tenant", "token", "user", "pw",
];

fn is_yours(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphabetic() || "_- ".contains(c);
    if lower.len() > 64 || !lower.chars().all(plain) {
        return false;
    }
    let (ours, rest) = match lower.strip_prefix("your") {
        Some(rest) => (
            rest.starts_with(['_', '-', ' ']),
            rest.trim_start_matches(['_', '-', ' ']),
        ),
        None => {
            let tail = lower
                .strip_suffix("_here")
                .or_else(|| lower.strip_suffix("-here"));
            return tail.is_some_and(|head| NOUNS.iter().any(|noun| head.contains(noun)));
        }
    };
    if ours {
        return NOUNS.iter().any(|noun| {
            rest.split(['_', '-', ' '])
                .any(|word| word.starts_with(noun))
        });
    }
    [
        "password", "pass", "passwd", "pwd", "username", "user", "host", "hostname", "server",
        "database", "db", "dbname",
    ]
    .contains(&rest)
}

fn is_variable(value: &str) -> bool {
    value.strip_prefix('$').is_some_and(|name| {
        name.chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            && [
                "PASS", "PWD", "USER", "HOST", "DB", "PG", "DATABASE", "SECRET", "TOKEN",
            ]
            .iter()
            .any(|noun| name.contains(noun))
    })
}

#[cfg(test)]
mod tests {
    use super::{holds_placeholder, is_placeholder};

    #[test]
    fn templates_are_recognised() {
        for value in [
            "{your_password}",
            "<access-token>",
            "[YOUR-PASSWORD]",
            "your_pass",
            "********",
            "${DB_PASSWORD}",
            "{{ password }}",
            "$PGPASSWORD",
            "YOUR_PASSWORD_HERE",
            "yourpassword",
            "%DB_PASSWORD%",
            "<password>",
            "xxxxxx",
            "your-password",
            "PASSWORD_HERE",
            "<%= password %>",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        assert!(holds_placeholder("boss@{your_server}"));
        assert!(holds_placeholder("<server>.postgres.database.azure.com"));
    }

    #[test]
    fn odd_passwords_are_not() {
        for value in [
            "Winter-9Kq",
            "{",
            "p{x}",
            "<3",
            "a*b",
            "**",
            "your",
            "yours truly",
            "[]",
            "{1a}",
            "$ecret",
            "",
            "%",
        ] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
