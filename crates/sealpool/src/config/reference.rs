use serde_json::{Map, Value, json};

use super::{Config, Key, dsn};

/// What the reference says of the one name that is no setting of its own.
const URL: &str = "A whole connection string of any dialect; what it says may not contradict the settings beside it.";

impl Config {
    /// Every setting as a table in Markdown.
    #[must_use]
    pub fn reference() -> String {
        let mut text =
            String::from("| setting | what it means | value | default |\n|---|---|---|---|\n");
        text.push_str(&format!(
            "| `{}` | {URL} | a connection string | none |\n",
            dsn::KEY
        ));
        for Key {
            name,
            about,
            expects,
            default,
            ..
        } in Self::KEYS
        {
            text.push_str(&format!(
                "| `{name}` | {} | {expects} | {default} |\n",
                about.trim()
            ));
        }
        text
    }

    /// A TOML file with every setting, commented out; `table` is its table.
    #[must_use]
    pub fn template(table: &str) -> String {
        let mut text = format!(
            "[{table}]\n# {URL}\n# {} = \"postgresql://app@db.example.net/shop\"\n",
            dsn::KEY
        );
        let mut section = "";
        for Key {
            name,
            about,
            default,
            example,
            ..
        } in Self::KEYS
        {
            let (inner, key) = name.split_once('.').unwrap_or(("", name));
            if inner != section {
                section = inner;
                text.push_str(&format!("\n[{table}.{section}]\n"));
            }
            text.push_str(&format!(
                "#{about}\n# Default: {default}.\n# {key} = {example}\n"
            ));
        }
        text
    }

    /// A JSON schema of the table, for editors.
    #[must_use]
    pub fn schema() -> String {
        let mut root = Map::new();
        root.insert(
            dsn::KEY.to_owned(),
            json!({ "type": "string", "description": URL }),
        );
        for (
            Key {
                name,
                about,
                default,
                ..
            },
            mut schema,
        ) in Self::schemas()
        {
            if let Value::Object(schema) = &mut schema {
                let description = format!("{} Default: {default}.", about.trim());
                schema.insert("description".to_owned(), description.into());
            }
            let (section, key) = name.split_once('.').unwrap_or(("", name));
            let table = if section.is_empty() {
                &mut root
            } else {
                inner(&mut root, section)
            };
            table.insert(key.to_owned(), schema);
        }
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "sealpool",
            "type": "object",
            "additionalProperties": false,
            "properties": root,
        });
        format!("{schema:#}\n")
    }
}

/// The properties of a table within the table.
fn inner<'a>(root: &'a mut Map<String, Value>, section: &str) -> &'a mut Map<String, Value> {
    let table = root.entry(section).or_insert_with(
        || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
    );
    match table.get_mut("properties") {
        Some(Value::Object(properties)) => properties,
        _ => unreachable!("a table is made with its properties"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layer;

    /// The template with every line in force.
    fn in_force() -> String {
        let lines = Config::template("db");
        let lines = lines.lines().map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest
                    .split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                rest
            }
            _ => line,
        });
        let lines = lines.filter(|line| !line.starts_with("url"));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_line_of_the_template_can_be_put_in_force() {
        let file =
            std::env::temp_dir().join(format!("sealpool-template-{}.toml", std::process::id()));
        std::fs::write(&file, in_force()).unwrap();
        let config = Config::layered([Layer::toml(&file, "db")]);
        std::fs::remove_file(&file).unwrap();
        let explained = config.unwrap().explain();
        let unset: Vec<_> = explained
            .values
            .iter()
            .filter(|value| value.origin == crate::Origin::Default)
            .map(|value| value.name)
            .collect();
        assert_eq!(unset, Vec::<&str>::new());
    }

    #[test]
    fn the_schema_knows_every_setting() {
        let schema: Value = serde_json::from_str(&Config::schema()).unwrap();
        for key in Config::KEYS {
            let path = key.name.replace('.', "/properties/");
            let found = schema.pointer(&format!("/properties/{path}/description"));
            assert!(found.is_some(), "{}", key.name);
        }
    }
}
