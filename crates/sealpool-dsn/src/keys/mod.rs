use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::dialect::Dialect;

mod role;
pub(crate) use role::{Accepts, Field, Role, Row, Unit, Vote};

mod java;
mod libpq;
mod npgsql;
mod odbc;
mod pools;
mod tls;
mod web;

/// The rows of each key, under the key as it is compared.
static INDEX: LazyLock<BTreeMap<String, Vec<&'static Row>>> = LazyLock::new(|| {
    let mut index: BTreeMap<String, Vec<&'static Row>> = BTreeMap::new();
    for row in rows() {
        for name in row.names {
            index.entry(normal(name)).or_default().push(row);
        }
    }
    index
});

fn rows() -> impl Iterator<Item = &'static Row> {
    [
        libpq::ROWS,
        tls::ROWS,
        npgsql::ROWS,
        java::ROWS,
        odbc::ROWS,
        pools::ROWS,
        web::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// A key as it is compared: small letters, without blanks, `-` and `_`.
pub(crate) fn normal(key: &str) -> String {
    key.chars()
        .filter(|c| !c.is_whitespace() && !"-_".contains(*c))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn found(key: &str) -> &'static [&'static Row] {
    INDEX.get(&normal(key)).map_or(&[], Vec::as_slice)
}

/// What a key means in a dialect; `Err(true)` if it means something in another dialect only.
pub(crate) fn look_up(dialect: Dialect, key: &str) -> Result<&'static Row, bool> {
    let rows = found(key);
    let own = rows.iter().find(|row| row.dialects.contains(&dialect));
    own.or_else(|| rows.iter().find(|row| row.dialects.is_empty()))
        .copied()
        .ok_or(!rows.is_empty())
}

pub(crate) fn is_known(key: &str) -> bool {
    !found(key).is_empty()
}

/// Whether the value of a key may be a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    found(key).iter().any(|row| match row.role {
        Role::Field(field) => matches!(field, Field::Password | Field::ClientKeyPassword),
        Role::Refused { secret, .. } => secret,
        Role::Vote(_) | Role::Ignored { .. } => false,
    })
}

/// Whether an unknown key, or a value, may hold the name of a secret and the secret that ran into it.
pub(crate) fn hints_at_secret(text: &str) -> bool {
    let text = normal(text);
    ["pass", "psw", "pw", "secret", "token"]
        .iter()
        .any(|word| text.contains(word))
}

/// Whether the value of a key is itself a list of settings.
pub(crate) fn is_options(key: &str) -> bool {
    found(key)
        .iter()
        .any(|row| matches!(row.role, Role::Field(Field::Options)))
}

/// Whether a URI that has the key was written for Prisma.
pub(crate) fn is_prisma(key: &str) -> bool {
    matches!(
        normal(key).as_str(),
        "connectionlimit" | "pgbouncer" | "pooltimeout" | "schema" | "sslaccept"
    )
}

pub(crate) fn is_host(key: &str) -> bool {
    found(key)
        .iter()
        .any(|row| matches!(row.role, Role::Field(Field::Host)))
}

/// Whether the key is one about TLS.
pub(crate) fn is_about_tls(key: &str) -> bool {
    let key = normal(key);
    tls::ROWS
        .iter()
        .any(|row| row.names.iter().any(|name| normal(name) == key))
}

/// Whether libpq knows the key, or it is one of those about TLS that count in every dialect.
pub(crate) fn is_libpq(key: &str) -> bool {
    let key = normal(key);
    [libpq::ROWS, tls::ROWS]
        .into_iter()
        .flatten()
        .any(|row| row.names.iter().any(|name| normal(name) == key))
}

/// Whether Npgsql, ADO.NET or psqlODBC has the key.
pub(crate) fn is_ado(key: &str) -> bool {
    found(key).iter().any(|row| row.ado)
        || [npgsql::ROWS, odbc::ROWS]
            .into_iter()
            .flatten()
            .any(|row| row.names.iter().any(|n| normal(n) == normal(key)))
}

/// The known key that looks most like `key`, as its own driver spells it.
pub(crate) fn suggestion(dialect: Dialect, key: &str) -> Option<&'static str> {
    let key = normal(key);
    if key.len() > 40 {
        return None;
    }
    let fits = |row: &&&Row| {
        (row.dialects.is_empty() || row.dialects.contains(&dialect))
            && !matches!(row.role, Role::Refused { .. })
    };
    let (distance, name, row) = INDEX
        .iter()
        .filter(|(name, _)| name.len().abs_diff(key.len()) <= 2)
        .filter_map(|(name, rows)| {
            Some((
                strsim::damerau_levenshtein(name, &key),
                name,
                rows.iter().find(fits)?,
            ))
        })
        .min_by_key(|&(distance, ..)| distance)?;
    let spelt = row
        .names
        .iter()
        .copied()
        .find(|spelt| normal(spelt) == *name)?;
    (distance <= 2 && distance * 3 <= name.len()).then_some(spelt)
}

#[cfg(test)]
mod tests {
    use super::{INDEX, is_libpq};
    use crate::dialect::Dialect;

    /// What `PQconndefaults` of libpq 18 lists.
    const LIBPQ_18: &str = "service user password passfile channel_binding connect_timeout dbname host hostaddr port \
        client_encoding options application_name fallback_application_name keepalives keepalives_idle \
        keepalives_interval keepalives_count tcp_user_timeout sslmode sslnegotiation sslcompression sslcert sslkey \
        sslcertmode sslpassword sslrootcert sslcrl sslcrldir sslsni requirepeer require_auth min_protocol_version \
        max_protocol_version ssl_min_protocol_version ssl_max_protocol_version gssencmode krbsrvname gsslib \
        gssdelegation replication target_session_attrs load_balance_hosts scram_client_key scram_server_key \
        oauth_issuer oauth_client_id oauth_client_secret oauth_scope sslkeylogfile";

    #[test]
    fn every_keyword_of_libpq_is_known() {
        for key in LIBPQ_18.split_whitespace() {
            assert!(is_libpq(key), "{key}");
        }
    }

    #[test]
    fn no_key_means_two_things_in_one_dialect() {
        for (name, rows) in &*INDEX {
            for dialect in Dialect::ALL {
                let own = rows
                    .iter()
                    .filter(|row| row.dialects.contains(&dialect))
                    .count();
                assert!(own <= 1, "{name} has {own} meanings in {dialect}");
            }
            let everywhere = rows.iter().filter(|row| row.dialects.is_empty()).count();
            assert!(
                everywhere <= 1,
                "{name} has {everywhere} meanings everywhere"
            );
        }
    }
}
