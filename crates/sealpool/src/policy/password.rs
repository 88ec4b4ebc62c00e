use std::{fs, path::Path};

use sealpool_dsn::Secret;

use crate::config::{ConfigError, Written};

/// The password, from where it was written.
pub(super) fn decide(
    password: Option<Written<Secret>>,
    file: Option<Written<std::path::PathBuf>>,
) -> Result<Option<Secret>, ConfigError> {
    match (password, file) {
        (Some(_), Some(Written { place, .. })) => Err(place.refuse(
            "password_file",
            ConfigError::new(
                "conflict",
                "a password is written as well",
                "remove either password or password_file",
            ),
        )),
        (Some(password), None) => Ok(Some(password.value)),
        (None, Some(Written { value, place })) => read(&value)
            .map(Some)
            .map_err(|error| place.refuse("password_file", error)),
        (None, None) => Ok(None),
    }
}

/// Reads the file; one line break at its end is not part of the password.
pub(crate) fn read(path: &Path) -> Result<Secret, ConfigError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = fs::read_to_string(&path).map_err(|error| {
        ConfigError::new(
            "password_unusable",
            format!("{} cannot be read: {error}", path.display()),
            "name a file that this process may read and that holds the password alone, in UTF-8",
        )
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let password = line.strip_suffix('\r').unwrap_or(line);
    if password.is_empty() {
        return Err(ConfigError::new(
            "password_unusable",
            format!("{} is empty", path.display()),
            "write the password into it",
        ));
    }
    Ok(Secret::new(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_it() {
        let folder = std::env::temp_dir().join(format!("sealpool-password-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("password");
        for (content, expected) in [
            ("hunter2", Some("hunter2")),
            ("hunter2\n", Some("hunter2")),
            ("hunter2\r\n", Some("hunter2")),
            (" two words \n\n", Some(" two words \n")),
            ("", None),
            ("\n", None),
        ] {
            fs::write(&file, content).unwrap();
            let read = read(&file).ok();
            assert_eq!(read.as_ref().map(Secret::expose), expected, "{content:?}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
