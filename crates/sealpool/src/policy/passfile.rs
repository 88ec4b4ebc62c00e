use std::{fs, path::Path};

use sealpool_dsn::Secret;

use crate::config::{ConfigError, Place};

/// A password file as libpq has it: lines of `host:port:database:user:password`, where `*` fits everything.
pub(super) struct Passfile(Vec<[String; 5]>);

impl Passfile {
    pub(super) fn read(path: &Path, place: &Place) -> Result<Self, ConfigError> {
        let refuse = |problem: String, fix: &str| {
            place.refuse("passfile", ConfigError::new("passfile", problem, fix))
        };
        let shown = path.display();
        let unreadable = |error| {
            refuse(
                format!("{shown} cannot be read: {error}"),
                "check the path and its permissions",
            )
        };
        let metadata = fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(refuse(
                format!("{shown} is not a plain file"),
                "name the file itself",
            ));
        }
        if others_may_read(&metadata) {
            return Err(refuse(
                format!("{shown} can be read by others"),
                "chmod 0600 it, as libpq demands too",
            ));
        }
        let content = fs::read_to_string(path).map_err(unreadable)?;
        Ok(Self(content.lines().filter_map(line).collect()))
    }

    /// The password of the first line that fits.
    pub(super) fn password(&self, wanted: [&str; 4]) -> Option<Secret> {
        self.0
            .iter()
            .find_map(|[host, port, database, user, password]| {
                let fits = [host, port, database, user]
                    .into_iter()
                    .zip(wanted)
                    .all(|(pattern, wanted)| pattern == "*" || pattern == wanted);
                fits.then(|| Secret::new(password))
            })
    }
}

/// The fields of a line; a backslash takes the meaning from the colon or backslash behind it.
fn line(line: &str) -> Option<[String; 5]> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let count = fields.len();
        let field = fields.last_mut()?;
        match character {
            '\\' => field.push(characters.next()?),
            // The password is the rest of the line.
            ':' if count < 5 => fields.push(String::new()),
            _ => field.push(character),
        }
    }
    fields.try_into().ok()
}

#[cfg(unix)]
fn others_may_read(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn others_may_read(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(content: &str, wanted: [&str; 4]) -> Option<String> {
        let file = Passfile(content.lines().filter_map(line).collect());
        file.password(wanted)
            .map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let file = "# all of them\ndb:5432:shop:app:first\ndb:*:*:app:second\n*:*:*:*:third\n";
        assert_eq!(
            find(file, ["db", "5432", "shop", "app"]).as_deref(),
            Some("first")
        );
        assert_eq!(
            find(file, ["db", "5433", "shop", "app"]).as_deref(),
            Some("second")
        );
        assert_eq!(
            find(file, ["other", "5432", "shop", "app"]).as_deref(),
            Some("third")
        );
        assert_eq!(
            find("db:5432:shop:app:x\n", ["other", "5432", "shop", "app"]),
            None
        );
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        let file = "2001\\:db8\\:\\:7:5432:*:app:a\\:b\\\\c";
        assert_eq!(
            find(file, ["2001:db8::7", "5432", "x", "app"]).as_deref(),
            Some("a:b\\c")
        );
    }
}
