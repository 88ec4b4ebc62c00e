use std::collections::HashMap;
use std::mem::Discriminant;

use crate::code::Code;
use crate::dialect::Dialect;
use crate::draft::Draft;
use crate::dsn::Dsn;
use crate::error::DsnError;
use crate::grammar::{self, Quoting};
use crate::keys::{self, Accepts, Field, Role, Row};
use crate::pair::{Pair, Pairs};
use crate::recognition;
use crate::refusals::{bare, duplicate, refused, strange, two_meanings, upside_down};
use crate::value::normal;
use crate::warning::{Warning, WarningCode};
use crate::wrapping;

pub(crate) fn read(dialect: Option<Dialect>, text: &str) -> Result<Dsn, DsnError> {
    check_bytes(text)?;
    let inner = wrapping::unwrap(text)?;
    let recognised = match dialect {
        Some(dialect) => recognition::expect(dialect, text, inner)?,
        None => recognition::recognise(text, inner)?,
    };
    let (dialect, body) = (recognised.dialect, recognised.body);
    let end = body.end;
    let pairs = match dialect {
        Dialect::Ado => grammar::semicolon_list(text, body, Quoting::Quotes)?,
        Dialect::Jdbc | Dialect::R2dbc | Dialect::Uri => grammar::uri(text, body, dialect)?,
        Dialect::KeyValue => grammar::blank_list(text, body)?,
        Dialect::Odbc => grammar::semicolon_list(text, body, Quoting::Braces)?,
        Dialect::Pdo => grammar::semicolon_or_blank_list(text, body)?,
    };
    let Pairs { list, warnings } = pairs;
    let mut draft = Draft::new(dialect, warnings);
    if let Some(span) = recognised.tls_scheme {
        draft
            .votes
            .note_scheme(text.get(span.clone()).unwrap_or_default(), span);
    }
    take(list, &mut draft)?;
    finish(draft, end)
}

fn check_bytes(text: &str) -> Result<(), DsnError> {
    if text.len() > Dsn::MAX_LEN {
        return Err(DsnError::new(
            Code::Malformed,
            0..0,
            "the text is longer than 64 KiB",
            "pass the connection string alone",
        ));
    }
    match text
        .char_indices()
        .find(|&(_, c)| c.is_control() && !"\t\n\r".contains(c))
    {
        Some((at, c)) => Err(DsnError::new(
            Code::Malformed,
            at..at + c.len_utf8(),
            "a control character",
            "remove it; in a URI it can be percent-encoded",
        )),
        None => Ok(()),
    }
}

/// One thing, however its key is spelt.
#[derive(PartialEq, Eq, Hash)]
enum Thing {
    Carried(Discriminant<Field>),
    Named(&'static str),
    Spelt(String),
}

fn thing(row: &Row, key: &str) -> Thing {
    match row.role {
        Role::Field(field) => Thing::Carried(std::mem::discriminant(&field)),
        Role::Vote(_) => Thing::Named(row.name()),
        Role::Ignored { .. } | Role::Refused { .. } => Thing::Spelt(keys::normal(key)),
    }
}

fn take(list: Vec<Pair>, draft: &mut Draft) -> Result<(), DsnError> {
    let dialect = draft.dsn.dialect;
    let prisma = list
        .iter()
        .find(|pair| keys::is_prisma(&pair.key))
        .map(|pair| pair.key.clone());
    let secrets = secrets(&list);
    let mut seen: HashMap<Thing, Option<String>> = HashMap::new();
    let mut behind_a_secret = false;
    for mut pair in list {
        let showable = pair.key_is_showable
            && !behind_a_secret
            && !keys::hints_at_secret(&pair.key)
            && !secrets.iter().any(|secret| overlaps(secret, &pair));
        let row = keys::look_up(dialect, &pair.key)
            .map_err(|foreign| strange(&pair, dialect, foreign, showable))?;
        pair.key_is_showable = showable;
        behind_a_secret |= may_hide_a_secret(&pair);
        let compared = match row.role {
            Role::Vote(_) => pair.value.as_deref().map(normal),
            Role::Field(_) | Role::Ignored { .. } | Role::Refused { .. } => pair.value.clone(),
        };
        let thing = thing(row, &pair.key);
        if let Some(first) = seen.get(&thing) {
            if matches!(row.role, Role::Field(_)) && pair.value.is_none() {
                return Err(bare(&pair));
            }
            if *first != compared {
                return Err(duplicate(&pair));
            }
            continue;
        }
        seen.insert(thing, compared);
        match &row.role {
            Role::Field(field) => draft.carry(*field, &pair)?,
            Role::Vote(vote) => {
                draft.votes.cast(*vote, row.name(), &pair, dialect)?;
            }
            Role::Ignored { accepts, why } => ignore(accepts, why, &mut pair, draft)?,
            Role::Refused {
                why,
                fix,
                secret: _,
            } => return Err(refused(&pair, why, fix)),
        }
    }
    match (prisma, &draft.dsn.client_cert, &draft.dsn.client_key) {
        (Some(prisma), Some(cert), None) if dialect == Dialect::Uri => {
            Err(two_meanings(cert, &prisma))
        }
        _ => Ok(()),
    }
}

/// The first few secrets of a string; more than two of them is an error of its own.
fn secrets(list: &[Pair]) -> Vec<String> {
    let secret = list.iter().filter(|pair| keys::is_secret(&pair.key));
    secret
        .filter_map(|pair| pair.value.clone())
        .filter(|value| value.len() > 1)
        .take(3)
        .collect()
}

/// Whether the pairs behind this one may be the rest of a password: it is one itself, or swallowed one for want of a blank.
fn may_hide_a_secret(pair: &Pair) -> bool {
    let value = pair.value.as_deref().unwrap_or_default();
    let named = keys::is_secret(&pair.key) && !pair.key_span.is_empty();
    named || value.contains('=') || keys::hints_at_secret(value)
}

/// Whether a key or its value repeats a piece of a secret.
fn overlaps(secret: &str, pair: &Pair) -> bool {
    let value = pair.value.as_deref().unwrap_or_default();
    [pair.key.as_str(), value]
        .iter()
        .any(|piece| piece.len() > 1 && (secret.contains(piece) || piece.contains(secret)))
}

fn ignore(
    accepts: &Accepts,
    why: &str,
    pair: &mut Pair,
    draft: &mut Draft,
) -> Result<(), DsnError> {
    let is_one_of = |words: &[&str]| {
        let value = normal(pair.value.as_deref().unwrap_or_default());
        words.is_empty() || words.iter().any(|word| normal(word) == value)
    };
    match accepts {
        Accepts::Default(words) if is_one_of(words) => return Ok(()),
        Accepts::Words(words) if is_one_of(words) => {}
        Accepts::Any => {}
        Accepts::Default(words) | Accepts::Words(words) => {
            return Err(DsnError::new(
                Code::UnsupportedWord,
                pair.span.clone(),
                format!("`{}` cannot be honoured with this value: {why}", pair.key),
                format!(
                    "write {} or remove it",
                    words.first().copied().unwrap_or_default()
                ),
            )
            .of_key(&pair.key));
        }
    }
    draft.dsn.warnings.push(Warning {
        code: WarningCode::Ignored,
        message: format!("`{}` is ignored: {why}", pair.key),
        span: pair.key_span.clone(),
    });
    Ok(())
}

fn finish(draft: Draft, end: usize) -> Result<Dsn, DsnError> {
    let Draft {
        mut dsn,
        places,
        votes,
    } = draft;
    places.refuse_sockets()?;
    (dsn.verification, dsn.tls_words) =
        votes.decide(dsn.root.as_ref().map(|root| &root.value), dsn.dialect)?;
    dsn.hosts = places.assemble(dsn.dialect, end)?;
    if let (Some(min), Some(max)) = (&dsn.min_tls, &dsn.max_tls)
        && (min.value as u8) > (max.value as u8)
    {
        return Err(upside_down(
            &max.key,
            max.span.clone(),
            &min.key,
            Code::Conflict,
        ));
    }
    if let (Some(min), Some(max)) = (&dsn.pool_min, &dsn.pool_max)
        && min.value > max.value
    {
        return Err(upside_down(
            &max.key,
            max.span.clone(),
            &min.key,
            Code::InvalidValue,
        ));
    }
    Ok(dsn)
}
