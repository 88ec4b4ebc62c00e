use crate::{
    closed_set::closed_set,
    config::{ConfigError, Place, Written},
};

closed_set! {
    /// What a server may ask for in a login, in the words of libpq's `require_auth`.
    pub enum AuthMethod {
        /// Kerberos or another mechanism of GSSAPI.
        Gss = "gss",
        /// The password hashed with MD5, which an eavesdropper may replay.
        Md5 = "md5",
        /// Nothing: the server trusts us, or goes by the client certificate.
        None = "none",
        /// The password in clear text, inside TLS.
        Password = "password",
        /// SCRAM-SHA-256.
        ScramSha256 = "scram-sha-256",
        /// Windows' own.
        Sspi = "sspi",
    }
}

/// The methods that the server may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Methods {
    allowed: Vec<AuthMethod>,
    /// As it was written, for errors.
    pub(crate) written: Option<String>,
}

impl Methods {
    /// Libpq's rules, with one exception: the password itself is sent only where it is named, not where others are
    /// forbidden.
    pub(super) fn decide(written: Option<Written<Vec<String>>>) -> Result<Self, ConfigError> {
        let all = |but: &[AuthMethod]| {
            let allowed = AuthMethod::ALL.iter().copied();
            allowed
                .filter(|method| *method != AuthMethod::Password && !but.contains(method))
                .collect::<Vec<_>>()
        };
        let Some(Written { value, place }) = written else {
            return Ok(Self {
                allowed: all(&[]),
                written: None,
            });
        };
        let mut named = Vec::new();
        let forbidding = value.iter().filter(|word| word.starts_with('!')).count();
        if forbidding != 0 && forbidding != value.len() {
            return Err(refuse(
                &place,
                "conflict",
                "methods that are allowed stand beside methods that are not",
            ));
        }
        for word in &value {
            let method = known(word.trim_start_matches('!'), &place)?;
            if named.contains(&method) {
                return Err(refuse(&place, "duplicate", "a method is written twice"));
            }
            named.push(method);
        }
        let allowed = if forbidding == 0 { named } else { all(&named) };
        let possible = [
            AuthMethod::Md5,
            AuthMethod::None,
            AuthMethod::Password,
            AuthMethod::ScramSha256,
        ];
        if !possible.iter().any(|method| allowed.contains(method)) {
            return Err(refuse(
                &place,
                "unsupported",
                "gss and sspi are not possible here, and nothing else is allowed",
            ));
        }
        Ok(Self {
            allowed,
            written: Some(value.join(",")),
        })
    }

    pub(crate) fn allow(&self, method: AuthMethod) -> bool {
        self.allowed.contains(&method)
    }
}

fn known(word: &str, place: &Place) -> Result<AuthMethod, ConfigError> {
    let mut all = AuthMethod::ALL.iter().copied();
    all.find(|method| method.as_str() == word).ok_or_else(|| {
        refuse(
            place,
            "invalid_value",
            &format!("no method is called {word:?}"),
        )
    })
}

fn refuse(place: &Place, code: &'static str, problem: &str) -> ConfigError {
    place.refuse(
        "require_auth",
        ConfigError::new(
            code,
            problem,
            "write some of scram-sha-256, md5, password, none, gss and sspi, or some of them each with ! before it",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn decided(words: &str) -> Result<Methods, ConfigError> {
        let words: Vec<String> = words.split(',').map(str::to_owned).collect();
        Methods::decide(Config::new().require_auth(words).require_auth)
    }

    #[test]
    fn the_lists_mean_what_they_mean_to_libpq() {
        use AuthMethod::{Md5, None, Password, ScramSha256};
        for (words, allowed) in [
            ("scram-sha-256", [true, false, false, false]),
            ("scram-sha-256,md5", [true, true, false, false]),
            ("password", [false, false, true, false]),
            ("none", [false, false, false, true]),
            ("!none", [true, true, false, false]),
            ("!md5,!none", [true, false, false, false]),
            ("gss,scram-sha-256", [true, false, false, false]),
        ] {
            let methods = decided(words).unwrap();
            let found = [ScramSha256, Md5, Password, None].map(|method| methods.allow(method));
            assert_eq!(found, allowed, "{words}");
        }
    }

    #[test]
    fn a_list_that_contradicts_itself_is_refused() {
        for (words, code) in [
            ("scram-sha-256,!md5", "conflict"),
            ("md5,md5", "duplicate"),
            ("scram", "invalid_value"),
            ("gss", "unsupported"),
            ("!scram-sha-256,!md5,!none", "unsupported"),
        ] {
            assert_eq!(decided(words).unwrap_err().code(), code, "{words}");
        }
    }

    #[test]
    fn without_a_list_everything_goes_but_the_password_itself() {
        let methods = Methods::decide(None).unwrap();
        assert!(methods.allow(AuthMethod::ScramSha256) && methods.allow(AuthMethod::Md5));
        assert!(!methods.allow(AuthMethod::Password));
    }
}
