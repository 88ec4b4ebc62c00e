use std::fmt::{Display, Write as _};

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

/// Of the vertical axis; the horizontal one is always logarithmic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    /// By decades.
    Log,
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
const MARGIN: (f64, f64) = (68.0, 12.0);

/// Rows of charts, three in each; those of a row have the same vertical axis.
pub(crate) fn svg(heading: &[String], rows: &[Vec<Chart>]) -> String {
    let height = TOP + CELL.1 * rows.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (line, (y, size)) in heading.iter().zip([(28, 17), (50, 12), (68, 12)]) {
        let attributes = format!("font-size=\"{size}\"");
        text(&mut svg, (MARGIN.0, f64::from(y)), &attributes, line);
    }
    let first = rows.iter().flatten().next();
    let mut x = MARGIN.0 + 8.0;
    for (curve, style) in first.iter().flat_map(|chart| &chart.curves).zip(STYLES) {
        draw(
            &mut svg,
            style,
            &[(x - 14.0, 92.0), (x + 14.0, 92.0)],
            &[(x, 92.0)],
        );
        text(&mut svg, (x + 20.0, 96.0), "font-size=\"13\"", &curve.name);
        x += 60.0 + 8.0 * curve.name.len() as f64;
    }
    let mut top = TOP;
    for row in rows {
        let values = || {
            row.iter()
                .flat_map(|chart| &chart.curves)
                .flat_map(|curve| &curve.points)
        };
        let ticks = match row.first().map(|chart| chart.scale) {
            Some(Scale::Log) => decades(values().map(|(_, y)| *y)),
            _ => steps(values().map(|(_, y)| *y)),
        };
        let mut left = 0.0;
        for chart in row {
            one(&mut svg, (left + MARGIN.0, top + MARGIN.1), chart, &ticks);
            left += CELL.0;
        }
        top += CELL.1;
    }
    svg.push_str("</svg>\n");
    svg
}

/// One chart, with the upper left corner of its plot.
fn one(svg: &mut String, (left, top): (f64, f64), chart: &Chart, ticks: &[f64]) {
    let Chart {
        x,
        y,
        scale,
        curves,
    } = chart;
    let bottom = top + PLOT.1;
    let middle = (left + PLOT.0 / 2.0, top + PLOT.1 / 2.0);
    let (first, last) = ends(ticks.iter().copied());
    let up = |value: f64| match scale {
        Scale::Linear => bottom - PLOT.1 * share(value, first, last),
        Scale::Log => bottom - PLOT.1 * share(value.ln(), first.ln(), last.ln()),
    };
    let values: Vec<f64> = curves
        .iter()
        .take(1)
        .flat_map(|curve| &curve.points)
        .map(|(x, _)| *x)
        .collect();
    let (least, most) = ends(values.iter().copied());
    let along = |value: f64| left + PLOT.0 * share(value.ln(), least.ln(), most.ln());

    for tick in ticks {
        rule(svg, (left, up(*tick)), (left + PLOT.0, up(*tick)));
        text(
            svg,
            (left - 6.0, up(*tick) + 4.0),
            "text-anchor=\"end\"",
            tick,
        );
    }
    for value in values {
        rule(svg, (along(value), top), (along(value), bottom + 4.0));
        text(
            svg,
            (along(value), bottom + 17.0),
            "text-anchor=\"middle\"",
            value,
        );
    }
    text(
        svg,
        (middle.0, bottom + 36.0),
        "text-anchor=\"middle\" font-size=\"12\"",
        x,
    );
    let (beside, level) = (left - 48.0, middle.1);
    let turned = format!(
        "text-anchor=\"middle\" font-size=\"12\" transform=\"rotate(-90 {beside} {level})\""
    );
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

/// Where between the two, from 0 to 1.
fn share(value: f64, first: f64, last: f64) -> f64 {
    match last > first {
        true => (value - first) / (last - first),
        false => 0.5,
    }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold(
        (f64::INFINITY, f64::NEG_INFINITY),
        |(least, most), value| (least.min(value), most.max(value)),
    )
}

/// From zero to the greatest value or a little above, in four to ten round steps.
fn steps(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let (_, most) = ends(values);
    let power = 10_f64.powf((most / 4.0).log10().floor());
    let step = [5.0, 2.0, 1.0]
        .map(|times| times * power)
        .into_iter()
        .find(|step| most / step >= 4.0)
        .unwrap_or(power);
    (0..=10)
        .map(|count| f64::from(count) * step)
        .take_while(|tick| *tick < most + step)
        .collect()
}

/// The powers of ten round the values.
fn decades(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let (least, most) = ends(values);
    let (first, last) = (least.log10().floor(), most.log10().ceil());
    (-12..=12)
        .map(f64::from)
        .filter(|power| (first..=last).contains(power))
        .map(|power| 10_f64.powf(power))
        .collect()
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
            ("20000", 3),
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
        one(
            &mut svg,
            (100.0, 50.0),
            &chart("x", "y", Log, |tasks| tasks),
            &decades(TASKS.into_iter()),
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

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(
            steps([300.0, 17_300.0].into_iter()),
            [0.0, 2e3, 4e3, 6e3, 8e3, 1e4, 1.2e4, 1.4e4, 1.6e4, 1.8e4]
        );
        assert_eq!(steps([4.0].into_iter()), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(decades([0.3, 20.0].into_iter()), [0.1, 1.0, 10.0, 100.0]);
    }
}
