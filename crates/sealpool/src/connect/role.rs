use sealpool_dsn::TargetSessionAttrs;
use tokio_postgres::{Client, Connection, SimpleQueryMessage};

use super::sense::Sensed;

/// What a server says of its own role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Role {
    in_recovery: bool,
    read_only: bool,
}

impl Role {
    pub(super) const fn of(in_recovery: bool, read_only: bool) -> Self {
        Self {
            in_recovery,
            read_only,
        }
    }

    /// From what PostgreSQL 14 and newer report of their own accord.
    pub(super) fn reported(connection: &Connection<Sensed, Sensed>) -> Option<Self> {
        let is_on = |name| connection.parameter(name).map(|value| value == "on");
        let in_recovery = is_on("in_hot_standby")?;
        let read_only = is_on("default_transaction_read_only")? || in_recovery;
        Some(Self {
            in_recovery,
            read_only,
        })
    }

    /// From asking, where a pooler or an older server does not report it.
    pub(super) async fn asked(client: &Client) -> Result<Self, tokio_postgres::Error> {
        const QUESTION: &str = "select pg_catalog.pg_is_in_recovery(), \
                                pg_catalog.current_setting('transaction_read_only') = 'on'";
        let answer = client.simple_query(QUESTION).await?;
        let is_true = |column| {
            answer.iter().any(|message| {
                matches!(message, SimpleQueryMessage::Row(row) if row.get(column) == Some("t"))
            })
        };
        Ok(Self {
            in_recovery: is_true(0),
            read_only: is_true(1),
        })
    }

    /// Why this role will not do, if it will not.
    pub(super) fn unfit(self, wanted: TargetSessionAttrs) -> Option<&'static str> {
        let Self {
            in_recovery,
            read_only,
        } = self;
        match wanted {
            TargetSessionAttrs::ReadWrite if read_only => Some("the server takes no writes"),
            TargetSessionAttrs::ReadOnly if !read_only => Some("the server takes writes"),
            TargetSessionAttrs::Primary if in_recovery => Some("the server is a standby"),
            TargetSessionAttrs::Standby if !in_recovery => Some("the server is a primary"),
            TargetSessionAttrs::Any
            | TargetSessionAttrs::PreferStandby
            | TargetSessionAttrs::Primary
            | TargetSessionAttrs::ReadOnly
            | TargetSessionAttrs::ReadWrite
            | TargetSessionAttrs::Standby => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_wants_what_libpq_says_it_wants() {
        let primary = Role {
            in_recovery: false,
            read_only: false,
        };
        let frozen = Role {
            in_recovery: false,
            read_only: true,
        };
        let standby = Role {
            in_recovery: true,
            read_only: true,
        };
        let fits = |wanted| [primary, frozen, standby].map(|role| role.unfit(wanted).is_none());
        assert_eq!(fits(TargetSessionAttrs::Any), [true, true, true]);
        assert_eq!(fits(TargetSessionAttrs::PreferStandby), [true, true, true]);
        assert_eq!(fits(TargetSessionAttrs::Primary), [true, true, false]);
        assert_eq!(fits(TargetSessionAttrs::ReadOnly), [false, true, true]);
        assert_eq!(fits(TargetSessionAttrs::ReadWrite), [true, false, false]);
        assert_eq!(fits(TargetSessionAttrs::Standby), [false, false, true]);
    }
}
