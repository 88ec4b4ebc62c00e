use super::words::Words;
use crate::connect::betrays;

/// What single statements begin with that leave a session as it was. What is not known is refused too: a lane is shared.
const TAKEN: [&str; 25] = [
    "alter", "analyze", "cluster", "comment", "create", "delete", "drop", "explain", "grant",
    "import", "insert", "merge", "notify", "reassign", "refresh", "reindex", "revoke", "select",
    "show", "table", "truncate", "update", "vacuum", "values", "with",
];

/// Why a statement was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is none.
    Empty,
    /// It begins with this word.
    Begins(Box<str>),
    /// It uses this word, which changes the session.
    Uses(Box<str>),
}

/// Looks at the first word alone: the rest is looked at when the statement is prepared.
pub(super) fn begins_well(text: &str) -> Result<(), Refusal> {
    let first = Words::of(text).next().ok_or(Refusal::Empty)?;
    let is_taken = |taken: &&str| first.text.eq_ignore_ascii_case(taken);
    if !first.quoted && TAKEN.iter().any(is_taken) {
        return Ok(());
    }
    let word: String = first.text.chars().take(24).collect();
    Err(Refusal::Begins(word.to_uppercase().into()))
}

/// Whether a statement that begins well changes the session all the same.
pub(super) fn goes_on_well(text: &str) -> Result<(), Refusal> {
    // Most texts do not even mention it.
    if !betrays(text) {
        return Ok(());
    }
    let mut before = [String::new(), String::new()];
    let mut updates = false;
    let mut words = Words::of(text);
    for word in words.by_ref() {
        let lower = word.text.to_ascii_lowercase();
        let [second, first] = before.each_ref().map(String::as_str);
        let changes = match lower.as_str() {
            // Otherwise it is somebody's name of a column or a table.
            "temp" | "temporary" => match first {
                "create" | "global" | "local" | "replace" => true,
                "into" => !matches!(second, "insert" | "merge"),
                _ => false,
            },
            "pg_settings" => updates,
            lower => betrays(lower),
        };
        if changes {
            return Err(Refusal::Uses(lower.into()));
        }
        updates |= lower == "update";
        let [_, first] = before;
        before = [first, lower];
    }
    if words.is_doubtful() {
        return Err(Refusal::Uses("\\'".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), Refusal> {
        begins_well(text).and_then(|()| goes_on_well(text))
    }

    #[test]
    fn statements_that_leave_a_session_as_it_was_are_taken() {
        for text in [
            "select 1",
            "SELECT/**/1",
            " \t\r\n\x0b\x0c-- a word\n/* /* begin */ set */ ((Select 1))",
            ";; select 1",
            "with x as (select 1) select * from x",
            "insert into temp values (1)",
            "select temp, temporary from weather",
            "select 'set_config' || $$pg_advisory_lock$$ || $a$temp$ $a$",
            "select 1 -- set_config('a.b', '', false)",
            "select E'\\' set_config('",
            "select * from pg_settings",
            "select pg_advisory_xact_lock(1)",
            "merge into temp using b on true when matched then delete",
            "values (1)",
            "table t",
            "update t set note = 'begin'",
        ] {
            assert_eq!(verdict(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_needs_a_session_of_its_own_is_refused_by_its_first_word() {
        for text in [
            "begin",
            "BEGIN;",
            ";begin",
            "( begin",
            "/* */ --\n begin",
            "start transaction",
            "commit",
            "end",
            "rollback",
            "abort",
            "savepoint a",
            "release a",
            "prepare transaction 'a'",
            "set a.b = 1",
            "reset all",
            "discard all",
            "listen a",
            "unlisten a",
            "prepare a as select 1",
            "execute a",
            "deallocate a",
            "declare a cursor for select 1",
            "fetch a",
            "move a",
            "close a",
            "lock t",
            "copy t from stdin",
            "do $$ begin end $$",
            "call p()",
            "load 'x'",
            "checkpoint",
            "selected",
            "\"select\"",
            "sélect",
        ] {
            assert!(
                matches!(verdict(text), Err(Refusal::Begins(_))),
                "{text}: {:?}",
                verdict(text)
            );
        }
        assert_eq!(verdict("begin"), Err(Refusal::Begins("BEGIN".into())));
        for text in ["", " ;", "-- select", "/* select", "()"] {
            assert_eq!(verdict(text), Err(Refusal::Empty), "{text}");
        }
    }

    #[test]
    fn what_changes_the_session_on_its_way_is_refused_by_that_word() {
        for (text, word) in [
            ("select set_config('a.b', '1', false)", "set_config"),
            ("select \"set_config\"('a.b', '1', false)", "set_config"),
            ("select pg_catalog.PG_ADVISORY_LOCK(1)", "pg_advisory_lock"),
            ("select pg_try_advisory_lock(1)", "pg_try_advisory_lock"),
            ("create temp table t ()", "temp"),
            (
                "create or replace temporary view v as select 1",
                "temporary",
            ),
            ("select 1 into temp t", "temp"),
            ("create table pg_temp.t ()", "pg_temp"),
            ("update pg_settings set setting = 1", "pg_settings"),
            (
                "update pg_catalog.pg_settings set setting = 1",
                "pg_settings",
            ),
            ("select setseed(0)", "setseed"),
            ("select $1, set_config('a.b', '', false)", "set_config"),
            ("select '' || set_config('a.b', '', false)", "set_config"),
            ("select a$b$, set_config('a.b', '', false)", "set_config"),
            (
                "select '\\', set_config('a.b', '', false), '\\'",
                "set_config",
            ),
            // Where backslashes count in plain strings, it is another text.
            ("select 'a\\'', set_config(1), '", "\\'"),
        ] {
            assert_eq!(verdict(text), Err(Refusal::Uses(word.into())), "{text}");
        }
    }
}
