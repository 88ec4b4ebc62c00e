use std::{collections::BTreeSet, fmt::Write as _, fs, process::Command, thread};

use crate::{
    Failure,
    bench::Bench,
    lock,
    peers::{Kind, SharedLane},
    pgbench::Pgbench,
    report,
    row::Row,
};

/// What `docs/benchmarks.md` is made of.
pub(crate) fn page(bench: &Bench, rows: &[Row]) -> Result<String, Failure> {
    let mut page = String::from(
        "# Benchmarks\n\n\
         sealpool and its peers, measured in turns by one process on one machine: A B C, A B C, … A ratio is that of the two \
         numbers of one round, and of all rounds the median. The machine's own speed is in every number and hardly in the ratios.\n\n\
         Every client but the plaintext one verifies chain and name (verify-full) and logs in by SCRAM. The servers run on the \
         same machine, with `fsync = off`. Results are checked as they are read.\n\n",
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "Made by `scripts/bench {}--write docs/benchmarks.md`: {} rounds of a row, {} where \
         each takes milliseconds, and {} where each takes seconds.\n",
        bench.effort().flag(),
        bench.effort().rounds(),
        bench.effort().many_rounds(),
        bench.effort().few_rounds()
    );
    let _ = writeln!(page, "- {}", machine());
    let versions: BTreeSet<_> = bench
        .servers()
        .iter()
        .map(|server| server.cluster().version())
        .collect();
    let servers = versions.into_iter().collect::<Vec<_>>().join(" and ");
    let _ = writeln!(page, "- PostgreSQL {servers}; {}", pgbench_version()?);
    let crates = lock::CRATES
        .iter()
        .filter_map(|name| Some(format!("{name} {}", lock::version(name)?)));
    let _ = writeln!(page, "- {}\n", crates.collect::<Vec<_>>().join(", "));
    page.push_str("| peer | settings beside address, credentials, root and size |\n|---|---|\n");
    for kind in Kind::ALL {
        let _ = writeln!(page, "| {} | {} |", kind.name(), kind.settings());
    }
    let _ = writeln!(page, "| {} | {} |", SharedLane::NAME, SharedLane::SETTINGS);
    let _ = writeln!(page, "| pgbench | {} |\n", Pgbench::SETTINGS);
    let verdicts: Vec<_> = rows
        .iter()
        .flat_map(|row| &row.lines)
        .flat_map(|line| &line.verdicts)
        .collect();
    let met = verdicts.iter().filter(|verdict| verdict.is_met()).count();
    let _ = writeln!(page, "Of {} targets {met} are reached.", verdicts.len());
    page.push_str(
        "\nHow throughput and p99 scale with tasks, connections and pools is [a picture](scaling.svg), made by \
         `scripts/bench --scaling docs/scaling.svg`.\n",
    );
    for row in rows {
        let _ = write!(page, "\n{}", report::markdown(row));
    }
    Ok(page)
}

pub(crate) fn machine() -> String {
    let count = thread::available_parallelism().map_or(0, usize::from);
    let models = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = models
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(String::new, |(_, model)| format!(", {model}"));
    format!("{count} CPUs{model}, for servers and clients together")
}

fn pgbench_version() -> Result<String, Failure> {
    let output = Command::new(Pgbench::program()?)
        .arg("--version")
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
