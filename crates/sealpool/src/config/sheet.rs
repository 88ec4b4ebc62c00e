use std::collections::BTreeMap;

use config::{Map, Source, Value, ValueKind};

use super::{ConfigError, Place, explain::Notes};

/// What one source says: values by the names of the settings, each with its place.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) notes: Notes,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) place: Place,
}

impl Sheet {
    /// Takes the values of a source of the crate `config`, and for each its place.
    pub(super) fn collect(
        source: &(dyn Source + Send + Sync),
        place: impl Fn(&str) -> Place,
    ) -> Result<Self, ConfigError> {
        let mut leaves = Vec::new();
        flatten(
            String::new(),
            source.collect().map_err(unforeseen)?,
            &mut leaves,
        );
        let entries = leaves.into_iter().map(|(name, value)| {
            let place = place(&name);
            (name, Entry { value, place })
        });
        Ok(Self {
            entries: entries.collect(),
            notes: Notes::default(),
        })
    }

    /// Lays another source over this one: where both speak, that one counts.
    pub(super) fn cover(&mut self, over: Self) {
        let Self { entries, notes } = over;
        self.entries.extend(entries);
        self.notes.extend(notes);
    }

    /// Adds a value that another part of the same source implies; the two may not contradict.
    pub(super) fn imply(&mut self, name: &str, entry: Entry) -> Result<(), ConfigError> {
        match self.entries.get(name) {
            Some(stated) if !same(&stated.value, &entry.value) => {
                let Place { origin, .. } = &entry.place;
                Err(stated.place.refuse(
                    name,
                    ConfigError::new(
                        "conflict",
                        format!("{origin} says something else"),
                        "keep one of the two",
                    ),
                ))
            }
            Some(_) => Ok(()),
            None => {
                self.entries.insert(name.to_owned(), entry);
                Ok(())
            }
        }
    }
}

/// Whether two values mean the same, a list and its comma-separated text too.
fn same(a: &Value, b: &Value) -> bool {
    let items = |value: &Value| -> Vec<String> {
        match &value.kind {
            ValueKind::Array(items) => items.iter().map(ToString::to_string).collect(),
            _ => value
                .to_string()
                .split(',')
                .map(|item| item.trim().to_owned())
                .collect(),
        }
    };
    items(a) == items(b)
}

fn flatten(path: String, table: Map<String, Value>, leaves: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let path = if path.is_empty() {
            key
        } else {
            format!("{path}.{key}")
        };
        match value.kind {
            ValueKind::Table(table) if !table.is_empty() => flatten(path, table, leaves),
            _ => leaves.push((path, value)),
        }
    }
}

fn unforeseen(error: config::ConfigError) -> ConfigError {
    ConfigError::new("malformed", error.to_string(), "correct the configuration")
}
