use std::{
    io::{self, IsTerminal as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{report::Report, scrape::Scrape, view::View};

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: u64 = 64 * 1024 * 1024;

/// Shows the pools of a running service, live, from the metrics that it serves.
///
/// Levels, rates, waits, failures by their reason and the days that certificates have left: on a terminal as a screen,
/// elsewhere as one line for each pool and look. The service must export the metrics of sealpool-metrics.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// Where the service serves its metrics, such as http://127.0.0.1:9100/metrics
    url: String,
    /// The time between two looks
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1s")]
    interval: Duration,
    /// Ends after so many looks [default: when it is interrupted]
    #[arg(long)]
    count: Option<u64>,
}

impl Watch {
    pub(crate) fn run(self) -> Report {
        let Self {
            url,
            interval,
            count,
        } = self;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        let mut before: Option<(Scrape, Instant)> = None;
        let mut looks = 0;
        while count.is_none_or(|count| looks < count) {
            if looks > 0 {
                thread::sleep(interval);
            }
            looks += 1;
            let now = match look(&agent, &url) {
                Ok(now) => (now, Instant::now()),
                Err(error) => return Report::wrong(format!("no metrics: {error}")),
            };
            let (scrape, at) = &now;
            let (old, since) = before.as_ref().unwrap_or(&now);
            let view = View {
                before: old,
                now: scrape,
                between: at.duration_since(*since),
            };
            if let Err(error) = show(&view) {
                return match error.kind() {
                    io::ErrorKind::BrokenPipe => Report::good(""),
                    kind => Report::wrong(format!("nothing can be shown: {kind}")),
                };
            }
            before = Some(now);
        }
        Report::good("")
    }
}

fn look(agent: &ureq::Agent, url: &str) -> Result<Scrape, ureq::Error> {
    let mut answer = agent.get(url).call()?;
    let body = answer.body_mut().with_config().limit(LONGEST);
    Ok(Scrape::parse(&body.read_to_string()?))
}

fn show(view: &View<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        // From the upper left corner, and nothing below.
        write!(out, "\u{1b}[H\u{1b}[J{}", view.screen())?;
    } else {
        out.write_all(view.lines().as_bytes())?;
    }
    out.flush()
}
