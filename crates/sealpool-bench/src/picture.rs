use std::fmt::{Display, Write as _};

use crate::scale::{Scale, ends};

/// One number of several contenders against what grows.
pub(crate) struct Chart {
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) scale: Scale,
    pub(crate) curves: Vec<Curve>,
}

pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A colour of Okabe and Ito's, who chose them so that everybody can tell them apart, and a marker round the point.
const STYLES: [(&str, &str); 6] = [
    ("#000000", "m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z"),
    ("#0072B2", "m-3.7,-3.7h7.4v7.4h-7.4z"),
    ("#E69F00", "m0,-4.8l4.6,8.2h-9.2z"),
    ("#CC79A7", "m0,-5.2l5.2,5.2l-5.2,5.2l-5.2,-5.2z"),
    ("#009E73", "m0,4.8l4.6,-8.2h-9.2z"),
    ("#D55E00", "m-4.5,-1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3z"),
];

const WIDTH: f64 = 1080.0;
const TOP: f64 = 122.0;
/// Of a chart with its labels, and of the plot in it.
const CELL: (f64, f64) = (WIDTH / 3.0, 270.0);
const PLOT: (f64, f64) = (280.0, 200.0);
const LEFT: f64 = 68.0;
const MIDDLE: &str = "text-anchor=\"middle\" font-size=\"12\"";

/// Rows of three charts; those of a row have the same vertical axis.
pub(crate) fn svg(heading: &[String], rows: &[Vec<Chart>]) -> String {
    let height = TOP + CELL.1 * rows.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (line, (y, size)) in heading.iter().zip([(28.0, 17), (50.0, 12), (68.0, 12)]) {
        text(&mut svg, (LEFT, y), &format!("font-size=\"{size}\""), line);
    }
    let mut x = LEFT + 14.0;
    let named = rows
        .iter()
        .flatten()
        .take(1)
        .flat_map(|chart| &chart.curves);
    for (curve, style) in named.zip(STYLES) {
        let line = [(x - 14.0, 92.0), (x, 92.0), (x + 14.0, 92.0)];
        draw(&mut svg, style, &line, &line[1..2]);
        text(&mut svg, (x + 20.0, 96.0), "font-size=\"13\"", &curve.name);
        x += 60.0 + 8.0 * curve.name.len() as f64;
    }
    let mut top = TOP;
    for row in rows {
        let curves = row.iter().flat_map(|chart| &chart.curves);
        let values: Vec<_> = curves
            .flat_map(|curve| &curve.points)
            .map(|(_, y)| *y)
            .collect();
        let mut left = LEFT;
        for chart in row {
            draw_chart(
                &mut svg,
                (left, top),
                chart,
                &chart.scale.ticks(values.iter().copied()),
            );
            left += CELL.0;
        }
        top += CELL.1;
    }
    svg.push_str("</svg>\n");
    svg
}

/// With the upper left corner of its plot, and what stands at its vertical axis.
fn draw_chart(svg: &mut String, (left, top): (f64, f64), chart: &Chart, ticks: &[f64]) {
    let Chart {
        x,
        y,
        scale,
        curves,
    } = chart;
    let (right, bottom) = (left + PLOT.0, top + PLOT.1);
    let first = curves.iter().take(1).flat_map(|curve| &curve.points);
    let values: Vec<_> = first.map(|(x, _)| *x).collect();
    let (wide, high) = (ends(values.iter().copied()), ends(ticks.iter().copied()));
    let along = |value| left + PLOT.0 * Scale::Log.share(value, wide);
    let up = |value| bottom - PLOT.1 * scale.share(value, high);

    for tick in ticks {
        rule(svg, (left, up(*tick)), (right, up(*tick)));
        text(
            svg,
            (left - 6.0, up(*tick) + 4.0),
            "text-anchor=\"end\"",
            tick,
        );
    }
    for value in values {
        rule(svg, (along(value), top), (along(value), bottom + 4.0));
        text(svg, (along(value), bottom + 17.0), MIDDLE, value);
    }
    text(svg, (f64::midpoint(left, right), bottom + 36.0), MIDDLE, x);
    let (beside, level) = (left - 48.0, f64::midpoint(top, bottom));
    let turned = format!("{MIDDLE} transform=\"rotate(-90 {beside} {level})\"");
    text(svg, (beside, level), &turned, y);
    for (curve, style) in curves.iter().zip(STYLES) {
        let points: Vec<_> = curve
            .points
            .iter()
            .map(|(x, y)| (along(*x), up(*y)))
            .collect();
        draw(svg, style, &points, &points);
    }
}

/// A line through the one, and markers on the other.
fn draw(
    svg: &mut String,
    (colour, marker): (&str, &str),
    line: &[(f64, f64)],
    marked: &[(f64, f64)],
) {
    let line: Vec<_> = line.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let marks: String = marked
        .iter()
        .map(|(x, y)| format!("M{x:.1},{y:.1}{marker}"))
        .collect();
    let line = line.join(" ");
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/><path d=\"{marks}\" fill=\"{colour}\"/>"
    );
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<path d=\"M{x1:.1},{y1:.1}L{x2:.1},{y2:.1}\" stroke=\"#ddd\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), attributes: &str, text: impl Display) {
    let text = text.to_string().replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use Scale::{Linear, Log};

    const PEERS: [&str; 5] = [
        "deadpool",
        "sealpool, metrics",
        "sealpool, lane",
        "bb8 <&>",
        "sqlx",
    ];
    const TASKS: [f64; 7] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0];

    fn chart(x: &'static str, y: &'static str, scale: Scale, value: impl Fn(f64) -> f64) -> Chart {
        let curve = |name: &str| Curve {
            name: name.to_owned(),
            points: TASKS.map(|tasks| (tasks, value(tasks))).into(),
        };
        Chart {
            x,
            y,
            scale,
            curves: PEERS.map(curve).into(),
        }
    }

    fn drawn() -> String {
        let row = |y, scale, value: fn(f64) -> f64| -> Vec<_> {
            ["tasks", "connections", "pools"]
                .map(|x| chart(x, y, scale, value))
                .into()
        };
        let heading = ["heading", "machine", "versions"].map(str::to_owned);
        svg(
            &heading,
            &[
                row("calls/s", Linear, |tasks| 17_300.0 * tasks / (tasks + 3.0)),
                row("ms", Log, |tasks| 0.07 * tasks),
            ],
        )
    }

    /// Every element's attributes, and the text after it; fails where a tag is not closed by its own.
    fn elements(svg: &str) -> Vec<(&str, &str, &str)> {
        let (mut open, mut elements) = (Vec::new(), Vec::new());
        for piece in svg.split('<').skip(1) {
            let (tag, after) = piece.split_once('>').expect("a tag ends");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "{piece}"),
                None => {
                    let (name, attributes) = tag.split_once(' ').expect("each has attributes");
                    elements.push((name, attributes, after));
                    if !tag.ends_with('/') {
                        open.push(name);
                    }
                }
            }
        }
        assert!(open.is_empty(), "{open:?}");
        elements
    }

    #[test]
    fn a_picture_is_well_formed_and_says_who_and_what() {
        let svg = drawn();
        let elements = elements(&svg);
        let said: Vec<_> = elements
            .iter()
            .filter(|(name, ..)| *name == "text")
            .map(|(.., text)| *text)
            .collect();
        let times = |wanted: &str| said.iter().filter(|text| **text == wanted).count();
        for once in [
            "heading",
            "machine",
            "versions",
            "deadpool",
            "sealpool, metrics",
            "sealpool, lane",
            "bb8 &lt;&amp;>",
            "sqlx",
        ] {
            assert_eq!(times(once), 1, "{once}: {svg}");
        }
        for (label, wanted) in [
            ("tasks", 2),
            ("connections", 2),
            ("pools", 2),
            ("calls/s", 3),
            ("ms", 3),
            ("4096", 6),
            ("18000", 3),
            ("0.01", 3),
            ("1000", 3),
        ] {
            assert_eq!(times(label), wanted, "{label}: {svg}");
        }
        let lines = elements
            .iter()
            .filter(|(name, ..)| *name == "polyline")
            .count();
        assert_eq!(lines, PEERS.len() * 7, "six charts and the legend");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn every_point_is_inside_its_plot() {
        let mut svg = String::new();
        draw_chart(
            &mut svg,
            (100.0, 50.0),
            &chart("x", "y", Log, |tasks| tasks),
            &Log.ticks(TASKS.into_iter()),
        );
        let (_, attributes, _) = elements(&svg)
            .into_iter()
            .find(|(name, ..)| *name == "polyline")
            .unwrap();
        let points = attributes.split('"').nth(1).unwrap();
        // From 1 to 10,000 upwards, 4,096 is at 0.903.
        assert!(
            points.starts_with("100.0,250.0 ") && points.ends_with(" 380.0,69.4"),
            "{points}"
        );
    }
}
