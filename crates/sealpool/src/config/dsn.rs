use std::ops::Range;

use config::Value;
use sealpool_dsn::{ClientCertMode, Dsn, DsnError, Located, Root};

use super::{
    ConfigError, Origin, Place,
    explain::{Warning, Word},
    sheet::{Entry, Sheet},
    spread::{Spread, duration, methods, path, version},
};

/// The name under which TOML and the environment take a whole connection string.
pub(super) const KEY: &str = "url";

/// Everything a connection string says.
pub(super) fn sheet(text: &str, origin: &Origin) -> Result<Sheet, ConfigError> {
    let mut sheet = Sheet::default();
    spread(
        text,
        &Place {
            origin: origin.clone(),
            excerpt: None,
        },
        &mut sheet,
    )?;
    Ok(sheet)
}

/// Adds what the connection string of a source says to the parts that stand beside it.
pub(super) fn imply(sheet: &mut Sheet, entry: &Entry) -> Result<(), ConfigError> {
    let Entry { value, place } = entry;
    let text = value.clone().into_string().unwrap_or_default();
    spread(&text, place, sheet)
}

fn spread(text: &str, place: &Place, sheet: &mut Sheet) -> Result<(), ConfigError> {
    let dsn = Dsn::parse(text).map_err(|error| refused(&error, place))?;
    let dialect = dsn.dialect.to_string();
    sheet.notes.dialects.push((place.origin.clone(), dialect));
    let within = |key: &str| {
        let outer = Box::new(place.origin.clone());
        Place {
            origin: Origin::Within {
                outer,
                key: key.to_owned(),
            },
            excerpt: None,
        }
    };
    imply_all(dsn, &within, sheet)
}

fn refused(error: &DsnError, place: &Place) -> ConfigError {
    let Range { start, .. } = error.span();
    let column = if start == 0 {
        String::new()
    } else {
        format!(" (column {} of it)", error.column())
    };
    place.refuse(
        KEY,
        ConfigError::new(
            error.code().as_str(),
            format!("{}{column}", error.message()),
            error.help(),
        ),
    )
}

/// Every field is applied, noted or refused: one that is forgotten does not compile.
pub(super) fn imply_all(
    dsn: Dsn,
    within: &dyn Fn(&str) -> Place,
    sheet: &mut Sheet,
) -> Result<(), ConfigError> {
    let Dsn {
        dialect: _,
        hosts,
        database,
        user,
        password,
        verification,
        tls_words,
        root,
        client_cert,
        client_key,
        client_key_password,
        client_cert_mode,
        crl,
        crl_dir,
        min_tls,
        max_tls,
        sni,
        ssl_negotiation,
        channel_binding,
        require_auth,
        target_session_attrs,
        load_balance_hosts,
        connect_timeout,
        login_timeout,
        tcp_user_timeout,
        keepalives,
        keepalives_idle,
        keepalives_interval,
        keepalives_count,
        application_name,
        fallback_application_name,
        options,
        search_path,
        time_zone,
        statement_timeout,
        lock_timeout,
        idle_in_transaction_timeout,
        statement_cache,
        pool_max,
        pool_min,
        acquire_timeout,
        idle_timeout,
        max_lifetime,
        warnings,
    } = dsn;
    let mut spread = Spread { within, sheet };
    spread.hosts(&hosts)?;
    spread.take("database", database, Value::from)?;
    spread.take("user", user, Value::from)?;
    spread.take("password", password, |password| password.expose().into())?;

    let decisive = tls_words
        .iter()
        .max_by_key(|word| word.meaning)
        .map(|word| word.key.clone());
    if let Some(key) = decisive {
        spread.put("tls.mode", &key, verification.to_string())?;
    }
    spread.take("tls.root", root, |root| match root {
        Root::File(file) => path(file),
        Root::System => "system".into(),
    })?;
    let certificate_is_sent = client_cert_mode
        .as_ref()
        .is_none_or(|mode| mode.value != ClientCertMode::Disable);
    if certificate_is_sent {
        spread.take("tls.client_cert", client_cert, path)?;
        spread.take("tls.client_key", client_key, path)?;
        spread.take("tls.client_key_password", client_key_password, |secret| {
            secret.expose().into()
        })?;
    }
    spread.cannot(
        client_cert_mode,
        |mode| *mode != ClientCertMode::Require,
        "whether a server asks for a client certificate is not enforced here",
    )?;
    let lists: Vec<_> = [crl, crl_dir].into_iter().flatten().collect();
    if let Some(Located { key, .. }) = lists.first() {
        let key = key.clone();
        let paths: Vec<Value> = lists.into_iter().map(|list| path(list.value)).collect();
        spread.put("tls.crl", &key, paths)?;
    }
    spread.take("tls.min_version", min_tls, version)?;
    spread.take("tls.max_version", max_tls, version)?;
    spread.take("tls.sni", sni, Value::from)?;
    spread.take("tls.negotiation", ssl_negotiation, |how| {
        how.as_str().into()
    })?;
    spread.take("tls.channel_binding", channel_binding, |how| {
        how.as_str().into()
    })?;
    spread.take("require_auth", require_auth, methods)?;

    spread.take(
        "connect.target_session_attrs",
        target_session_attrs,
        |role| role.as_str().into(),
    )?;
    spread.take("connect.load_balance_hosts", load_balance_hosts, |order| {
        order.as_str().into()
    })?;
    spread.limit("connect.timeout", connect_timeout)?;
    spread.limit("connect.total_timeout", login_timeout)?;
    spread.server_limit("connect.tcp_user_timeout", tcp_user_timeout)?;
    spread.take("connect.keepalives", keepalives, Value::from)?;
    spread.take("connect.keepalives_idle", keepalives_idle, duration)?;
    spread.take("connect.keepalives_interval", keepalives_interval, duration)?;
    spread.take("connect.keepalives_count", keepalives_count, Value::from)?;

    let application_name = application_name.or(fallback_application_name);
    spread.take("application_name", application_name, Value::from)?;
    spread.take("options", options, Value::from)?;
    spread.take("session.search_path", search_path, Value::from)?;
    spread.take("session.time_zone", time_zone, Value::from)?;
    spread.server_limit("session.statement_timeout", statement_timeout)?;
    spread.server_limit("session.lock_timeout", lock_timeout)?;
    spread.server_limit(
        "session.idle_in_transaction_timeout",
        idle_in_transaction_timeout,
    )?;
    spread.take("session.statement_cache", statement_cache, Value::from)?;

    spread.take("pool.max_size", pool_max, Value::from)?;
    spread.limit("pool.acquire_timeout", acquire_timeout)?;
    spread.take("pool.min_idle", pool_min, Value::from)?;
    spread.limit("pool.idle_timeout", idle_timeout)?;
    spread.limit("pool.max_lifetime", max_lifetime)?;

    let notes = &mut spread.sheet.notes;
    notes.words.extend(tls_words.into_iter().map(|word| Word {
        origin: within(&word.key).origin,
        word: word.word,
        meaning: word.meaning.to_string(),
    }));
    notes.warnings.extend(warnings.into_iter().map(|warning| {
        let sealpool_dsn::Warning {
            code,
            message,
            span: _,
        } = warning;
        Warning {
            origin: within("").origin,
            code: code.as_str(),
            message,
        }
    }));
    Ok(())
}
