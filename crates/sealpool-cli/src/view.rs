//! What `watch` shows of two looks at `/metrics`.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use crate::scrape::Scrape;

const STATE: &str = "db_client_connection_state";
const WIDTH: usize = 40;

/// Between two looks.
pub(crate) struct View<'a> {
    pub(crate) before: &'a Scrape,
    pub(crate) now: &'a Scrape,
    pub(crate) between: Duration,
}

impl View<'_> {
    /// One line a pool, for a file or a pipe.
    pub(crate) fn lines(&self) -> String {
        let mut text = String::new();
        for pool in self.now.pools() {
            let Levels {
                state,
                used,
                idle,
                max,
                opening,
                waiting,
            } = self.levels(pool);
            let _ = writeln!(
                text,
                "pool={pool:?} state={state} used={used} idle={idle} max={max} opening={opening} waiting={waiting} \
                 acquires_per_s={:.1} wait_ms={:.3} opened_per_s={:.1} timeouts={} tls_failures={} days_left={}",
                self.rate(pool, "sealpool_acquires_total"),
                self.mean_wait(pool) * 1000.0,
                self.rate(pool, "sealpool_connections_opened_total"),
                self.now.sum(pool, "db_client_connection_timeouts_total"),
                self.now.sum(pool, "sealpool_tls_handshake_failures_total"),
                self.days_left(pool)
                    .map_or_else(|| "unknown".to_owned(), |days| days.to_string()),
            );
        }
        text
    }

    /// A screen, for a terminal.
    pub(crate) fn screen(&self) -> String {
        let mut text = String::new();
        for pool in self.now.pools() {
            let levels = self.levels(pool);
            let _ = writeln!(text, "{}  {}", pool.escape_debug(), levels.state);
            let _ = writeln!(text, "  {}", levels.bar());
            let Levels {
                state: _,
                used,
                idle,
                max,
                opening,
                waiting,
            } = levels;
            let _ = writeln!(
                text,
                "  connections   {used} used, {idle} idle of {max}, {opening} opening; {waiting} waiting, the first for {:.1} s",
                self.now.sum(pool, "sealpool_oldest_waiter_age_seconds")
            );
            let _ = writeln!(
                text,
                "  acquires      {:.1}/s, {:.3} ms of waiting on average, {} timeouts",
                self.rate(pool, "sealpool_acquires_total"),
                self.mean_wait(pool) * 1000.0,
                self.now.sum(pool, "db_client_connection_timeouts_total")
            );
            let _ = writeln!(
                text,
                "  opened        {} connections, {:.1}/s",
                self.now.sum(pool, "sealpool_connections_opened_total"),
                self.rate(pool, "sealpool_connections_opened_total")
            );
            self.reasons(
                &mut text,
                pool,
                "closed",
                "sealpool_connections_closed_total",
                "reason",
            );
            self.reasons(
                &mut text,
                pool,
                "failed at",
                "sealpool_connect_failures_total",
                "stage",
            );
            let failures = "sealpool_tls_handshake_failures_total";
            self.reasons(&mut text, pool, "TLS failures", failures, "error_type");
            if let Some(days) = self.days_left(pool) {
                let _ = writeln!(text, "  certificate   {days} days left");
            }
            text.push('\n');
        }
        if text.is_empty() {
            text.push_str("no pool of sealpool is among these metrics\n");
        }
        text
    }

    fn levels(&self, pool: &str) -> Levels {
        let count = |state| {
            self.now
                .one(pool, "db_client_connection_count", STATE, state)
        };
        let mut states = self.now.of(pool, "sealpool_state", "state");
        let state = states.find(|(_, is)| *is == 1.0);
        Levels {
            state: state.map_or("unknown", |(state, _)| state).to_owned(),
            used: count("used"),
            idle: count("idle"),
            max: self.now.sum(pool, "db_client_connection_max"),
            opening: self.now.sum(pool, "sealpool_connections_opening"),
            waiting: self.now.sum(pool, "db_client_connection_pending_requests"),
        }
    }

    /// How much a counter has grown. One that is smaller than before was begun anew, with its service.
    fn growth(&self, pool: &str, counter: &str) -> f64 {
        let (before, now) = (self.before.sum(pool, counter), self.now.sum(pool, counter));
        if now < before { now } else { now - before }
    }

    fn rate(&self, pool: &str, counter: &str) -> f64 {
        self.growth(pool, counter) / self.between.as_secs_f64().max(f64::EPSILON)
    }

    /// Seconds, of the acquires between the two looks.
    fn mean_wait(&self, pool: &str) -> f64 {
        let waits = self.growth(pool, "db_client_connection_wait_time_seconds_count");
        let waited = self.growth(pool, "db_client_connection_wait_time_seconds_sum");
        if waits == 0.0 { 0.0 } else { waited / waits }
    }

    /// Of the server's certificate that ends first.
    fn days_left(&self, pool: &str) -> Option<i64> {
        let name = "sealpool_tls_server_certificate_expiry_timestamp_seconds";
        let ends = self.now.of(pool, name, "").map(|(_, end)| end);
        let first = ends.min_by(f64::total_cmp)?;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "days fit")]
        Some(((first - now.as_secs_f64()) / 86_400.0).floor() as i64)
    }

    /// The counters of a family that are not 0, and how much they have grown.
    fn reasons(&self, text: &mut String, pool: &str, title: &str, family: &str, label: &str) {
        let mut told = false;
        for (reason, count) in self.now.of(pool, family, label).filter(|(_, n)| *n > 0.0) {
            let more = count - self.before.one(pool, family, label, reason);
            let title = if told { "" } else { title };
            told = true;
            let _ = write!(text, "  {title:<13} {reason} {count}");
            if more > 0.0 {
                let _ = write!(text, " (+{more})");
            }
            text.push('\n');
        }
    }
}

struct Levels {
    state: String,
    used: f64,
    idle: f64,
    max: f64,
    opening: f64,
    waiting: f64,
}

impl Levels {
    /// `#` for a connection in use, `-` for an idle one.
    fn bar(&self) -> String {
        let share = |count: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of the width"
            )]
            let columns = (count / self.max.max(1.0) * WIDTH as f64).round() as usize;
            columns.min(WIDTH)
        };
        let used = share(self.used);
        let idle = share(self.idle).min(WIDTH - used);
        let rest = WIDTH - used - idle;
        format!(
            "[{}{}{}]",
            "#".repeat(used),
            "-".repeat(idle),
            " ".repeat(rest)
        )
    }
}
