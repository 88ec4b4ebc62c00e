use std::collections::{BTreeMap, BTreeSet};

const POOL: &str = "db_client_connection_pool_name";

/// What one look at `/metrics` gave, in the text format of Prometheus.
#[derive(Debug, Default)]
pub(crate) struct Scrape(Vec<Sample>);

#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// Lines that are no samples are skipped: other programs' metrics stand beside ours.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    pub(crate) fn pools(&self) -> BTreeSet<&str> {
        let ours = self.0.iter().filter(|sample| {
            sample.name.starts_with("sealpool_") || sample.name.starts_with("db_client_connection_")
        });
        ours.filter_map(|sample| sample.labels.get(POOL))
            .map(String::as_str)
            .collect()
    }

    /// The samples of one family and pool, each with the value of `label` (empty where it has none).
    pub(crate) fn of<'a>(
        &'a self,
        pool: &'a str,
        name: &'a str,
        label: &'a str,
    ) -> impl Iterator<Item = (&'a str, f64)> {
        let samples = self.0.iter();
        let samples = samples.filter(move |sample| sample.name == name);
        samples
            .filter(move |sample| sample.labels.get(POOL).is_some_and(|of| of == pool))
            .map(move |sample| {
                let value = sample.labels.get(label);
                (value.map_or("", String::as_str), sample.value)
            })
    }

    /// The sum of a family's samples of one pool.
    pub(crate) fn sum(&self, pool: &str, name: &str) -> f64 {
        self.of(pool, name, "").map(|(_, value)| value).sum()
    }

    /// The sample of a family whose `label` has this value.
    pub(crate) fn one(&self, pool: &str, name: &str, label: &str, value: &str) -> f64 {
        let mut of = self.of(pool, name, label);
        of.find(|(of, _)| *of == value)
            .map_or(0.0, |(_, value)| value)
    }
}

/// `name{label="value",…} number`, with an optional time behind it.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)))?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(behind) = rest.strip_prefix('}') {
                rest = behind;
                break;
            }
            let (label, value) = rest.split_once("=\"")?;
            let (value, behind) = quoted(value)?;
            labels.insert(label.trim().to_owned(), value);
            rest = behind;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then(|| Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// A value up to its closing quote, and what stands behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match characters.next()? {
                (_, 'n') => '\n',
                (_, escaped) => escaped,
            }),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_anything() {
        let text = "# TYPE sealpool_state gauge\n\
                    sealpool_state{db_client_connection_pool_name=\"a,b:5432/x=\\\"y\\\\\",state=\"running\"} 1\n\
                    up 1 1700000000\n\
                    broken{a=\"b} 1\n\
                    sealpool_build_info{version=\"1\"} NaN\n\n";
        let scrape = Scrape::parse(text);
        assert_eq!(scrape.0.len(), 3);
        let pools: Vec<_> = scrape.pools().into_iter().collect();
        let [pool] = pools[..] else {
            panic!("{pools:?}")
        };
        assert_eq!(pool, "a,b:5432/x=\"y\\");
        assert_eq!(scrape.one(pool, "sealpool_state", "state", "running"), 1.0);
        assert_eq!(scrape.sum(pool, "sealpool_state"), 1.0);
        assert_eq!(scrape.sum("other", "sealpool_state"), 0.0);
    }
}
