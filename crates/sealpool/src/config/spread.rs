use std::time::Duration;

use config::{Value, ValueKind};
use sealpool_dsn::{Host, Limit, Located, RequireAuth, TlsVersion};

use super::{
    ConfigError, Place,
    dsn::KEY,
    explain::Warning,
    sheet::{Entry, Sheet},
};

/// A connection string on its way to the settings.
pub(super) struct Spread<'a> {
    /// Where a key of the string stands.
    pub(super) within: &'a dyn Fn(&str) -> Place,
    pub(super) sheet: &'a mut Sheet,
}

impl Spread<'_> {
    pub(super) fn put(
        &mut self,
        name: &str,
        key: &str,
        value: impl Into<Value>,
    ) -> Result<(), ConfigError> {
        let place = (self.within)(key);
        self.sheet.imply(
            name,
            Entry {
                value: value.into(),
                place,
            },
        )
    }

    pub(super) fn take<T>(
        &mut self,
        name: &str,
        located: Option<Located<T>>,
        written: impl FnOnce(T) -> Value,
    ) -> Result<(), ConfigError> {
        match located.map(
            |Located {
                 value,
                 key,
                 span: _,
             }| (written(value), key),
        ) {
            // As in libpq, an empty value is one that was not given.
            Some((value, _)) if matches!(&value.kind, ValueKind::String(text) if text.is_empty()) => {
                Ok(())
            }
            Some((value, key)) => self.put(name, &key, value),
            None => Ok(()),
        }
    }

    pub(super) fn limit(
        &mut self,
        name: &str,
        located: Option<Located<Limit>>,
    ) -> Result<(), ConfigError> {
        match located {
            Some(Located {
                value: Limit::After(limit),
                key,
                span: _,
            }) => self.put(name, &key, duration(limit)),
            Some(Located {
                value: Limit::Unlimited,
                key,
                span: _,
            }) => {
                self.warn(
                    &key,
                    "approximated",
                    format!("nothing waits for ever here: the default of {name} holds"),
                );
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A limit of the server's own, for which zero means none.
    pub(super) fn server_limit(
        &mut self,
        name: &str,
        located: Option<Located<Limit>>,
    ) -> Result<(), ConfigError> {
        self.take(name, located, |limit| match limit {
            Limit::After(limit) => duration(limit),
            Limit::Unlimited => "0s".into(),
        })
    }

    pub(super) fn warn(&mut self, key: &str, code: &'static str, message: String) {
        let origin = (self.within)(key).origin;
        self.sheet.notes.warnings.push(Warning {
            origin,
            code,
            message,
        });
    }

    /// Refuses what the string asks for and the pool cannot do.
    pub(super) fn cannot<T>(
        &self,
        located: Option<Located<T>>,
        harmless: impl FnOnce(&T) -> bool,
        why: &str,
    ) -> Result<(), ConfigError> {
        match located {
            Some(Located {
                value,
                key,
                span: _,
            }) if !harmless(&value) => Err(ConfigError::new("unsupported_key", why, "remove it")
                .at(KEY, &(self.within)(&key).origin)),
            _ => Ok(()),
        }
    }

    pub(super) fn hosts(&mut self, hosts: &[Host]) -> Result<(), ConfigError> {
        let list = |each: &dyn Fn(&Host) -> Value| hosts.iter().map(each).collect::<Vec<_>>();
        let names = list(&|host| host.name.as_str().into());
        let ports = list(&|host| host.port.into());
        self.put("host", "host", names)?;
        self.put("port", "port", ports)?;
        let addresses: Option<Vec<Value>> = hosts
            .iter()
            .map(|host| Some(host.hostaddr?.to_string().into()))
            .collect();
        match addresses {
            Some(addresses) => self.put("hostaddr", "hostaddr", addresses),
            None if hosts.iter().any(|host| host.hostaddr.is_some()) => Err(ConfigError::new(
                "invalid_value",
                "an address is given for some hosts and not for others",
                "give one for each, or for none",
            )
            .at(KEY, &(self.within)("hostaddr").origin)),
            None => Ok(()),
        }
    }
}

pub(super) fn duration(duration: Duration) -> Value {
    humantime::format_duration(duration).to_string().into()
}

pub(super) fn path(path: std::path::PathBuf) -> Value {
    path.to_string_lossy().into_owned().into()
}

pub(super) fn version(version: TlsVersion) -> Value {
    match version {
        TlsVersion::Tls12 => "1.2",
        TlsVersion::Tls13 => "1.3",
    }
    .into()
}

pub(super) fn methods(methods: RequireAuth) -> Value {
    let (sign, methods) = match methods {
        RequireAuth::Any(methods) => ("", methods),
        RequireAuth::Not(methods) => ("!", methods),
    };
    let written: Vec<Value> = methods
        .into_iter()
        .map(|method| format!("{sign}{method}").into())
        .collect();
    written.into()
}
