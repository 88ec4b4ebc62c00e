use std::fmt::Write as _;

use crate::row::{Line, Row, Verdict};

/// A row as a table of the terminal.
pub(crate) fn terminal(row: &Row) -> String {
    let Row {
        title,
        unit,
        about,
        lines,
    } = row;
    let mut text = format!("{title} ({unit})\n  {about}\n");
    for line in lines {
        let [median, range, ratio, target, verdict] = cells(line);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {:26} {median:>9} {range:>22} {ratio:>7}  {target:22} {verdict}",
            line.name
        );
    }
    text
}

/// The same for the page.
pub(crate) fn markdown(row: &Row) -> String {
    let Row {
        title,
        unit,
        about,
        lines,
    } = row;
    let mut text = format!(
        "### {title}\n\n{about}\n\n| | {unit}: median | min – max | ratio | target | |\n|---|---:|---:|---:|---|---|\n"
    );
    for line in lines {
        let cells = cells(line).join(" | ");
        let _ = writeln!(text, "| {} | {cells} |", line.name);
    }
    text
}

/// Median, range, ratio, target, verdict.
fn cells(line: &Line) -> [String; 5] {
    let Line {
        name: _,
        values,
        ratio,
        verdicts,
    } = line;
    let list =
        |show: fn(&Verdict) -> String| verdicts.iter().map(show).collect::<Vec<_>>().join("; ");
    [
        number(values.median),
        format!("{} – {}", number(values.min), number(values.max)),
        ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)),
        list(|verdict| verdict.target.clone()),
        list(|verdict| match verdict.is_met() {
            true => "ok".to_owned(),
            false => format!("short by {}", number(verdict.short_by)),
        }),
    ]
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rounds::Series, row::Target};

    #[test]
    fn a_row_says_what_was_reached() {
        let series = [("deadpool", 361.4), ("sealpool", 500.0)].map(|(name, value)| {
            let (name, values) = (name.to_owned(), vec![Some(value)]);
            Series { name, values }
        });
        let row = Row::new("acquire", "ns", "one task", &series).must(
            &["sealpool"],
            Target::RatioAtMost(1.25),
            &series,
        );
        assert_eq!(
            markdown(&row),
            "### acquire\n\none task\n\n\
             | | ns: median | min – max | ratio | target | |\n|---|---:|---:|---:|---|---|\n\
             | deadpool | 361 | 361 – 361 | 1.00 |  |  |\n\
             | sealpool | 500 | 500 – 500 | 1.38 | ratio ≤ 1.25 | short by 0.13 |\n"
        );
        assert!(terminal(&row).contains("short by 0.13"));
    }
}
