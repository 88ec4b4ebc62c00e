use std::{collections::BTreeMap, fs, ops::Range, path::Path, sync::Arc};

use config::{FileFormat, Map, Source, Value, ValueKind};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Config, ConfigError, Origin, Place, origin::Excerpt, sheet::Sheet};

/// Reads one table of a file: its values by the crate `config`, their places by the parser below it.
pub(super) fn read(path: &Path, table: &str) -> Result<Sheet, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| {
        let tried = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        ConfigError::new(
            "unreadable",
            format!("{} cannot be read: {error}", tried.display()),
            "check the path and its permissions",
        )
    })?;
    let file = Text {
        path: Arc::new(path.to_owned()),
        text: &text,
    };
    let root = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        ConfigError::new(
            "malformed",
            error.message().to_owned(),
            "correct the TOML there",
        )
        .at_origin(&file.origin(at))
    })?;

    let mut spanned = root.get_ref();
    let mut found = parsed(&text)?;
    for step in table.split('.').filter(|step| !step.is_empty()) {
        let missing = || {
            ConfigError::new(
                "missing_table",
                format!("there is no table [{table}]"),
                format!("add [{table}], or name the table that is meant"),
            )
            .at_origin(&file.origin(0))
        };
        spanned = match spanned.get(step).map(Spanned::get_ref) {
            Some(DeValue::Table(inner)) => inner,
            _ => return Err(missing()),
        };
        found = match found.remove(step).map(|value| value.kind) {
            Some(ValueKind::Table(inner)) => inner,
            _ => return Err(missing()),
        };
    }

    let mut places = BTreeMap::new();
    file.places(String::new(), spanned, &mut places);
    let elsewhere = Place {
        origin: file.origin(0),
        excerpt: None,
    };
    Sheet::collect(&Table(found), |name| {
        places.get(name).unwrap_or(&elsewhere).clone()
    })
}

fn parsed(text: &str) -> Result<Map<String, Value>, ConfigError> {
    config::File::from_str(text, FileFormat::Toml)
        .collect()
        .map_err(|_| ConfigError::new("malformed", "the file is not TOML", "correct it"))
}

#[derive(Clone, Debug)]
struct Table(Map<String, Value>);

impl Source for Table {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

struct Text<'a> {
    path: Arc<std::path::PathBuf>,
    text: &'a str,
}

impl Text<'_> {
    fn places(&self, path: String, table: &DeTable<'_>, places: &mut BTreeMap<String, Place>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = if path.is_empty() {
                name.to_string()
            } else {
                format!("{path}.{name}")
            };
            if let DeValue::Table(inner) = value.get_ref()
                && !inner.is_empty()
            {
                self.places(path, inner, places);
                continue;
            }
            let place = self.place(&path, key.span(), value.span());
            places.insert(path, place);
        }
    }

    fn place(&self, name: &str, key: Range<usize>, value: Range<usize>) -> Place {
        let shown = Config::KEYS
            .iter()
            .find(|known| known.name == name && !known.secret);
        let (from, to) = match shown {
            Some(_) => (value.start, value.end),
            None => (key.start, key.end),
        };
        let (line, _) = self.line_and_column(from);
        // Only this key and its value: what else stands on the line may be a secret.
        let start = if self.line_and_column(key.start).0 == line {
            key.start
        } else {
            from
        };
        let text = self.text.get(start..to).unwrap_or_default();
        let text = text.lines().next().unwrap_or_default().to_owned();
        let caret = self
            .text
            .get(start..from)
            .unwrap_or_default()
            .chars()
            .count();
        let excerpt = Excerpt {
            line,
            caret,
            width: text.chars().count().saturating_sub(caret),
            text,
        };
        Place {
            origin: self.origin(from),
            excerpt: Some(excerpt),
        }
    }

    fn origin(&self, at: usize) -> Origin {
        let (line, column) = self.line_and_column(at);
        Origin::File {
            path: Arc::clone(&self.path),
            line,
            column,
        }
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        (line, column)
    }
}
