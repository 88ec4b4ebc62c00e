use std::{collections::BTreeMap, fs, path::Path, process::Command};

const PAGE: &str = include_str!("../../../docs/benchmarks.md");

/// The rows of a page, each with its lines as cells.
fn rows(page: &str) -> BTreeMap<&str, Vec<Vec<&str>>> {
    page.split("\n### ")
        .skip(1)
        .map(|section| {
            let (title, rest) = section.split_once('\n').expect("a section");
            let lines = rest.lines().filter(|line| line.starts_with("| ")).skip(1);
            let cells =
                lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect());
            (title, cells.collect())
        })
        .collect()
}

/// Runs it with the file that it is to write; what it prints.
fn smoke(option: &str, file: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sealpool-bench"))
        .args(["--smoke", option])
        .arg(file)
        .output()
        .expect("the bench starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Once, on one server; the numbers mean nothing, but each is there.
#[test]
fn every_row_is_measured_and_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("benchmarks.md");
    smoke("--write", &file);
    let page = fs::read_to_string(file).unwrap();
    let (measured, published) = (rows(&page), rows(PAGE));
    // The other servers are not asked here.
    let here = |title: &&&str| !title.contains("PostgreSQL 15") && !title.contains("RSA");
    let names = |rows: &BTreeMap<&str, Vec<Vec<&str>>>| -> Vec<_> {
        rows.keys()
            .filter(here)
            .map(|title| (*title).to_owned())
            .collect()
    };
    assert_eq!(
        names(&measured),
        names(&published),
        "left what is measured, right docs/benchmarks.md: run `scripts/bench --write docs/benchmarks.md`"
    );
    assert!(measured.len() >= 20, "{page}");
    for (title, lines) in measured {
        assert!(
            lines.iter().any(|line| line[0].starts_with("sealpool")),
            "{title}"
        );
        for line in lines {
            let median: f64 = line[1].parse().unwrap();
            assert!(median.is_finite(), "{title}: {line:?}");
        }
    }
    // What does not depend on time holds in every run.
    for title in [
        "round trips of a connection, PostgreSQL 18",
        "hellos of a connection, PostgreSQL 18",
    ] {
        let row = format!("### {title}\n");
        let (_, row) = page.split_once(&row).unwrap();
        let row = row.split("\n### ").next().unwrap();
        assert_eq!(
            (row.matches("| ok |").count(), row.matches("short").count()),
            (2, 0),
            "{row}"
        );
    }
}

/// With the first value of each axis.
#[test]
fn scaling_is_measured_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scaling.svg");
    let table = smoke("--scaling", &file);
    let picture = fs::read_to_string(file).unwrap();
    let legend = picture.lines().filter(|line| line.ends_with("</text>"));
    for peer in ["deadpool", "sealpool, metrics", "bb8", "sqlx"] {
        let lines = table
            .lines()
            .filter_map(|line| line.trim().strip_prefix(peer));
        let numbers: Vec<f64> = lines
            .flat_map(str::split_whitespace)
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(numbers.len(), 6, "one value in each of six charts: {table}");
        assert!(numbers.iter().all(|number| *number > 0.0), "{table}");
        let named = legend
            .clone()
            .filter(|line| line.contains(&format!(">{peer}<")));
        assert_eq!(named.count(), 1, "{peer}: {picture}");
    }
    assert_eq!(picture.matches("<polyline ").count(), 4 * 7, "{picture}");
}
