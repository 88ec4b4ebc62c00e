use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use config::{Value, ValueKind};
use sealpool_dsn::Secret;
use serde_json::json;

/// A type that a setting may have: how it is read from what was written, and shown again.
pub(super) trait Setting: Sized {
    /// What the value must be, completing "this must be …".
    const EXPECTS: &'static str;
    const SECRET: bool = false;

    fn read(written: &Value) -> Option<Self>;
    fn show(&self) -> String;
    /// What a JSON schema says of it.
    fn schema() -> serde_json::Value;
}

impl Setting for String {
    const EXPECTS: &'static str = "a text that is not empty";

    fn read(written: &Value) -> Option<Self> {
        match &written.kind {
            ValueKind::String(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.clone()
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

impl Setting for Secret {
    const EXPECTS: &'static str =
        "a text that is not empty (in quotes, also when it is all digits)";
    const SECRET: bool = true;

    fn read(written: &Value) -> Option<Self> {
        String::read(written).map(Self::new)
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 1, "writeOnly": true })
    }
}

impl Setting for PathBuf {
    const EXPECTS: &'static str = "the path of a file";

    fn read(written: &Value) -> Option<Self> {
        String::read(written).map(Self::from)
    }

    fn show(&self) -> String {
        let shown = self.display().to_string();
        // Somebody may have put a key where its path belongs: that is refused later, and not shown before.
        match shown.contains("PRIVATE KEY-----") {
            true => Secret::new(shown).to_string(),
            false => shown,
        }
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

macro_rules! whole_number {
    ($($type:ty => $expects:literal;)+) => {$(
        impl Setting for $type {
            const EXPECTS: &'static str = $expects;

            fn read(written: &Value) -> Option<Self> {
                match &written.kind {
                    ValueKind::I64(number) => Self::try_from(*number).ok(),
                    ValueKind::U64(number) => Self::try_from(*number).ok(),
                    ValueKind::String(text) => text.trim().parse().ok(),
                    _ => None,
                }
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn schema() -> serde_json::Value {
                json!({ "type": "integer", "minimum": 0, "maximum": Self::MAX })
            }
        }
    )+};
}

whole_number! {
    u16 => "a whole number from 0 to 65535";
    u32 => "a whole number from 0 to 4294967295";
}

impl Setting for bool {
    const EXPECTS: &'static str = "`true` or `false`";

    fn read(written: &Value) -> Option<Self> {
        match &written.kind {
            ValueKind::Boolean(value) => Some(*value),
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "boolean" })
    }
}

impl Setting for Duration {
    const EXPECTS: &'static str = "a time with its unit, such as `500ms`, `30s` or `5m`";

    fn read(written: &Value) -> Option<Self> {
        humantime::parse_duration(&String::read(written)?).ok()
    }

    fn show(&self) -> String {
        humantime::format_duration(*self).to_string()
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^([0-9]+ *[a-zA-Z]+ *)+$" })
    }
}

/// One value or several: a sequence in TOML, a comma-separated text everywhere.
impl<T: Setting> Setting for Vec<T> {
    const EXPECTS: &'static str = T::EXPECTS;

    fn read(written: &Value) -> Option<Self> {
        let items: Self = match &written.kind {
            ValueKind::Array(items) => items.iter().map(T::read).collect::<Option<_>>()?,
            ValueKind::String(text) => text
                .split(',')
                .map(|item| T::read(&Value::from(item.trim())))
                .collect::<Option<_>>()?,
            _ => vec![T::read(written)?],
        };
        (!items.is_empty()).then_some(items)
    }

    fn show(&self) -> String {
        self.iter().map(T::show).collect::<Vec<_>>().join(",")
    }

    fn schema() -> serde_json::Value {
        json!({ "anyOf": [T::schema(), { "type": "array", "items": T::schema(), "minItems": 1 }] })
    }
}

/// What a setter takes for a setting of type `T`.
pub trait IntoSetting<T> {
    /// The setting's value.
    fn into_setting(self) -> T;
}

impl<S: Into<String>> IntoSetting<String> for S {
    fn into_setting(self) -> String {
        self.into()
    }
}

impl<S: Into<String>> IntoSetting<Secret> for S {
    fn into_setting(self) -> Secret {
        Secret::new(self)
    }
}

impl<P: Into<PathBuf>> IntoSetting<PathBuf> for P {
    fn into_setting(self) -> PathBuf {
        self.into()
    }
}

impl IntoSetting<Self> for u32 {
    fn into_setting(self) -> Self {
        self
    }
}

impl IntoSetting<Self> for bool {
    fn into_setting(self) -> Self {
        self
    }
}

impl IntoSetting<Self> for Duration {
    fn into_setting(self) -> Self {
        self
    }
}

impl IntoSetting<Vec<Self>> for u16 {
    fn into_setting(self) -> Vec<Self> {
        vec![self]
    }
}

impl<const N: usize> IntoSetting<Vec<u16>> for [u16; N] {
    fn into_setting(self) -> Vec<u16> {
        self.to_vec()
    }
}

impl IntoSetting<Vec<Self>> for String {
    fn into_setting(self) -> Vec<Self> {
        vec![self]
    }
}

impl IntoSetting<Vec<String>> for &str {
    fn into_setting(self) -> Vec<String> {
        vec![self.to_owned()]
    }
}

impl<S: Into<String>> IntoSetting<Vec<String>> for Vec<S> {
    fn into_setting(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<S: Into<String>, const N: usize> IntoSetting<Vec<String>> for [S; N] {
    fn into_setting(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl IntoSetting<Vec<PathBuf>> for &str {
    fn into_setting(self) -> Vec<PathBuf> {
        vec![self.into()]
    }
}

impl IntoSetting<Vec<PathBuf>> for &Path {
    fn into_setting(self) -> Vec<PathBuf> {
        vec![self.into()]
    }
}

impl<P: Into<PathBuf>, const N: usize> IntoSetting<Vec<PathBuf>> for [P; N] {
    fn into_setting(self) -> Vec<PathBuf> {
        self.into_iter().map(Into::into).collect()
    }
}

impl IntoSetting<Vec<String>> for &Path {
    fn into_setting(self) -> Vec<String> {
        vec![self.to_string_lossy().into_owned()]
    }
}
